"""Networks with every kind of layer that quantisation knows, trained on nothing."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Convolutions with and without batch norm and bias, one depthwise, a shortcut, a linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(8)
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.hidden = nn.Linear(8, 6, bias=False)
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(images)))
        y = torch.relu(self.depthwise_norm(self.depthwise(x)))
        x = torch.relu(x + self.pointwise(y))
        return self.head(torch.tanh(self.hidden(x.mean((2, 3)))))


LAYERS = ("stem", "depthwise", "pointwise", "hidden", "head")


def residual(seed: int = 0) -> nn.Module:
    """A `Residual` whose batch norms have seen images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Residual()
        for norm in (network.stem_norm, network.depthwise_norm):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
        for _ in range(20):
            network(images(64, seed=1))
    return network.eval()


def images(count: int, seed: int = 0) -> Tensor:
    """Smooth pictures, ``(count, 3, 8, 8)``."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    return nn.functional.interpolate(coarse, size=8, mode="bilinear")
