"""Small networks, one for each kind of module, that a measurement has to see or to name."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

X = (8, 3, 8, 8)
"""The shape of a batch of images; tokens are ``(8, 5)``."""


def mlp(middle=None):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), middle or nn.Linear(12, 10))


def convolutions(*layers):
    return nn.Sequential(
        *layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10)
    )


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(20, 6), kind(6, 8, batch_first=True, **options)
        self.head = nn.LazyLinear(10)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0][:, -1])


class Positions(nn.Module):
    """A table looked up by place, one added, and learned queries by name alone."""

    def __init__(self):
        super().__init__()
        self.embed, self.places = nn.Embedding(20, 6), nn.Embedding(5, 6)
        self.weight = nn.Parameter(torch.randn(5, 6))
        self.head = nn.Linear(6, 10)

    def forward(self, tokens):
        places = self.places(torch.arange(tokens.shape[1]))
        return self.head((self.embed(tokens) + places + self.weight).tanh().mean(1))


class Experts(nn.Module):
    """Weights of several experts in one parameter of its own name, and a projection."""

    def __init__(self):
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 192, 12) / 14)
        self.projection = nn.Parameter(torch.randn(12, 10) / 3)

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
    def __init__(self):
        super().__init__()
        self.first, self.both, self.head = nn.Linear(192, 5), nn.Bilinear(5, 5, 7), nn.Linear(7, 10)

    def forward(self, x):
        h = self.first(x.flatten(1))
        return self.head(self.both(h, h))


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 10)
        self.block = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3))

    def forward(self, x):
        x = checkpoint(self.block, self.first(x), use_reentrant=False)
        return self.head(x.mean((2, 3)))


class Remembering(nn.Module):
    """Writes attributes, a list, and rescales an embedding, each time it runs."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 6, max_norm=0.5)
        self.head = nn.Linear(6, 10)
        self.calls, self.seen = 0, []

    def forward(self, tokens):
        self.calls += 1
        self.last = self.embed(tokens).mean(1)
        self.seen.append(self.last)
        return self.head(self.last)


class Attends(nn.Module):
    """Self or cross attention, by hand or by torch's function; always the same maps."""

    def __init__(self, way, cross=False):
        super().__init__()
        self.way, self.cross = way, cross
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = x.flatten(1, 2)
        y = x[:, :7] if self.cross else x
        heads = [
            layer(z).unflatten(-1, (2, 4)).transpose(1, 2)
            for layer, z in ((self.q, x), (self.k, y), (self.v, y))
        ]
        return self.head(self.attend(*heads).transpose(1, 2).flatten(2).mean(1))

    def attend(self, q, k, v):
        if self.way == "torch":
            return F.scaled_dot_product_attention(q, k, v)
        if self.way == "einsum":
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * 0.5
            return torch.einsum("bhqk,bhkd->bhqd", F.softmax(scores, dim=-1), v)
        return (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v


def spectral():
    return mlp(nn.utils.spectral_norm(nn.Linear(12, 10)))


def pruned():
    network = mlp()
    prune.random_unstructured(network[1], "weight", 0.5)
    return network


IMAGES = {
    "mlp": mlp,
    "weight norm": lambda: mlp(parametrizations.weight_norm(nn.Linear(12, 10))),
    "spectral norm": lambda: mlp(parametrizations.spectral_norm(nn.Linear(12, 10))),
    "old spectral norm": spectral,
    "pruned": pruned,
    "grouped": lambda: convolutions(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3, groups=4)),
    "transposed": lambda: convolutions(nn.ConvTranspose2d(3, 8, 3), nn.Conv2d(8, 4, 1)),
    "layer norm": lambda: convolutions(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6])),
    "inplace": lambda: convolutions(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)),
    "bilinear": Bilinear,
    "experts": Experts,
    "conv1d": lambda: nn.Sequential(nn.Flatten(), Conv1D(12, 192), nn.GELU(), Conv1D(10, 12)),
    "checkpointed": Checkpointed,
    "attention": lambda: Attends("hand"),
    "cross attention": lambda: Attends("torch", cross=True),
}
TOKENS = {
    "lstm": lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True),
    "gru": lambda: Recurrent(nn.GRU),
    "rnn": lambda: Recurrent(nn.RNN),
    "positions": Positions,
    "remembering": Remembering,
}
PLAIN = {"positions": {"places.weight", "weight"}, "layer norm": {"1.weight", "1.bias"}}
"""Parameters of two dimensions or more that are no layers: norms and tables."""


def built(name):
    """Return a network, inputs and targets, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = (IMAGES.get(name) or TOKENS[name])()
        x = torch.randn(X) if name in IMAGES else torch.randint(0, 20, (8, 5))
        if "attention" in name:
            x = torch.randn(8, 3, 8, 8)
        network(x)  # for what is lazy
        return network, x, torch.randint(0, 10, (8,))
