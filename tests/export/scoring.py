"""Runs exported files where autoprox cannot be imported: ``python scoring.py FOLDER``.

It scores every network below with every file, and prints a JSON object: file -> network -> score,
or the name of the exception.
"""

import importlib.util
import json
import sys
import warnings
from inspect import signature
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


class SmallCNN(nn.Module):
    """Convolutions with batch norm and activations in place, one layer used twice."""

    shape = (3, 9, 9)
    bits = (8, 3, 8)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.twice = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x = F.relu_(self.twice(x))
        x = F.relu_(self.twice(x) + x)
        return self.head(x.mean((2, 3)))


class SmallTransformer(nn.Module):
    """Embedded positions, `nn.MultiheadAttention` with the tokens first, and dropout."""

    shape = (7, 6)
    bits = (8, 2, 5, 8)  # the attention's layers do not run as modules

    def __init__(self):
        super().__init__()
        self.unused_order = nn.Linear(8, 5)  # registered first, run last
        self.embed = nn.Linear(6, 8)
        self.places = nn.Embedding(7, 8)
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2)
        self.up, self.down, self.drop = nn.Linear(8, 16), nn.Linear(16, 8), nn.Dropout(0.2)

    def forward(self, x):
        x = self.embed(x) + self.places(torch.arange(x.shape[1], device=x.device))
        tokens = self.norm(x).transpose(0, 1)
        x = x + self.attention(tokens, tokens, tokens)[0].transpose(0, 1)
        x = x + self.drop(self.down(F.gelu(self.up(x))))
        return self.unused_order(x.mean(1))


def case(kind):
    """Return an untrained network with inputs and labels, the same every time."""
    torch.manual_seed(1)
    return kind(), torch.randn(9, *kind.shape), torch.randint(0, 5, (9,))


KINDS = (SmallCNN, SmallTransformer)


def loaded(path):
    """Return the module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(folder):
    """Print the scores."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    sys.modules["autoprox"] = None  # importing it, or a part of it, fails
    for name in ("autoprox", "autoprox.primitives"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        raise AssertionError(f"{name} can be imported")
    cases = {kind.__name__: case(kind) for kind in KINDS}
    scores = {}
    for path in sorted(Path(folder).glob("*.py")):
        score = loaded(path).score
        scores[path.stem] = found = {}
        for name, given in cases.items():
            bits = {"bits": given[0].bits} if "bits" in signature(score).parameters else {}
            try:
                found[name] = score(*given, **bits)
            except (RuntimeError, ValueError) as error:
                found[name] = type(error).__name__
    print(json.dumps(scores))


if __name__ == "__main__":
    main(sys.argv[1])
