"""Language models of three layers of one recurrent cell, which a recipe describes.

References:
    Klyuchnikov et al., NAS-Bench-NLP: Neural Architecture Search Benchmark for Natural Language
    Processing, 2020, https://arxiv.org/abs/2006.07116
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from itertools import pairwise

import torch
from torch import Tensor, nn

STEP = re.compile(r"(\w+)=(\w+)\(([\w,]+)\)")
"""A step of a recipe: the name of its result, its operation, and the names that it takes."""

STATE = re.compile(r"h_(?:prev|new)_(\d)")
"""A hidden state, before and after a token."""

HIDDEN = 600
"""The width of the cells, but of the last, whose output is compared with the embeddings."""

EMBEDDING = 400
"""The width of a token's embedding."""

LAYERS = 3
"""The cells that are stacked."""

UNIFORM = 0.1
"""The bound of the embeddings' uniform initial values, as in AWD-LSTM (Merity et al., 2018)."""

OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "sigm": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": nn.functional.leaky_relu,
    "sum": lambda *terms: torch.stack(terms).sum(0),
    "prod": lambda *factors: torch.stack(factors).prod(0),
    "blend": lambda gate, first, second: gate * first + (1 - gate) * second,
}
"""What a step may do, besides ``linear``: a matrix for each input, and one bias."""


def ordered(recipe: str) -> list[tuple[str, str, list[str]]]:
    """The steps of a recipe, each after those whose results it takes.

    >>> ordered("h_new_0=tanh(a);a=linear(x,h_prev_0)")
    [('a', 'linear', ['x', 'h_prev_0']), ('h_new_0', 'tanh', ['a'])]
    """
    steps = {name: (name, kind, names.split(",")) for name, kind, names in STEP.findall(recipe)}
    graph = {name: [word for word in names if word in steps] for name, _, names in steps.values()}
    return [steps[name] for name in TopologicalSorter(graph).static_order()]


def unread(steps: list[tuple[str, str, list[str]]]) -> list[str]:
    """The steps that change no output, of this token or a later one.

    >>> unread(ordered("h_new_0=tanh(x);a=linear(x,h_prev_0)"))
    ['a']
    """
    names_of = {name: names for name, _, names in steps}
    seen: set[str] = set()
    ahead = ["h_new_0"]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += names_of.get(name, [name.replace("prev", "new")])
    return [name for name in names_of if name not in seen]


class RecurrentCell(nn.Module):
    """A cell, ``(batch, tokens, width) -> (batch, tokens, hidden)``.

    It keeps hidden states, ``h_prev_0`` and so on, which start at zero; the recipe says what the
    next ones are. The output is ``h_new_0``, plus zero times what the recipe computes for nothing,
    so that the loss reaches every matrix, if with gradient 0.
    """

    def __init__(self, recipe: str, width: int, hidden: int) -> None:
        super().__init__()
        self.steps = ordered(recipe)
        self.hidden = hidden
        self.unread = unread(self.steps)
        self.states = sorted(set(STATE.findall(recipe)))
        self.linears = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    nn.Linear(width if word == "x" else hidden, hidden, bias=place == 0)
                    for place, word in enumerate(names)
                )
                for name, kind, names in self.steps
                if kind == "linear"
            }
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Read the tokens one after the other."""
        zeros = inputs.new_zeros(len(inputs), self.hidden)
        states = dict.fromkeys(self.states, zeros)
        outputs = []
        for token in inputs.unbind(dim=1):
            values = {"x": token, **{f"h_prev_{place}": state for place, state in states.items()}}
            for name, kind, names in self.steps:
                terms = [values[word] for word in names]
                if kind == "linear":
                    maps = self.linears[name]
                    assert isinstance(maps, nn.ModuleList)
                    terms = [linear(term) for linear, term in zip(maps, terms, strict=True)]
                    kind = "sum"
                values[name] = OPERATIONS[kind](*terms)
            states = {place: values[f"h_new_{place}"] for place in states}
            nothing = [0.0 * values[name] for name in self.unread]
            outputs.append(torch.stack([states["0"], *nothing]).sum(0))
        return torch.stack(outputs, dim=1)


class LanguageModel(nn.Module):
    """Embedding, three cells, and the embedding again as the head.

    ``(batch, tokens)`` of token ids to logits ``(batch, tokens, vocabulary)``.
    """

    def __init__(self, recipe: str, *, vocabulary: int) -> None:
        """Create the layers; the head's weight is that of the embedding."""
        super().__init__()
        widths = [EMBEDDING, *[HIDDEN] * (LAYERS - 1), EMBEDDING]
        self.embedding = nn.Embedding(vocabulary, EMBEDDING)
        nn.init.uniform_(self.embedding.weight, -UNIFORM, UNIFORM)
        self.cells = nn.Sequential(
            *(RecurrentCell(recipe, width, hidden) for width, hidden in pairwise(widths))
        )
        self.head = nn.Linear(EMBEDDING, vocabulary)
        nn.init.zeros_(self.head.bias)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the token after each."""
        return self.head(self.cells(self.embedding(ids)))  # type: ignore[no-any-return]
