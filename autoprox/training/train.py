"""Training a network of `autoprox.benches.cifar`: seeded, one checkpoint an epoch, resumable.

What happens in an epoch depends on the seed and the number of the epoch alone, so that a resumed
training goes on exactly as if it had not stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import SGD, AdamW, Optimizer

from autoprox.benches.cifar import DEVIATION, MEAN, NETWORKS, Labelled, normalised
from autoprox.errors import RunError
from autoprox.quantise.running import accuracy
from autoprox.runtime.arguments import named_options
from autoprox.runtime.journal import restoring
from autoprox.runtime.seeding import seeded
from autoprox.training.checkpoint import (
    half,
    read_checkpoint,
    restore,
    write_checkpoint,
    write_weights,
)
from autoprox.training.distilling import Distillation, Distilled
from autoprox.training.settings import TrainingSettings, recipe

SHIFT = 4
"""How many pixels an image is moved at most."""

SPREAD = 2654435761
"""How far apart the random states of two seeds begin; those of two epochs of one begin 1 apart."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        epoch: the epoch in work, from 1.
        step: the steps of that epoch that are done, of `steps`.
        loss: its mean over them.
        accuracy: in percent, on the augmented training images of these steps.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float


@named_options(TrainingSettings, replaced=("network",))
def train(
    network: str,
    images: Labelled,
    test: Labelled,
    folder: str | Path = ".",
    *,
    resume: bool = False,
    distillation: Distillation | None = None,
    observer: Callable[[TrainingProgress], None] = lambda _: None,
    **changes: Any,
) -> Path:
    """Train a network and write its weights, in half precision.

    Args:
        network: one of `autoprox.benches.cifar.NETWORKS`.
        images: what to train on.
        test: what the accuracy is measured on, once, when the training is over.
        folder: where ``NETWORK.safetensors`` is written, and beside it, until then, a checkpoint
            after each epoch.
        resume: go on with the checkpoint in `folder`; settings that are given must be its own, and
            its teacher has to be given again.
        distillation: what a teacher adds to the loss; None for the labels alone.
        observer: called after each step.
        **changes: `TrainingSettings` that replace those of the network's recipe.

    Returns:
        The path of the weights; what is known about them stands in the file's header, with the
        command that trains so, or null where its options cannot say all that `changes` and
        `distillation` do.

    Raises:
        UnknownNameError: no network has that name.
        RunError: the folder has such a file already, there is nothing to resume, what is there was
            made with other settings or images, a setting makes no sense, or the loss diverges; no
            checkpoint is left then.
        StatisticError: the teacher fails on the images, or cannot be compared.
    """
    NETWORKS[network]
    result = Path(folder) / f"{network}.safetensors"
    checkpoint = checkpoint_path(network, folder)
    if os.path.exists(result) and not (resume and os.path.exists(checkpoint)):
        raise RunError(f"{result} is there already: choose another --out, or remove it")
    if resume:
        training = _resumed(checkpoint, images, distillation, changes)
    else:
        training = _begun(checkpoint, images, network, distillation, changes)
    if os.path.exists(result) and len(training.history) < training.settings.epochs:
        raise RunError(f"{result} is not of the training in {checkpoint}: move one of them away")
    training.check(images)  # before a checkpoint is in the way of the next try
    training.write(checkpoint)  # finds out at once if the folder cannot be written
    try:
        for epoch in range(len(training.history), training.settings.epochs):
            training.epoch(epoch, images, observer)
            training.write(checkpoint)
    except _DivergedError:
        checkpoint.unlink()  # or it would be in the way of another rate
        raise
    _write_result(result, training, test)
    checkpoint.unlink()
    return result


def checkpoint_path(network: str, folder: str | Path) -> Path:
    """Where a training in `folder` keeps what it needs to go on."""
    return Path(folder) / f"{network}.checkpoint.safetensors"


class _DivergedError(RunError):
    """A training whose loss is no number any more; to go on with it would end the same."""


