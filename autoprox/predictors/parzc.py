"""ParZC: a Mixer with Bayesian linear layers over the numbers of a network's layers.

References:
    Dong et al., ParZC: Parametric Zero-Cost Proxies for Efficient NAS, AAAI 2025,
    https://arxiv.org/abs/2402.02105 and the authors' code (piconas, pinat_model.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from autoprox.predictors.losses import LOSSES
from autoprox.runtime.seeding import seeded
from autoprox.runtime.threads import one_thread

Array = NDArray[np.float64]

PIECE = 16
"""How many numbers a piece of the embedded input has, and how many pieces there are."""

SPREAD = -5.0
"""What sets the deviation of a new layer's weights, log(1 + exp(-5)): about .007."""


class BayesianLinear(nn.Module):
    """A linear layer without bias whose weight is drawn anew at every pass, also in use.

    The weight is mean + log(1 + exp(spread)) * standard normal; no loss pulls the two towards a
    prior.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Draw the means as torch draws the weights of linear layers."""
        super().__init__()
        self.mean = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.kaiming_uniform_(self.mean, a=5**0.5)
        self.spread = nn.Parameter(torch.full((outputs, inputs), SPREAD))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., inputs)`` to ``(..., outputs)``."""
        return linear(x, self.mean + softplus(self.spread) * torch.randn_like(self.mean))


class ResidualPerceptrons(nn.Module):
    """Two residual perceptrons, each behind a LayerNorm; ``(n, pieces, width)`` to the same.

    As released, both act on the features of a piece. With `mixing`, the first acts across the
    pieces, as in a Mixer.
    """

    def __init__(self, width: int, mixing: bool) -> None:
        super().__init__()
        size = PIECE if mixing else width
        self.mixing = mixing
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        self.second = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the perceptrons give."""
        y = self.first_norm(x)
        y = self.first(y.transpose(1, 2)).transpose(1, 2) if self.mixing else self.first(y)
        x = x + y
        added: Tensor = self.second(self.second_norm(x))
        return x + added


class ParZC(nn.Module):
    """The network, or some of its parts; ``(n, inputs)`` to predictions ``(n,)``.

    Args:
        inputs: numbers a network.
        width: features of a piece; 512 in the paper's code.
        depth: how many blocks; 0 for the Bayesian layers alone.
        mixing: whether blocks mix pieces, see `ResidualPerceptrons`.
        bayesian: whether the two layers around the blocks are Bayesian; else they are linear.
        dropout: before the last layer.
    """

    def __init__(
        self,
        inputs: int,
        width: int = 128,
        depth: int = 4,
        mixing: bool = False,
        bayesian: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()

        def around(first: int, second: int) -> nn.Module:
            if bayesian:
                return BayesianLinear(first, second)
            return nn.Linear(first, second, bias=False)

        self.cut = nn.Linear(inputs, PIECE * PIECE)
        self.embed = around(PIECE, width)
        self.blocks = nn.Sequential(*(ResidualPerceptrons(width, mixing) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.pooled = around(width, width)
        self.head = nn.Sequential(
            nn.Linear(width, width // 2, bias=False),
            nn.Dropout(dropout),
            nn.Linear(width // 2, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Predict."""
        pieces = self.embed(self.cut(x).unflatten(1, (PIECE, PIECE)))
        predicted: Tensor = self.head(self.pooled(self.norm(self.blocks(pieces)).mean(1)))
        return predicted.squeeze(1)


class Perceptron(nn.Sequential):
    """Two hidden layers; ``(n, inputs)`` to predictions ``(n,)``."""

    def __init__(self, inputs: int, width: int = 128, dropout: float = 0.1) -> None:
        super().__init__(
            nn.Linear(inputs, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
            nn.Flatten(0),
        )


def _built(inputs: int, settings: Mapping[str, Any]) -> nn.Module:
    kind = ParZC if "depth" in settings else Perceptron
    training = ("loss", "epochs", "rate", "decay", "batch", "passes")
    shape = {name: value for name, value in settings.items() if name not in training}
    network: nn.Module = kind(inputs, **shape)
    return network


@one_thread()
def fit(inputs: Array, labels: Array, seed: int, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Train a network on standardised labels, and return its weights by name.

    Adam, a rate that falls as a cosine over the epochs, batches in an order drawn from the seed; a
    last batch of one is left out of an epoch.
    """
    with seeded(seed):
        network = _built(inputs.shape[1], settings)
        optimiser = torch.optim.Adam(
            network.parameters(), lr=settings["rate"], weight_decay=settings["decay"]
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings["epochs"])
        loss, x = LOSSES[settings["loss"]], torch.from_numpy(inputs).float()
        y = torch.from_numpy((labels - labels.mean()) / labels.std()).float()
        for _ in range(settings["epochs"]):
            for places in torch.split(torch.randperm(len(y)), settings["batch"]):
                if len(places) > 1:
                    optimiser.zero_grad()
                    loss(network(x[places]), y[places]).backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
            schedule.step()
    return {name: value.numpy() for name, value in network.state_dict().items()}


@one_thread()
def predict(
    arrays: Mapping[str, Array], inputs: Array, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Return the mean and the standard deviation over passes, ``(n,)`` each.

    The weights of a pass are the same for all networks and in any call.
    """
    network = _built(inputs.shape[1], settings).eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    x = torch.from_numpy(inputs).float()
    with seeded(0), torch.no_grad():
        passes = torch.stack([network(x).double() for _ in range(settings["passes"])]).numpy()
    return passes.mean(0), passes.std(0)
