"""What several runs are for: several seeds, or one family of architectures after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoprox.benches import Bench, load_bench, several
from autoprox.errors import RunError
from autoprox.runs.several import evolve_several
from autoprox.runs.several_record import Runs
from autoprox.runtime.arguments import is_finite


def evolve_seeds(
    bench: str | Path | Bench = "",
    seeds: int = 5,
    *,
    seed: int = 0,
    split_seed: int | None = None,
    **options: Any,
) -> Runs:
    """Discover proxies with several seeds. The same as ``autoprox evolve --seeds N``.

    Search and split have the same seed, so that what differs between the runs is the luck of both.
    Each is, to the byte, the run that `autoprox.evolve` makes with that `seed` and `split_seed`.

    Args:
        bench: as for `autoprox.evolve`.
        seeds: how many runs.
        seed: of the first one; the others follow.
        split_seed: of one split that all of them share, so that what they find can be judged
            together (`Runs.together`); None for a split of its own for each.
        options: the further arguments of `evolve_several`, among them the settings of
            `autoprox.evolve`.

    Raises:
        RunError: there is to be no run, or runs are to go on: that is `evolve_several`'s.
        AutoproxError: a name, number, bench, cache or folder cannot be used.
    """
    check_new(options)
    varied = {
        f"seed-{number}": {
            "seed": number,
            "split_seed": number if split_seed is None else split_seed,
        }
        for number in seed_range(seeds, seed)
    }
    return evolve_several(bench, varied, **options)


def check_new(options: Mapping[str, Any]) -> None:
    """Refuse to begin runs where some are to go on.

    Raises:
        RunError: the options say so.
    """
    if (folder := options.get("resume")) is not None:
        raise RunError(
            f"this begins new runs; autoprox.evolve_several(resume={str(folder)!r}) goes on with "
            "those in a folder"
        )


def seed_range(seeds: int, seed: int) -> range:
    """Return the seeds of so many runs from a first one on.

    Raises:
        RunError: there is to be no run, or the first seed is no whole number from 0 on.
    """
    whole = all(is_finite(number) and isinstance(number, int) for number in (seeds, seed))
    if not whole or seeds < 1 or seed < 0:
        raise RunError(
            "expected at least one run, and a first seed that is not negative; got "
            f"seeds={seeds!r}, seed={seed!r}"
        )
    return range(seed, seed + seeds)


def evolve_leaving_one_out(
    bench: str | Path | Bench = "", *, seeds: int = 1, seed: int = 0, **options: Any
) -> Runs:
    """Discover proxies on all families but one, for each in turn.

    The same as ``autoprox evolve --bench general --leave-one-out``; `Runs.left_out` is the table.

    Args:
        bench: a set of benches, or several between commas; each is a family.
        seeds: how many runs for each family; search and split have the same seed.
        seed: of the first.
        options: the further arguments of `evolve_several`, among them the settings of
            `autoprox.evolve`.

    Raises:
        RunError: there is to be no run, or there are fewer than two families, the split is to have
            a seed of its own, families are to be left out besides, or runs are to go on: that is
            `evolve_several`'s.
        AutoproxError: a name, number, bench, cache or folder cannot be used.
    """
    check_new(options)
    if "split_seed" in options:
        raise RunError("the seed of the split varies with that of the search: leave split_seed out")
    numbers = seed_range(seeds, seed)
    if "leave_out" in options:
        raise RunError(
            "each family is left out in turn: leave leave_out out, or begin one run by "
            "autoprox.evolve"
        )
    sources = (bench,) if isinstance(bench, Bench) else several(str(bench))
    families = [part.name if isinstance(part, Bench) else load_bench(part).name for part in sources]
    if len(families) < 2:
        raise RunError(
            f"leaving one family out needs at least two; {', '.join(families)} is one: give "
            "several benches, as in vit101,nb201, or a set, as in general"
        )
    varied = {
        f"without-{family}" + (f"-seed-{number}" if len(numbers) > 1 else ""): {
            "leave_out": (family,),
            "seed": number,
            "split_seed": number,
        }
        for family in families
        for number in numbers
    }
    return evolve_several(bench, varied, **options)
