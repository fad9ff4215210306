"""What decides a training: the recipe of a network, and what the caller changes of it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from autoprox.benches.cifar import NETWORKS
from autoprox.errors import RunError
from autoprox.runtime.arguments import check_counts, is_finite

RECIPES: dict[str, dict[str, Any]] = {
    "resnet20": {"epochs": 24, "optimiser": "sgd", "rate": 0.2, "decay": 5e-4},
    "mobilenetv2": {
        "epochs": 16,
        "optimiser": "sgd",
        "rate": 0.2,
        "decay": 2e-4,
        "precision": "float32",  # convolutions of one channel a group gain nothing by less
    },
    "vit": {"epochs": 24, "optimiser": "adamw", "rate": 2e-3, "decay": 0.05},
}
"""What each network is trained with unless the caller says otherwise."""

KNOWN = {"optimiser": ("sgd", "adamw"), "precision": ("bfloat16", "float32")}
"""What settings that are words may be."""

WARM_UP = 0.2
"""The share of the steps in which the rate rises."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingSettings:
    """All that a training depends on besides its images.

    Attributes:
        network: one of `NETWORKS`.
        epochs: how often each image is shown.
        optimiser: ``sgd`` (Nesterov, momentum 0.9) or ``adamw``.
        rate: the highest learning rate.
        decay: the weight decay; biases and norms have none.
        seed: of the first weights, of the order of the images, and of their augmentation.
        batch: images a step.
        smoothing: the share of a label that is spread over all classes.
        precision: ``bfloat16`` or ``float32``, of the convolutions and matrix products.
    """

    network: str
    epochs: int
    optimiser: str
    rate: float
    decay: float
    seed: int = 0
    batch: int = 128
    smoothing: float = 0.1
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Check what a caller may change.

        Raises:
            RunError: a setting makes no sense.
        """
        check_counts(RunError, epochs=self.epochs, batch=self.batch)
        check_counts(RunError, 0, seed=self.seed)
        if self.seed >= 2**31:
            raise RunError(f"expected a seed up to 2147483647; got {self.seed}")
        if not is_finite(self.rate) or self.rate <= 0:
            raise RunError(f"expected a finite rate above 0; got {self.rate!r}")
        if not is_finite(self.decay) or self.decay < 0:
            raise RunError(f"expected a finite decay from 0; got {self.decay!r}")
        if not is_finite(self.smoothing) or not 0 <= self.smoothing <= 1:
            raise RunError(f"expected a smoothing from 0 to 1; got {self.smoothing!r}")
        for name, known in KNOWN.items():
            if (word := getattr(self, name)) not in known:
                raise RunError(f"expected {name} {' or '.join(known)}; got {word!r}")

    def learning_rate(self, progress: float) -> float:
        """The rate after that share of the steps: one cycle, up linearly and down as a cosine.

        >>> settings = recipe("resnet20", rate=0.2)
        >>> [round(settings.learning_rate(share), 4) for share in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.1, 0.2, 0.1, 0.0]
        """
        if progress < WARM_UP:
            return self.rate * progress / WARM_UP
        return self.rate * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def recipe(network: str, **changes: Any) -> TrainingSettings:
    """The settings of a training of `network`: its recipe, with what is given instead.

    Raises:
        UnknownNameError: no network has that name.
        RunError: a setting makes no sense.
    """
    NETWORKS[network]
    return TrainingSettings(
        **{"network": network, "precision": quick_precision(), **RECIPES[network], **changes}
    )


def quick_precision() -> str:
    """The precision in which this machine trains fastest: ``bfloat16`` on a GPU or with AMX."""
    return "bfloat16" if torch.cuda.is_available() else processor_precision()


def processor_precision() -> str:
    """The precision in which networks run fastest on this processor: ``bfloat16`` with AMX."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("amx_bf16") else "float32"
