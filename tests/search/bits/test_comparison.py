"""What a choice of bits is compared with."""

import dataclasses
from fractions import Fraction

import torch

from autoprox.quantise import costs
from autoprox.search.bits.comparison import others, trained_network
from autoprox.search.bits.limits import Limit
from tests.quantised_tiny_bench import INPUT_SHAPE, bench


def best_of_the_table(bench):
    """The configuration of the bench that a choice within a limit is compared with."""
    priced = costs(trained_network(bench, "deep"), torch.randn(1, *INPUT_SHAPE))
    named = others(bench, "deep", priced, Limit("size", Fraction(900)))
    return next(name for name in named if name.startswith("best of the table"))


def test_the_best_of_the_table_is_the_lowest_where_figures_are_losses():
    losses = dataclasses.replace(
        bench,
        lower_is_better=("loss",),
        targets=("loss",),
        default_targets=("loss",),
        architectures=[
            dataclasses.replace(row, accuracies={"loss": 100 - row.accuracies["accuracy"]})
            for row in bench.architectures
        ],
    )
    assert best_of_the_table(losses) == best_of_the_table(bench)
