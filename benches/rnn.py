"""NAS-Bench-NLP: 289 recurrent cells, trained as language models on WikiText-2.

References:
    Klyuchnikov et al., NAS-Bench-NLP: Neural Architecture Search Benchmark for Natural Language
    Processing, 2020, https://arxiv.org/abs/2006.07116
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_table

if TYPE_CHECKING:
    from torch import Tensor, nn

DIGEST = "c2e6035fb242b7447c1a0d0ca086175ee55cefa5f450f6b6369dcdf27ce2e948"

TOKENS, VOCABULARY = 16, 1000
"""The length of the texts that the networks are shown, and of how many tokens."""

TRAINED_TOKENS, TRAINED_VOCABULARY = 70, 33_278
"""Those of the networks that were trained, on WikiText-2."""

CAVEATS = (
    "The figure is a loss in nats a token: lower is better. Over repeated trainings its standard "
    "deviation is .007.",
    f"Texts are {TOKENS} random tokens of {VOCABULARY:,}; the networks were trained on "
    f"{TRAINED_TOKENS} of {TRAINED_VOCABULARY:,}. The embeddings, which are the head too, are the "
    "same in all networks. Of 20 networks scores in both forms agree by Somers' D of .98 (zico), "
    ".96 (naswot, of 17) and .94 (l2_norm), those of snip by .67, see results/shown_sizes.csv.",
    "No count ranks these networks: Kendall's tau of the parameter count is -.06.",
    "SynFlow's pass shows an input of ones, which token ids cannot be: `flow_grad` is not "
    "measured. 13 cells have steps that change no output, 9 of them matrices, whose gradients "
    "are 0.",
)

STATISTICS = tuple(name for name in nb201.STATISTICS if name != "flow_grad")
"""Those of nb201, less what needs inputs of numbers."""


@cache  # worker processes ask for it once an architecture
def rnn() -> Bench:
    """The published losses."""
    return Bench(
        name="rnn",
        kind="recurrent networks",
        description="Language models of a recurrent cell (NAS-Bench-NLP), on WikiText-2.",
        citation="Klyuchnikov et al., NAS-Bench-NLP: Neural Architecture Search Benchmark for "
        "Natural Language Processing, 2020, arXiv:2006.07116",
        source="https://github.com/fmsnew/nas-bench-nlp-release, train_logs_wikitext-2/ "
        "(Apache-2.0)",
        caveats=CAVEATS,
        architectures=shipped_table("rnn", DIGEST, "loss"),
        build=build,
        inputs=inputs,
        default_statistics=STATISTICS,
        default_architectures=130,
        noise={"rnn/loss": 0.007},
        lower_is_better=("loss",),
    )


def inputs(batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random tokens ``(batch, TOKENS)``, and the one after each."""
    from autoprox.statistics import token_noise

    return token_noise(TOKENS, VOCABULARY, batch, seed)


def build(architecture: Architecture, *, vocabulary: int = VOCABULARY) -> nn.Module:
    """The untrained network of `architecture`."""
    from autoprox.benches.recurrent import LanguageModel

    return LanguageModel(architecture.config["recipe"], vocabulary=vocabulary)
