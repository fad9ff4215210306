"""Proxies that compare a network with a teacher: DisWOT, TVT, and losses of distillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoprox.errors import StatisticError
from autoprox.primitives.matrices import row_sign, row_unit
from autoprox.proxies.function import Ensemble, FunctionProxy, mean_of_ranks
from autoprox.statistics.subject import Subject, reseed
from autoprox.statistics.taught import PAIRS, Drawn, Side, both, class_grads, pooled
from autoprox.statistics.views import energy, resized

Compared = Callable[[Side, Side, int], Tensor]
"""From a student, its teacher and a seed to a distance, one number."""


def near(drawn: Drawn | None = None) -> Callable[[Compared], Callable[[Subject], float]]:
    """Make a distance of two networks a proxy: minus what it gives for a network and its teacher.

    Their weights are their own, unless something draws those of copies of both.
    """

    def decorate(distance: Compared) -> Callable[[Subject], float]:
        @wraps(distance)
        def nearness(subject: Subject) -> float:
            student, teacher = both(subject, drawn)
            return -float(distance(student, teacher, subject.seed))

        return nearness

    return decorate


def draw_normal(network: nn.Module, seed: int) -> None:
    """Draw every weight of two dimensions or more from N(0, 1); biases 0, norms of batches 1 and 0.

    Networks of different sizes have different draws.
    """
    reseed(seed, f"normal {sum(parameter.numel() for parameter in network.parameters())}")
    with torch.no_grad():
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if name.endswith("bias"):
                    parameter.zero_()
                elif isinstance(module, _BatchNorm):
                    parameter.fill_(1.0)
                elif parameter.ndim > 1:
                    parameter.normal_()


def semantic_distance(student: Side, teacher: Side, seed: int) -> Tensor:
    """How far the Gram matrices of the classes' gradients are apart, their rows made unit vectors.

    .. code-block:: text

        g_k = row k of the loss's gradient by the classifier's weight (K classes, C features)
        sum over k of |rn(g_k^T g_k^T') - rn(g_k^S g_k^S')|^2 / (C K)

    Row i of rn(g g') is s_i g/|g|, with s_i the sign of g_i (less where |g_i| |g| < 1e-12), so that
    no matrix of C x C is needed.
    """
    own, others = (grad.double() for grad in class_grads(student, teacher, seed))
    a, n, b, m = row_sign(own), row_unit(own), row_sign(others), row_unit(others)

    def inner(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum(1)

    apart = inner(a, a) * inner(n, n) + inner(b, b) * inner(m, m) - 2 * inner(a, b) * inner(n, m)
    return apart.sum() / own.numel()


def relation_distance(student: Side, teacher: Side, seed: int) -> Tensor:
    """Mean square difference of the Gram matrices of the last maps, their rows made unit vectors.

    Dong, Li and Wei, DisWOT (CVPR 2023); it is the loss of Tung and Mori, Similarity-Preserving
    Knowledge Distillation (ICCV 2019).
    """
    own, others = PAIRS["map_gram"](student, teacher, seed)
    return (row_unit(own) - row_unit(others)).square().mean()


@near()
def rkd_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """25 times the distance loss and 50 times the angle loss of relational distillation.

    Park et al., Relational Knowledge Distillation (CVPR 2019), eqs. 4 to 10, on the vectors that
    the last layer takes: smooth L1 of the distances, each over the mean of those above 0, and of
    the cosines of all angles.
    """
    own, others = student.view.pooled, teacher.view.pooled

    def distances(rows: Tensor) -> Tensor:
        apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
        return apart / apart[apart > 0].mean()

    def cosines(rows: Tensor) -> Tensor:
        unit = F.normalize(rows[None] - rows[:, None], dim=2)
        return unit @ unit.transpose(1, 2)

    lengths = F.smooth_l1_loss(distances(own), distances(others))
    return 25 * lengths + 50 * F.smooth_l1_loss(cosines(own), cosines(others))


@near()
def pkt_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Divergence of the samples' cosines, made shares of their row.

    Passalis and Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer (ECCV
    2018), eqs. 4 to 7: p = (cos + 1) / 2 over its row's sum; mean of p_T log(p_T / p_S).
    """

    def shares(rows: Tensor) -> Tensor:
        unit = F.normalize(rows, dim=1)
        affinity = (unit @ unit.T + 1) / 2
        return affinity / affinity.sum(1, keepdim=True)

    own, others = shares(student.view.pooled), shares(teacher.view.pooled)
    return (others * ((others + 1e-7) / (own + 1e-7)).log()).mean()


@near()
def cc_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Correlation of neighbouring samples' differences to the teacher.

    As RepDistiller (Tian et al., ICLR 2020) has Peng et al., Correlation Congruence (ICCV 2019):
    mean over samples of the inner product of |S - T| of a sample and of the next.
    """
    own, others = pooled(student, teacher, seed)
    apart = (own - others).abs()
    return (apart[:-1] * apart[1:]).sum(1).mean()


@near()
def at_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Mean square difference of the attention maps, unit vectors of each sample, over the stages.

    Zagoruyko and Komodakis, Paying More Attention to Attention (ICLR 2017): attention is the mean
    over the channels of the squares.
    """
    return torch.stack([_attention_apart(*pair) for pair in _stages(student, teacher)]).sum()


@near()
def nst_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Maximum mean discrepancy of the channels' maps, unit vectors, over the stages.

    Huang and Wang, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer (2017),
    with the polynomial kernel (x'y)^2.
    """

    def channels(maps: Tensor) -> Tensor:
        return F.normalize(maps.flatten(2), dim=2)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.transpose(1, 2)).square().mean()

    total = torch.zeros(())
    for pair in _stages(student, teacher):
        s, t = map(channels, resized(*pair))
        total = total + kernel(t, t) + kernel(s, s) - 2 * kernel(s, t)
    return total


@near()
def tvt_pairs(student: Side, teacher: Side, seed: int) -> Tensor:
    """Mean square difference of the attention maps of the pairs of layers in two released copies.

    The teacher's stages 1 and 2 against the student's blocks 1 and 6, counted from 0.

    Raises:
        StatisticError: one of them has fewer.
    """
    stages, blocks = teacher.view.stages, student.view.blocks
    if len(stages) < 3 or len(blocks) < 7:
        raise StatisticError(
            "it compares stages 1 and 2 of the teacher with blocks 1 and 6 of the network, counted "
            f"from 0; they have {len(stages)} stages and {len(blocks)} blocks: use tvt_teacher, "
            "which compares the last maps"
        )
    pairs = ((blocks[1], stages[1]), (blocks[6], stages[2]))
    return torch.stack([_attention_apart(*pair) for pair in pairs]).mean()


def _stages(student: Side, teacher: Side) -> list[tuple[Tensor, Tensor]]:
    """The stages of both, the last ones beside each other."""
    _ = student.view.last_map, teacher.view.last_map  # they raise where there is no map
    return list(zip(reversed(student.view.stages), reversed(teacher.view.stages), strict=False))


def _attention_apart(student: Tensor, teacher: Tensor) -> Tensor:
    own, others = (F.normalize(energy(maps), dim=1) for maps in resized(student, teacher))
    return (own - others).square().mean()


@near(draw_normal)
def semantic_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Minus `semantic_distance`, with weights drawn from N(0, 1)."""
    return semantic_distance(student, teacher, seed)


@near(draw_normal)
def relation_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Minus `relation_distance`, with weights drawn from N(0, 1)."""
    return relation_distance(student, teacher, seed)


@near(draw_normal)
def diswot_nearness(student: Side, teacher: Side, seed: int) -> Tensor:
    """Minus the sum of both distances, unscaled as released, with weights drawn from N(0, 1)."""
    apart = semantic_distance(student, teacher, seed)
    return apart + relation_distance(student, teacher, seed)


def _proxy(
    name: str,
    nearness: Callable[[Subject], float],
    description: str,
    facts: Mapping[str, Any],
    *,
    needs_labels: bool = False,
) -> FunctionProxy:
    return FunctionProxy(
        name, nearness, description, facts,
        needs_labels=needs_labels, batch=2, version=4, needs_teacher=True,
    )  # fmt: skip


_DISWOT = {
    "paper": "DisWOT: Student Architecture Search for Distillation WithOut Training (Dong et al., "
    "CVPR 2023)",
    "released_code": "lilujunai/DisWOT-CVPR2023",
    "url": "https://arxiv.org/abs/2303.15678",
    "year": 2023,
}
_DRAWN = (
    "Weights of two dimensions or more are drawn from N(0, 1), of the network and of its teacher, "
    "biases are 0, norms of batches 1 and 0, as in the released code; a trained teacher's weights "
    "are not looked at. All networks are shown one batch, where the ranking scripts draw one for "
    "each, and gradients are those of this batch alone, where the scripts for cells add them up."
)
_WIDTH = (
    "A classifier of another width than the teacher's goes through a random linear map, drawn from "
    "the seed; the copy for transformers maps the feature map by a random convolution and batch "
    "norm."
)
_MAP = (
    "The last map is the last output of a module, before the last layer runs, with positions; of a "
    "transformer that of its last block, not of the norm behind it."
)
_LOSS = (
    "Minus the loss between both networks, which keep their own weights, as in the ranking script "
    "of DisWOT. Formula of the paper cited, with the constants of RepDistiller."
)

diswot_semantic = _proxy(
    "diswot_semantic",
    semantic_nearness,
    "DisWOT, semantic: how alike the classes' gradients are to a teacher's, with weights drawn.",
    {"deviations": f"{_DRAWN} {_WIDTH}", **_DISWOT},
    needs_labels=True,
)
diswot_relation = _proxy(
    "diswot_relation",
    relation_nearness,
    "DisWOT, relation: how alike a teacher the network relates the samples, with weights drawn.",
    {"deviations": f"{_DRAWN} {_MAP}", **_DISWOT},
)
diswot = _proxy(
    "diswot",
    diswot_nearness,
    "DisWOT as released: the sum of its semantic and its relation metric, unscaled.",
    {
        "deviations": f"{_DRAWN} {_WIDTH} {_MAP} The relation metric is of the order of .002 and "
        "the semantic one of .2, so that the sum ranks as the latter; diswot_ranks is of ranks.",
        **_DISWOT,
    },
    needs_labels=True,
)
diswot_ranks = Ensemble(
    "diswot_ranks",
    ("diswot_semantic", "diswot_relation"),
    mean_of_ranks,
    "DisWOT, the mean rank by its two metrics.",
    {"deviations": "The paper's scaling of the sum is not known.", **_DISWOT},
    needs_teacher=True,
)

_TVT = {
    "paper": "TVT: Training-Free Vision Transformer Search on Tiny Datasets (Wei et al., 2023)",
    "released_code": "lilujunai/Auto-Prox-AAAI24, lliai/AttnZero, lliai/Auto-DAS",
    "url": "https://arxiv.org/abs/2311.14337",
    "year": 2023,
}

tvt_blocks = _proxy(
    "tvt_blocks",
    tvt_pairs,
    "TVT, teacher term of two released copies: attention of inner layers, near a teacher's.",
    {
        "deviations": "Minus the distance, as the abstract reads; these two copies return plus. "
        "Blocks are the outermost members of containers that consist of other modules.",
        **_TVT,
    },
)
tvt = Ensemble(
    "tvt",
    ("tvt_teacher", "l2_norm"),
    mean_of_ranks,
    "TVT: the mean rank by the teacher's term and by the student's.",
    {
        "deviations": "How the two terms are joined is not known; the released code returns both. "
        "The plain sum is tvt_sum.",
        **_TVT,
    },
    needs_teacher=True,
)

rkd = _proxy(
    "rkd",
    rkd_nearness,
    "Relational knowledge distillation: minus its loss to a teacher.",
    {
        "deviations": _LOSS,
        "paper": "Relational Knowledge Distillation (Park et al., CVPR 2019)",
        "url": "https://arxiv.org/abs/1904.05068",
        "year": 2019,
    },
)
pkt = _proxy(
    "pkt",
    pkt_nearness,
    "Probabilistic knowledge transfer: minus its loss to a teacher.",
    {
        "deviations": _LOSS,
        "paper": "Learning Deep Representations with Probabilistic Knowledge Transfer (Passalis "
        "and Tefas, ECCV 2018)",
        "url": "https://arxiv.org/abs/1803.10837",
        "year": 2018,
    },
)
cc = _proxy(
    "cc",
    cc_nearness,
    "Correlation congruence: minus its loss to a teacher.",
    {
        "deviations": f"{_LOSS} As RepDistiller has it, which leaves out the paper's kernel and "
        "its learned embedding; features of another width go through a random linear map.",
        "paper": "Correlation Congruence for Knowledge Distillation (Peng et al., ICCV 2019)",
        "url": "https://arxiv.org/abs/1904.01802",
        "year": 2019,
    },
)
at = _proxy(
    "at",
    at_nearness,
    "Attention transfer: minus its loss to a teacher.",
    {
        "deviations": f"{_LOSS} Stages are the last maps of each resolution, without the stem's; "
        "maps are resized to the larger, there pooled to the smaller.",
        "paper": "Paying More Attention to Attention (Zagoruyko and Komodakis, ICLR 2017)",
        "url": "https://arxiv.org/abs/1612.03928",
        "year": 2017,
    },
)
nst = _proxy(
    "nst",
    nst_nearness,
    "Neuron selectivity transfer: minus its loss to a teacher.",
    {
        "deviations": f"{_LOSS} Stages as in at.",
        "paper": "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer (Huang and "
        "Wang, 2017)",
        "url": "https://arxiv.org/abs/1707.01219",
        "year": 2017,
    },
)
