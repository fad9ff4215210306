"""Searches on shuffled accuracies: what a run reaches where there is nothing to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from autoprox.errors import RunError
from autoprox.evolution.base import Algorithm
from autoprox.evolution.judge import Judge, TableAddress, evaluator_of
from autoprox.evolution.search import Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.small import variation_of
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse
from autoprox.ranking import Column, Ranker
from autoprox.ranking.luck import shuffled
from autoprox.runs.folder import RunFolder
from autoprox.runs.ground import Ground
from autoprox.runtime.parallel import Workers


@dataclass(frozen=True)
class Task:
    """A search on shuffled accuracies, for this process or another.

    Attributes:
        number: which one, from 1; it decides how the accuracies are shuffled.
        settings: of the run; the search has its seed.
        words: the statistics and the primitives.
        needs_bits: whether every proxy uses a statistic that depends on bits.
        seeds: the expressions of the seed proxies.
        columns: the figures of the search split.
        address: where its table is.
        algorithm: of the run.
    """

    number: int
    settings: Settings
    words: tuple[tuple[str, ...], tuple[str, ...]]
    needs_bits: bool
    seeds: tuple[str, ...]
    columns: tuple[Column, ...]
    address: TableAddress
    algorithm: Algorithm


def check_shuffled(settings: Settings) -> None:
    """Raise `RunError` if searches on shuffled accuracies would begin with finds on the true ones.

    These have lost what the true search owes to them, so that the p would be too small.
    """
    if settings.permutations and not settings.begins_anew:
        start = (
            "the front of another run"
            if settings.started_from
            else f"what a search found ({', '.join(settings.searches or ())})"
        )
        raise RunError(
            "searches on shuffled accuracies say nothing of a run that begins with what was found "
            f"on the true ones; this one begins with {start}: leave permutations out, or ask a run "
            "that begins anew for them"
        )


def permute(
    files: RunFolder,
    ground: Ground,
    judge: Judge,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> None:
    """Do those searches on shuffled accuracies that are missing.

    Each is on disk as soon as it is done, so that an interrupted call loses only those in work.

    Raises:
        RunError: the folder cannot be written, or its file is damaged.
        WorkerError: a worker was killed.
    """
    count = ground.settings.permutations
    done = files.permutations()
    missing = [number for number in range(1, count + 1) if number not in done]
    if missing:
        progress(count - len(missing), count)
        assert judge.address is not None
        whole = Task(
            0,
            ground.settings,
            (ground.vocabulary.statistics, ground.vocabulary.primitives),
            ground.plans[0].bench.trained,
            tuple(seed.text for seed in ground.seeds),
            judge.ranker.columns,
            judge.address,
            ground.algorithm,
        )
        tasks = ((replace(whole, number=number),) for number in missing)
        for number, best in workers.unordered(search_shuffled, tasks):
            done[number] = best
            files.save_permutations(done)
            progress(len(done), count)


def search_shuffled(task: Task) -> tuple[int, dict[str, Any]]:
    """Return a task's number, and the best candidate that its search finds."""
    settings = task.settings
    vocabulary = Vocabulary(*task.words)
    variation = variation_of(settings, vocabulary, task.needs_bits)
    columns = shuffled(task.columns, [settings.split_seed, settings.seed, task.number])
    judge = Judge(evaluator_of(task.address).table, Ranker(columns, settings.measure))
    seeds = [parse(seed) for seed in task.seeds]
    search = Search(settings, variation, judge, seeds, task.algorithm)
    while not search.done:
        search.step()
    best = search.best
    assert best is not None
    return task.number, {"fitness": best.fitness, "expression": best.graph.text}
