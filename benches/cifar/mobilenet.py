"""A network of inverted residuals for 32-pixel images.

References:
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018,
    https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

from torch import Tensor, nn

STEM = 16
"""The channels behind the first convolution."""

STAGES = ((1, 16, 1, 2), (4, 32, 2, 1), (4, 64, 3, 2), (4, 128, 3, 2))
"""Of each stage: expansion, channels, blocks, and the stride of the first block.

The paper's network starts at 224 pixels, halves them five times and has 17 blocks; this one starts
at 32 and halves them three times.
"""

LAST = 384
"""The channels in front of the head."""


def convolution(
    width: int, wider: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution without bias, and its batch norm."""
    padding = kernel // 2
    conv = nn.Conv2d(width, wider, kernel, stride, padding, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(wider)


class CifarInvertedResidual(nn.Module):
    """An inverted residual: expand, filter by channel, project, ``(batch, width, …)``."""

    def __init__(self, width: int, wider: int, expansion: int, stride: int) -> None:
        """Create the layers; without expansion there is no first convolution."""
        super().__init__()
        hidden = width * expansion
        expand = () if expansion == 1 else (*convolution(width, hidden), nn.ReLU6())
        self.layers = nn.Sequential(
            *expand,
            *convolution(hidden, hidden, 3, stride, groups=hidden),
            nn.ReLU6(),
            *convolution(hidden, wider),
        )
        self.residual = stride == 1 and width == wider

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers; add the input where the shapes agree."""
        branch = self.layers(x)
        return x + branch if self.residual else branch  # type: ignore[no-any-return]


class MobileNetV2(nn.Module):
    """A small MobileNetV2, ``(batch, 3, side, side) -> (batch, classes)``."""

    def __init__(self, *, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = [*convolution(3, STEM, 3), nn.ReLU6()]
        width = STEM
        for expansion, wider, blocks, stride in STAGES:
            for place in range(blocks):
                layers.append(
                    CifarInvertedResidual(width, wider, expansion, stride if place == 0 else 1)
                )
                width = wider
        self.features = nn.Sequential(*layers, *convolution(width, LAST), nn.ReLU6())
        self.head = nn.Linear(LAST, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        return self.head(self.features(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]
