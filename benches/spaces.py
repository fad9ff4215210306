"""The search spaces that ship: which architectures they hold, drawn and changed at random.

Each is a `Space` of `autoprox.search.architectures.space`, over the networks of a bench.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from autoprox.errors import SpaceError, short

if TYPE_CHECKING:
    from torch import nn

    from autoprox.benches.bench import Architecture, Bench
    from autoprox.statistics.outcomes import Loss, Outputs
    from autoprox.statistics.trees import Inputs, Targets

Option = TypeVar("Option")


def another(options: Sequence[Option], than: Option, random: Random) -> Option:
    """One of `options`, drawn uniformly, but not `than`."""
    return random.choice([option for option in options if option != than])


@dataclass(frozen=True, kw_only=True)
class ChoiceSpace:
    """Architectures that are one option of each of several choices, such as width and depth.

    Attributes:
        name: a short word.
        choices: name of a choice to its options, which are JSON values; a configuration has one
            of each.
        build: configuration to an untrained `torch.nn.Module`, see `Space.build`.
        input_shape: the shape of one input, without the batch.
        classes: the number of logits.
        inputs: as a `Bench` has it; it takes the place of `input_shape` and `classes`.
        loss: as a `Bench` has it.
        outputs: as a `Bench` has it.
        version: changes whenever a configuration gives another network; a space in a file has the
            file's content for it, too.
    """

    name: str
    choices: Mapping[str, Sequence[Any]]
    build: Callable[[Mapping[str, Any]], nn.Module]
    input_shape: tuple[int, ...] = ()
    classes: int = 0
    inputs: Callable[[int, int], tuple[Inputs, Targets]] | None = None
    loss: Loss | None = None
    outputs: Outputs | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Check that there is something to choose; options are kept as JSON has them.

        Raises:
            SpaceError: no choice has two options, one has none, an option occurs twice, or is no
                JSON value.
        """
        choices = {name: _options(self.choices[name]) for name in self.choices}
        wrong = [name for name, options in choices.items() if not options]
        if wrong or max(map(len, choices.values()), default=0) < 2:
            which = f"look at {wrong[0]!r}" if wrong else "none has two"
            raise SpaceError(
                f"space {self.name!r}: choices are names with options, numbers, texts or lists, "
                f"all different, such as {{'width': (8, 16), 'depth': (1, 2)}}; {which}: got "
                f"{short(repr(self.choices))}"
            )
        object.__setattr__(self, "choices", choices)

    def sample(self, random: Random) -> dict[str, Any]:
        """Draw an option of each choice."""
        return {name: random.choice(options) for name, options in self.choices.items()}

    def mutate(self, config: Mapping[str, Any], random: Random) -> dict[str, Any]:
        """Take another option of one choice."""
        name = random.choice([name for name, options in self.choices.items() if len(options) > 1])
        return {**config, name: another(self.choices[name], config[name], random)}

    def crossover(
        self, first: Mapping[str, Any], second: Mapping[str, Any], random: Random
    ) -> dict[str, Any]:
        """Take each choice from one of two."""
        return {name: random.choice((first, second))[name] for name in self.choices}


def _options(options: Any) -> tuple[Any, ...]:
    """The options of a choice as JSON has them; none if they are no list of different values."""
    try:
        kept = [json.loads(json.dumps(option, allow_nan=False)) for option in options]
    except (TypeError, ValueError):
        return ()
    once = not isinstance(options, str) and all(kept.count(option) == 1 for option in kept)
    return tuple(kept) if once else ()


