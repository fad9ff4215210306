"""AZ-NAS: four scores of a network's blocks, and the ensemble of their ranks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from autoprox.errors import ScoreError, StatisticError
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.runtime.hooks import hooked
from autoprox.statistics.channels import ChannelsFirst
from autoprox.statistics.hooks import first_tensor
from autoprox.statistics.subject import Subject

SMALL = 1e-8
"""Added to a share of the variance before its logarithm."""

SINGULAR_OFFSET = 1e-6
"""Added to a spectral norm before its reciprocal."""


def expressivity(subject: Subject) -> float:
    """Return the sum of the entropies of the blocks' feature spectra.

    .. code-block:: text

        X_l = output of block l, one row a sample and position, centred; s = eigenvalues of X_l'X_l
        E_l = - sum of p log(p + 1e-8),  p = s / sum of s
        score = sum over l of E_l

    Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search (CVPR 2024),
    expressivity, as in the code released with it. Blocks: see `features`.
    """
    with torch.no_grad():
        return float(sum(entropies(features(subject, gradients=False))))


def progressivity(subject: Subject) -> float:
    """Return the least rise of the entropy from one block to the next.

    .. code-block:: text

        score = min over l > 1 of E_l - E_(l - 1),  E_l as in `expressivity`

    Lee and Ham, AZ-NAS (CVPR 2024), progressivity, as in the code released with it.
    """
    with torch.no_grad():
        by_block = entropies(features(subject, gradients=False))
    return min(later - earlier for earlier, later in pairwise(by_block))


def trainability(subject: Subject) -> float:
    """Return how near the blocks are to passing gradients on at their size.

    .. code-block:: text

        g_l = random signs, shaped as the output of block l;  h_l = gradient of <g_l, block l> by
        the output of block l - 1;  A_l = mean over samples and positions of h_l g_l'
        score = mean over l > 1 of 2 - s - 1 / (s + 1e-6),  s = spectral norm of A_l

    Lee and Ham, AZ-NAS (CVPR 2024), trainability, as in the code released with it. A map that
    shrinks from one block to the next has its gradient's neighbouring positions taken for channels
    (pixel unshuffle). Pairs of blocks whose positions match in no such way, or of which one does
    not feed the other, do not count; nor do tokens that a block passes on unchanged.

    Raises:
        ScoreError: a block passes a feature map on unchanged, or there is no pair to take.
    """
    outputs = features(subject, gradients=True)
    generator = torch.Generator().manual_seed(subject.seed)
    scores = []
    for before, after in reversed(list(pairwise(outputs))):
        signs = torch.randint(0, 2, after.shape, generator=generator).to(after) * 2 - 1
        gradient = torch.autograd.grad(
            after, before, signs, retain_graph=True, allow_unused=True, materialize_grads=False
        )[0]
        if gradient is None:
            continue
        if gradient.shape == signs.shape and torch.equal(gradient, signs):
            if after.ndim == 3:
                continue
            raise ScoreError("a block passes its input on unchanged; its trainability is minus oo")
        received, sent = _positions(gradient, after), _rows(signs)
        if received is not None:
            mean = received.T @ sent / len(sent)
            wide = torch.promote_types(mean.dtype, torch.float32)  # no norm of half precision
            norm = torch.linalg.matrix_norm(mean.to(wide), 2).double()
            scores.append(2 - norm - 1 / (norm + SINGULAR_OFFSET))
    if not scores:
        raise ScoreError("no block feeds the next one with the same positions")
    return float(torch.stack(scores).mean())


def features(subject: Subject, *, gradients: bool) -> list[Tensor]:
    """Return the blocks' outputs in the order of execution.

    A block is what the network itself runs one after the other: its direct children, or, in place
    of those that only hold others (`nn.Sequential`, `nn.ModuleList`), the modules inside. Of these
    the ones with children of their own count, such as residual blocks, cells and stages' poolings;
    where fewer than two have any, those that hold a weight matrix. The output is a feature map
    ``(batch, channels, height, width)`` or tokens ``(batch, tokens, channels)``; what gives
    something else, as the head does, is none. A map of one dimension has the height 1. Besides
    these count, as the released code has it:

    * the feature map that enters the first block, if a stem of single layers made it;
    * in a block that normalises its tokens before it does anything else (pre-norm), the tokens
      that a later layer norm reads: the sum of the block's input and of what its attention says.

    Raises:
        StatisticError: there are fewer than two.
    """
    walk = _Walk(subject.batch)

    def hooks() -> Iterator[RemovableHandle]:
        for module in chain(subject.network):
            if walk.nested(module):
                yield module.register_forward_pre_hook(walk.enter)
                for norm in module.children():
                    if isinstance(norm, nn.LayerNorm):
                        yield norm.register_forward_pre_hook(walk.normalise)
            if walk.nested(module) or any(parameter.ndim > 1 for parameter in module.parameters()):
                yield module.register_forward_hook(walk.leave)

    with hooked(hooks()), walk.first:
        subject.forward(subject.inputs, subject.leaves() if gradients else subject.state(), 0)
    blocks = walk.blocks if len(walk.blocks) > 1 else walk.layers
    if len(blocks) < 2:
        raise StatisticError(
            "it compares blocks that give feature maps or tokens, and needs 2 or more; "
            f"{type(subject.network).__name__} runs {len(blocks)}"
        )
    return blocks


class _Walk:
    """Notes what the blocks give, and the single layers, while the network runs."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.blocks: list[Tensor] = []
        self.layers: list[Tensor] = []
        self.first = ChannelsFirst()
        self._stem = True
        self._inside: Tensor | None = None
        self._pre_norm = False

    def nested(self, module: nn.Module) -> bool:
        """Say whether a module has children of its own."""
        return any(True for _ in module.children())

    def enter(self, _module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...] | None:
        """Begin a block; note what a stem has made for the first one, which may write into it."""
        entering = self._inside = first_tensor(args)
        first, self._stem, self._pre_norm = self._stem and bool(self.layers), False, False
        if not first or entering is None or (feature_map := self._opened(entering)).ndim != 4:
            return None
        self.blocks.append(feature_map)
        self._inside = self._closed(feature_map, entering)
        return tuple(self._inside if arg is entering else arg for arg in args)

    def normalise(self, _module: nn.Module, args: tuple[object, ...]) -> None:
        """Note the tokens that a layer norm of the block reads, but for the first one."""
        tensor = first_tensor(args)
        if tensor is self._inside:
            self._pre_norm = True
        elif self._pre_norm and self._fits(tensor, 3):
            self.blocks.append(tensor)

    def leave(self, module: nn.Module, _args: object, output: object) -> Tensor | None:
        """Note what a block or a single layer gave; what follows may write into a copy of it."""
        tensor = first_tensor(output)
        if not self._fits(tensor, 3, 4):
            return None
        feature_map = self._opened(tensor) if tensor is output else tensor
        self.layers.append(feature_map)
        if self.nested(module):
            self.blocks.append(feature_map)
        return self._closed(feature_map, tensor) if tensor is output else None

    def _opened(self, tensor: Tensor) -> Tensor:
        """Return a map of one dimension, which convolutions gave, as one of height 1."""
        return tensor.unsqueeze(2) if tensor in self.first else tensor

    def _closed(self, feature_map: Tensor, tensor: Tensor) -> Tensor:
        """Return a copy of what was opened, as it was."""
        if feature_map is tensor:
            return tensor.clone()
        copy = feature_map.squeeze(2).clone()
        self.first.add(copy)
        return copy

    def _fits(self, tensor: Tensor | None, *dims: int) -> TypeGuard[Tensor]:
        return tensor is not None and tensor.ndim in dims and len(tensor) == self.batch


