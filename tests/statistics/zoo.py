"""Small networks, one for each kind of module, that a measurement has to see or to name.

Each is built in the sizes 1, 2 and 3, which multiply its widths.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

SIZES = (1, 2, 3)
X = (8, 3, 8, 8)
"""The shape of a batch of images; tokens are ``(8, 5)``."""


def mlp(size=1, middle=nn.Linear):
    width = 12 * size
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.ReLU(), middle(width, 10))


def convolutions(*layers):
    return nn.Sequential(
        *layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10)
    )


class Recurrent(nn.Module):
    def __init__(self, kind, size, **options):
        super().__init__()
        self.embed = nn.Embedding(20, 6 * size)
        self.rnn = kind(6 * size, 8 * size, batch_first=True, **options)
        self.head = nn.LazyLinear(10)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0][:, -1])


class Cells(nn.Module):
    """A recurrent cell in a loop of one's own."""

    def __init__(self, size):
        super().__init__()
        self.embed, self.cell = nn.Embedding(20, 6 * size), nn.GRUCell(6 * size, 8 * size)
        self.head = nn.Linear(8 * size, 10)

    def forward(self, tokens):
        state = torch.zeros(len(tokens), self.cell.hidden_size)
        for x in self.embed(tokens).unbind(1):
            state = self.cell(x, state)
        return self.head(state)


class Positions(nn.Module):
    """A table looked up by place, one added, and learned queries by name alone."""

    def __init__(self, size):
        super().__init__()
        self.embed, self.places = nn.Embedding(20, 6 * size), nn.Embedding(5, 6 * size)
        self.weight = nn.Parameter(torch.randn(5, 6 * size))
        self.head = nn.Linear(6 * size, 10)

    def forward(self, tokens):
        places = self.places(torch.arange(tokens.shape[1]))
        return self.head((self.embed(tokens) + places + self.weight).tanh().mean(1))


class Tied(nn.Module):
    """An embedding whose weight is that of the head, too, and a bag of embeddings."""

    def __init__(self, size):
        super().__init__()
        self.embed, self.bag = nn.Embedding(20, 6 * size), nn.EmbeddingBag(20, 6 * size)
        self.mix, self.head = nn.Linear(6 * size, 6 * size), nn.Linear(6 * size, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.mix(self.embed(tokens).mean(1) + self.bag(tokens)).tanh())


class Experts(nn.Module):
    """Weights of several experts in one parameter of its own name, and a projection."""

    def __init__(self, size):
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 192, 12 * size) / 14)
        self.projection = nn.Parameter(torch.randn(12 * size, 10) / 3)

    def forward(self, x):
        x = x.flatten(1)
        return torch.stack([(x @ up).relu() for up in self.up]).mean(0) @ self.projection


class Conv1D(nn.Module):
    """The linear layer of GPT-2, whose weight is ``(in, out)``."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf) / nx**0.5)

    def forward(self, x):
        return x @ self.weight


class Bilinear(nn.Module):
    def __init__(self, size):
        super().__init__()
        width = 5 * size
        self.first, self.both = nn.Linear(192, width), nn.Bilinear(width, width, 7)
        self.head = nn.Linear(7, 10)

    def forward(self, x):
        h = self.first(x.flatten(1))
        return self.head(self.both(h, h))


class Complex(nn.Module):
    """A complex matrix between real layers."""

    def __init__(self, size):
        super().__init__()
        self.first, self.head = nn.Linear(192, 6 * size), nn.Linear(6 * size, 10)
        self.mixing = nn.Parameter(torch.randn(6 * size, 6 * size, dtype=torch.cfloat) / 3)

    def forward(self, x):
        x = self.first(x.flatten(1))
        return self.head((torch.complex(x, x) @ self.mixing).abs())


class LowRank(nn.Module):
    """What a weight is changed by: the product of two thin matrices, parameters of their own."""

    def __init__(self, rows, columns):
        super().__init__()
        self.up, self.down = (
            nn.Parameter(torch.randn(*shape) / 9) for shape in ((rows, 2), (2, columns))
        )

    def forward(self, weight):
        return weight + self.up @ self.down


class Checkpointed(nn.Module):
    def __init__(self, size):
        super().__init__()
        width = 6 * size
        self.first, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 10)
        self.block = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3))

    def forward(self, x):
        x = checkpoint(self.block, self.first(x), use_reentrant=False)
        return self.head(x.mean((2, 3)))


class Remembering(nn.Module):
    """Writes attributes, a list, and rescales an embedding, each time it runs."""

    def __init__(self, size):
        super().__init__()
        self.embed = nn.Embedding(20, 6 * size, max_norm=0.5)
        self.head = nn.Linear(6 * size, 10)
        self.calls, self.seen = 0, []

    def forward(self, tokens):
        self.calls += 1
        self.last = self.embed(tokens).mean(1)
        self.seen.append(self.last)
        return self.head(self.last)


class Attends(nn.Module):
    """Self or cross attention, by hand or by torch's function; always the same maps."""

    def __init__(self, way, cross=False, size=1):
        super().__init__()
        self.way, self.cross = way, cross
        self.q, self.k, self.v = (nn.Linear(8, 8 * size) for _ in range(3))
        self.head = nn.Linear(8 * size, 10)

    def forward(self, x):
        x = x.flatten(1, 2)
        y = x[:, :7] if self.cross else x
        heads = [
            layer(z).unflatten(-1, (2, -1)).transpose(1, 2)
            for layer, z in ((self.q, x), (self.k, y), (self.v, y))
        ]
        return self.head(self.attend(*heads).transpose(1, 2).flatten(2).mean(1))

    def attend(self, q, k, v):
        if self.way == "torch":
            return F.scaled_dot_product_attention(q, k, v)
        scale = q.shape[-1] ** -0.5
        if self.way == "einsum":
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * scale
            return torch.einsum("bhqk,bhkd->bhqd", F.softmax(scores, dim=-1), v)
        return (q @ k.transpose(-2, -1) * scale).softmax(-1) @ v


