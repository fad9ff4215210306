"""Networks have the parameter counts that their tables have, and compute what their papers say."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from autoprox.benches import Architecture, Bench, darts, load_bench, rnn
from autoprox.benches.darts import TRAINED_CELLS, TRAINED_WIDTH
from autoprox.benches.recurrent import RecurrentCell
from autoprox.benches.relative import RelativeAttention, RelativePositions

with Path(__file__).with_name("published_sizes.csv").open(encoding="utf-8") as file:
    SIZES = list(csv.DictReader(file))

BENCHES = sorted({row["bench"] for row in SIZES})

TRAINED: dict[str, Callable[[Architecture], torch.nn.Module]] = {
    "darts": partial(darts.build, cells=TRAINED_CELLS, width=TRAINED_WIDTH),
    "rnn": partial(rnn.build, vocabulary=rnn.TRAINED_VOCABULARY),
}
"""The networks as they were trained, where those that are measured are smaller."""

PATCHES = {224: 196, 64: 16}
"""How many patches an image has, by its side."""


def parameters(bench: Bench, one: Architecture) -> int:
    with torch.device("meta"):
        network = TRAINED.get(bench.name, bench.build)(one)
    size = sum(parameter.numel() for parameter in network.parameters())
    if bench.name == "transnas":
        return size - network.head.weight.numel() - network.head.bias.numel()
    if bench.name == "autoformer_s":
        return size + (PATCHES[224] - PATCHES[64]) * one.config["hidden_dim"]
    return size


@pytest.mark.parametrize("name", BENCHES)
def test_parameters_are_those_of_the_table(name: str) -> None:
    bench = load_bench(name)
    rows = {one.name: one for one in bench.architectures}
    digits = {"nb101": 6, "darts": 6, "autoformer_s": 6}.get(name)  # as many as the tables print
    for row in SIZES:
        if row["bench"] == name:
            size = parameters(bench, rows[row["architecture"]])
            if digits:
                size = round(float(f"{size:.{digits}g}"))
            assert size == int(row["parameters"])


# Recurrent cells


def test_a_recipe_is_computed_as_written_and_what_is_unread_brings_nothing() -> None:
    recipe = "h_new_0=blend(g,h_prev_0,s);s=tanh(a);a=linear(x,h_prev_0);g=sigm(a);dead=linear(x)"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cell = RecurrentCell(recipe, 3, 5)
        inputs = torch.randn(2, 4, 3)
    into, within = cell.linears["a"]
    state = torch.zeros(2, 5)
    outputs = cell(inputs)
    for token in range(4):
        a = into(inputs[:, token]) + state @ within.weight.T
        gate = torch.sigmoid(a)
        state = gate * state + (1 - gate) * torch.tanh(a)
        torch.testing.assert_close(outputs[:, token], state)
    outputs.sum().backward()
    assert (cell.linears["dead"][0].weight.grad == 0).all()


def test_the_loss_reaches_every_weight_of_cells_with_unread_steps() -> None:
    bench = load_bench("rnn")
    dead = next(one for one in bench.architectures if one.name == "rnn/96")
    network = rnn.build(dead, vocabulary=7)
    assert network.cells[0].unread
    network(torch.tensor([[1, 2, 3]])).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


# Relative positions


def test_relative_attention_adds_a_vector_for_each_distance_to_keys_and_values() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = RelativeAttention(8, 2)
        x = torch.randn(1, 5, 8)
    places = [None, (0, 0), (0, 1), (1, 0), (1, 1)]  # a class token and four patches

    def vector(positions: RelativePositions, query: int, key: int) -> torch.Tensor:
        one, other = places[query], places[key]
        if one is None or other is None:
            return positions.rows[0] + positions.columns[0]
        return positions.rows[other[0] - one[0] + 15] + positions.columns[other[1] - one[1] + 15]

    q, k, v = attention.qkv(x)[0].view(5, 3, 2, 64).unbind(1)
    heads = []
    for head in range(2):
        rows = []
        for i in range(5):
            scores = [
                q[i, head] @ (k[j, head] + vector(attention.key_positions, i, j)) / 8
                for j in range(5)
            ]
            shares = torch.stack(scores).softmax(0)
            values = [v[j, head] + vector(attention.value_positions, i, j) for j in range(5)]
            rows.append(sum(share * value for share, value in zip(shares, values, strict=True)))
        heads.append(torch.stack(rows))
    by_hand = attention.projection(torch.cat(heads, dim=1))
    torch.testing.assert_close(attention(x)[0], by_hand)
