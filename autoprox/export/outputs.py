"""What the layers' outputs show, in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from autoprox.export.running import (
    Subject,
    gradients_of,
    logits_of,
    loss_of,
    owners,
    parts,
    run_one_sample,
    state_of,
    watched,
)
from autoprox.export.weights import Numbers, Tensors, flat, kept
from autoprox.statistics.activations import ActivationInputs
from autoprox.statistics.attention import AttentionMaps
from autoprox.statistics.outputs import (
    agreement,
    by_channel,
    by_sample,
    channel_spectrum,
    channels_last,
    samples_first,
)
from autoprox.statistics.sampling import singular_values
from autoprox.statistics.structure import first_tensor, owner_of


def measure_shapes(subject: Subject) -> dict[str, torch.Size]:
    """Shapes of what the layers' modules return for one sample, by module."""
    shapes: dict[str, torch.Size] = {}

    def leaving(owner: str, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            shapes[owner] = tensor.shape

    with watched(subject.network, owners(subject), leaving=leaving):
        run_one_sample(subject)
    return shapes


def part_outputs(
    subject: Subject, low: int, high: int, view: Callable[[str, Tensor], Tensor]
) -> Tensors:
    """Views of what the layers' modules return for the samples from `low` to `high`, by module.

    Where a module runs several times, its last run counts.
    """
    outputs: Tensors = {}

    def leaving(owner: str, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None:  # cloned, as later modules may overwrite it
            outputs[owner] = view(owner, tensor.detach()).clone()

    with watched(subject.network, owners(subject), leaving=leaving):
        logits_of(subject, state_of(subject.network, subject.layers), low, high)
    return outputs


def joined(subject: Subject, found: Sequence[Tensors]) -> Tensors:
    """What was found on the parts of the batch by module, one after the other, by layer."""
    known = {
        layer: [part[owner_of(layer)] for part in found if owner_of(layer) in part]
        for layer in subject.layers
    }
    return {layer: torch.cat(tensors) for layer, tensors in known.items() if tensors}


def measure_outputs(subject: Subject, shapes: Mapping[str, torch.Size]) -> Tensors:
    """The layers' outputs, ``(batch, ...)``."""
    found = []
    for low, high in parts(subject):
        samples = high - low

        def view(owner: str, output: Tensor, samples: int = samples) -> Tensor:
            return samples_first(output, shapes[owner], samples)

        found.append(part_outputs(subject, low, high, view))
    return joined(subject, found)


def measure_act(outputs: Tensors) -> Tensors:
    """Entries of the outputs."""
    return flat(outputs)


def measure_act_gram(outputs: Tensors) -> Tensors:
    """Inner products of the samples' outputs."""
    rows = {layer: kept(output).flatten(1) for layer, output in outputs.items()}
    return {layer: each @ each.T for layer, each in rows.items()}


def measure_code_gram(outputs: Tensors) -> Tensors:
    """Number of outputs on whose sign two samples agree."""
    return {layer: kept(agreement(output.flatten(1) > 0)) for layer, output in outputs.items()}


def measure_act_spectrum(subject: Subject) -> Tensors:
    """Singular values of the outputs as ``(batch * positions, channels)`` matrices."""
    found = [
        part_outputs(subject, low, high, lambda _owner, output: output)
        for low, high in parts(subject)
    ]
    state, spectrum = state_of(subject.network), {}
    for layer in subject.layers:
        outputs = [part[owner_of(layer)] for part in found if owner_of(layer) in part]
        if outputs:
            matrix = torch.cat([by_channel(output, state[layer].ndim) for output in outputs])
            spectrum[layer] = singular_values(matrix.cpu())
    return spectrum


def measure_channel_spectrum(weights: Tensors, outputs: Tensors) -> Tensors:
    """Eigenvalues of the correlations of the channels over the first sample's positions."""
    found = {}
    for layer, output in outputs.items():
        positions = channels_last(output[:1], weights[layer].ndim)[0].cpu()
        if len(positions) > 1:  # a channel of one number correlates with nothing
            found[layer] = channel_spectrum(positions)
    return found


def part_output_gradients(
    subject: Subject, shapes: Mapping[str, torch.Size], low: int, high: int
) -> Tensors:
    """Gradients of the batch's loss with respect to the outputs of some samples, by module."""
    runs: dict[str, int] = {}
    found: Tensors = {}

    def leaving(owner: str, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is None or not tensor.requires_grad:
            return
        runs[owner] = run = runs.get(owner, 0) + 1

        def arrived(grad: Tensor) -> None:
            if runs[owner] == run:
                rows = samples_first(grad, shapes[owner], high - low)
                copies = max(1, rows.numel() // grad.numel())
                found[owner] = rows * ((high - low) / len(subject.inputs) / copies)

        tensor.register_hook(arrived)  # type: ignore[no-untyped-call]  # as torch has it

    with watched(subject.network, owners(subject), leaving=leaving):
        loss, weights = loss_of(subject, low, high)
    gradients_of(loss, weights)
    return found


def measure_output_gradients(subject: Subject, shapes: Mapping[str, torch.Size]) -> Tensors:
    """Gradients of the batch's mean cross-entropy with respect to the outputs, ``(batch, ...)``."""
    found = [part_output_gradients(subject, shapes, *part) for part in parts(subject)]
    return joined(subject, found)


def measure_act_grad(output_gradients: Tensors) -> Tensors:
    """Entries of the outputs' gradients."""
    return flat(output_gradients)


def measure_channel_saliency(
    weights: Tensors, outputs: Tensors, output_gradients: Tensors
) -> Tensors:
    """Outputs times their gradients, summed over the positions, by sample and channel."""
    return flat(
        {
            layer: channels_last(outputs[layer] * grad, weights[layer].ndim).sum(1)
            for layer, grad in output_gradients.items()
        }
    )


def part_attention(subject: Subject, low: int, high: int) -> Tensors:
    """Entries of the attention maps of some samples, by the module that ran last before them."""
    maps: Tensors = {}
    running = ""

    def entering(owner: str) -> None:
        nonlocal running
        running = owner

    def attended(_heads: int, compute: Callable[[], Tensor]) -> None:
        tensor = compute()
        if running and len(tensor) % (high - low) == 0:
            maps[running] = tensor.flatten()

    with watched(subject.network, owners(subject), entering), AttentionMaps(attended):
        logits_of(subject, state_of(subject.network, subject.layers), low, high)
    return maps


def measure_attention(subject: Subject) -> Tensors:
    """Entries of the attention maps that each layer fed."""
    return flat(joined(subject, [part_attention(subject, *part) for part in parts(subject)]))


def part_activations(subject: Subject, low: int, high: int) -> list[Tensor]:
    """The inputs of the activation functions for the samples from `low` to `high`."""
    arguments: list[Tensor] = []
    with ActivationInputs(lambda argument: arguments.append(argument.clone())):
        logits_of(subject, state_of(subject.network, subject.layers), low, high)
    return arguments


def measure_code_total(subject: Subject, layers: Sequence[str]) -> Tensors:
    """Number of inputs of activation functions on whose sign two samples agree.

    Raises:
        ValueError: the network calls no activation function that keeps the sign.
    """
    shapes: list[torch.Size] = []
    with ActivationInputs(lambda argument: shapes.append(argument.shape)):
        run_one_sample(subject)
    if not shapes:
        raise ValueError("the network calls no activation function such as ReLU or GELU")
    codes: list[list[Tensor]] = []
    for low, high in parts(subject):
        arguments = part_activations(subject, low, high)
        single = zip(arguments, shapes, strict=True)
        codes.append([by_sample(each, shape, high - low) > 0 for each, shape in single])
    total = sum(agreement(torch.cat(each)).double() for each in zip(*codes, strict=True))
    return {layers[0]: kept(torch.as_tensor(total))}


def measure_out_entries(subject: Subject, shapes: Mapping[str, torch.Size]) -> Numbers:
    """Entries of the layer's output on one sample."""
    return {
        layer: float(shapes[owner_of(layer)].numel())
        for layer in subject.layers
        if owner_of(layer) in shapes
    }
