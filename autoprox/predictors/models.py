"""The models by name: how each is fitted, and how it predicts.

A fitted model is its settings (JSON) and its arrays, so that it can be saved without code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError, UnknownNameError
from autoprox.runtime.arguments import is_finite
from autoprox.runtime.registry import Registry

Array = NDArray[np.float64]
Fit = Callable[[Array, Array, int, Mapping[str, Any]], dict[str, Array]]
Predict = Callable[[Mapping[str, Array], Array, Mapping[str, Any]], tuple[Array, Array]]


@dataclass(frozen=True)
class Model:
    """A model before it is fitted.

    Attributes:
        title: what it is, in a few words.
        home: the module that fits it, imported when it is used.
        fit: the function there that takes inputs ``(n, inputs)``, labels ``(n,)``, a seed and the
            settings, and returns arrays.
        predict: the function there that takes these arrays, inputs and the settings, and returns
            predictions and their spread.
        least: how many labels it needs.
        reads: what it reads if nobody says otherwise: the layers' statistics of ParZC, their
            magnitudes, or the scores of known proxies.
        labels: how labels are scaled: standardised, or as normal scores of their ranks.
        settings: what can be set, with the defaults.
    """

    title: str
    home: str
    fit: str
    predict: str
    least: int
    reads: Literal["layers", "magnitudes", "known"]
    labels: Literal["standardised", "ranks"]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def function(self, name: Literal["fit", "predict"]) -> Any:
        """Return one of its two functions."""
        return getattr(import_module(f"autoprox.predictors.{self.home}"), getattr(self, name))

    def asked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings, given some.

        Raises:
            UnknownNameError: there is no such setting, or no such loss.
            AutoproxError: a value is of another type, or not positive.
        """
        open_ = [name for name, default in self.settings.items() if type(default) is not bool]
        for name, value in settings.items():
            if name not in open_:
                raise UnknownNameError("setting of the model", name, open_)
            _check(name, value, self.settings[name])
        return {**self.settings, **settings}

    def check_fitted(self, settings: Mapping[str, Any]) -> None:
        """Check the settings of a model that was fitted: all of them, and what cannot be set.

        Raises:
            AutoproxError: one is missing, or cannot be.
        """
        fixed = {name: value for name, value in self.settings.items() if type(value) is bool}
        if settings.keys() != self.settings.keys() or any(
            settings[name] is not fixed[name] for name in fixed
        ):
            raise AutoproxError(f"expected the settings {', '.join(self.settings) or 'of none'}")
        self.asked({name: value for name, value in settings.items() if name not in fixed})


MAY_BE_0 = ("depth", "decay", "dropout")

NOT_1 = ("batch", "dropout")
"""A batch of one has nothing to compare, and where all is dropped nothing is learnt."""

MOST = 1_000_000
"""No whole number among the settings is larger."""


def _check(name: str, value: Any, default: Any) -> None:
    """Raise unless a setting is what it can be: whole numbers, shares up to 1, or a loss."""
    if isinstance(default, str):
        from autoprox.predictors.losses import LOSSES

        if value not in LOSSES:
            raise UnknownNameError("loss", str(value), LOSSES)
        return
    whole = type(default) is int
    fits = is_finite(value) and (isinstance(value, int) and value <= MOST if whole else value <= 1)
    refused = (value == 0 and name not in MAY_BE_0) or (value == 1 and name in NOT_1)
    if not fits or value < 0 or refused:
        least = "from 0" if name in MAY_BE_0 else "above 0"
        least += ", but not 1" if name in NOT_1 else ""
        kind = "a whole number" if whole else "a number up to 1,"
        raise AutoproxError(f"{name} is {kind} {least}, as in {name}={default}; got {value!r}")


_TRAINED = {
    "loss": "diff_kendall",
    "epochs": 200,
    "rate": 1e-4,
    "decay": 1e-3,
    "batch": 10,
    "passes": 8,
    "width": 128,
    "dropout": 0.1,
}


def _trained(
    title: str,
    reads: Literal["layers", "magnitudes"] = "layers",
    labels: Literal["standardised", "ranks"] = "standardised",
    **others: Any,
) -> Model:
    settings = {**_TRAINED, **others}
    return Model(title, "parzc", "fit", "predict", 10, reads, labels, settings)


MODELS: Registry[Model] = Registry("model")
"""Name to model."""

MODELS.register("parzc", _trained(
    "ParZC as released: blocks that do not mix, Bayesian linear layers around them",
    depth=4, mixing=False, bayesian=True))  # fmt: skip
MODELS.register("parzc_magnitudes", _trained(
    "ParZC's network on log magnitudes, at a rate of .001", "magnitudes",
    rate=1e-3, depth=4, mixing=False, bayesian=True))  # fmt: skip
MODELS.register("parzc_ranks", _trained(
    "ParZC's network on log magnitudes, taught the ranks of the labels", "magnitudes", "ranks",
    rate=1e-3, depth=4, mixing=False, bayesian=True))  # fmt: skip
MODELS.register("parzc_mixing", _trained(
    "ParZC with blocks that mix the pieces of the input, as a Mixer does",
    depth=4, mixing=True, bayesian=True))  # fmt: skip
MODELS.register("parzc_mixer", _trained(
    "ParZC's blocks without Bayesian layers",
    depth=4, mixing=False, bayesian=False))  # fmt: skip
MODELS.register("parzc_bayesian", _trained(
    "ParZC's Bayesian layers without blocks",
    depth=0, mixing=False, bayesian=True))  # fmt: skip
MODELS.register("mlp", _trained("a perceptron with two hidden layers"))
MODELS.register("ridge", Model(
    "ridge regression, penalty by leave-one-out",
    "kernels", "fit_ridge", "predict_ridge", 5, "known", "ranks"))  # fmt: skip
MODELS.register("gp", Model(
    "a Gaussian process, Matérn 5/2",
    "kernels", "fit_gp", "predict_gp", 5, "known", "ranks"))  # fmt: skip
MODELS.register("forest", Model(
    "a random forest",
    "forest", "fit", "predict", 5, "known", "ranks", {"trees": 300, "share": 0.33}))  # fmt: skip
MODELS.register("robot", Model(
    "RoBoT: linear weights, by Bayesian optimisation of Somers' D",
    "robot", "fit", "predict", 5, "known", "ranks", {"drawn": 20, "steps": 40}))  # fmt: skip


def predict_by(
    name: str, arrays: Mapping[str, Array], inputs: Array, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Return what a fitted model predicts, and the spread, ``(n,)`` each."""
    predicted: tuple[Array, Array] = MODELS[name].function("predict")(arrays, inputs, settings)
    return predicted


def check_labels(name: str, labels: Array) -> None:
    """Refuse labels that a model cannot be fitted to.

    Raises:
        AutoproxError: they are too few, or all the same.
    """
    least = MODELS[name].least
    if len(labels) < least:
        raise AutoproxError(
            f"the model {name!r} needs at least {least} labels; got {len(labels)}: train more "
            "networks, or choose another model"
        )
    if np.ptp(labels) == 0:
        raise AutoproxError(f"all {len(labels)} labels are the same: there is nothing to rank by")
