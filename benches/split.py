"""The two parts of a bench: the one that evolution sees, and the one that its numbers come from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from autoprox.benches.bench import MINIMUM_ARCHITECTURES, Bench
from autoprox.errors import BenchError
from autoprox.runtime.arguments import check_counts


@dataclass(frozen=True, slots=True)
class Split:
    """Two disjoint parts of a bench, as ascending indices into its `architectures`.

    No isomorphism class is in both.
    """

    search: tuple[int, ...]
    held_out: tuple[int, ...]


def drawn(bench: Bench, count: int | None = None, *, plain: bool = False) -> Bench:
    """Return `count` architectures to work with; for None as many as the bench says, or all.

    Every run draws the same ones, whatever its seeds, so that they are measured once. What `plain`
    does is said by `Bench.sampled`.

    Raises:
        BenchError: there are not as many as asked for, or too few are, or that is no number.
    """
    if count is None:
        count = bench.default_architectures
        if count is None or count >= len(bench.architectures):
            return bench
    check_counts(BenchError, architectures=count)
    return bench.sampled(count, plain=plain)


def split(bench: Bench, seed: int, held_out_share: float = 0.4) -> Split:
    """Two parts of `bench`: what selection may see, and what numbers are reported on.

    Every space is split on its own, so its search part does not depend on which other spaces are
    there. Architectures of one isomorphism class are one network: they stay together, and where a
    space holds out one that the search part of another space has, it is in neither part.

    Args:
        bench: The bench to split.
        seed: A non-negative integer; the same seed always gives the same parts.
        held_out_share: The share of every space that is held out, between 0 and 1 (exclusive).

    Raises:
        BenchError: `held_out_share` or `seed` is out of range, a space has fewer than
            `MINIMUM_ARCHITECTURES`, or one of its parts would be empty.
    """
    if not 0 < held_out_share < 1:
        raise BenchError(
            f"the held-out share lies between 0 and 1 (exclusive); got {held_out_share}"
        )
    if seed < 0:
        raise BenchError(f"the seed of a split is a non-negative integer; got {seed}")
    parts = {space: _split_space(bench, space, seed, held_out_share) for space in bench.spaces}
    search = sorted(index for part in parts.values() for index in part.search)
    seen = {bench.architectures[index].isomorph for index in search} - {None}
    held_out: list[int] = []
    for space, part in parts.items():
        unseen = [
            index for index in part.held_out if bench.architectures[index].isomorph not in seen
        ]
        if not unseen:
            raise BenchError(
                f"bench {bench.name!r}: all that space {space!r} would hold out is, by isomorphism "
                "class, in the search part of another space: draw more, or leave a space out"
            )
        held_out += unseen
    return Split(search=tuple(search), held_out=tuple(sorted(held_out)))


def _split_space(bench: Bench, space: str, seed: int, share: float) -> Split:
    """The two parts of one space, each in the order in which it was drawn."""
    classes: dict[str, list[int]] = {}
    for index, architecture in enumerate(bench.architectures):
        if architecture.space == space:
            classes.setdefault(architecture.network_name(), []).append(index)
    size = sum(map(len, classes.values()))
    if size < MINIMUM_ARCHITECTURES:
        raise BenchError(
            f"bench {bench.name!r}: space {space!r} has {size} architectures; a split needs at "
            f"least {MINIMUM_ARCHITECTURES}: draw more, add rows, or leave the space out"
        )
    groups = list(classes.values())
    order = np.random.default_rng([seed, zlib.crc32(space.encode())]).permutation(len(groups))
    wanted = round(size * share)
    search: list[int] = []
    held: list[int] = []
    for position in order:
        (held if len(held) < wanted else search).extend(groups[position])
    if not search or not held:
        raise BenchError(
            f"bench {bench.name!r}: space {space!r} has {size} architectures in {len(groups)} "
            f"isomorphism classes; a held-out share of {share} leaves a part empty"
        )
    return Split(search=tuple(search), held_out=tuple(held))
