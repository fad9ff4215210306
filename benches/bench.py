"""What a bench is: architectures, their accuracies, and how their networks are built."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autoprox.benches.checks import check_bench
from autoprox.errors import BenchError, UnknownNameError
from autoprox.ranking import DEFAULT_CORRELATION, RankCorrelation
from autoprox.runtime.arguments import listed
from autoprox.runtime.seeding import seeded

if TYPE_CHECKING:
    from torch import nn

    from autoprox.statistics import Mode
    from autoprox.statistics.outcomes import Loss, Outputs
    from autoprox.statistics.trees import Inputs, Targets

LISTS = ("architectures", "targets", "default_targets", "caveats", "input_shape", "lower_is_better")
"""The attributes of a bench that are lists; one text is taken for a list of one."""

MINIMUM_ARCHITECTURES = 10
"""The fewest architectures of a space that can be split: below, a rank correlation says nothing."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The description of one network, and what training it gave.

    Attributes:
        name: Unique in its bench and stable, for example ``"autoformer/0007"``.
        space: The search space that it was drawn from.
        config: What the bench's `build` reads: widths, depths, bits.
        accuracies: Target to figure, in its own unit; None where there is no figure.
        isomorph: A name that architectures share if they compute the same; None if none does.
    """

    name: str
    space: str
    config: Mapping[str, Any] = field(hash=False)
    accuracies: Mapping[str, float | None] = field(hash=False)
    isomorph: str | None = None

    def network_name(self, prefix: str = "") -> str:
        """What the architectures of a bench that are one network share; `prefix` is the bench's.

        >>> Architecture("a", "cells", {}, {}).network_name("mine/")
        'alone mine/a'
        """
        if self.isomorph is None:
            return f"alone {prefix}{self.name}"
        return f"class {prefix}{self.isomorph}"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Bench:
    """A table of architectures with the accuracies that training gave them.

    Attributes:
        name: A short word, for example ``"vit101"``.
        description: One sentence.
        citation: The publication that the figures come from.
        source: Where the figures were published, and under which licence.
        caveats: What a reader of a fitness on this bench has to know.
        architectures: The rows.
        targets: The columns, accuracies or losses; every architecture has every one (or None). If
            none is given, those of the first architecture.
        default_targets: The targets that a fitness is taken over if nobody says otherwise; all if
            none is given.
        build: Architecture to an untrained `torch.nn.Module`; it draws from torch's default
            generator only. Unless `inputs`, `loss` or `outputs` say otherwise, it takes
            ``(batch, *input_shape)`` and returns logits ``(batch, classes)``.
        input_shape: The shape of one input, without the batch.
        classes: The number of logits.
        default_correlation: The rank correlation whose mean over the columns is the fitness if
            nobody says otherwise: ``"somers"``, ``"kendall"`` or ``"spearman"``.
        default_statistics: The statistics that evolution measures here; None for the usual ones.
        default_architectures: How many architectures a run draws (see `sampled`) if nobody says
            otherwise; None for all.
        bits: Architecture to the bits of each layer's weight, in the order of execution; None where
            nothing is quantised.
        trained: Whether the architectures of a space are configurations of bits of one trained
            network: `build` gives that network at full precision, the same for all of them, and it
            is measured once for each number of bits.
        normalisation: mean and standard deviation of each channel that images are normalised by,
            as trained networks expect; None for ImageNet's.
        inputs: the number of samples and a seed to inputs and targets, as `autoprox.measure` takes
            them, for networks that take something else than one tensor of normal noise or images;
            it takes the place of `input_shape` and `classes`.
        loss: outputs and targets to one number, see `autoprox.measure`; None for cross-entropy.
        outputs: what a network returns to its logits, likewise; None for the usual.
        untaught: a target from training with a teacher to the same from training without one.
        version: Part of every cache key; change it when an architecture gives another network.
        kind: What its networks are, in a word or two, such as ``"transformers"``.
        lower_is_better: The targets that are losses or errors; see `accuracies`.
        noise: The standard deviation of a figure over repeated trainings where it is known, by
            ``space/target``.
    """

    name: str
    architectures: tuple[Architecture, ...]
    build: Callable[[Architecture], nn.Module]
    description: str = ""
    citation: str = ""
    source: str = ""
    caveats: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    default_targets: tuple[str, ...] = ()
    input_shape: tuple[int, ...] = ()
    classes: int = 0
    default_correlation: RankCorrelation = DEFAULT_CORRELATION
    default_statistics: tuple[str, ...] | None = None
    default_architectures: int | None = None
    bits: Callable[[Architecture], tuple[int, ...]] | None = None
    trained: bool = False
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    inputs: Callable[[int, int], tuple[Inputs, Targets]] | None = None
    loss: Loss | None = None
    outputs: Outputs | None = None
    untaught: Mapping[str, str] = field(default_factory=dict)
    version: str = "1"
    kind: str = ""
    lower_is_better: tuple[str, ...] = ()
    noise: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the table; one text is taken for a list of one.

        Raises:
            BenchError: there is no row or no target, a name occurs twice, a figure is missing, NaN
                or infinite, or a fraction among percentages, the default targets or those of which
                lower is better are not among the targets, or the shape of the input or the number
                of classes is impossible.
        """
        for name in LISTS:
            object.__setattr__(self, name, listed(getattr(self, name)))
        if not self.targets and self.architectures:
            figures = getattr(self.architectures[0], "accuracies", None)
            if isinstance(figures, Mapping):
                object.__setattr__(self, "targets", tuple(figures))
        if not self.default_targets:
            object.__setattr__(self, "default_targets", self.targets)
        if self.default_statistics is not None:
            object.__setattr__(self, "default_statistics", listed(self.default_statistics))
        check_bench(self)

    def __repr__(self) -> str:
        """Show the name and the size, not three hundred rows."""
        return f"Bench({self.name}: {len(self.architectures)} architectures of {self.spaces})"

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces, in the order of their first architecture."""
        return tuple(dict.fromkeys(row.space for row in self.architectures))

    @property
    def mode(self) -> Mode:
        """The mode that the networks are measured in: trained ones as they are used."""
        return "eval" if self.trained else "train"

    @property
    def alone(self) -> dict[str, str]:
        """`untaught`, for those targets from training with a teacher that the bench has."""
        return {of: target for of, target in self.untaught.items() if target in self.targets}

    @property
    def how(self) -> dict[str, Any]:
        """How its networks are read, as keywords of a proxy's call and of `autoprox.measure`."""
        return {"mode": self.mode, "loss": self.loss, "outputs": self.outputs}

    def in_space(self, space: str) -> tuple[Architecture, ...]:
        """The architectures of `space`, in the order of the table.

        Raises:
            UnknownNameError: the bench has no such space.
        """
        if space not in self.spaces:
            raise UnknownNameError("space", space, self.spaces)
        return tuple(row for row in self.architectures if row.space == space)

    def accuracies(
        self, target: str, architectures: Iterable[Architecture] | None = None
    ) -> npt.NDArray[np.float64]:
        """The column `target`, ``(architectures,)``, higher is better; NaN without a figure.

        This is the one place where a loss changes its sign; `figures` has it in its own unit.

        Args:
            target: One of the bench's targets.
            architectures: Rows of this bench; None stands for all of them.

        Raises:
            UnknownNameError: the bench has no such target.
        """
        column = self.figures(target, architectures)
        return -column if target in self.lower_is_better else column

    def figures(
        self, target: str, architectures: Iterable[Architecture] | None = None
    ) -> npt.NDArray[np.float64]:
        """The column `target` as `accuracies` has it, but in the target's own unit.

        Raises:
            UnknownNameError: the bench has no such target.
        """
        if target not in self.targets:
            raise UnknownNameError("target", target, self.targets)
        rows = self.architectures if architectures is None else architectures
        return np.array([row.accuracies[target] for row in rows], dtype=np.float64)  # None is NaN

    def network(self, architecture: Architecture, seed: int = 0) -> nn.Module:
        """The untrained network of `architecture`, with the weights that `seed` stands for.

        One architecture and one seed give the same weights in every process, whatever was built
        before; the state of torch's global generator is the same afterwards.

        Raises:
            BenchError: `build` returns no network.
        """
        import torch

        with seeded(zlib.crc32(f"{seed} {architecture.name}".encode())):
            network = self.build(architecture)
        if not isinstance(network, torch.nn.Module):
            raise BenchError(
                f"bench {self.name!r}: build returned {type(network).__name__} for architecture "
                f"{architecture.name!r}; expected a torch.nn.Module: does build end with return?"
            )
        return network

    def restricted(self, spaces: Iterable[str] | None = None) -> Bench:
        """This bench with the architectures of `spaces` only; None stands for all of them.

        Targets for which those spaces have no figure at all are left out.

        Raises:
            UnknownNameError: the bench has no such space.
            BenchError: no space is named, or none of the default targets has a figure there.
        """
        if spaces is None:
            return self
        wanted: set[str] = {*listed(spaces)}
        for space in sorted(wanted - set(self.spaces)):
            raise UnknownNameError("space", space, self.spaces)
        return self._of(tuple(row for row in self.architectures if row.space in wanted))

    def sampled(self, count: int, seed: int = 0, *, plain: bool = False) -> Bench:
        """This bench with `count` of its architectures, drawn at random.

        Every space gives its share. As long as there are classes left, no two architectures are of
        one isomorphism class. A larger sample of the same seed holds the smaller one, so that what
        was measured for the one serves the other.

        Targets for which the sample has no figure at all are left out.

        Args:
            count: How many, from `MINIMUM_ARCHITECTURES` to all.
            seed: A non-negative integer; the same seed always gives the same sample.
            plain: Draw without a look at the classes, so that correlations are those on the whole
                bench but for chance.

        Raises:
            BenchError: `count` or `seed` is out of range.
        """
        size = len(self.architectures)
        if size < MINIMUM_ARCHITECTURES:
            raise BenchError(
                f"no sample can be drawn of bench {self.name!r}: it has {size} architectures, and "
                f"{MINIMUM_ARCHITECTURES} are the fewest that can be split; got {count}"
            )
        if not MINIMUM_ARCHITECTURES <= count <= size:
            raise BenchError(
                f"a sample of bench {self.name!r} has {MINIMUM_ARCHITECTURES} to {size} "
                f"architectures (fewer cannot be split, and there are no more); got {count}"
            )
        if seed < 0:
            raise BenchError(f"the seed of a sample is a non-negative integer; got {seed}")
        ranks = {
            index: rank
            for space in self.spaces
            for index, rank in self._ranks(space, seed, plain).items()
        }
        chosen = sorted(sorted(ranks, key=lambda index: ranks[index])[:count])
        sample = self._of(tuple(self.architectures[index] for index in chosen))
        return dataclasses.replace(sample, default_architectures=None)

    def _ranks(self, space: str, seed: int, plain: bool) -> dict[int, tuple[int, float, int]]:
        """How many of its class are drawn before each architecture of `space`, and its place.

        The place, from 0 to 1, is that among those with as many before them, so that spaces take
        turns. If `plain`, it alone counts.
        """
        members = [index for index, row in enumerate(self.architectures) if row.space == space]
        generator = np.random.default_rng([seed, zlib.crc32(f"sample of {space}".encode())])
        rounds: dict[int, list[int]] = {}
        seen: Counter[str | None] = Counter()
        for index in generator.permutation(members).tolist():
            isomorph = None if plain else self.architectures[index].isomorph
            rounds.setdefault(seen[isomorph], []).append(index)
            seen[isomorph] += isomorph is not None
        return {
            index: (turn, (place + 0.5) / len(members), index)
            for turn, indices in rounds.items()
            for place, index in enumerate(indices)
        }

    def _of(self, rows: tuple[Architecture, ...]) -> Bench:
        """This bench with these rows, and the targets for which they have figures."""
        known = {
            name for row in rows for name in row.accuracies if row.accuracies[name] is not None
        }
        spaces = dict.fromkeys(row.space for row in rows)
        targets = tuple(name for name in self.targets if name in known)
        default_targets = tuple(name for name in self.default_targets if name in targets)
        if rows and not default_targets:
            raise BenchError(
                f"bench {self.name!r}: none of its default targets "
                f"({', '.join(self.default_targets)}) has a figure in "
                f"{', '.join(spaces)}"
            )
        return dataclasses.replace(
            self,
            architectures=rows,
            targets=targets,
            default_targets=default_targets,
            lower_is_better=tuple(name for name in self.lower_is_better if name in targets),
            noise={
                column: noise
                for column, noise in self.noise.items()
                for space, _, target in [column.rpartition("/")]
                if space in spaces and target in targets
            },
        )
