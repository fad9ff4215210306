"""Proxies that no expression can say: functions, and ensembles that only a set of networks has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError, LanguageError, ScoreError, StatisticError, reason_of
from autoprox.proxies.calling import OnNetwork
from autoprox.ranking import resolved
from autoprox.runtime.digest import called

if TYPE_CHECKING:
    from torch import nn

    from autoprox.language.graph import Graph
    from autoprox.proxies.proxy import Proxy
    from autoprox.quantise.layers import Bits
    from autoprox.statistics import Mode
    from autoprox.statistics.outcomes import Loss, Outputs
    from autoprox.statistics.subject import Subject
    from autoprox.statistics.taught import Teacher
    from autoprox.statistics.trees import Inputs, Targets

FORMAT = "autoprox function"
VERSION = 1

Rule = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Scores of the parts, ``(parts, networks)``, to scores of the ensemble, ``(networks,)``."""


class NoGraphError(LanguageError, AttributeError):
    """A proxy that is no expression was asked for its graph; so it has no such attribute."""


class Graphless(OnNetwork):
    """What proxies without a graph answer to who expects one."""

    name: str
    description: str
    provenance: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def graph(self) -> Graph:
        """There is none.

        Raises:
            NoGraphError: always.
        """
        self._no_graph()

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that have to be measured for it: none, it measures itself."""
        return ()

    def latex(self) -> str:
        """There is no formula of the language.

        Raises:
            NoGraphError: always.
        """
        self._no_graph()

    def _json(self, code: Callable[..., Any], **facts: object) -> dict[str, Any]:
        """Return what every such proxy tells as JSON data, and the facts that only its sort has."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "function": called(code),
            "description": self.description,
            **facts,
            "provenance": dict(self.provenance),
        }

    def _no_graph(self) -> NoReturn:
        raise NoGraphError(
            f"{self.name} is no expression and has no graph: it can be called, ranked and shown, "
            "but neither drawn nor evolved from"
        )


@dataclass(frozen=True, repr=False)
class FunctionProxy(Graphless):
    """A zero-cost proxy that is a Python function.

    It is called as every proxy is; a higher score predicts a higher accuracy.

    Attributes:
        name: what it is called, and imported by if it ships.
        function: the score of a network with its batch, a `Subject`; its docstring says the
            formula and the conventions. It is called with gradients enabled, may draw from torch's
            global generator, which the call's seed seeds, and must write to copies only
            (`Subject.state`).
        description: what it is, in a sentence.
        provenance: paper, equation, year, deviations.
        needs_labels: whether it uses the targets.
        needs_bits: whether it uses `Subject.bits`; others have one score for all bits of a network.
        needs_teacher: whether it uses `Subject.teacher`.
        costly: whether it takes minutes a network; then it is ranked only where it is named.
        batch: the fewest inputs on which it says something; `autoprox.rank` shows so many at least.
        version: part of the key of cached scores; raised whenever a score changes. A function of
            your own that refers to what has no digest (an object, a tensor) is cached only if it
            has one.
    """

    name: str
    function: Callable[[Subject], float]
    description: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    needs_labels: bool = False
    batch: int = 1
    version: int | None = None
    needs_bits: bool = False
    needs_teacher: bool = False
    costly: bool = False

    def _score(
        self,
        network: nn.Module,
        inputs: Inputs,
        targets: Targets,
        *,
        loss: Loss | None,
        outputs: Outputs | None,
        seed: int,
        bits: Bits | None,
        mode: Mode,
        teacher: nn.Module | Teacher | None,
        **_: Any,
    ) -> float:
        from autoprox.statistics.measuring import (
            check_batch,
            check_bits,
            check_types,
            undisturbed,
        )
        from autoprox.statistics.private import private_copy
        from autoprox.statistics.quantised import with_bits
        from autoprox.statistics.structure import layer_names
        from autoprox.statistics.subject import Subject, reseed, traced
        from autoprox.statistics.taught import check_teacher, with_teacher
        from autoprox.statistics.trees import plain_tensors

        check_types(network, inputs, targets)
        check_batch(inputs, targets, [self.name] if self.needs_labels else [], loss)
        check_bits(bits, [self.name] if self.needs_bits else [])
        check_teacher(teacher, network, [self.name] if self.needs_teacher else [])
        with undisturbed(network, inputs):
            inputs, targets = plain_tensors(inputs), plain_tensors(targets)
            copied = private_copy(network, mode)
            shown = (copied, inputs, targets, layer_names(copied), seed, mode)
            subject = Subject(*shown, original=network, loss=loss, outputs=outputs)
            subject = with_teacher(subject, teacher)
            if bits is not None:
                subject = with_bits(subject, traced(subject), bits)
            reseed(seed, self.name)
            return self._called(subject)

    def _called(self, subject: Subject) -> float:
        """Return what the function says, a finite number; its errors name the proxy."""
        from torch import Tensor

        try:
            result = self.function(subject)
        except StatisticError as error:
            raise StatisticError(f"{self.name}: {error}") from error.__cause__
        except AutoproxError as error:
            raise ScoreError(f"{self.name}: {error}") from error.__cause__
        except Exception as error:  # a function may be anybody's and raise anything
            raise ScoreError(f"{self.name} failed: {reason_of(error)}") from error
        try:
            score = float(result.detach() if isinstance(result, Tensor) else result)
        except (TypeError, ValueError, RuntimeError):
            shape = f" of shape {tuple(result.shape)}" if isinstance(result, Tensor) else ""
            raise ScoreError(
                f"{self.name}: expected one number; its function returned "
                f"{type(result).__name__}{shape}"
            ) from None
        if not math.isfinite(score):
            raise ScoreError(f"{self.name} has no score on this network: not finite ({score})")
        return score

    def __repr__(self) -> str:
        """Show the name."""
        return f"FunctionProxy({self.name})"

    def to_json(self) -> dict[str, Any]:
        """Return what is known of the proxy as JSON data; the function itself is code."""
        return self._json(
            self.function,
            needs_labels=self.needs_labels,
            batch=self.batch,
            needs_bits=self.needs_bits,
            **({"needs_teacher": True} if self.needs_teacher else {}),
        )


