"""Several runs in one folder: how far they are, and the tables at their end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import MINUS, figure, readable_seconds, short_interval
from autoprox.cli.counting import Pace
from autoprox.cli.live import Bar, Watcher, watcher
from autoprox.cli.options import INTERRUPTED, console, go_on, hired, put_text
from autoprox.cli.tables import print_figures

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.evolution.settings import Settings
    from autoprox.runs.left_out import LeftOut
    from autoprox.runs.several_record import Runs

KNOWN = 8
"""How many known proxies are shown."""

RIVALS = 3
"""How many known proxies the suggested leaderboard has."""

RECURRING = 10
"""How many recurring formulas are shown."""


class SeveralWatcher:
    """Shows on another watcher how far several runs are."""

    def __init__(self, shown: Watcher) -> None:
        """Show nothing yet."""
        self.shown = shown
        self.folder: Path | None = None
        self.bench = ""
        self._settings: Mapping[str, Settings] = {}
        self._judged: dict[str, int] = {}
        self._pace = Pace()
        self._begun = time.monotonic()

    @property
    def taken(self) -> str:
        """How long the command has taken so far."""
        return f"after {readable_seconds(time.monotonic() - self._begun)}"

    def started(self, folder: Path, settings: Mapping[str, Settings]) -> None:
        """Say where the runs are."""
        self.folder, self._settings = folder, settings
        self.bench = next(iter(settings.values())).bench
        self.shown.say(f"{len(settings)} runs in {folder}")

    def measuring(self, done: int, total: int) -> None:
        """Show how far the measurement is."""
        self.shown.measuring(done, total)

    def searching(self, judged: Mapping[str, int]) -> None:
        """Show how many candidates are judged, in all and in each run."""
        if judged == self._judged:
            return
        self._judged = dict(judged)
        budget = {name: settings.evaluations for name, settings in self._settings.items()}
        done, total = sum(judged.values()), sum(budget.values())
        title = f"searching  {done}/{total} distinct candidates in {len(budget)} runs"
        bar = Bar(title, done, total, self._pace.left(done, total))
        facts = {name: f"{count}/{budget[name]}" for name, count in judged.items()}
        line = f"{done}/{total} candidates in {len(budget)} runs"
        self.shown.show(line, bar, done in (0, total), facts)


def common_arguments(options: Mapping[str, Any], observer: object) -> dict[str, Any]:
    """Return the arguments that every function which begins or resumes runs takes."""
    beside = {"cache": options["cache"], "observer": observer, "loggers": options["loggers"]}
    return {**hired(options), **beside}


def several_runs(
    ctx: click.Context, options: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Start or resume several runs, and print what they found."""
    from autoprox.runs.series import evolve_leaving_one_out, evolve_seeds
    from autoprox.runs.several import evolve_several
    from autoprox.runs.starting import evolve_seeds_from

    shown = watcher(options["quiet"])
    watch = SeveralWatcher(shown)
    common = common_arguments(options, watch)
    bench = options["bench"] or ""
    try:
        with shown:
            if options["resume"] is not None:
                runs = evolve_several(bench, resume=options["resume"], **common, **settings)
            elif options["started_from"] is not None:
                runs = evolve_seeds_from(options["started_from"], bench, options["seeds"],
                                         out=options["out"], **common, **settings)  # fmt: skip
            else:
                seeds = options["seeds"] or 1
                begin = evolve_leaving_one_out if options["leave_one_out"] else evolve_seeds
                runs = begin(bench, seeds=seeds, out=options["out"], **common, **settings)
    except KeyboardInterrupt:
        if watch.folder is None:
            raise
        say_how_to_go_on(watch.folder, watch.bench, options)
        ctx.exit(INTERRUPTED)
    report = runs.folder / "report.json"
    if runs.reported and not put_text(report.read_text(encoding="utf-8"), options["json_file"]):
        print_runs(runs, watch.taken, console())
    if not runs.finished:
        say_how_to_go_on(runs.folder, watch.bench, options)
        ctx.exit(INTERRUPTED)


def say_how_to_go_on(
    folder: Path, bench: str, options: Mapping[str, Any], before: str = "interrupted; "
) -> None:
    """Print, after `before`, the command that goes on with the run or runs in a folder.

    `options` are those of the command; a file that makes a teacher has to be named again.
    """
    from autoprox.runs.folder import resume_words

    command = go_on(*resume_words(folder, bench, options["teacher"]), cache=options["cache"])
    click.echo(f"{before}go on with: {command}", err=True)


def print_runs(runs: Runs, taken: str, console: Console) -> None:
    """Print what several runs found; `taken` says how long that took."""
    from autoprox.evolution.base import RULE

    count, total = len(runs.reported), len(runs.settings)
    state = f"finished {taken}" if runs.finished else f"{count} of {total} runs are finished"
    console.print(f"{runs.title}\n{state}\n", soft_wrap=True)
    console.print(f"The best proxy of each run, by its search split alone ({runs.joint}):")
    _print_runs_table(runs, console)
    console.print(_spread_in_words(runs), soft_wrap=True)
    console.print(f"\nBeside it the known proxies, held out, medians over {count} runs:")
    _print_rivals(runs, console)
    console.print(f"{_recurring_in_words(runs)}\n", soft_wrap=True)
    if (elsewhere := runs.left_out) is not None:
        _print_left_out(elsewhere, runs.joint, console)
    console.print(f"Picked, {RULE}: that of {runs.pick}", soft_wrap=True)
    console.print(f"  {runs.best.graph.text}", soft_wrap=True)
    console.print(f"\nWritten to {runs.folder}; each run is in a folder of its own there. Next:")
    for command in _next(runs):
        console.print(f"  {command}", soft_wrap=True)