@dataclass(frozen=True)
class AutoFormerSpace:
    """AutoFormer-Tiny: depth and width, and of every block the number of heads and the MLP ratio.

    The ranges are those published as AutoFormer-Tiny (Chen et al., AutoFormer, ICCV 2021, table of
    the search spaces) and those of the vit101 bench; the published one has 256 channels of queries,
    keys and values beside 192 too, while here they are as wide as the tokens (see `AutoFormer`).

    Attributes:
        classes: outputs of the networks.
        image_size: the side of their input, in pixels.
    """

    classes: int = 100
    image_size: int = 224

    name: ClassVar[str] = "autoformer"
    version: ClassVar[str] = "1"
    widths: ClassVar[tuple[int, ...]] = (192, 216, 240)
    depths: ClassVar[tuple[int, ...]] = (12, 13, 14)
    heads: ClassVar[tuple[int, ...]] = (3, 4)
    ratios: ClassVar[tuple[float, ...]] = (3.5, 4.0)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one image."""
        return 3, self.image_size, self.image_size

    def sample(self, random: Random) -> dict[str, Any]:
        """Draw width and depth, then each block."""
        width, depth = random.choice(self.widths), random.choice(self.depths)
        return _vit(width, [self._block(random) for _ in range(depth)])

    def mutate(self, config: Mapping[str, Any], random: Random) -> dict[str, Any]:
        """Change the width, the depth (at the end), or the heads or the ratio of one block."""
        width, blocks = config["hidden_dim"], _blocks(config)
        change, place = random.randrange(4), random.randrange(len(blocks))
        if change == 0:
            width = another(self.widths, width, random)
        elif change == 1:
            depth = another(self.depths, len(blocks), random)
            blocks = (blocks + [self._block(random) for _ in range(depth)])[:depth]
        elif change == 2:
            heads, ratio = blocks[place]
            blocks[place] = another(self.heads, heads, random), ratio
        else:
            heads, ratio = blocks[place]
            blocks[place] = heads, another(self.ratios, ratio, random)
        return _vit(width, blocks)

    def crossover(
        self, first: Mapping[str, Any], second: Mapping[str, Any], random: Random
    ) -> dict[str, Any]:
        """Take width, depth and each block from one of two; from the deeper one past the other."""
        pair = [_blocks(first), _blocks(second)]
        shared = [random.choice(blocks) for blocks in zip(*pair, strict=False)]
        longer = max(pair, key=len)
        depth = len(random.choice(pair))
        width = random.choice((first, second))["hidden_dim"]
        return _vit(width, (shared + longer[len(shared) :])[:depth])

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The untrained network."""
        from autoprox.benches.autoformer import AutoFormer

        return AutoFormer(
            config["hidden_dim"],
            config["num_heads"],
            config["mlp_ratio"],
            classes=self.classes,
            image_size=self.image_size,
        )

    def _block(self, random: Random) -> tuple[int, float]:
        return random.choice(self.heads), random.choice(self.ratios)


def _vit(width: int, blocks: Sequence[tuple[int, float]]) -> dict[str, Any]:
    return {
        "hidden_dim": width,
        "depth": len(blocks),
        "num_heads": [heads for heads, _ in blocks],
        "mlp_ratio": [ratio for _, ratio in blocks],
    }


def _blocks(config: Mapping[str, Any]) -> list[tuple[int, float]]:
    return list(zip(config["num_heads"], config["mlp_ratio"], strict=True))


PIT: Mapping[str, tuple[Any, ...]] = {
    "base_dim": (16, 24, 32, 40),
    "mlp_ratio": (2, 4, 6, 8),
    "depth": tuple([a, b, c] for a in (1, 2, 3) for b in (4, 6, 8) for c in (2, 4, 6)),
    "num_heads": tuple(
        [a, b, c] for a in (2, 4, 8) for b in (2, 4, 8) for c in (2, 4, 8) if a <= b <= c
    ),
}
"""Base width, MLP ratio, and the heads and depths of the three stages of a PiT; 4,320 networks.

The ranges are those of the vit101 bench: heads never fall from one stage to the next, and the
depths are those of the code published with it (Wei et al., Auto-Prox, AAAI 2024).
"""


def pit_space(classes: int = 100, image_size: int = 224) -> ChoiceSpace:
    """The vision transformers of `PIT`.

    Args:
        classes: outputs of the networks.
        image_size: the side of their input, in pixels.
    """
    return ChoiceSpace(
        name="pit",
        choices=PIT,
        build=partial(_pit, classes, image_size),
        input_shape=(3, image_size, image_size),
        classes=classes,
        version="1",
    )


def _pit(classes: int, image_size: int, config: Mapping[str, Any]) -> nn.Module:
    """The untrained network."""
    from autoprox.benches.pit import PiT

    choices = {name: config[name] for name in PIT}
    return PiT(**choices, classes=classes, image_size=image_size)


