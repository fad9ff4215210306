"""Post-training quantisation: from a trained network and a few images to one with fewer bits."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoprox.errors import QuantisationError
from autoprox.quantise.activations import Grid
from autoprox.quantise.folding import folded
from autoprox.quantise.layers import Bits, Module, bits_per_layer, costs, watched
from autoprox.quantise.observing import TOGETHER, along_channels, moments, observed
from autoprox.quantise.rounding import fitted
from autoprox.quantise.running import computing
from autoprox.quantise.weights import on_grid, quantised, widest_scales

ROUNDINGS = ("fitted", "nearest", "plain")
"""To the integers that suit the inputs, to the nearest with searched scales, to the nearest with
the scales at which nothing is clipped."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a network is quantised.

    Attributes:
        rounding: one of `ROUNDINGS`.
        corrected: whether each channel of a layer's output gets the mean and deviation back that
            it has at full precision, on the calibration images.
        precision: in which the correction computes, one of `PRECISIONS`; the network is best run in
            the same.
    """

    rounding: str = "fitted"
    corrected: bool = True
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            QuantisationError: there is no such rounding or precision.
        """
        computing(self.precision)
        if self.rounding not in ROUNDINGS:
            raise QuantisationError(
                f"rounding is one of {', '.join(ROUNDINGS)}; got {self.rounding!r}"
            )


class Quantiser:
    """One trained network, ready to be quantised at any bits.

    All that does not depend on the bits of other layers is done once: batch norms are folded,
    inputs observed at full precision, and a layer's weights rounded once for each number of bits.

    Attributes:
        costs: the layers, and what they cost.
    """

    def __init__(self, network: nn.Module, images: Tensor, method: Method | None = None) -> None:
        """Fold the batch norms and observe the layers.

        Args:
            network: trained; left as it is.
            images: calibration images, ``(images, channels, height, width)``, normalised as the
                network takes them; some hundred. All are shown at once.
            method: how to quantise; None for the best way.

        Raises:
            QuantisationError: no layer can be quantised, or one runs more than once.
        """
        self._method = method or Method()
        self._images = images
        self.costs = costs(network, images)
        base = folded(network, images[:2])
        base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in self.costs.layers:
            module = base.get_submodule(layer.name)
            assert isinstance(module, Module)
            if module.bias is None:
                module.bias = nn.Parameter(torch.zeros(len(module.weight)))
        self._base = base.requires_grad_(False)
        self._observed = observed(base, images)
        self._rounded: dict[tuple[str, int], Tensor] = {}

    @torch.no_grad()
    def __call__(self, bits: Bits) -> nn.Module:
        """The network with its weights at `bits` and every layer's inputs at 8 bits.

        Args:
            bits: as `autoprox.quantise.layers.bits_per_layer` takes them.

        Returns:
            A copy in evaluation mode, with the same names of modules; folded batch norms are
            `nn.Identity`.

        Raises:
            QuantisationError: there are too few or too many bits, or one is no integer from 1 to
                16.
            UnknownNameError: a name is no layer's.
        """
        layers = self.costs.layers
        chosen = bits_per_layer(layers, bits)
        copied: nn.Module = copy.deepcopy(self._base)
        for layer, width in zip(layers, chosen, strict=True):
            module = copied.get_submodule(layer.name)
            assert isinstance(module, Module)
            module.weight.copy_(self._weight(layer.name, width))
            module.register_forward_pre_hook(InputGrid(self._observed[layer.name].grid))
        if self._method.corrected:
            with computing(self._method.precision):
                watched(copied, self._images, self._correct)
        return copied

    def _weight(self, name: str, bits: int) -> Tensor:
        """The rounded weight of a layer."""
        if (name, bits) not in self._rounded:
            weight = self._base.get_parameter(f"{name}.weight")
            if self._method.rounding == "fitted":
                rounded = fitted(weight, self._observed[name].covariance, bits)
            elif self._method.rounding == "nearest" or bits == 1:
                rounded = quantised(weight, bits)
            else:
                rounded = on_grid(weight, widest_scales(weight, bits), bits)
            self._rounded[name, bits] = rounded
        return self._rounded[name, bits]

    def _correct(self, name: str, layer: Module, _: Tensor, output: Tensor) -> None:
        """Give each channel of `output` the moments of full precision back, by scale and bias.

        Weights stay on a grid. It is bias correction (Nagel et al., Data-Free Quantization, ICCV
        2019, section 4.2) for both moments, or what estimating a batch norm's moments anew does.
        """
        wanted, got = self._observed[name].moments, moments(layer, output)
        factor = torch.where(got.deviation > 0, wanted.deviation / got.deviation, 1.0)
        shift = wanted.mean - factor * got.mean
        assert layer.bias is not None
        layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.mul_(factor).add_(shift)
        factor, shift = (along_channels(layer, values, output.ndim) for values in (factor, shift))
        for part in torch.split(output, TOGETHER):
            part.copy_(torch.addcmul(shift, part, factor))


def quantise(
    network: nn.Module, bits: Bits, images: Tensor, method: Method | None = None
) -> nn.Module:
    """A copy of a trained network with the weights at `bits` and inputs of layers at 8 bits.

    For many configurations of one network, make one `Quantiser`.

    Args:
        network: left as it is.
        bits: a number for all layers but the first and the last, which have 8; or one for each in
            the order of execution; or some by name, while the others have 8.
        images: some hundred calibration images, normalised as the network takes them.
        method: how to quantise; None for the best way.

    Raises:
        QuantisationError: no layer can be quantised, one runs more than once, there are too few or
            too many bits, or one is no integer from 1 to 16.
        UnknownNameError: a name is no layer's.
    """
    return Quantiser(network, images, method)(bits)


@dataclass(frozen=True, slots=True)
class InputGrid:
    """Puts the input of a layer on a grid; a forward pre-hook."""

    grid: Grid

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the arguments with the first on the grid."""
        return (self.grid.nearest(args[0]), *args[1:])
