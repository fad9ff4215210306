"""Several benches as one table, for what is compared across them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from autoprox.benches.bench import Architecture, Bench
from autoprox.errors import BenchError, UnknownNameError
from autoprox.ranking import DEFAULT_CORRELATION
from autoprox.runtime.arguments import listed


def joined(benches: Sequence[Bench], targets: str | Sequence[str] | None = None) -> Bench:
    """A view of several benches: their architectures in one table, with the figures of a fitness.

    Architectures are called ``bench/name``, spaces ``bench/space``. A figure is None where the
    architecture's bench has no such target, or does not take its fitness over it. Networks are
    built by the benches themselves, whose inputs differ; the view refuses.

    Args:
        benches: At least one, each of another name.
        targets: What a fitness is taken over, each a target of some bench; None for the default
            targets of each bench.

    Raises:
        BenchError: there is no bench, two have one name, one has none of the targets, a target is
            better higher in one and lower in another, or some compare networks and some the bits of
            trained ones.
        UnknownNameError: no bench has a target of that name.
    """
    if targets is not None:
        targets = listed(targets)
    _check_benches(benches)
    chosen = [_chosen(bench, benches, targets) for bench in benches]
    union = tuple(dict.fromkeys(target for bench_targets in chosen for target in bench_targets))
    correlation, *correlations = {bench.default_correlation for bench in benches}
    return Bench(
        name="+".join(bench.name for bench in benches),
        description=" ".join(bench.description for bench in benches if bench.description),
        citation="; ".join(bench.citation for bench in benches if bench.citation),
        source="; ".join(bench.source for bench in benches if bench.source),
        caveats=tuple(f"{bench.name}: {text}" for bench in benches for text in bench.caveats),
        architectures=tuple(
            _row(bench, architecture, bench_targets, union)
            for bench, bench_targets in zip(benches, chosen, strict=True)
            for architecture in bench.architectures
        ),
        targets=union,
        default_targets=union,
        build=_refuse,
        input_shape=(1,),  # of no use without networks, but a bench has them
        classes=2,
        default_correlation=DEFAULT_CORRELATION if correlations else correlation,
        version=", ".join(f"{bench.name} {bench.version}" for bench in benches),
        kind=", ".join(dict.fromkeys(bench.kind for bench in benches if bench.kind)),
        lower_is_better=_shared_losses(benches, chosen),
        noise={
            f"{bench.name}/{name}": noise
            for bench, bench_targets in zip(benches, chosen, strict=True)
            for name, noise in bench.noise.items()
            if name.rpartition("/")[2] in bench_targets
        },
    )


def _shared_losses(benches: Sequence[Bench], chosen: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The targets of which lower is better; refuse one that is better higher in another bench."""
    low: dict[str, str] = {}
    high: dict[str, str] = {}
    for bench, bench_targets in zip(benches, chosen, strict=True):
        for target in bench_targets:
            (low if target in bench.lower_is_better else high).setdefault(target, bench.name)
    for target in low.keys() & high.keys():
        raise BenchError(
            f"target {target!r}: lower is better in bench {low[target]} and higher in "
            f"{high[target]}; give the column another name in one of them, or correct its "
            "lower_is_better"
        )
    return tuple(low)


def _check_benches(benches: Sequence[Bench]) -> None:
    """Refuse benches of one name, and configurations beside networks: no proxy ranks both."""
    if not benches:
        raise BenchError("expected at least one bench to join, got none")
    name, count = Counter(bench.name for bench in benches).most_common(1)[0]
    if count > 1:
        raise BenchError(
            f"{count} of the benches are called {name!r}; take each bench once, and give benches "
            "of your own different names"
        )
    trained = [bench.name for bench in benches if bench.trained]
    if 0 < len(trained) < len(benches):
        raise BenchError(
            f"{', '.join(trained)} compares bits of trained networks, the other benches compare "
            "untrained networks; give them to separate runs"
        )


def _chosen(
    bench: Bench, benches: Sequence[Bench], targets: Sequence[str] | None
) -> tuple[str, ...]:
    """The targets of a bench that a fitness is taken over."""
    if targets is None:
        return bench.default_targets
    known = {target for member in benches for target in member.targets}
    for target in targets:
        if target not in known:
            raise UnknownNameError("target", target, known)
    bench_targets = tuple(target for target in targets if target in bench.targets)
    if not bench_targets:
        raise BenchError(
            f"bench {bench.name!r} has none of the targets {', '.join(targets)}; leave the bench "
            f"out, or add a target that it has ({', '.join(bench.targets)})"
        )
    return bench_targets


def _row(
    bench: Bench, architecture: Architecture, bench_targets: Sequence[str], union: Sequence[str]
) -> Architecture:
    """An architecture of a bench as the view has it."""
    return Architecture(
        name=f"{bench.name}/{architecture.name}",
        space=f"{bench.name}/{architecture.space}",
        config=architecture.config,
        accuracies={
            name: architecture.accuracies[name] if name in bench_targets else None for name in union
        },
        isomorph=None if architecture.isomorph is None else f"{bench.name}/{architecture.isomorph}",
    )


def _refuse(architecture: Architecture) -> NoReturn:
    """Raise: a view builds nothing."""
    raise BenchError(
        f"architecture {architecture.name!r} is seen through a view of several benches, which "
        "builds no network; load its own bench and build it there"
    )