@dataclass(frozen=True)
class NB201Space:
    """The cells of NAS-Bench-201 (Dong and Yang, ICLR 2020): one of five operations on six edges.

    Attributes:
        classes: outputs of the networks.
    """

    classes: int = 10

    name: ClassVar[str] = "nb201"
    version: ClassVar[str] = "1"
    input_shape: ClassVar[tuple[int, ...]] = (3, 32, 32)
    operations: ClassVar[str] = "01234"
    edges: ClassVar[int] = 6

    def sample(self, random: Random) -> dict[str, Any]:
        """Draw the operation of each edge."""
        return {"cell": "".join(random.choice(self.operations) for _ in range(self.edges))}

    def mutate(self, config: Mapping[str, Any], random: Random) -> dict[str, Any]:
        """Change the operation of one edge."""
        cell, place = config["cell"], random.randrange(self.edges)
        operation = another(self.operations, cell[place], random)
        return {"cell": cell[:place] + operation + cell[place + 1 :]}

    def crossover(
        self, first: Mapping[str, Any], second: Mapping[str, Any], random: Random
    ) -> dict[str, Any]:
        """Take the operation of each edge from one of two cells."""
        pairs = zip(first["cell"], second["cell"], strict=True)
        return {"cell": "".join(random.choice(pair) for pair in pairs)}

    def key(self, config: Mapping[str, Any]) -> str:
        """The class of cells that compute the same (see the bench nb201), by its first cell."""
        from autoprox.benches.nb201 import checked_cell, isomorphs

        return isomorphs()[checked_cell(config.get("cell"))]

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The untrained network."""
        from autoprox.benches.cells import CellNetwork
        from autoprox.benches.nb201 import checked_cell

        return CellNetwork(checked_cell(config.get("cell")), classes=self.classes)


@dataclass(frozen=True)
class BenchSpace:
    """The architectures of a bench whose descriptions are equally many numbers each.

    Attributes:
        bench: the bench; the numbers are those of its configurations, digits of a text too.
    """

    bench: Bench

    @property
    def name(self) -> str:
        """That of the bench."""
        return self.bench.name

    @property
    def version(self) -> str:
        """That of the bench's networks."""
        return f"bench {self.bench.version}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.bench.input_shape

    @property
    def classes(self) -> int:
        """Outputs of the networks."""
        return self.bench.classes

    @cached_property
    def rows(self) -> Mapping[tuple[float, ...], Architecture]:
        """The architectures by their numbers."""
        return {self.numbers(row.config): row for row in self.bench.architectures}

    @cached_property
    def levels(self) -> tuple[tuple[float, ...], ...]:
        """The values that each number takes, the least first."""
        return tuple(tuple(sorted(set(values))) for values in zip(*self.rows, strict=True))

    @staticmethod
    def numbers(config: Mapping[str, Any]) -> tuple[float, ...]:
        """The numbers of a configuration."""
        return tuple(float(value) for values in config.values() for value in values)

    def at(self, numbers: Sequence[float]) -> dict[str, Any] | None:
        """The configuration of some numbers; None if the bench has none."""
        row = self.rows.get(tuple(numbers))
        return None if row is None else dict(row.config)

    def sample(self, random: Random) -> dict[str, Any]:
        """Draw an architecture."""
        return dict(random.choice(self.bench.architectures).config)

    def mutate(self, config: Mapping[str, Any], random: Random) -> dict[str, Any]:
        """Change one number, to one that the bench has."""
        numbers = self.numbers(config)
        while True:
            place = random.randrange(len(numbers))
            changed = another(self.levels[place], numbers[place], random)
            child = self.at((*numbers[:place], changed, *numbers[place + 1 :]))
            if child is not None:
                return child

    def crossover(
        self, first: Mapping[str, Any], second: Mapping[str, Any], random: Random
    ) -> dict[str, Any]:
        """Take each number from one of two; the first where the bench has no such architecture."""
        pairs = zip(self.numbers(first), self.numbers(second), strict=True)
        return self.at([random.choice(pair) for pair in pairs]) or dict(first)

    def key(self, config: Mapping[str, Any]) -> str:
        """The class of architectures that compute the same, or the architecture."""
        row = self.rows[self.numbers(config)]
        return str(row.isomorph or row.name)

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The untrained network."""
        network: nn.Module = self.bench.build(self.rows[self.numbers(config)])
        return network
