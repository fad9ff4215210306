"""A bench of language models: token ids in, a loss over every token, accuracies made up."""

from torch import nn

from autoprox.benches import Architecture, Bench
from autoprox.statistics import token_noise
from tests.any_networks import TOKENS, VOCABULARY, Language


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`."""
    return Language(architecture.config["width"])


def inputs(batch: int, seed: int):
    """Random token ids, by keyword, and the ids after them."""
    ids, following = token_noise(TOKENS, VOCABULARY, batch, seed)
    return {"ids": ids}, following


bench = Bench(
    name="tokens",
    description="Language models with made-up accuracies, for tests.",
    citation="none",
    source="made up in tests/token_bench.py",
    caveats=("The accuracies are made up.",),
    architectures=tuple(
        Architecture(f"w{width}", "lm", {"width": width}, {"accuracy": 30 + 7 * width % 12 + width})
        for width in range(2, 16)
    ),
    targets=("accuracy",),
    default_targets=("accuracy",),
    build=build,
    inputs=inputs,
)
