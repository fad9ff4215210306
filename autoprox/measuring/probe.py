"""What the networks of a bench are shown, and a network that is shown it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from autoprox.benches import Architecture, Bench
from autoprox.benches.teachers import BESTS, best_of, build_teacher, teacher_mark
from autoprox.errors import BenchError, StatisticError, reason_of
from autoprox.runtime.arguments import check_numbers
from autoprox.runtime.device import CPU, device_of, full_precision
from autoprox.runtime.digest import digest
from autoprox.runtime.files import canonical
from autoprox.runtime.seeding import seeded
from autoprox.statistics import (
    DEFAULT_SAMPLE,
    STATISTICS_VERSION,
    Measurement,
    Sample,
    Store,
    images,
    measure,
    noise,
)
from autoprox.statistics.inputs import IMAGENET, LARGEST_SEED
from autoprox.statistics.measuring import own_randomness
from autoprox.statistics.subject import Subject
from autoprox.statistics.taught import OF_CLASSES, Teacher
from autoprox.statistics.trees import Inputs, Targets, mapped
from autoprox.statistics.words import OF_TEACHER, TAUGHT

DEFAULT_BATCH = 8
"""How many inputs the networks are shown."""

MOST_INPUTS, MOST_ENTRIES = 2**20, 2**22
"""No larger batch is drawn, and no larger sample of a tensor, which nobody's memory would hold."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the networks of a bench are shown, and how much of what they show is kept.

    Attributes:
        batch: the number of inputs.
        seed: of the networks' weights, the inputs, and the sample's places.
        sample: entries kept of each tensor of a layer, or ``"full"``.
        images: an .npz file or a folder of real images; None for seeded noise and labels.
        device: where the networks run; places and noise are the same on all, numbers to rounding.
        teacher: what the networks are compared with, see `autoprox.benches.teachers`; or None.
            The best of a bench is an `Architecture` of it, see `beside`.
        teacher_weights: the file of its weights; None for weights drawn from the seed.
    """

    batch: int = DEFAULT_BATCH
    seed: int = 0
    sample: Sample = DEFAULT_SAMPLE
    images: str | None = None
    device: str = CPU
    teacher: str | Architecture | None = None
    teacher_weights: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers; paths become text, which JSON can hold.

        Raises:
            StatisticError: one is out of its range, or none.
        """
        for name in ("images", "teacher_weights"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, str(path))
        check_numbers(self, StatisticError, {"sample": "full"})
        if self.batch < 1:
            raise StatisticError(f"batch is at least 1; got {self.batch}")
        if self.batch > MOST_INPUTS:
            raise StatisticError(f"batch is at most {MOST_INPUTS:,}; got {self.batch}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise StatisticError(f"probe_seed is from 0 to {LARGEST_SEED}; got {self.seed}")
        if self.sample != "full" and self.sample < 1:
            raise StatisticError(f"sample is 1 or more, or 'full'; got {self.sample!r}")
        if self.sample != "full" and self.sample > MOST_ENTRIES:
            raise StatisticError(
                f"sample is at most {MOST_ENTRIES:,}, or 'full'; got {self.sample}"
            )

    def inputs(self, bench: Bench) -> tuple[Inputs, Targets]:
        """Return the batch, ``(batch, *input_shape)``, and its labels, ``(batch,)``.

        A bench with inputs of its own gives both.

        Raises:
            StatisticError: the images cannot be read, or the bench's networks take none.
            BenchError: the bench's own inputs fail.
        """
        if bench.inputs is not None:
            if self.images is None:
                return _own_inputs(bench, self.batch, self.seed)
            raise StatisticError(
                f"bench {bench.name!r} has inputs of its own; leave out {self.images}"
            )
        if self.images is None:
            return noise(bench.input_shape, bench.classes, batch=self.batch, seed=self.seed)
        if not takes_images(bench):
            raise StatisticError(
                f"the networks of bench {bench.name!r} take inputs of shape {bench.input_shape}; "
                f"images are (channels, height, width): leave out {self.images}"
            )
        channels, height, width = bench.input_shape
        try:
            return images(
                self.images,
                (channels, height, width),
                bench.classes,
                batch=self.batch,
                seed=self.seed,
                normalisation=bench.normalisation or IMAGENET,
            )
        except StatisticError as error:  # of several benches, images may suit one alone
            raise StatisticError(f"bench {bench.name!r}: {error}") from None

    def on_device(
        self, network: nn.Module, inputs: Inputs, targets: Targets
    ) -> tuple[nn.Module, Inputs, Targets]:
        """Return a network and its batch where they run.

        Raises:
            StatisticError: there is no such device.
        """
        device = device_of(self.device)
        moved = [mapped(tree, lambda tensor: tensor.to(device)) for tree in (inputs, targets)]
        return network.to(device), moved[0], moved[1]

    def shared_key(self, bench: Bench, fingerprint: str) -> dict[str, Any]:
        """Return what determines the statistics of all architectures of a bench alike.

        That digests the bench's functions and the files of the teacher, which may be large: ask
        once, and complete it by `architecture_key` or `network_key`.

        Raises:
            BenchError: a file of the teacher cannot be read.
        """
        elsewhere = {} if self.device == CPU else {"device": self.device.partition(":")[0]}
        functions = {"loss": bench.loss, "outputs": bench.outputs}
        marks = {
            name: digest(function).mark
            for name, function in functions.items()
            if function is not None
        }
        taught = {} if self.teacher is None else {"teacher": self.teacher_mark}
        mode = {} if bench.mode == "train" else {"mode": bench.mode}
        return {
            "bench": bench.name,
            "version": bench.version,
            "input_shape": list(bench.input_shape),
            "classes": bench.classes,
            "inputs": fingerprint,
            "statistics": STATISTICS_VERSION,
            "batch": self.batch,
            "seed": self.seed,
            "sample": self.sample,
            **elsewhere,
            **marks,
            **taught,
            **mode,
        }

    def beside(self, bench: Bench, architectures: Sequence[Architecture]) -> Probe:
        """Return the same probe, the teacher of which is the best of `architectures` if it is one.

        Every process that measures sees the same teacher, whichever part of the bench it has.

        Raises:
            BenchError: none of them has a figure.
        """
        if self.teacher not in BESTS:
            return self
        return replace(self, teacher=best_of(bench, architectures))

    @property
    def teacher_mark(self) -> dict[str, str]:
        """All that the teacher depends on beside the bench and the seed.

        Raises:
            BenchError: its file, or that of its weights, cannot be read.
        """
        assert self.teacher is not None
        assert self.teacher not in BESTS, "which architecture that is depends on the bench at hand"
        return teacher_mark(self.teacher, self.teacher_weights)

    def taught(self, bench: Bench) -> Teacher | None:
        """Return the teacher of a bench's networks where they run, built once a process.

        Raises:
            BenchError: there are weights and no teacher, or it cannot be built.
        """
        if self.teacher is None:
            if self.teacher_weights is not None:
                raise BenchError(
                    f"{self.teacher_weights} are weights of a teacher; say of which, as in "
                    "--teacher resnet56"
                )
            return None
        key = bench.name, bench.version, bench.classes, self, canonical(self.teacher_mark)
        if key not in _TEACHERS:
            _TEACHERS.clear()
            network = build_teacher(self.teacher, bench, self.teacher_weights, self.seed)
            _TEACHERS[key] = Teacher(network.to(device_of(self.device)))
        return _TEACHERS[key]

    def taught_words(self, bench: Bench) -> tuple[str, ...]:
        """Return the statistics of both networks; not of classes if the teacher has others.

        Raises:
            BenchError: the teacher cannot be built.
            StatisticError: it fails on the batch, or cannot be compared.
        """
        teacher = self.taught(bench)
        if teacher is None:
            return ()
        _, inputs, targets = self.on_device(teacher.network, *self.inputs(bench))
        subject = Subject(
            teacher.network, inputs, targets, (), self.seed, loss=bench.loss, outputs=bench.outputs
        )
        with full_precision(), own_randomness(inputs), torch.inference_mode(False):
            alike = teacher.side(subject).view.logits.shape[1] == bench.classes
        return tuple(
            name for name in TAUGHT if alike or name.removeprefix(OF_TEACHER) not in OF_CLASSES
        )


def architecture_key(
    shared: Mapping[str, Any], bench: Bench, architecture: Architecture
) -> dict[str, Any]:
    """Return everything that determines an architecture's statistics; see `Probe.shared_key`."""
    bits = {} if bench.bits is None else {"bits": list(bench.bits(architecture))}
    own = {"architecture": architecture.name, "config": dict(architecture.config)}
    return {**shared, **own, **bits}


def network_key(shared: Mapping[str, Any], space: str, bits: int | None = None) -> dict[str, Any]:
    """Return everything that determines the statistics of the trained network of a space.

    Args:
        shared: what `Probe.shared_key` returns, or the key of an architecture of the space.
        space: the space.
        bits: those of every layer; None for the statistics that do not depend on bits.
    """
    return {**shared, "architecture": space, "config": {}, "bits": bits}


def takes_images(bench: Bench) -> bool:
    """Whether the networks of a bench can be shown images: (channels, height, width)."""
    return bench.inputs is None and len(bench.input_shape) == 3


def _own_inputs(bench: Bench, batch: int, seed: int) -> tuple[Inputs, Targets]:
    """Return what a bench's own function gives."""
    assert bench.inputs is not None
    try:
        with seeded(seed):
            inputs, targets = bench.inputs(batch, seed)
    except Exception as error:  # the function is anybody's and may raise anything
        raise BenchError(
            f"bench {bench.name!r}: inputs({batch}, seed={seed}) failed: "
            f"{reason_of(error)}; expected inputs and targets"
        ) from error
    return inputs, targets


_BATCHES: dict[str, tuple[Inputs, Targets]] = {}
"""The batches that this process shows its networks, by their fingerprints."""


_TEACHERS: dict[tuple[object, ...], Teacher] = {}
"""The teacher that this process shows its networks beside."""


class Exhibit:
    """A network of a bench on a batch; built, and shown it, only if something has to be measured.

    Args:
        bench: the bench.
        probe: what the network is shown.
        build: gives the network; several exhibits may share it.
        mark: the fingerprint of the batch.
        store: the cache of statistics.
    """

    def __init__(
        self, bench: Bench, probe: Probe, build: Callable[[], nn.Module], mark: str, store: Store
    ) -> None:
        self.bench = bench
        self.probe = probe
        self.store = store
        self._build = build
        self._mark = mark

    @cached_property
    def shown(self) -> tuple[nn.Module, Inputs, Targets]:
        """The network and its batch; the batch is read or drawn once a process."""
        if self._mark not in _BATCHES:
            if len(_BATCHES) > 3:
                _BATCHES.clear()
            _BATCHES[self._mark] = self.probe.inputs(self.bench)
        return self.probe.on_device(self._build(), *_BATCHES[self._mark])

    def measure(self, names: Sequence[str], bits: tuple[int, ...] | None = None) -> Measurement:
        """Return statistics, measured now."""
        probe, how = self.probe, self.how
        with full_precision():
            return measure(
                *self.shown, names, sample=probe.sample, seed=probe.seed, bits=bits, **how
            )

    @property
    def how(self) -> dict[str, Any]:
        """How the network is read, and its teacher, as keywords of a proxy's call."""
        return {**self.bench.how, "teacher": self.probe.taught(self.bench)}

    def measure_missing(
        self, key: Mapping[str, Any], names: Sequence[str], bits: tuple[int, ...] | None = None
    ) -> None:
        """Measure and save the statistics that the cache lacks."""
        if missing := self.store.missing(key, names):
            self.store.save(key, self.measure(missing, bits))
