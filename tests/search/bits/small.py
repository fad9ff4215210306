"""A network of six layers, of which four have bits to choose."""

from itertools import pairwise

import torch
from torch import nn

WIDTHS = (2, 3, 4)
SHAPE = (3, 6, 6)
CLASSES = 4


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers: list[nn.Module] = []
        channels = (3, 4, 6, 5, 8, 4)
        for number, (wide_in, wide_out) in enumerate(pairwise(channels)):
            layers += [nn.Conv2d(wide_in, wide_out, 1 + 2 * (number % 2), padding=number % 2)]
            layers += [nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))


def batch(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(count, *SHAPE, generator=generator)
    return inputs, torch.randint(CLASSES, (count,), generator=generator)
