"""A bench that is measured in a second: small perceptrons and small convolutional networks.

The accuracies are no training's: a saturating function of width and depth with fixed noise, which
differs between the two targets. So size ranks them well, and nothing ranks them perfectly.
"""

from __future__ import annotations

import math
import random

from torch import nn

from autoprox.benches import Architecture, Bench

WIDTHS = (4, 6, 8, 12, 16, 24)
DEPTHS = (1, 3)
CLASSES = 5
INPUT_SHAPE = (3, 8, 8)


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`."""
    width, depth = architecture.config["width"], architecture.config["depth"]
    if architecture.space == "mlp":
        return _mlp(math.prod(INPUT_SHAPE), width, depth)
    return _cnn(INPUT_SHAPE[0], width, depth)


def _mlp(inputs: int, width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(inputs, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def _cnn(channels: int, width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def _architectures() -> tuple[Architecture, ...]:
    noise = random.Random(0)
    rows = []
    for space in ("mlp", "cnn"):
        for width in WIDTHS:
            for depth in DEPTHS:
                base = 40.0 + (10.0 if space == "cnn" else 0.0)
                size = math.log(width)
                figures = {
                    "coarse": round(base + 6 * size + 2 * depth + noise.gauss(0, 1.5), 2),
                    "fine": round(base + 5 * size - depth + noise.gauss(0, 1.5), 2),
                }
                name = f"{space}/{width}x{depth}"
                rows.append(Architecture(name, space, {"width": width, "depth": depth}, figures))
    return tuple(rows)


bench = Bench(
    name="tiny",
    description="Perceptrons and convolutional networks with made-up accuracies, for tests.",
    citation="none",
    source="made up in tests/tiny_bench.py",
    caveats=("The accuracies are made up.",),
    architectures=_architectures(),
    targets=("coarse", "fine"),
    default_targets=("coarse", "fine"),
    build=build,
    input_shape=INPUT_SHAPE,
    classes=CLASSES,
    default_statistics=(
        "weight",
        "grad",
        "grad_abs_mean",
        "grad_std",
        "act",
        "act_gram",
        "params",
        "flops",
    ),
)
