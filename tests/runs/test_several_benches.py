"""Runs on several benches: each counts the same, and is measured and split as if it were alone."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import norm, somersd

from autoprox.benches import load_bench, split
from autoprox.benches.counts import COUNTS
from autoprox.cli import main
from autoprox.cli.run_tables import joint_figures
from autoprox.errors import (
    AutoproxError,
    BenchError,
    LanguageError,
    StatisticError,
    UnknownNameError,
)
from autoprox.evolution.settings import Settings
from autoprox.measuring.probe import Probe
from autoprox.proxies.loading import load
from autoprox.ranking import luck
from autoprox.ranking.families import gain
from autoprox.runs.evolve import Silent, begin_search, evolve
from autoprox.runs.ground import lay
from autoprox.runs.html import run_html
from autoprox.runs.record import read_run
from autoprox.runs.several_record import Runs
from autoprox.show.latex import run_latex
from autoprox.show.page import page
from autoprox.show.page.tables import joint_table
from tests.runs.stopping import Stopper

TINY, OTHER = (
    str(Path(__file__).parents[1] / name) for name in ("tiny_bench.py", "other_tiny_bench.py")
)
BOTH = f"{TINY},{OTHER}"
SMALL = {"evaluations": 160, "population": 20, "proposals": 40}
COLUMNS = [f"tiny/{space}/{target}" for space in ("mlp", "cnn") for target in ("coarse", "fine")]


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    return evolve(BOTH, out=tmp_path_factory.mktemp("runs") / "both", cache=cache, **SMALL)


def lines(folder, name="candidates.jsonl"):
    return (folder / name).read_text().splitlines()


def invoked(*words):
    return CliRunner().invoke(main, ["evolve", *map(str, words)])


def test_each_bench_counts_the_same_however_many_columns_it_has(run):
    assert [each.column for each in run.held_out[0].columns] == [*COLUMNS, "other/mlp/top1"]
    for each in (*run.held_out, *run.search):
        *tiny, other = (found.somers for found in each.columns)
        assert each.joint == pytest.approx((np.mean(tiny) + other) / 2)
        assert each.joint_interval[0] <= each.joint <= each.joint_interval[1]
    found = [json.loads(line) for line in lines(run.folder)]
    valid = [each for each in found if "correlations" in each]
    assert len(valid) > 100
    for each in valid:
        first, second = each["correlations"][:4], each["correlations"][4]
        assert each["fitness"] == pytest.approx((np.mean(first) + second) / 2)


def test_all_means_beside_the_joint_figure_weigh_benches_as_it_does(run):
    for each in run.held_out:
        assert each.mean("somers", by_bench=True) == pytest.approx(each.joint)
        *tiny, other = (found.top1_regret for found in each.columns)
        assert each.mean("top1_regret", by_bench=True) == pytest.approx((np.mean(tiny) + other) / 2)
        assert each.mean("top1_regret") == pytest.approx(np.mean([*tiny, other]))
    best, names = run.held_out[0], "kendall spearman top1_regret top5_regret top_share".split()
    tau, rho, *use = balanced = [best.mean(name, by_bench=True) for name in names]
    assert balanced != pytest.approx([best.mean(name) for name in names])
    _, (row, *_) = joint_figures([best], {}, run.settings, run.benches)
    texts = [f"{tau:.2f}", f"{rho:.2f}", f"{use[0]:.2f}", f"{use[1]:.2f}", f"{use[2]:.0%}"]
    assert row[-5:] == texts
    assert f"<td>{use[0]:.2f}, {use[1]:.2f}</td>" in run_html(run)
    latex = run_latex(run)
    assert "mean over 2 benches of their means over targets" in latex
    line = next(row for row in latex.splitlines() if row.startswith("top 1 &"))
    found = re.findall(r"\$(-?\d+\.\d\d)\$", line)
    assert [float(cell) for cell in found] == pytest.approx([tau, rho, *use[:2]], abs=5.1e-3)
    cells = re.findall(r"<td[^>]*>(?:<small>)?([-\d.]+)", str(joint_table("", run, [best], {})))
    assert [float(cell) for cell in cells[-5:]] == pytest.approx([tau, rho, *use], abs=5.1e-4)
    (row,) = Runs(run.folder, {"a": run.settings}, {"a": run}).rows()
    assert [row["top1_regret"], row["top5_regret"], row["top_share"]] == use


def test_the_held_out_figures_are_those_of_live_scores_on_each_bench(run, cache):
    ground = lay(BOTH, run.settings, cache)
    truth = []
    for bench in (load_bench(TINY), load_bench(OTHER)):
        held = split(bench, 0).held_out
        inputs, labels = Probe().inputs(bench)
        scores = [
            run.best(bench.network(bench.architectures[i]), inputs, labels, seed=0) for i in held
        ]
        rows = [bench.architectures[i] for i in held]
        for space in bench.spaces:
            own = [i for i, row in enumerate(rows) if row.space == space]
            for target in bench.default_targets:
                figures = bench.accuracies(target, [rows[i] for i in own])
                truth.append(somersd(figures, [scores[i] for i in own]).statistic)
    assert len(ground.held_out) == 15
    assert [each.somers for each in run.held_out[0].columns] == pytest.approx(truth)


def test_each_bench_is_split_as_in_a_run_on_it_alone(cache):
    settings = {"split_seed": 5, "held_out_share": 0.3}
    both = lay(BOTH, Settings(bench=BOTH, **settings), cache)
    names = [one.name for one in both.bench.architectures]
    for part in ("search", "held_out"):
        alone = []
        for path in (TINY, OTHER):
            ground = lay(path, Settings(bench=path, **settings), cache)
            rows = ground.bench.architectures
            alone += [f"{ground.bench.name}/{rows[i].name}" for i in getattr(ground, part)]
        assert [names[i] for i in getattr(both, part)] == alone
    assert both.transfer == ()


def test_each_bench_gives_as_many_architectures_as_asked_for_if_it_has_more(cache):
    ground = lay(BOTH, Settings(bench=BOTH, architectures=22), cache)
    assert [len(plan.bench.architectures) for plan in ground.plans] == [22, 12]
    drawn = [f"tiny/{one.name}" for one in load_bench(TINY).sampled(22).architectures]
    assert [one.name for one in ground.bench.architectures[:22]] == drawn
    assert lay(BOTH, ground.settings, cache).digest == ground.digest


def test_a_search_writes_with_what_all_benches_have(cache):
    ground = lay(BOTH, Settings(bench=BOTH), cache)
    shared = ("weight", "grad", "grad_abs_mean", "grad_std", "act", "params")
    assert ground.vocabulary.statistics == shared
    needed = {word for name in COUNTS for word in load(name).statistics}
    assert set(ground.names) == {*shared, *needed}
    assert {plan.names for plan in ground.plans} == {ground.names}


@pytest.mark.parametrize(
    ("spaces", "transfer"),
    [
        (("other/mlp",), COLUMNS),
        (("tiny/mlp",), [*COLUMNS[2:], "other/mlp/top1"]),
        (("tiny/mlp", "other/mlp"), COLUMNS[2:]),
    ],
)
def test_spaces_of_any_bench_can_be_left_to_transfer(spaces, transfer, cache, tmp_path):
    run = evolve(BOTH, out=tmp_path / "run", cache=cache, spaces=spaces, **SMALL)
    seen = {each.column.rpartition("/")[0] for each in run.held_out[0].columns}
    assert seen == set(spaces)
    assert [each.column for each in run.transfer[0].columns] == transfer
    ds = {each.column: each.somers for each in run.transfer[0].columns}
    benches = {column.partition("/")[0] for column in transfer}
    means = [np.mean([ds[c] for c in transfer if c.startswith(bench)]) for bench in benches]
    assert run.transfer[0].joint == pytest.approx(np.mean(means))


def test_the_result_is_the_same_for_two_jobs(run, tmp_path):
    two = evolve(BOTH, out=tmp_path / "two", jobs=2, cache=tmp_path / "measured by two", **SMALL)
    for name in ("candidates.jsonl", "report.json"):
        assert lines(two.folder, name) == lines(run.folder, name)


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(run, cache, tmp_path, monkeypatch):
    stopped = evolve(BOTH, out=tmp_path / "run", cache=cache, observer=Stopper(), **SMALL)
    assert not stopped.finished
    assert len(lines(stopped.folder)) < len(lines(run.folder))
    monkeypatch.chdir(tmp_path)
    assert evolve(resume=stopped.folder, cache=cache).finished
    for name in ("candidates.jsonl", "report.json", "best.json"):
        assert lines(stopped.folder, name) == lines(run.folder, name)


class Counter(Silent):
    """Keeps what it is told of the measurement."""

    def __init__(self):
        self.told = []

    def measuring(self, done, total):
        self.told.append((done, total))


def test_the_measurement_of_all_benches_is_counted_as_one(tmp_path):
    options = {**SMALL, "evaluations": 20, "statistics": ("params", "weight")}
    first, second = Counter(), Counter()
    evolve(OTHER, out=tmp_path / "a", cache=tmp_path / "cache", observer=first, **options)
    assert first.told == [(i, 12) for i in range(13)]
    evolve(BOTH, out=tmp_path / "b", cache=tmp_path / "cache", observer=second, **options)
    assert second.told == [(i, 24) for i in range(25)]
    fresh = Counter()
    evolve(BOTH, out=tmp_path / "c", cache=tmp_path / "fresh", observer=fresh, **options)
    assert fresh.told == [(i, 36) for i in range(37)]


@pytest.mark.parametrize(
    ("bench", "options", "error", "message"),
    [
        (f"{TINY},", {}, BenchError, "between commas"),
        (f"{TINY},{TINY}", {}, BenchError, "2 of the benches are called 'tiny'"),
        (f"{TINY},nb21", {}, UnknownNameError, "did you mean 'nb201'"),
        (f"{TINY},nowhere.py", {}, BenchError, "there is no file .*nowhere.py"),
        (BOTH, {"spaces": ("tiny/cnm",)}, UnknownNameError, "did you mean 'tiny/cnn'"),
        (BOTH, {"spaces": ()}, BenchError, "expected a space"),
        (BOTH, {"targets": ("top2",)}, UnknownNameError, "did you mean 'top1'"),
        (BOTH, {"targets": ("top1",)}, BenchError, "'tiny' has none of the targets"),
        (
            BOTH,
            {"targets": ("fine", "top1"), "architectures": 5},
            BenchError,
            "10 to 24 architectures",
        ),
        (BOTH, {"seed_proxies": ("zicco",)}, UnknownNameError, "did you mean 'zico'"),
        (BOTH, {"seed_proxies": ("swap",)}, LanguageError, "no expression"),
        (BOTH, {"seed_proxies": ("no/run",)}, AutoproxError, "no proxy file or run folder"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing_behind(
    bench, options, error, message, cache, tmp_path
):
    with pytest.raises(error, match=message):
        evolve(bench, out=tmp_path / "run", cache=cache, **options)
    assert not (tmp_path / "run").exists()


def test_images_that_suit_one_bench_alone_are_refused_by_the_name_of_the_other(cache, tmp_path):
    coloured, images = np.zeros((10, 8, 8, 3), np.uint8), str(tmp_path / "images.npz")
    np.savez(images, x=coloured, y=np.arange(10) % 5)
    with pytest.raises(StatisticError, match=r"bench 'other': the labels of .* the network has 3"):
        lay(BOTH, Settings(BOTH, images=images), cache)
    np.savez(images, x=coloured, y=np.arange(10) % 3)
    with pytest.raises(StatisticError, match=r"bench 'other': .* have 3 channels; expected 1"):
        lay(BOTH, Settings(BOTH, images=images), cache)


def test_a_comma_in_the_path_of_one_of_several_benches_is_refused(cache, tmp_path, monkeypatch):
    folder = tmp_path / "a,b"
    folder.mkdir()
    (folder / "mine.py").write_text(Path(TINY).read_text())
    monkeypatch.chdir(folder)
    with pytest.raises(BenchError, match=r"a,b/mine.py' has a comma"):
        evolve(f"mine.py,{OTHER}", out=folder / "run", cache=cache)
    alone = evolve("mine.py", out=folder / "run", cache=cache, **SMALL)
    (alone.folder / "report.json").unlink()
    assert evolve(resume=alone.folder, cache=cache).best.graph is alone.best.graph


def test_a_changed_second_bench_is_not_resumed(cache, tmp_path):
    path = tmp_path / "second.py"
    path.write_text(Path(OTHER).read_text())
    run = evolve(f"{TINY},{path}", out=tmp_path / "run", cache=cache, **SMALL)
    (run.folder / "report.json").unlink()
    path.write_text(path.read_text().replace("6 * math.log", "5 * math.log"))
    with pytest.raises(AutoproxError, match="no file is executed because a folder says so"):
        evolve(resume=run.folder, cache=cache)
    with pytest.raises(AutoproxError, match="has changed since it began"):
        evolve(f"{TINY},{path}", resume=run.folder, cache=cache)


def test_the_command_names_bench_space_and_target(cache, tmp_path):
    small = ("--evaluations", 60, "--population", 20, "--proposals", 40, "--jobs", 1, "--quiet")
    shown = invoked(
        "--bench", BOTH, "--architectures", 22, "--space", "tiny/mlp", "--space", "other/mlp",
        "--cache", cache, "--out", tmp_path / "run", *small,
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "benches tiny, other, which count the same  22 arch" in shown.stdout
    assert "22 architectures of each bench drawn" in shown.stdout
    held_out, _, transfer = shown.stdout.partition("Transfer:")
    assert "(4 of tiny/mlp, 5 of other/mlp)" in " ".join(held_out.split())
    assert "(11 of tiny/cnn)" in transfer
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    best = report["held_out"][0]
    *tiny, other = (each["somers"] for each in best["columns"])
    row = next(line for line in held_out.splitlines() if line.strip().startswith("top 1 "))
    for figure in (best["joint"], np.mean(tiny), other):
        assert f"{figure:.3f}" in row
    tables = shown.stdout[shown.stdout.index("Held") :].splitlines()
    commands = ("  autoprox ", "  autoprox.", "  proxy = ")
    assert max(len(line) for line in tables if not line.startswith(commands)) <= 100


@pytest.mark.parametrize(("over", "told"), [("mean", True), ("lexicase", False), ("wins", False)])
def test_luck_alone_is_suggested_where_it_can_be_searched_for(over, told, cache, tmp_path):
    small = ("--evaluations", 30, "--population", 20, "--proposals", 40, "--jobs", 1, "--quiet")
    out = ("--cache", cache, "--out", tmp_path / "run")
    shown = invoked("--bench", BOTH, "--over", over, *small, *out)
    words = ["--resume", tmp_path / "run", "--bench", BOTH, "--permutations", 1]
    assert (f"{' '.join(map(str, words))}"[:-1] in shown.stdout) == told
    assert (invoked(*words, *out[:2], "--jobs", 1, "--quiet").exit_code == 0) == told


def test_a_folder_that_is_not_named_is_called_by_all_benches(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evolve(BOTH, cache=cache, **SMALL).folder.name == "tiny+other-default-0"


@pytest.mark.parametrize(
    ("seeds", "best"),
    [
        ("params,zico", "params"),
        ("negative(sum(params)),zico", "negative(sum(params))"),
        ("params", "params"),
    ],
)
def test_the_report_says_that_the_best_is_a_seed_proxy(seeds, best, cache, tmp_path):
    small = ("--evaluations", 1, "--population", 2, "--proposals", 2, "--jobs", 1, "--quiet")
    out = ("--cache", cache, "--out", tmp_path / "run")
    shown = invoked("--bench", BOTH, "--seed-proxies", seeds, *small, *out)
    assert f"seed proxies {seeds.replace(',', ', ')}" in shown.stdout
    assert f"It is the seed proxy {best}." in shown.stdout
    assert json.loads((tmp_path / "run" / "report.json").read_text())["best_seed"] == best


def test_a_search_also_writes_with_the_statistics_of_its_seeds(cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, seed_proxies=("fisher",), **SMALL)
    first = (run.folder / "candidates.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["proposed"] == load("fisher").graph.text
    assert "fitness" in json.loads(first)


def test_the_report_says_that_the_best_is_no_seed_proxy(cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, seed_proxies=("zico",), **SMALL)
    assert run.best_seed is None
    assert json.loads((run.folder / "report.json").read_text())["best_seed"] is None


def test_a_run_started_from_a_file_goes_on_without_it(cache, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(load("snip").to_json()))
    options = {**SMALL, "seed_proxies": (str(path), "zico")}
    run = evolve(BOTH, out=tmp_path / "run", cache=cache, observer=Stopper(), **options)
    assert run.settings.seed_proxies == (load("snip").graph.text, "zico")
    path.unlink()
    assert evolve(resume=run.folder, cache=cache).finished


def test_a_bench_that_is_left_out_is_transfer(cache, tmp_path):
    options = {**SMALL, "statistics": ["weight", "grad", "act"], "cache": cache}
    left = evolve(BOTH, leave_out="other", out=tmp_path / "left", **options)
    alone = evolve(TINY, out=tmp_path / "alone", **options)
    assert [each.column for each in left.transfer[0].columns] == ["other/mlp/top1"]
    assert [each.column for each in left.search[0].columns] == COLUMNS
    # What is left out tells the search nothing: it finds what it finds without it.
    assert left.best.graph == alone.best.graph


def test_a_bench_that_is_left_out_is_said_to_be_so_wherever_benches_are_named(cache, tmp_path):
    small = ("--evaluations", 60, "--population", 20, "--proposals", 40, "--jobs", 1, "--quiet")
    out = ("--cache", cache, "--out", tmp_path / "run")
    shown = invoked("--bench", BOTH, "--leave-out", "other", *small, *out)
    assert shown.stdout.startswith("bench tiny  left out: other\n")
    assert "count the same" not in shown.stdout
    assert "fitness over them" not in shown.stdout
    found = read_run(tmp_path / "run")
    assert "tiny (other left out), held out: algorithm" in run_html(found)
    assert "split seed 0, without other. Above the line" in run_latex(found)
    assert "mean over 4 targets" in run_latex(found)
    assert "It evolved on tiny, and left out other." in page(found.folder)


@pytest.mark.parametrize("over", ["median", "worst", "gain", "wins", "share", "lexicase"])
def test_a_fitness_over_families_is_what_its_columns_give(over, cache, tmp_path):
    found = evolve(BOTH, over=over, out=tmp_path / over, cache=cache, **SMALL)
    counts = [each for each in found.search if each.name in COUNTS]
    rivals = np.array([families(each) for each in counts])
    rules = {
        "share": np.mean,  # nobody knows the noise of these figures
        "lexicase": np.mean,
        "median": np.median,
        "worst": np.min,
        "gain": lambda families: np.min(gain(np.array(families), rivals.max(0))),
        "wins": lambda families: ((families > rivals).sum(1).min() + np.mean(families)) / 3,
    }
    for row in found.search:
        if not row.known and row.failure is None:
            fitness = next(
                each["fitness"]
                for each in map(json.loads, lines(found.folder))
                if each.get("expression") == row.expression
            )
            assert fitness == pytest.approx(rules[over](families(row)))


def test_luck_is_estimated_wherever_the_fitness_is_the_mean(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(luck, "MINIMUM", 2)  # the benches are small
    told = {}
    for over in ("mean", "lexicase", "wins"):
        told[over] = evolve(BOTH, over=over, out=tmp_path / over, cache=cache, **SMALL)
    for found in (told["mean"], told["lexicase"]):
        best = next(each for each in found.judged if each.text == found.best_text)
        assert found.luck.search == pytest.approx(best.fitness)
        assert best.fitness == pytest.approx(np.mean(families(found.search[0])))
        assert found.luck.corrected < found.luck.search
    assert told["wins"].luck is None
    assert told["wins"].no_luck == "the fitness is no mean over the benches, but wins"


def test_a_share_is_more_where_a_bench_says_how_noisy_its_figures_are(cache, tmp_path):
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "from dataclasses import replace\nfrom autoprox.benches import load_bench\n"
        f"bench = replace(load_bench({OTHER!r}), name='noisy', noise={{'mlp/top1': 2.0}})\n"
    )
    benches = f"{TINY},{noisy}"
    options = {**SMALL, "evaluations": 40, "statistics": ("params", "weight"), "cache": cache}
    found = evolve(benches, over="share", out=tmp_path / "run", **options)
    ground = lay(benches, found.settings, cache)
    columns = ground.columns(ground.search)
    *sure, unsure = [column.ceiling for column in columns]
    assert sure == [1, 1, 1, 1]
    figures = columns[-1].accuracies
    gaps = np.abs(np.subtract.outer(figures, figures))
    scale = np.sqrt((1 - 2**2 / figures.var()) / 2) / 2
    assert unsure == pytest.approx(np.mean(2 * norm.cdf(scale * gaps[gaps > 0]) - 1))
    assert 0.5 < unsure < 0.99
    valid = [each for each in map(json.loads, lines(found.folder)) if "correlations" in each]
    assert len(valid) > 20
    for each in valid:
        *tiny, other = each["correlations"]
        assert each["fitness"] == pytest.approx((np.mean(tiny) + min(other / unsure, 1)) / 2)


def test_lexicase_selection_is_told_the_columns_of_each_family(cache):
    for over, places in (("lexicase", ((0, 1, 2, 3), (4,))), ("mean", ())):
        search = begin_search(BOTH, over=over, statistics=("params", "weight"), cache=cache)
        assert search.algorithm.families == places


def families(assessment):
    *tiny, other = (column.somers for column in assessment.columns)
    return np.mean(tiny), other


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"leave_out": "othr"}, "unknown bench of this run 'othr'"),
        ({"leave_out": ["tiny", "other"]}, "nothing is left to evolve on"),
        ({"over": "best"}, "unknown way to put families together 'best'"),
        ({"leave_out": "other", "spaces": ["tiny/mlp"]}, "not both"),
        ({"over": "worst", "permutations": 3}, "shuffled accuracies need"),
        ({"over": "share", "correlation": "spearman"}, "not of spearman: give"),
        (
            {"over": "lexicase", "algorithm": "emq"},
            "the algorithm default chooses parents, not emq: give",
        ),
    ],
)
def test_what_makes_no_sense_over_families_is_refused(options, words, cache, tmp_path):
    with pytest.raises(AutoproxError, match=words):
        evolve(BOTH, out=tmp_path / "run", cache=cache, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"leave_out": "tiny"}, {"over": "worst"}])
def test_one_bench_is_one_family(options, cache, tmp_path):
    with pytest.raises(BenchError, match="'tiny' is one family"):
        evolve(TINY, out=tmp_path / "run", cache=cache, **options)