class Encoder(nn.Module):
    """Torch's own transformer, which has a faster way of its own in evaluation mode."""

    def __init__(self, size):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12 * size, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.layer(x.flatten(1, 2)).mean(1))


class Dense(nn.Module):
    """A small U-Net, whose output is pooled."""

    def __init__(self, size):
        super().__init__()
        width = 4 * size
        self.down, self.middle = nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(width, width, 3, padding=1)
        self.up, self.norm = nn.ConvTranspose2d(width, width, 2, 2), nn.GroupNorm(2, width)
        self.out = nn.Conv2d(width + 3, 10, 1)

    def forward(self, x):
        up = self.up(F.silu(self.middle(self.down(x))))
        return self.out(torch.cat([self.norm(up), x], 1)).mean((2, 3))


class Listed(nn.Module):
    """Weights in lists and dicts of parameters, and a vector that data are multiplied by."""

    def __init__(self, size):
        super().__init__()
        shapes = ((192, 6 * size), (6 * size, 6 * size))
        self.steps = nn.ParameterList(torch.randn(*shape) / shape[0] ** 0.5 for shape in shapes)
        self.ends = nn.ParameterDict({"head": torch.randn(6 * size, 10)})
        self.gate = nn.Parameter(torch.randn(6 * size))

    def forward(self, x):
        x = x.flatten(1)
        for step in self.steps:
            x = (x @ step).tanh()
        return (x @ self.ends["head"]) * (x @ self.gate)[:, None].sigmoid()


def pruned(size):
    network = mlp(size)
    prune.random_unstructured(network[1], "weight", 0.5)
    return network


def low_rank(size):
    network = mlp(size)
    parametrize.register_parametrization(network[1], "weight", LowRank(12 * size, 192))
    return network


def wrapped(wrap):
    return lambda size: mlp(size, lambda *widths: wrap(nn.Linear(*widths)))


IMAGES = {
    "mlp": mlp,
    "weight norm": wrapped(parametrizations.weight_norm),
    "spectral norm": wrapped(parametrizations.spectral_norm),
    "old spectral norm": wrapped(nn.utils.spectral_norm),
    "pruned": pruned,
    "low rank": low_rank,
    "grouped": lambda size: convolutions(
        nn.Conv2d(3, 8 * size, 3), nn.Conv2d(8 * size, 16, 3, groups=4)
    ),
    "transposed": lambda size: convolutions(
        nn.ConvTranspose2d(3, 8 * size, 3), nn.Conv2d(8 * size, 4, 1)
    ),
    "layer norm": lambda size: convolutions(
        nn.Conv2d(3, 4 * size, 3), nn.LayerNorm([4 * size, 6, 6])
    ),
    "inplace": lambda size: convolutions(
        nn.Conv2d(3, 4 * size, 3), nn.ReLU(inplace=True), nn.Conv2d(4 * size, 4, 3)
    ),
    "bilinear": Bilinear,
    "experts": Experts,
    "lists": Listed,
    "complex": Complex,
    "conv1d": lambda size: nn.Sequential(
        nn.Flatten(), Conv1D(12 * size, 192), nn.GELU(), Conv1D(10, 12 * size)
    ),
    "checkpointed": Checkpointed,
    "dense": Dense,
    "attention": lambda size: Attends("hand", size=size),
    "cross attention": lambda size: Attends("torch", cross=True, size=size),
    "encoder": Encoder,
}
TOKENS = {
    "lstm": lambda size: Recurrent(nn.LSTM, size, num_layers=2, bidirectional=True),
    "gru": lambda size: Recurrent(nn.GRU, size),
    "rnn": lambda size: Recurrent(nn.RNN, size),
    "cells": Cells,
    "positions": Positions,
    "tied": Tied,
    "remembering": Remembering,
}
PLAIN = {
    "positions": {"places.weight", "weight"},
    "layer norm": {"1.weight", "1.bias"},
    "complex": {"mixing"},
}
"""Parameters of two dimensions or more that are no layers: norms, tables and complex ones."""


def built(name, size=1):
    """Return a network, inputs and targets, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = (IMAGES.get(name) or TOKENS[name])(size)
        x = torch.randn(X) if name in IMAGES else torch.randint(0, 20, (8, 5))
        network(x)  # for what is lazy
        return network, x, torch.randint(0, 10, (8,))