class _Training:
    """A network, its optimiser, and the history of its epochs."""

    def __init__(
        self, settings: TrainingSettings, data: str, distillation: Distillation | None
    ) -> None:
        self.settings, self.data, self.distillation = settings, data, distillation
        self.history: list[dict[str, float]] = []
        # Before any step, as a distance may remember what it was shown.
        self.distillation_facts = None if distillation is None else distillation.facts()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with seeded(settings.seed):
            network = NETWORKS[settings.network]()
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = _optimiser(self.network, settings)
        self.distilled = (
            None if distillation is None else Distilled(self.network, distillation, self.device)
        )

    def facts(self) -> dict[str, Any]:
        """What the header of a file says, besides the tensors."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "data": self.data,
            "history": self.history,
            **({"distillation": distillation} if (distillation := self.distillation_facts) else {}),
        }

    def check(self, images: Labelled) -> None:
        """Show the teacher, if there is one, the first images."""
        if self.distilled is not None:
            first = slice(self.settings.batch)
            shown, labels = normalised(images.images[first]), torch.from_numpy(images.labels[first])
            self.distilled.check(shown.to(self.device), labels.to(self.device))

    def write(self, path: Path) -> None:
        """Write all that the training needs to go on."""
        write_checkpoint(path, self.network, self.optimiser, self.facts())

    def epoch(
        self, epoch: int, images: Labelled, observer: Callable[[TrainingProgress], None]
    ) -> None:
        """Show the network each image once, in whole batches."""
        settings, generator = self.settings, torch.Generator()
        generator.manual_seed((settings.seed * SPREAD + epoch) % 2**32)  # torch reads no more bits
        size = min(settings.batch, len(images.labels))
        steps = len(images.labels) // size
        order = torch.randperm(len(images.labels), generator=generator)
        batches = order[: steps * size].view(steps, size)
        loss_sum = right = 0.0
        self.network.train()
        for step, batch in enumerate(batches):
            progress = (epoch + (step + 1) / steps) / settings.epochs
            for group in self.optimiser.param_groups:
                group["lr"] = settings.learning_rate(progress)
            shown = augmented(normalised(images.images[batch.numpy()]), generator)
            labels = torch.from_numpy(images.labels)[batch]
            loss, correct = self._step(shown.to(self.device), labels.to(self.device))
            if not math.isfinite(loss):
                raise _DivergedError(
                    f"the loss of step {step + 1} of epoch {epoch + 1} is {loss}: choose a smaller "
                    "--rate"
                )
            loss_sum, right = loss_sum + loss, right + correct
            mean, share = loss_sum / (step + 1), 100 * right / ((step + 1) * size)
            observer(TrainingProgress(epoch + 1, settings.epochs, step + 1, steps, mean, share))
        self.history.append({"loss": mean, "accuracy": share})

    def _step(self, shown: Tensor, labels: Tensor) -> tuple[float, int]:
        """Take one step; returns the loss and how many images were classified rightly."""
        shown = shown.contiguous(memory_format=torch.channels_last)
        low = self.settings.precision == "bfloat16"
        # On a CPU, the backward pass of fused attention makes a bfloat16 step half as long again.
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=low),
            sdpa_kernel(SDPBackend.MATH),
        ):
            added: Tensor | float = 0.0
            if self.distilled is None:
                logits = self.network(shown).float()
            else:
                logits, added = self.distilled(shown, labels)
            loss = F.cross_entropy(logits, labels, label_smoothing=self.settings.smoothing) + added
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item(), int((logits.argmax(dim=1) == labels).sum())


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images moved by up to `SHIFT` pixels and mirrored at random, ``(N, C, H, W)`` to the same.

    What moves in from outside is the image's own reflection.
    """
    count, _, height, width = images.shape
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    wide = F.pad(images, (SHIFT,) * 4, mode="reflect")
    moved = wide.unfold(2, height, 1).unfold(3, width, 1)[torch.arange(count), :, down, right]
    return torch.where(mirrored.view(-1, 1, 1, 1), moved.flip(3), moved)


def _optimiser(network: nn.Module, settings: TrainingSettings) -> Optimizer:
    """The optimiser, which decays the weights of layers and nothing else."""
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if settings.optimiser == "adamw":
        return AdamW(groups, lr=settings.rate)
    return SGD(groups, lr=settings.rate, momentum=0.9, nesterov=True)


def _digest(images: Labelled) -> str:
    """SHA-256 of images and labels."""
    digest = hashlib.sha256(images.images.tobytes())
    digest.update(images.labels.tobytes())
    return digest.hexdigest()


def _begun(
    checkpoint: Path,
    images: Labelled,
    network: str,
    distillation: Distillation | None,
    changes: dict[str, Any],
) -> _Training:
    """Start a training."""
    if os.path.exists(checkpoint):
        raise RunError(
            f"{checkpoint} is a training that is not over: --resume goes on; or remove it"
        )
    return _Training(recipe(network, **changes), _digest(images), distillation)


def _resumed(
    checkpoint: Path, images: Labelled, distillation: Distillation | None, changes: dict[str, Any]
) -> _Training:
    """Go on with a training."""
    if not os.path.exists(checkpoint):
        raise RunError(f"there is no {checkpoint} to go on with; leave out --resume")
    tensors, begun = read_checkpoint(checkpoint)
    settings = begun.settings
    for name, value in changes.items():
        if getattr(settings, name) != value:
            raise RunError(
                f"{checkpoint} was begun with {name} {getattr(settings, name)}, not {value}: leave "
                "it out, or start anew with another --out"
            )
    training = _Training(settings, _digest(images), distillation)
    before, now = begun.distillation, training.distillation_facts
    if before and now:  # an earlier autoprox wrote no digests of distances
        before = {"distances": now["distances"], **before}
    if before != now:
        raise RunError(f"{checkpoint} was begun with another teacher or distance: give the same")
    if begun.data != training.data:
        raise RunError(f"{checkpoint} was begun with other training images: give the same --data")
    with restoring(checkpoint):
        restore(tensors, training.network, training.optimiser)
    training.history = begun.history
    return training


def _write_result(path: Path, training: _Training, test: Labelled) -> None:
    """Write the weights in half precision, and how good they are in that form."""
    network, settings = training.network.cpu(), training.settings
    weights = half(network)
    network.load_state_dict(weights)
    shown, labels = normalised(test.images), torch.from_numpy(test.labels)
    facts = {
        "accuracy": accuracy(network, shown, labels),
        "test_images": len(test.labels),
        "test_data": _digest(test),
        "normalisation": {"mean": MEAN, "deviation": DEVIATION},
        "command": _command(settings, training.distillation),
        "torch": torch.__version__,
        "device": training.device.type,
        **training.facts(),
    }
    write_weights(path, weights, facts)


def _command(settings: TrainingSettings, distillation: Distillation | None) -> str | None:
    """The command that trains so; None if there is none, as options cannot say all of it."""
    names = ("epochs", "batch", "rate", "seed", "precision")
    values = {name: getattr(settings, name) for name in names}
    untold = distillation is not None and not distillation.options
    if untold or recipe(settings.network, **values) != settings:
        return None
    options = " ".join(f"--{name} {value}" for name, value in values.items())
    options += f" --threads {torch.get_num_threads()}"
    if distillation is not None:
        options += f" {distillation.options}"
    return f"autoprox bench train {settings.network} --data FILE {options}"