@dataclass(frozen=True, repr=False)
class Ensemble(Graphless):
    """A proxy that compares networks with each other, by the scores of its parts.

    One network alone has no score; `autoprox.score` computes those of several networks, and
    `autoprox.rank` those of a space's architectures, from the scores of the parts.

    Attributes:
        name: what it is called.
        parts: proxies, or their names.
        rule: from the parts' scores to the ensemble's.
        description: what it is, in a sentence.
        provenance: paper, equation, year, deviations.
        needs_bits: whether a part depends on bits.
        needs_teacher: whether a part looks at a teacher.
        costly: whether a part takes minutes a network; then it is ranked only where it is named.
    """

    name: str
    parts: tuple[str | Proxy | FunctionProxy | Ensemble, ...]
    rule: Rule
    description: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    needs_bits: bool = False
    needs_teacher: bool = False
    costly: bool = False

    def _score(self, *_: Any, **__: Any) -> NoReturn:
        raise ScoreError(
            f"{self.name} compares networks with each other and has no score for one alone; use "
            "autoprox.score or autoprox.rank, or score each with its parts: "
            f"{self.members}"
        )

    def __repr__(self) -> str:
        """Show name and parts."""
        return f"Ensemble({self.name}: {self.members})"

    @property
    def members(self) -> str:
        """The parts as they are told."""
        return ", ".join(map(str, self.parts))

    def to_json(self) -> dict[str, Any]:
        """Return what is known of the ensemble as JSON data; the rule itself is code."""
        return self._json(self.rule, parts=list(map(str, self.parts)))


def mean_of_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the parts of the rank of each network, from ``(parts, networks)``.

    The highest score has the highest rank; scores that differ by rounding alone share theirs.

    >>> mean_of_ranks(np.array([[3.0, 1.0, 2.0], [0.1, 0.1, 0.7]])).tolist()
    [2.25, 1.25, 2.5]
    """
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = rankdata(resolved(scores), axis=1).mean(0)
    return ranks