def chain(module: nn.Module) -> list[nn.Module]:
    """Return what a module runs itself, with containers replaced by what they hold."""
    modules: list[nn.Module] = []
    for child in module.children():
        holder = isinstance(child, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
        modules += chain(child) if holder else [child]
    return modules


def entropies(outputs: list[Tensor]) -> list[float]:
    """Return the entropy of each output's spectrum; 0 where it is the same everywhere."""
    by_block = []
    for output in outputs:
        rows = _rows(output.detach()).double()
        rows = rows - rows.mean(0)
        variances = torch.linalg.eigvalsh(rows.T @ rows / len(rows)).clamp(min=0)
        total = variances.sum()
        shares = variances / total if total > 0 else variances
        by_block.append(float(-(shares * (shares + SMALL).log()).sum()))
    return by_block


def _rows(output: Tensor) -> Tensor:
    """Return a row for each sample and position, ``(rows, channels)``."""
    return (output.movedim(1, -1) if output.ndim == 4 else output).flatten(0, -2)


def _positions(gradient: Tensor, after: Tensor) -> Tensor | None:
    """Return a gradient as rows that match those of the next block's output, or None."""
    if gradient.ndim == after.ndim == 4:
        stride = gradient.shape[2] // after.shape[2]
        if stride < 1 or tuple(side * stride for side in after.shape[2:]) != gradient.shape[2:]:
            return None
        return _rows(F.pixel_unshuffle(gradient, stride) if stride > 1 else gradient)
    if gradient.shape[:-1] != after.shape[:-1]:
        return None
    return _rows(gradient)


def sum_of_log_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over the parts of log(rank / m), ``(parts, m)`` to ``(m,)``.

    The best of the m networks has rank m; equal scores share their mean rank. Lee and Ham, AZ-NAS
    (CVPR 2024), the non-linear ranking aggregation.
    """
    from scipy.stats import rankdata

    from autoprox.ranking import resolved

    ranks = rankdata(resolved(scores), axis=1)
    return np.asarray(np.log(ranks / scores.shape[1]).sum(0))


_PAPER = {
    "paper": "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search (Lee and Ham, "
    "CVPR 2024)",
    "released_code": "cvlab-yonsei/AZ-NAS",
    "url": "https://arxiv.org/abs/2403.19232",
    "year": 2024,
}
_BLOCKS = (
    "Blocks are found by structure: what the network runs one after the other, containers opened; "
    "the released code names them for each space (stem and cells, the ReLUs between blocks, both "
    "halves of a transformer's blocks). Of a transformer whose blocks normalise last, only whole "
    "blocks count. The network keeps its own initial weights, where the released code draws those "
    "of convolutional networks by Kaiming's rule; it sees the batch that it is given, there 64 "
    "samples of noise or so; transformers are in training mode, there in evaluation mode."
)
_CONSTANT = "Features that are equal everywhere have the entropy 0; there the score is minus oo."

az_expressivity = FunctionProxy(
    "az_expressivity",
    expressivity,
    "AZ-NAS, expressivity: the entropies of the principal components of the blocks' features.",
    {"deviations": f"{_BLOCKS} {_CONSTANT}", **_PAPER},
    version=4,
)
az_progressivity = FunctionProxy(
    "az_progressivity",
    progressivity,
    "AZ-NAS, progressivity: the least rise of the features' entropy from block to block.",
    {
        "deviations": f"{_BLOCKS} {_CONSTANT} The released code has no progressivity of "
        "transformers.",
        **_PAPER,
    },
    version=4,
)
az_trainability = FunctionProxy(
    "az_trainability",
    trainability,
    "AZ-NAS, trainability: how near the blocks' Jacobians are to keeping the size of gradients.",
    {
        "deviations": f"{_BLOCKS} A block that passes a feature map on unchanged has no score; "
        "there it is minus oo.",
        **_PAPER,
    },
    version=4,
)
az_nas = Ensemble(
    "az_nas",
    ("az_expressivity", "az_progressivity", "az_trainability", "flops"),
    sum_of_log_ranks,
    "AZ-NAS: the sum of the logarithms of four ranks, FLOPs (its complexity) among them.",
    {
        "deviations": "Ranks are those among the ranked architectures of one space. All four parts "
        "count everywhere; az_nas_vit is the published version for transformers. What the parts "
        "deviate in holds for the ensemble.",
        **_PAPER,
    },
)
az_nas_vit = Ensemble(
    "az_nas_vit",
    ("az_expressivity", "az_trainability", "flops"),
    sum_of_log_ranks,
    "AZ-NAS for transformers: without progressivity.",
    {
        "deviations": "Ranks are those among the ranked architectures of one space. What the parts "
        "deviate in holds for the ensemble.",
        **_PAPER,
    },
)
