"""Two small networks that show what happens inside them, for formulas written by hand.

And what a call must leave as it was: all of a network, and the global random states.
"""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Convolutions(nn.Module):
    """Two convolutions, each with batch norm and ReLU, and a classifier."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3, stride=2, groups=2, bias=False)
        self.second_norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def steps(self, x):
        """Return the logits, the layers' outputs and the arguments of the activations."""
        first = self.first(x)
        argument = self.first_norm(first)
        second = self.second(argument.relu())
        other = self.second_norm(second)
        logits = self.head(F.relu(other).mean((2, 3)))
        return logits, [first, second, logits], [argument, other]

    def forward(self, x):
        return self.steps(x)[0]


class LineBlock(nn.Module):
    """A residual block of convolutions of one dimension, or of two that see one row."""

    def __init__(self, dims, width, hidden):
        super().__init__()
        conv, norm = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")
        size, padding = (3, 1) if dims == 1 else ((1, 3), (0, 1))
        self.first = conv(width, hidden, size, padding=padding)
        self.norm = norm(hidden)
        self.second = conv(hidden, width, size, padding=padding)

    def forward(self, x):
        return F.relu(x + self.second(F.relu_(self.norm(self.first(x)))))


class Line(nn.Module):
    """A stem, two blocks with a pooling between, a concatenating end and a classifier."""

    def __init__(self, dims, width=6, hidden=10):
        super().__init__()
        conv, pool = getattr(nn, f"Conv{dims}d"), getattr(nn, f"MaxPool{dims}d")
        self.stem = conv(3, width, 1)
        self.blocks = nn.Sequential(
            LineBlock(dims, width, hidden),
            nn.Sequential(pool(2 if dims == 1 else (1, 2)), LineBlock(dims, width, hidden)),
        )
        self.third, self.fourth = conv(width, width, 1), conv(2 * width, width, 1)
        self.fifth, self.head = conv(3 * width, width, 1), nn.Linear(width, 5)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        y = F.relu(self.third(x))
        z = self.fourth(torch.cat([y, x], 1))
        return self.head(self.fifth(torch.cat([z, y, x], 1)).flatten(2).mean(2))


def lines(seed=0):
    """Return two networks that compute the same, of one dimension and of two, with their inputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        one, two, x = Line(1), Line(2), torch.randn(8, 3, 12)
    with torch.no_grad():
        for own, other in zip(one.parameters(), two.parameters(), strict=True):
            other.copy_(own.reshape(other.shape))
    return (one, x), (two, x[:, :, None])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def steps(self, x):
        qkv = self.qkv(x)
        q, k, v = qkv.reshape(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.proj(y), qkv

    def forward(self, x):
        return self.steps(x)


class Transformer(nn.Module):
    """One pre-norm block on vectors."""

    shape = (7, 6)

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.norm, self.other_norm = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = Attention()
        self.up, self.act, self.down = nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)
        self.head = nn.Linear(8, 5)

    def steps(self, x):
        embedded = self.embed(x)
        attended, qkv = self.attention(self.norm(embedded))
        argument = self.up(self.other_norm(embedded + attended))
        down = self.down(self.act(argument))
        logits = self.head((embedded + attended + down).mean(1))
        return logits, [embedded, qkv, attended, argument, down, logits], [argument]

    def forward(self, x):
        return self.steps(x)[0]


def case(kind, batch=8):
    """Return an untrained network with a batch, inputs and labels, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = kind()
        return network, torch.randn(batch, *kind.shape), torch.randint(0, 5, (batch,))


def weights(network):
    """Return the layers' weights, in the order of execution."""
    return [p for n, p in network.named_parameters() if n.endswith("weight") and p.ndim > 1]


def random_states():
    """Return the global random states of torch, numpy and Python."""
    _, key, *rest = np.random.get_state()  # noqa: NPY002 - the global state is what is looked at
    return torch.get_rng_state().tolist(), key.tolist(), rest, random.getstate()


def left(network):
    """Return all of a network that a call could change."""
    return {
        "modes": [module.training for module in network.modules()],
        "asked": [parameter.requires_grad for parameter in network.parameters()],
        "identities": [id(tensor) for tensor in (*network.parameters(), *network.buffers())],
        "grads": [parameter.grad for parameter in network.parameters()],
        "attributes": [sorted(vars(module)) for module in network.modules()],
        "hooks": [
            [list(hooks) for key, hooks in sorted(vars(module).items()) if key.endswith("_hooks")]
            for module in network.modules()
        ],
    }
