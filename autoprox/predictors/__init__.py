"""Predictors: models that are fitted to a few known figures, and saved as arrays and JSON.

They know nothing of networks: ``(networks, inputs)`` goes in, a prediction a network comes out.
`autoprox.proxies.fitted` makes a proxy of one, and `autoprox.fitting` fits it on a bench.
"""

from autoprox.predictors.models import MODELS, Model, check_labels, predict_by

__all__ = ["MODELS", "Model", "check_labels", "predict_by"]
