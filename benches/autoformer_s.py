"""AutoFormer-Small: 1,001 vision transformers with accuracies inherited from a super-net.

References:
    Chen et al., AutoFormer: Searching Transformers for Visual Recognition, ICCV 2021,
    https://arxiv.org/abs/2107.00651
    Ho et al., Vision Transformer Neural Architecture Search for Out-of-Distribution Generalization:
    Benchmark and Insights, NeurIPS 2024
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_table

if TYPE_CHECKING:
    from torch import nn

DIGEST = "1afe7601e12e02340fb4ff7759d1a7474969c4fc268bd7df29cdbaf43f0802a8"

IMAGE_SIZE = 64
"""The side of the images that the networks are shown."""

CAVEATS = (
    "Accuracies are inherited from a super-net: no network was trained alone. They lie between "
    "79.4 and 81.7 %.",
    "The parameter count ranks all networks with a Kendall's tau of .79.",
    f"Images are {IMAGE_SIZE} pixels wide, for speed; the networks were trained with 224. Only the "
    "table of positions has fewer entries, 17 in the place of 197. Scores in both sizes agree: of "
    "20 networks by Somers' D of .92 (snip) and .97 (zico, naswot), see results/shown_sizes.csv.",
    "These are not the networks of vit101's space `autoformer`: heads are 64 wide each, so that "
    "they change the parameter count, and keys and values have relative positions.",
)


@cache  # worker processes ask for it once an architecture
def autoformer_s() -> Bench:
    """The published figures."""
    return Bench(
        name="autoformer_s",
        kind="transformers",
        description="Vision transformers of the AutoFormer-Small space, on ImageNet.",
        citation="Ho et al., Vision Transformer Neural Architecture Search for Out-of-Distribution "
        "Generalization: Benchmark and Insights, NeurIPS 2024; on networks of Chen et al., "
        "AutoFormer: Searching Transformers for Visual Recognition, ICCV 2021, arXiv:2107.00651",
        source="https://github.com/vovantuan1999a/OoD-ViT-NAS, architecture_infors/ (no licence "
        "stated)",
        caveats=CAVEATS,
        architectures=shipped_table("autoformer_s", DIGEST, "imagenet_super"),
        build=build,
        input_shape=(3, IMAGE_SIZE, IMAGE_SIZE),
        classes=1000,
        default_architectures=75,
    )


def build(architecture: Architecture, *, image_size: int = IMAGE_SIZE) -> nn.Module:
    """The untrained network of `architecture`."""
    from autoprox.benches.autoformer import AutoFormer
    from autoprox.benches.relative import RelativeAttention

    return AutoFormer(
        **architecture.config, classes=1000, image_size=image_size, attention=RelativeAttention
    )
