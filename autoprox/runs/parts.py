"""The parts of a run's benches: where it searches, what it holds out, and the other spaces."""

from __future__ import annotations

from collections.abc import Sequence

from autoprox.assessment.assess import columns
from autoprox.benches import Bench, split
from autoprox.errors import BenchError, UnknownNameError
from autoprox.evolution.settings import Settings


def parts(
    bench: Bench, benches: Sequence[Bench], settings: Settings, targets: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the search, held-out and transfer part, as places in `bench`, the view of `benches`.

    Each bench is split by itself, so that its parts are those of a run on that bench alone. Copies
    of a network that the search sees are no transfer.
    """
    evolved = _evolved(bench, benches, settings)
    search: list[int] = []
    held_out: list[int] = []
    start = 0
    for member in benches:
        stop = start + len(member.architectures)
        places = [i for i in range(start, stop) if bench.architectures[i].space in evolved]
        if places:
            spaces = {member.architectures[i - start].space for i in places}
            parts = split(member.restricted(spaces), settings.split_seed, settings.held_out_share)
            for part, indices in ((search, parts.search), (held_out, parts.held_out)):
                chosen = [places[i] for i in indices]
                _check_ranked(bench, chosen, targets)
                part += chosen
        start = stop
    seen = {bench.architectures[i].isomorph for i in search} - {None}
    transfer = tuple(
        i
        for i, row in enumerate(bench.architectures)
        if row.space not in evolved and row.isomorph not in seen
    )
    return tuple(search), tuple(held_out), _rankable(bench, transfer, targets)


def _evolved(bench: Bench, benches: Sequence[Bench], settings: Settings) -> tuple[str, ...]:
    """Return the spaces to evolve on, of which there is at least one."""
    spaces = settings.spaces
    if spaces is None:
        names = [member.name for member in benches]
        for name in settings.leave_out:
            if name not in names:
                raise UnknownNameError("bench of this run", name, names)
        left = [member for member in benches if member.name not in settings.leave_out]
        if not left:
            raise BenchError(
                f"nothing is left to evolve on without {', '.join(settings.leave_out)}"
            )
        if len(left) == len(benches):
            return bench.spaces
        return tuple(f"{member.name}/{space}" for member in left for space in member.spaces)
    if not spaces:
        raise BenchError(f"expected a space to evolve on ({', '.join(bench.spaces)}), got none")
    for space in spaces:
        bench.in_space(space)
    return spaces


def _check_ranked(bench: Bench, indices: Sequence[int], targets: Sequence[str]) -> None:
    """Raise `BenchError` if there is nothing to rank some architectures by."""
    if not columns(bench, indices, targets):
        spaces = dict.fromkeys(bench.architectures[i].space for i in indices)
        raise BenchError(
            f"no architecture of {', '.join(spaces)} has a figure for "
            f"{', '.join(targets)}; choose other targets or spaces"
        )


def _rankable(bench: Bench, indices: tuple[int, ...], targets: Sequence[str]) -> tuple[int, ...]:
    """Return the architectures if there is something to rank them by, else none."""
    try:
        return indices if columns(bench, indices, targets) else ()
    except BenchError:  # a space of two, or of equal figures, says nothing about transfer
        return ()
