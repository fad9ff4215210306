"""A bench of configurations that is measured in a second: the bits of two small fixed networks.

The accuracies are no quantisation's: what the bits leave of a made-up accuracy, with fixed noise.
"""

from __future__ import annotations

import random

import torch
from torch import nn

from autoprox.benches import Architecture, Bench

LAYERS = {"wide": 4, "deep": 5}
CLASSES = 5
INPUT_SHAPE = (3, 8, 8)
WIDTHS = (2, 3, 4)


def build(architecture: Architecture) -> nn.Module:
    """The network of the architecture's space, the same whatever the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(architecture.space))
        layers: list[nn.Module] = []
        channels, width = INPUT_SHAPE[0], 8 if architecture.space == "wide" else 6
        for _ in range(LAYERS[architecture.space] - 1):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        head = nn.Linear(width, CLASSES)
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
        with torch.no_grad():
            network(torch.randn(64, *INPUT_SHAPE))  # the running statistics are no longer 0 and 1
        return network


def bits(architecture: Architecture) -> tuple[int, ...]:
    """The bits of each layer."""
    return tuple(map(int, architecture.config["bits"].split("-")))


def _architectures() -> tuple[Architecture, ...]:
    draw = random.Random(0)
    rows = []
    for space, layers in LAYERS.items():
        for number in range(14):
            chosen = [8, *(draw.choice(WIDTHS) for _ in range(layers - 2)), 8]
            figure = 90 - sum(30 / each**2 for each in chosen) + draw.gauss(0, 1)
            config = {"bits": "-".join(map(str, chosen))}
            rows.append(
                Architecture(f"{space}/{number}", space, config, {"accuracy": round(figure, 2)})
            )
    return tuple(rows)


bench = Bench(
    name="tinybits",
    description="Configurations of bits with made-up accuracies, for tests.",
    citation="none",
    source="made up in tests/quantised_tiny_bench.py",
    caveats=("The accuracies are made up.",),
    architectures=_architectures(),
    targets=("accuracy",),
    default_targets=("accuracy",),
    build=build,
    input_shape=INPUT_SHAPE,
    classes=CLASSES,
    default_statistics=("weight", "grad", "act", "weight_error", "act_error", "bits", "params"),
    bits=bits,
    trained=True,
)
