"""Networks by proxies: the scores of models of one's own, without a bench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError, StatisticError, UnknownNameError, reason_of
from autoprox.language.graph import Graph
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import AnyProxy, Scorable, Source, load, load_all
from autoprox.proxies.proxy import Proxy, score_of
from autoprox.runtime.markup import join, table, tag
from autoprox.statistics import STATISTICS, Sample
from autoprox.statistics.measurement import checked_how

if TYPE_CHECKING:
    import pandas
    from torch import nn

    from autoprox.quantise.layers import Bits
    from autoprox.statistics import Measurement, Mode
    from autoprox.statistics.outcomes import Loss, Outputs
    from autoprox.statistics.taught import Teacher
    from autoprox.statistics.trees import Inputs, Targets

FORMAT = "autoprox network scores"
VERSION = 1

Outcome: TypeAlias = float | str
"""A score, or the reason why there is none."""


@dataclass(frozen=True, eq=False)
class ScoreFrame:
    """Scores of networks, a row each, by proxies, a column each; higher is better.

    Attributes:
        networks: the names of the rows.
        proxies: the names of the columns.
        scores: ``(networks, proxies)`` float64, NaN where there is none.
        failures: network and proxy to the reason why there is no score.
        loss: what loss the proxies that use one saw; None if none of them does.
    """

    networks: tuple[str, ...]
    proxies: tuple[str, ...]
    scores: NDArray[np.float64]
    failures: Mapping[tuple[str, str], str] = field(default_factory=dict)
    loss: str | None = None

    def __len__(self) -> int:
        """Count the networks."""
        return len(self.networks)

    def __getitem__(self, proxy: str) -> dict[str, float]:
        """Return the scores of a proxy by network.

        Raises:
            UnknownNameError: it has no column.
        """
        if proxy not in self.proxies:
            raise UnknownNameError("proxy", proxy, self.proxies)
        column = self.scores[:, self.proxies.index(proxy)]
        return dict(zip(self.networks, column.tolist(), strict=True))

    def ranking(self, proxy: str) -> tuple[str, ...]:
        """Return the networks that a proxy scores, the best first; equal ones as they came.

        Raises:
            UnknownNameError: it has no column.
        """
        scores = {name: value for name, value in self[proxy].items() if np.isfinite(value)}
        return tuple(sorted(scores, key=lambda name: -scores[name]))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "loss": self.loss,
            "proxies": list(self.proxies),
            "rows": [
                {
                    "network": network,
                    "scores": {
                        proxy: value
                        for proxy, value in zip(self.proxies, row.tolist(), strict=True)
                        if (network, proxy) not in self.failures
                    },
                    "failures": {
                        proxy: reason
                        for (failing, proxy), reason in self.failures.items()
                        if failing == network
                    },
                }
                for network, row in zip(self.networks, self.scores, strict=True)
            ],
        }

    def to_frame(self) -> pandas.DataFrame:
        """Return the scores as a data frame, NaN where there is none.

        Raises:
            AutoproxError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise AutoproxError("to_frame needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.scores, list(self.networks), list(self.proxies))

    def __str__(self) -> str:
        """Return the table as plain text, with what failed below."""
        rows = [("", *self.proxies), *self._cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        return "\n".join([*lines, *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        caption = f"{len(self.networks)} networks, {len(self.proxies)} proxies; higher is better"
        shown = table(caption, ("", *self.proxies), self._cells())
        return join([shown, *(tag("p", note) for note in self._notes())])

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (name, *("-" if np.isnan(value) else f"{value:.5g}" for value in row))
            for name, row in zip(self.networks, self.scores, strict=True)
        ]

    def _notes(self) -> list[str]:
        """Return what loss was seen, and each reason once."""
        reasons: dict[tuple[str, str], list[str]] = {}
        for (network, proxy), reason in self.failures.items():
            text = reason.partition("\n")[0].removeprefix(f"{proxy}: ")
            reasons.setdefault((proxy, text), []).append(network)
        alike: dict[tuple[str, str], list[str]] = {}
        for (proxy, reason), failing in reasons.items():
            where = "every network" if len(failing) == len(self) > 1 else ", ".join(failing)
            alike.setdefault((where, reason), []).append(proxy)
        notes = [] if self.loss is None else [f"loss: {self.loss}"]
        notes += [f"{', '.join(names)} on {where}: {why}" for (where, why), names in alike.items()]
        scored = (column[np.isfinite(column)] for column in self.scores.T)
        silent = [
            proxy
            for proxy, column in zip(self.proxies, scored, strict=True)
            if len(column) > 1 and np.ptp(column) == 0
        ]
        if silent:
            notes.append(
                f"the same score on every network, which says nothing: {', '.join(silent)}"
            )
        return notes


def score(
    networks: Mapping[str, nn.Module] | Sequence[nn.Module],
    proxies: Iterable[Source] | str | AnyProxy,
    inputs: Inputs,
    targets: Targets = None,
    *,
    loss: Loss | None = None,
    outputs: Outputs | None = None,
    sample: Sample = "full",
    seed: int = 0,
    bits: Bits | None = None,
    mode: Mode | None = None,
    teacher: nn.Module | Teacher | None = None,
) -> ScoreFrame:
    """Return the scores of some networks by some proxies, on one batch.

    Each score is that of ``proxy(network, inputs, targets, ...)``; what several proxies need is
    measured once a network. A proxy that cannot score a network leaves its cell empty, and the
    frame says why. Ensembles, such as ``az_nas``, rank the networks among each other.

    Args:
        networks: names to networks, or networks, which are called by their classes.
        proxies: names, files, expressions or proxies; or one of them.
        inputs: what every network is called with, see `autoprox.measure`.
        targets: what the loss compares the outputs with; None if no proxy uses it.
        loss: outputs and targets to one number; None for the mean cross-entropy.
        outputs: what takes the logits of what a network returns; None for the usual.
        sample: entries that expressions keep of each tensor, or ``"full"``.
        seed: as in the call of a proxy.
        bits: likewise.
        mode: likewise.
        teacher: likewise; it is run once for all networks.

    Raises:
        UnknownNameError, LanguageError, AutoproxError: there is no such proxy.
        StatisticError: there is no network or no proxy, or the inputs cannot be measured on.

    >>> from torch import nn, ones
    >>> frame = score({"a": nn.Linear(2, 3), "b": nn.Linear(2, 5)}, ["params", "flops"], ones(4, 2))
    >>> print(frame)
       params  flops
    a       9     12
    b      15     20
    """
    from torch.nn import Module

    from autoprox.statistics.measuring import check_batch, check_types
    from autoprox.statistics.taught import Teacher

    sample, seed, mode = checked_how(sample, seed, mode)
    named_networks = _named(networks)
    if isinstance(proxies, (str, Path, Graph, Proxy, FunctionProxy, Ensemble, FittedProxy)):
        proxies = [proxies]
    chosen = load_all(proxies)
    if not chosen:
        raise StatisticError("expected at least one proxy to score by; got none")
    for network in named_networks.values():
        check_types(network, inputs, targets)
    check_batch(inputs, targets, [], loss)
    how = {
        "loss": loss,
        "outputs": outputs,
        "sample": sample,
        "seed": seed,
        "bits": bits,
        "mode": mode,
        "teacher": Teacher(teacher) if isinstance(teacher, Module) else teacher,
    }
    parts = _parts(chosen.values())
    by_network = [
        _scored(network, parts, (inputs, targets), how) for network in named_networks.values()
    ]
    columns = {name: _column(proxy, parts, by_network) for name, proxy in chosen.items()}
    scores = [[_number(outcome) for outcome in column] for column in columns.values()]
    failures = {
        (network, proxy): outcome
        for proxy, column in columns.items()
        for network, outcome in zip(named_networks, column, strict=True)
        if isinstance(outcome, str)
    }
    seen_loss = None
    if any(map(_needs_loss, parts)):
        seen_loss = _said_loss(next(iter(named_networks.values())), inputs, targets, how)
    return ScoreFrame(tuple(named_networks), tuple(chosen), np.array(scores).T, failures, seen_loss)


def _number(outcome: Outcome) -> float:
    return np.nan if isinstance(outcome, str) else outcome


def _named(networks: Mapping[str, nn.Module] | Sequence[nn.Module]) -> dict[str, nn.Module]:
    """Return the networks by name; those of one class are numbered."""
    if isinstance(networks, Mapping):
        by_name = {str(name): network for name, network in networks.items()}
    elif isinstance(networks, (list, tuple)):
        classes = [type(network).__name__ for network in networks]
        by_name = {}
        for place, (name, network) in enumerate(zip(classes, networks, strict=True)):
            number = f" {classes[: place + 1].count(name)}" if classes.count(name) > 1 else ""
            by_name[name + number] = network
    else:
        raise StatisticError(
            f"expected a dict or a list of networks; got {type(networks).__name__}: put one "
            "network in a list, or call the proxy itself, proxy(network, inputs, targets)"
        )
    if not by_name:
        raise StatisticError("expected at least one network to score; got none")
    return by_name


def _parts(proxies: Iterable[AnyProxy]) -> list[Scorable]:
    """Return the proxies that have a score on one network, of which all are made, each once."""
    parts: list[Scorable] = []
    for proxy in proxies:
        members = _parts(map(load, proxy.parts)) if isinstance(proxy, Ensemble) else [proxy]
        parts += [part for part in members if part not in parts]
    return parts


def _needs_loss(proxy: Scorable) -> bool:
    if isinstance(proxy, FunctionProxy):
        return proxy.needs_labels
    return any(STATISTICS[name].needs_labels for name in proxy.statistics)


def _scored(
    network: nn.Module,
    parts: Sequence[Scorable],
    batch: tuple[Inputs, Targets],
    how: Mapping[str, Any],
) -> list[Outcome]:
    """Return the outcomes of proxies on one network: expressions share what is measured."""
    from autoprox.evaluation.evaluate import Evaluator, Table

    words = {name for part in parts if isinstance(part, Proxy) for name in part.statistics}
    measured = _measured(network, sorted(words), batch, how)
    evaluator = None if measured is None else Evaluator(Table((measured,)))
    known = set() if measured is None else set(measured.names)

    def outcome(proxy: Scorable) -> Outcome:
        try:
            if evaluator is not None and isinstance(proxy, Proxy) and known >= {*proxy.statistics}:
                return score_of(proxy.graph, evaluator)
            return proxy(network, *batch, **how)
        except AutoproxError as error:
            return str(error)
        except Exception as error:  # the network may be anybody's, and torch may lack memory
            return reason_of(error)

    return [outcome(part) for part in parts]


def _measured(
    network: nn.Module,
    words: Sequence[str],
    batch: tuple[Inputs, Targets],
    how: Mapping[str, Any],
) -> Measurement | None:
    """Return those of some statistics that can be measured on a network; None if none can.

    If they cannot be measured together, each half of them is tried by itself.
    """
    from autoprox.statistics import measure

    if not words:
        return None
    try:
        return measure(network, batch[0], batch[1], words, **how)
    except Exception:  # likewise; who asks for the statistic alone is told why
        if len(words) == 1:
            return None
    middle = len(words) // 2
    first, second = (
        _measured(network, half, batch, how) for half in (words[:middle], words[middle:])
    )
    return first.joined(second) if first and second else first or second


def _column(
    proxy: AnyProxy, parts: Sequence[Scorable], by_network: Sequence[Sequence[Outcome]]
) -> list[Outcome]:
    """Return the outcomes of a proxy on all networks, from those of the parts on each."""
    if not isinstance(proxy, Ensemble):
        return [outcomes[parts.index(proxy)] for outcomes in by_network]
    columns = [_column(load(name), parts, by_network) for name in proxy.parts]
    failures = {
        place: f"its part {name}: {outcome.removeprefix(f'{name}: ')}"
        for name, column in reversed(list(zip(proxy.parts, columns, strict=True)))
        for place, outcome in enumerate(column)
        if isinstance(outcome, str)
    }
    places = [place for place in range(len(by_network)) if place not in failures]
    few = "it compares networks with each other and needs two or more that its parts can score"
    outcomes: dict[int, Outcome] = {**dict.fromkeys(places, few), **failures}
    if len(places) > 1:
        scores = np.array([[column[place] for place in places] for column in columns], np.float64)
        try:
            ranked = proxy.rule(scores).tolist()
        except Exception as error:  # a rule may be anybody's and raise anything
            ranked = [f"its rule failed: {reason_of(error)}"] * len(places)
        outcomes |= dict(zip(places, ranked, strict=True))
    return [outcomes[place] for place in range(len(by_network))]


def _said_loss(
    network: nn.Module, inputs: Inputs, targets: Targets, how: Mapping[str, Any]
) -> str | None:
    """Say what loss is seen; None if there is none, for reasons that the scores say."""
    from autoprox.statistics.measuring import undisturbed
    from autoprox.statistics.outcomes import loss_in_words
    from autoprox.statistics.private import private_copy
    from autoprox.statistics.subject import Subject

    read = {name: how[name] for name in ("loss", "outputs")}
    try:
        with undisturbed(network, inputs):
            copied = private_copy(network, "train")
            return loss_in_words(Subject(copied, inputs, targets, (), how["seed"], **read))
    except StatisticError:
        return None
