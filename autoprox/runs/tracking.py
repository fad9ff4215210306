"""Experiment tracking: loggers, which are told of a run while it goes on.

A logger is any object with the three methods of `Logger`. TensorBoard's is here; docs/tracking.md
has those of other trackers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autoprox.errors import AutoproxError, RunError, UnknownNameError, reason_of
from autoprox.runs.folder import figures

if TYPE_CHECKING:
    from autoprox.evolution.search import Generation
    from autoprox.evolution.settings import Settings
    from autoprox.runs.evolve import Observer
    from autoprox.runs.record import Run


class Logger(Protocol):
    """Who is told of a run, to keep it beside others."""

    def start(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """The run has a folder and settings, as JSON data; what is raised here ends the run."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Generation number `step` is over; its figures are those in ``generations.csv``."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The run came to its end, or was stopped with a report; see `summary_of`."""


class TensorBoard:
    """A logger that writes TensorBoard's event files.

    Args:
        folder: where; each run has a folder in it, named as the run's own. None for the run's own
            folder, so that ``tensorboard --logdir runs`` shows all runs.

    Raises:
        AutoproxError: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise AutoproxError(
                "logging to TensorBoard needs tensorboard: pip install tensorboard"
            ) from None
        self.folder = None if folder is None else Path(folder)
        self._writer = SummaryWriter
        self._settings: dict[str, Any] = {}

    def start(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open an event file."""
        target = self.folder / folder.name if self.folder else folder
        try:
            self._events = self._writer(str(target))
        except OSError as error:
            raise RunError(
                f"cannot write TensorBoard's events to {target}: {error.strerror}; choose another "
                "folder: --log tensorboard:DIR"
            ) from None
        self._settings = dict(settings)
        self._events.add_text("settings", f"```\n{json.dumps(self._settings, indent=2)}\n```")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write each figure as a scalar."""
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary beside the settings, for the table of hyperparameters; close."""
        self._events.add_text("proxy", f"```\n{summary['expression']}\n```")
        plain = (bool, int, float, str)
        settings = {
            name: value if isinstance(value, plain) else json.dumps(value)
            for name, value in self._settings.items()
        }
        numbers = {
            name: value for name, value in summary.items() if isinstance(value, (int, float))
        }
        results = {f"result/{name}": value for name, value in numbers.items()}
        self._events.add_hparams(settings, results, run_name=".")
        self._events.close()


def logger(text: str) -> Logger:
    """Return the logger that a name stands for: ``tensorboard``, or ``tensorboard:FOLDER``.

    Raises:
        UnknownNameError: there is no logger of that name.
        AutoproxError: what it needs is not installed.
    """
    name, _, folder = text.partition(":")
    if name != "tensorboard":
        raise UnknownNameError("logger", name, ("tensorboard",))
    return TensorBoard(folder or None)


def summary_of(run: Run) -> dict[str, Any]:
    """Return what a run found: its best proxy and its joint correlations.

    ``expression``, ``complexity`` and ``finished``; ``search`` and ``held_out``, with the ends of
    its 95 % interval and ``above_known``, the difference to the best known proxy. What does not
    exist is left out.
    """
    best = run.held_out[0]
    low, high = best.joint_interval or (None, None)
    summary = {
        "expression": best.expression,
        "complexity": best.complexity,
        "finished": run.finished,
        "search": run.search[0].joint,
        "held_out": best.joint,
        "held_out_low": low,
        "held_out_high": high,
        "above_known": best.difference,
    }
    return {name: value for name, value in summary.items() if value is not None}


class Tracker:
    """An observer of a run that tells loggers, and passes everything on to another observer.

    A logger that cannot start ends the run before anything is measured. Later the run is worth more
    than its log: a logger that raises is told nothing more, a warning says so, and the run goes on.

    Args:
        observer: the other observer.
        loggers: or names, as `logger` reads them.

    Raises:
        AutoproxError: there is no such logger, or what it needs is not installed.
    """

    def __init__(self, observer: Observer, loggers: Sequence[Logger | str]) -> None:
        self.observer = observer
        self.measuring, self.resumed = observer.measuring, observer.resumed
        self.permuting, self.reporting = observer.permuting, observer.reporting
        self.interrupted = observer.interrupted  # all passed on as they are
        self.loggers = [logger(named) if isinstance(named, str) else named for named in loggers]

    def started(self, folder: Path, settings: Settings) -> None:
        """Start the loggers."""
        self.observer.started(folder, settings)
        for logger in self.loggers:
            logger.start(folder, settings.to_json())

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Log the figures that the generation has."""
        self.observer.generation(generation, held_out)
        row = figures(generation, held_out)
        step = row.pop("generation")
        self._tell("log", step, {name: value for name, value in row.items() if value is not None})

    def finished(self, run: Run) -> None:
        """Log what was found."""
        self.observer.finished(run)
        self._tell("finish", summary_of(run))

    def _tell(self, method: str, *arguments: Any) -> None:
        """Call a method of each logger; those that raise are left out from then on."""
        for logger in tuple(self.loggers):
            try:
                getattr(logger, method)(*arguments)
            except Exception as error:  # a logger may be anybody's and raise anything
                self.loggers.remove(logger)
                warnings.warn(
                    f"the logger {type(logger).__name__} failed and is told nothing more; the run "
                    f"goes on: {reason_of(error)}",
                    RuntimeWarning,
                    stacklevel=2,
                )
