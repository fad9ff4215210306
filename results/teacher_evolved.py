"""What a teacher adds to evolved proxies. Writes teacher_evolved_BENCH.csv.

    python results/teacher_evolved.py resnet64 images.npz
    python results/teacher_evolved.py vit101

The 64 residual networks see 16 images as in teacher_resnet64.py, beside an untrained resnet110; the
300 transformers 8 images of noise, beside an untrained resnet56. Ten splits into a part that a
search sees and one that it does not, 38 and 26 networks, or 180 and 120; search seed and split seed
are the same. On each split searches judge 3,000 distinct candidates: one with the words of the
network and of the teacher, and the known expressions that compare both in its first population; one
with the words of the network alone; on the residual networks also one like the first in which every
candidate has to compare both (`comparing`). The best by the search part are judged on the
held-out part, beside the best by the search part of the hand-designed proxies that look at a
teacher (on the transformers those that are expressions), and two others. What compares is judged
twice more: with every word of the teacher replaced by its mean over networks and entries
(`teacher_silent`), and with every number of a layer that the teacher has a part in replaced by its
mean (`part_silent`), which leaves what the formula says of the network alone. Accuracies are
those after distillation, figures Somers' D, joint over the columns. Below stand the mean
differences of the searches to the others, with Student's 95 % interval over the ten splits,
corrected for their overlap (Nadeau and Bengio, Inference for the Generalization Error, Machine
Learning 2003). auto_das_resnet was found on all 64. A search that is in ``runs/teacher-BENCH``
already is read. Ten minutes of one core each, when the transformers have been measured.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.assessment.ablation import mean_of, replaced
from autoprox.assessment.assess import columns
from autoprox.benches import Bench, load_bench, split
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.graph import apply, number
from autoprox.primitives.kinds import Layer
from autoprox.ranking.figures import Comparison
from autoprox.runs.ground import lay
from autoprox.runs.left_out import of_mean
from autoprox.runs.record import Run, read_run
from autoprox.statistics.store import default_folder
from autoprox.statistics.words import OF_TEACHER

SPLITS = range(10)
EVALUATIONS = 3000
SEEDS = ("diswot_semantic_own", "diswot_relation_own", "kd", "fitnet", "tvt_teacher")
"""The known expressions that compare both networks."""

FUNCTIONS = (*"diswot_semantic diswot_relation diswot_ranks tvt rkd pkt cc at nst".split(),)
"""The other hand-designed proxies that do, most with passes of their own."""


@dataclass(frozen=True)
class Setting:
    """How one bench is searched, and what stands beside what is found."""

    teacher: str
    batch: int
    functions: tuple[str, ...]
    others: tuple[str, str]
    comparing: bool

    @property
    def searches(self) -> dict[str, dict[str, Any]]:
        """The searches, and what they are told beside the split."""
        beside = {"teacher": self.teacher, "seed_proxies": SEEDS}
        sown = {**beside, "comparing": True, "seed_proxies": (*SEEDS, "tvt_sum")}
        return {
            "with_teacher": beside,
            **({"comparing": sown} if self.comparing else {}),
            "without_teacher": {},
        }


SETTINGS = {
    "resnet64": Setting("resnet110", 16, FUNCTIONS, ("params", "auto_das_resnet"), True),
    "vit101": Setting("resnet56", 8, (), ("params", "l2_norm"), False),
}


def run_of(name: str, seed: int, bench: str, images: str | None) -> Run:
    """Return a search, which is made if need be."""
    folder, setting = Path(f"runs/teacher-{bench}") / f"{name}-{seed}", SETTINGS[bench]
    if (folder / "report.json").is_file():
        return read_run(folder)
    return autoprox.evolve(
        bench, seed=seed, split_seed=seed, evaluations=EVALUATIONS, images=images,
        batch=setting.batch, out=folder, **setting.searches[name],
    )  # fmt: skip


def silenced(run: Run) -> dict[str, float]:
    """Return the held-out D of a run's best formula with what it says of the teacher replaced.

    Of the words of the teacher, or of the layers' numbers that it has a part in, is left what each
    is in the mean.
    """
    graph = run.best.graph
    ground = lay(run.settings.bench, run.settings, default_folder())
    evaluator, assessed = Evaluator(ground.table(ground.held_out)), ground.assessor(ground.held_out)
    taught = [node for node in graph if any(w.startswith(OF_TEACHER) for w in node.statistics)]
    numbers = [node for node in taught if node.kind is Layer]
    parts = [node for node in numbers if not {*node.args} & {*numbers}]
    figures = {}
    for name, silent in (
        ("teacher_silent", [node for node in taught if not node.args]),
        ("part_silent", parts),
    ):
        left = graph
        for node in silent:
            zero = apply("multiply", node, number(0.0))
            left = replaced(left, node, apply("add", zero, number(mean_of(node, evaluator))))
        figures[name] = assessed(name, left).joint or 0.0
    return figures


def figure(bench: Bench, scores: NDArray[np.float64], places: Sequence[int]) -> float:
    """Return the joint D of the scores of all architectures on some of them."""
    told = Comparison(columns(bench, places, bench.default_targets))(scores[list(places)])
    return float(told.joint)


def row_of(
    seed: int, bench: Bench, images: str | None, scores: Mapping[str, NDArray[np.float64]]
) -> dict[str, object]:
    """Return what the searches find on one split, beside known proxies."""
    parts, setting = split(bench, seed), SETTINGS[bench.name]
    runs = {name: run_of(name, seed, bench.name, images) for name in setting.searches}
    bests = {name: run.held_out[0] for name, run in runs.items()}
    silent = silenced(runs["comparing"]) if setting.comparing else {}
    known: dict[str, dict[str, float]] = {}
    for part in ("search", "held_out"):
        known[part] = {row.name: row.joint for row in getattr(runs["with_teacher"], part)}
        for name, values in scores.items():
            known[part][name] = figure(bench, values, getattr(parts, part))
    hand = max((*SEEDS, *setting.functions), key=known["search"].__getitem__)
    others = {"hand_designed": hand, **{name: name for name in setting.others}}
    return {
        "split": seed,
        **{name: best.joint for name, best in bests.items()},
        **silent,
        **{name: known["held_out"][of] for name, of in others.items()},
        "best_hand_designed": hand,
        **{f"formula_{name}": best.expression for name, best in bests.items()},
    }


def difference(
    rows: list[dict[str, Any]], name: str, other: str, held_out_over_search: float
) -> dict[str, object]:
    """Return the mean difference of two columns, and its interval over the splits."""
    gains = np.array([row[name] - row[other] for row in rows])
    overlap = np.sqrt(1 + len(gains) * held_out_over_search)
    low, high = gains.mean() + overlap * (np.array(of_mean(gains)) - gains.mean())
    return {
        "split": f"{name} over {other}", "difference": gains.mean(), "low": low, "high": high,
        "wins": int((gains > 0).sum()),
    }  # fmt: skip


def main(name: str, images: str | None = None) -> None:
    """Search if need be, compare, write."""
    bench, setting = load_bench(name), SETTINGS[name]
    scores: Mapping[str, NDArray[np.float64]] = {}
    if setting.functions:
        scores = autoprox.rank(
            setting.functions, name, teacher=setting.teacher, batch=setting.batch, images=images,
            timed=False,
        ).scores  # fmt: skip
    rows: list[dict[str, Any]] = []
    for seed in SPLITS:
        rows.append(row_of(seed, bench, images, scores))
        print(rows[-1], flush=True)
    parts, others = split(bench, 0), ("without_teacher", "hand_designed", *setting.others)
    share = len(parts.held_out) / len(parts.search)
    pairs = [(search, other) for search in setting.searches for other in others if search != other]
    if setting.comparing:
        pairs += [("comparing", "teacher_silent"), ("comparing", "part_silent")]
    table = [*rows, *(difference(rows, *pair, share) for pair in pairs)]
    keys = dict.fromkeys([*rows[0], *table[-1]], "")
    path = Path(__file__).with_name(f"teacher_evolved_{name}.csv")
    write_csv(path, [rounded({**keys, **row}) for row in table])
    for row in table[len(rows) :]:
        print(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
