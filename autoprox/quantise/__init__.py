"""Post-training quantisation of trained networks.

    from autoprox.quantise import Quantiser, accuracy, quantise

    small = quantise(network, 4, calibration_images)  # 4-bit weights, first and last layer 8
    accuracy(small, test_images, test_labels)

Weights lie on a symmetric grid with a scale a channel, inputs of layers on an affine 8-bit grid.
The integers are those that suit the layer's inputs, and every layer's outputs get the mean and the
deviation back that they have at full precision.
"""

from autoprox.quantise.layers import (
    Costs,
    QuantisableLayer,
    bits_per_layer,
    costs,
    quantisable_layers,
)
from autoprox.quantise.quantiser import ROUNDINGS, Method, Quantiser, quantise
from autoprox.quantise.running import accuracy, logits
from autoprox.quantise.weights import quantised, scales

__all__ = [
    "ROUNDINGS",
    "Costs",
    "Method",
    "QuantisableLayer",
    "Quantiser",
    "accuracy",
    "bits_per_layer",
    "costs",
    "logits",
    "quantisable_layers",
    "quantise",
    "quantised",
    "scales",
]
