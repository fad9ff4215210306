"""Small images that are easy to tell apart, and what a training on them leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from autoprox.benches.cifar import Labelled
from autoprox.training.checkpoint import read_weights


def two_colours(count: int, seed: int) -> Labelled:
    """Images that are easy to tell apart: dark ones (0) and bright ones (1), with noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    bright = 90 + 80 * labels[:, None, None, None]
    images = generator.normal(bright, 20, (count, 32, 32, 3)).clip(0, 255).astype(np.uint8)
    return Labelled(images, labels)


def weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file."""
    return read_weights(path)[0]