def _print_runs_table(runs: Runs, console: Console) -> None:
    headings = ["search", "corrected", "held out", "95 %", "over known", "lost", "of 5", "nodes"]
    lines = []
    for row in runs.rows():
        ends = row["held_out_low"], row["held_out_high"]
        lines.append([
            row["run"],
            figure(row["search"]),
            figure(row["corrected"]),
            figure(row["held_out"]),
            "-" if None in ends else short_interval(ends),
            figure(row["over_best_known"], "+.3f", MINUS),
            figure(row["top1_regret"], ".2f"),
            figure(row["top5_regret"], ".2f"),
            str(row["nodes"]),
        ])  # fmt: skip
    held_out = runs.medians.get("held_out")
    median = [
        "median",
        *(_middle(runs, name) for name in ("search", "corrected", "held_out")),
        short_interval((held_out.low, held_out.high)) if held_out else "-",
        _middle(runs, "over_best_known", "+.3f"),
        *(_middle(runs, name, ".2f") for name in ("top1_regret", "top5_regret")),
        _middle(runs, "nodes", ".0f"),
    ]
    print_figures(console, ["run", *headings], [*lines, median], ends=len(lines) - 1)


def _middle(runs: Runs, name: str, form: str = ".3f") -> str:
    """Return the median of a figure, as it is printed."""
    value = runs.medians.get(name)
    return figure(None if value is None else value.middle, form, MINUS)


def _spread_in_words(runs: Runs) -> str:
    """Say what the interval of the medians means."""
    held_out = runs.medians.get("held_out")
    if held_out is None:
        return "Some of the best proxies have no score on a held-out architecture: no medians."
    splits = "they share one split" if runs.share_split else "their splits differ"
    return (
        f"The median held out is {held_out.middle:.3f}; {held_out.low:.3f} to {held_out.high:.3f} "
        f"holds the median of all such runs in {held_out.coverage:.0%} of cases (from the order of "
        f"{held_out.runs} runs; {splits}). Each 95 % interval above is over "
        "architectures, within one run."
    )


def _print_rivals(runs: Runs, console: Console) -> None:
    headings = ["", "", "held out", "the runs' over it", "interval", "runs below"]
    lines = [
        [
            str(place),
            rival.name,
            figure(rival.joint.middle),
            figure(rival.difference.middle, "+.3f", MINUS),
            _ends((rival.difference.low, rival.difference.high)),
            f"{rival.above} of {rival.difference.runs}",
        ]
        for place, rival in enumerate(runs.rivals[:KNOWN], start=1)
    ]
    print_figures(console, headings, lines, keys=2)


def _ends(interval: tuple[float, float] | None) -> str:
    return " … ".join(figure(end, "+.3f", MINUS) for end in interval) if interval else "-"


def _recurring_in_words(runs: Runs) -> str:
    """Name the formulas that are among the best of more than one run."""
    if not runs.recurring:
        return "No formula is among the best of more than one run."
    lines = ["Among the best of more than one run, the same but for the sign:"]
    shown = list(runs.recurring.items())
    lines += [f"  {len(names)} runs  {text}" for text, names in shown[:RECURRING]]
    if len(shown) > RECURRING:
        lines.append(f"  and {len(shown) - RECURRING} more, in report.json")
    return "\n".join(lines)


def _print_left_out(elsewhere: LeftOut, joint: str, console: Console) -> None:
    """Print what was found on the families that were left out, beside what is known."""
    from autoprox.benches.counts import COUNTS

    console.print(f"On the family that each search never saw ({joint}, median over seeds):")
    lines = []
    for family, median in elsewhere.found.items():
        name, best = elsewhere.best_counts[family]
        counts = (figure(elsewhere.known[count][family]) for count in COUNTS)
        lines.append([family, figure(median.middle), figure(best), name, *counts])
    print_figures(console, ["left out", "found", "best count", "", *COUNTS], lines)
    console.print(f"Mean over the families: {elsewhere.joint:.3f}. What is known before a search:")
    lines = [
        [
            str(place),
            row.name,
            figure(row.joint),
            figure(row.difference, "+.3f", MINUS),
            _ends(row.difference_interval),
            f"{row.below} of {len(elsewhere.found)}",
        ]
        for place, row in enumerate(elsewhere.beside[:KNOWN], start=1)
    ]
    headings = ["", "", "mean", "found over it", "95 %", "families below"]
    print_figures(console, headings, lines, keys=2)
    console.print(
        "best count: of params, FLOPs, depth and width the best of each family, picked afterwards. "
        "The intervals are over families.\n",
        soft_wrap=True,
    )


def _next(runs: Runs) -> Sequence[str]:
    """Return the commands that a reader may want next."""
    from autoprox.benches import several
    from autoprox.runs.folder import bench_words, resume_words
    from autoprox.show.page.command import rank_command

    more = 2 * max(settings.evaluations for settings in runs.settings.values())
    first = next(iter(runs.settings.values()))
    bench_option = bench_words(first.bench)
    rivals = [rival.name for rival in runs.rivals[:RIVALS]]
    words = [*rivals, "--together", str(runs.folder), "--sample", str(first.sample)]
    alone = runs.share_split and len(several(first.bench)) == 1 and len(runs.reported) > 1
    return (
        go_on("report", str(runs.folder), *bench_option),
        *([rank_command(first, words)] if alone else ()),
        go_on("compare", str(runs.folder), "RUN", *bench_option),
        go_on(*resume_words(runs.folder, first.bench, first.teacher), evaluations=more),
    )
