"""``autoprox bench``: the tables, and what of them is measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.counting import counting
from autoprox.cli.live import watcher
from autoprox.cli.options import (
    HIRING,
    CommandGroup,
    architectures_option,
    cache_option,
    console,
    given_only,
    hired,
    listing,
    machine_options,
    probe_options,
    quiet_option,
)
from autoprox.cli.tables import NAME, NUMBER, grid, table

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.benches import Bench
    from autoprox.measuring.tables import Plan


@click.group(cls=CommandGroup)
def bench() -> None:
    """List the benches, describe one, or measure one ahead of a run."""


@bench.command("list", epilog="\b\nExample:\n  autoprox bench list")
def list_benches() -> None:
    """List the benches that ship, and how well a trivial count ranks each."""
    from autoprox.assessment.assess import best_count
    from autoprox.benches import BENCHES, load_bench
    from autoprox.benches.registry import BENCH_SETS
    from autoprox.errors import MissingTableError

    rows: list[tuple[str, str]] = []
    with counting(quiet=False) as show:
        for place, name in enumerate(BENCHES):
            show("reading tables", place, len(BENCHES))
            try:
                listed = load_bench(name)
            except MissingTableError as error:
                rows += [(name, str(error))]
                continue
            losses = listed.lower_is_better
            targets = (name + " (lower is better)" * (name in losses) for name in listed.targets)
            rows += [
                (name, f"{len(listed.architectures)} {listed.kind}: {', '.join(listed.spaces)}"),
                ("", f"targets {', '.join(targets)}"),
                ("", listed.description),
            ]
            if best := best_count(listed):
                rows += [("", f"best trivial count: {best[0]}, Somers' D {best[1]:.3f}")]
        show("reading tables", len(BENCHES), len(BENCHES))
    out = console()
    out.print(grid(rows))
    out.print(
        "The best of params, flops, depth and width on the architectures that a run draws, over "
        "the default targets; where D is negative, less is better."
    )
    for name, members in BENCH_SETS.items():
        out.print(f"evolve takes {name} for {len(members)} of them: {', '.join(members)}.")


@bench.command(epilog="\b\nExample:\n  autoprox bench info vit101")
@click.argument("source", metavar="NAME|FILE.py")
@cache_option
def info(source: str, cache: str | None) -> None:
    """Describe a bench: its figures, where they come from, and what is measured."""
    from autoprox.benches import load_bench

    loaded = load_bench(source)
    out = console()
    print_bench(loaded, out)
    print_cache(plan(loaded, source, cache), out)


@bench.command(epilog="\b\nExample:\n  autoprox bench build vit101 --jobs 8")
@click.argument("source", metavar="NAME|FILE.py")
@listing("--statistics", "What to measure.", "what a run needs")
@architectures_option
@probe_options
@machine_options
@quiet_option
def build(
    source: str,
    statistics: tuple[str, ...],
    architectures: int | None,
    cache: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Measure a bench into the cache, as the first phase of evolve does.

    Ctrl-C loses only what is in work: call it again to go on.
    """
    from autoprox.benches import load_bench
    from autoprox.measuring.tables import measure_bench
    from autoprox.runtime.parallel import open_workers
    from autoprox.statistics import Store

    probe = given_only(options, *(options.keys() - {*HIRING}))
    wanted = plan(load_bench(source), source, cache, statistics or None, probe, architectures)
    watch = watcher(quiet)
    with watch, open_workers(**hired(options), folder=wanted.folder) as opened:
        measure_bench(
            wanted,
            Store(wanted.folder),
            opened,
            lambda _, done, total: watch.measuring(done, total),
        )
    done, total = watch.measured
    here = len(wanted.works) - total
    click.echo(
        f"measured {done} {measured_things(wanted.bench)} in {readable_seconds(watch.seconds)}; "
        f"{here} were in the cache {wanted.folder} already"
    )


def plan(
    bench: Bench,
    source: str,
    cache: str | None,
    statistics: tuple[str, ...] | None = None,
    probe: dict[str, Any] | None = None,
    architectures: int | None = None,
) -> Plan:
    """Return what a run with these options would measure."""
    from autoprox.benches import drawn
    from autoprox.evolution.settings import Settings
    from autoprox.measuring.tables import Plan
    from autoprox.runs.ground import searched_statistics, with_baselines
    from autoprox.statistics import STATISTICS
    from autoprox.statistics.store import default_folder

    words = tuple(STATISTICS[name].name for name in searched_statistics(bench, statistics))
    names = with_baselines(bench, words) if statistics is None else tuple(dict.fromkeys(words))
    shown = Settings(bench=source, **probe or {}).probe
    folder = Path(cache) if cache is not None else default_folder()
    return Plan(drawn(bench, architectures), source, names, shown, folder)


def print_bench(bench: Bench, out: Console) -> None:
    """Print what a bench is."""
    import numpy as np
    from rich.text import Text

    out.print(Text.assemble((bench.name, "bold"), "  ", bench.description))
    facts = [(name, text) for name in ("citation", "source") if (text := getattr(bench, name))]
    facts += [
        ("" if place else "caveats", f"- {caveat}") for place, caveat in enumerate(bench.caveats)
    ]
    shape = " x ".join(map(str, bench.input_shape))
    inputs = "its own" if bench.inputs else f"{shape}, {bench.classes} classes"
    facts.append(("inputs", inputs))
    facts.append(("a run", f"ranks by {bench.default_correlation.title()}'s correlation"))
    if bench.default_architectures is not None:
        facts.append(("", f"draws {bench.default_architectures} unless told --architectures N"))
    out.print(grid(facts))
    shown = table([])
    for heading in ("space", "architectures", "target", "figures", "lowest", "highest"):
        shown.add_column(heading, **(NAME if heading in ("space", "target") else NUMBER))
    for space in bench.spaces:
        rows = bench.in_space(space)
        for place, target in enumerate(bench.targets):
            figures = bench.figures(target, rows)
            figures = figures[~np.isnan(figures)]
            spread = (f"{figures.min():g}", f"{figures.max():g}") if len(figures) else ("", "")
            head = (space, str(len(rows))) if place == 0 else ("", "")
            mark = " *" if target in bench.default_targets else ""
            mark += " (lower is better)" if target in bench.lower_is_better else ""
            shown.add_row(
                *head,
                target + mark,
                str(len(figures)),
                *spread,
                end_section=target == bench.targets[-1],
            )
    out.print(shown)
    out.print("* the targets of a fitness unless --target names others")


def print_cache(plan: Plan, out: Console) -> None:
    """Print how much of a bench is measured."""
    from autoprox.measuring.tables import pending
    from autoprox.statistics import Store

    store = Store(plan.folder)
    total = len(plan.works)
    counted = f"{total - len(pending(plan, store))} of {total} {measured_things(plan.bench)}"
    extent = store.info()
    size = f"{extent.bytes / 1e6:,.1f} MB"
    facts = {
        "cache": str(plan.folder),
        "measured": f"{counted}, for the default settings",
        "files": f"{extent.files} of all benches and settings, {size}",
    }
    out.print(grid(facts.items()))
    if store.damaged:
        out.print(
            f"{len(store.damaged)} damaged files; what they held is measured again by the next run:"
        )
    for path, reason in store.damaged:
        out.print(f"  {path}: {reason}", soft_wrap=True)


def measured_things(bench: Bench) -> str:
    """Return what is measured of a bench, in a word."""
    return "measurements" if bench.trained else "architectures"
