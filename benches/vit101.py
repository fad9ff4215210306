"""ViT-Bench-101: vision transformers of two spaces, trained on three data sets.

References:
    Wei et al., Auto-Prox: Training-Free Vision Transformer Architecture Search via Automatic Proxy
    Discovery, AAAI 2024, https://arxiv.org/abs/2312.09059
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.spaces import AutoFormerSpace, pit_space
from autoprox.benches.table import read_table, shipped
from autoprox.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import nn

DISTILLED = ("c100_kd", "flower_kd", "chaoyang_kd")
"""Accuracies after training with a teacher: what the paper ranks against."""

DIGEST = "b6d9d798a8374e420d9a2039a6dd7c27a79b646cf1ce3754461fd870ed4204d4"

TARGETS = (*DISTILLED, "c100", "flower", "chaoyang", "imagenet_super")

CAVEATS = (
    "300 architectures are published. With 100 of a space the standard error of Kendall's tau is "
    "about 0.07: smaller differences on one target are noise.",
    "The parameter count alone is a strong baseline: Kendall's tau .548/.700/.315 and "
    ".416/.744/.374 on the two AutoFormer files and .817/.865/.564 on PiT (c100_kd, flower_kd, "
    "chaoyang_kd).",
    "The accuracies are noisy, those on Chaoyang most: no proxy known here ranks AutoFormer there "
    "much better than the parameter count.",
    "imagenet_super is inherited from a super-net, not trained alone; it falls as the networks of "
    "the first AutoFormer file grow, and PiT has no such figure.",
    "c100, flower and chaoyang (trained without a teacher) have no figure for the second "
    "AutoFormer file; their ranking differs from that with a teacher.",
    "Heads change no parameter count in the AutoFormer space: queries, keys and values are as wide "
    "as the tokens whatever the number of heads.",
)


def vit101() -> Bench:
    """The published figures of 200 AutoFormer and 100 PiT architectures."""
    return Bench(
        name="vit101",
        kind="transformers",
        description="Vision transformers of the AutoFormer and PiT spaces, on three data sets.",
        citation="Wei et al., Auto-Prox: Training-Free Vision Transformer Architecture Search via "
        "Automatic Proxy Discovery, AAAI 2024, arXiv:2312.09059",
        source="https://github.com/lilujunai/Auto-Prox-AAAI24, gt_results/ (Apache-2.0)",
        caveats=CAVEATS,
        architectures=read_table(shipped("vit101.jsonl", DIGEST), targets=TARGETS),
        default_targets=DISTILLED,
        build=build,
        input_shape=(3, 224, 224),
        classes=100,
        untaught={target: target.removesuffix("_kd") for target in DISTILLED},
    )


def build(architecture: Architecture, *, classes: int = 100, image_size: int = 224) -> nn.Module:
    """The untrained network of `architecture`.

    Raises:
        UnknownNameError: the architecture is of neither space.
    """
    if architecture.space == "autoformer":
        return AutoFormerSpace(classes, image_size).build(architecture.config)
    if architecture.space == "pit":
        return pit_space(classes, image_size).build(architecture.config)
    raise UnknownNameError("space", architecture.space, ("autoformer", "pit"))
