"""Published proxies of bits that no expression can say: OMPQ and the QE-Score."""

from __future__ import annotations

import math
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions.whole import measured
from autoprox.runtime.digest import digest
from autoprox.statistics.inputs import fingerprint
from autoprox.statistics.private import REGISTRIES
from autoprox.statistics.subject import Subject

Mark = tuple[object, ...]
"""On what depends what was found of a network."""

BETA = 1.0
"""How steeply a layer's importance falls with its redundancy: the default of OMPQ's code."""

DEVIATION = 4.0
"""Standard deviation of the QE-Score's Gaussian weights, as in the released configurations."""


def orthogonality(subject: Subject) -> float:
    r"""Sum of the layers' bits, weighed by how little their outputs resemble those of others.

    .. code-block:: text

        K_l     = inner products of the samples' outputs of layer l, rows and columns centred
        R_lk    = <K_l, K_k> / (|K_l| |K_k|)
        theta_l = exp(-beta * sum over k other than l of R_lk),   beta = 1
        score   = sum over l of bits_l * mean over k >= l of theta_k

    Ma et al., OMPQ: Orthogonal Mixed Precision Quantization (AAAI 2023), as in the code released
    with it, whose linear programme maximises this score.
    """
    importance = _importance(subject)
    bits = torch.tensor([float(subject.bits[name]) for name in importance], dtype=torch.float64)
    return float(bits @ torch.stack(list(importance.values())))


_KNOWN: WeakKeyDictionary[nn.Module, tuple[Mark, dict[str, Tensor]]] = WeakKeyDictionary()
"""What was found of a network last, and on what it depended: it is the same for all bits."""


def _importance(subject: Subject) -> dict[str, Tensor]:
    """Return the factor of each layer's bits, by the names of the layers that have any."""
    mark = _mark(subject)
    network = subject.original or subject.network
    known = _KNOWN.get(network)
    if mark is not None and known is not None and known[0] == mark:
        return known[1]
    importance = _measured_importance(subject)
    if mark is not None:
        _KNOWN[network] = mark, importance
    return importance


def _mark(subject: Subject) -> Mark | None:
    """Return all that importance depends on, but for the code of the modules' classes.

    None if a module holds what has no digest, such as an object of the user's own.
    """
    modules = dict(subject.network.named_modules())
    plain = [
        {name: value for name, value in vars(module).items() if name not in REGISTRIES}
        for module in modules.values()
    ]
    held = digest(partial(repr, plain))  # it takes what can be called
    if held.missing:
        return None
    tensors = fingerprint(subject.inputs, None), fingerprint(subject.state(), None)
    types = *modules, *map(type, modules.values())
    return (subject.seed, subject.mode, held.text, *tensors, *types)


def _measured_importance(subject: Subject) -> dict[str, Tensor]:
    shown = measured(subject, "act_gram")
    grams = dict(zip(shown.layers, shown.values["act_gram"], strict=True))
    names = [name for name in shown.layers if name in subject.bits]
    rows = torch.stack([_centred(grams[name]).flatten() for name in names])
    rows = rows / rows.norm(dim=1, keepdim=True)
    alike = rows @ rows.T
    theta = torch.exp(-BETA * (alike.sum(1) - alike.diagonal()))
    means = theta.flip(0).cumsum(0).flip(0) / torch.arange(len(theta), 0, -1)
    return dict(zip(names, means, strict=True))


def _centred(gram: Tensor | None) -> Tensor:
    """Return a matrix of inner products, ``(batch, batch)``, as if the samples had mean 0."""
    assert gram is not None
    gram = gram.double()
    return gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()


def quantised_entropy(subject: Subject) -> float:
    r"""Sum over the layers of the log-deviation of their outputs for quantised Gaussian weights.

    .. code-block:: text

        s_b   = standard deviation of N(0, 4^2), cut at -2^(b-1) and 2^(b-1), then rounded
        score = sum over layers l of log(s_bits_l) + log(fan_in_l) / 2

    Sun et al., Entropy-Driven Mixed-Precision Quantization for Deep Network Design (NeurIPS 2022),
    as in the code released with it.
    """
    state = subject.state()
    return sum(
        math.log(rounded_deviation(DEVIATION, bits)) + math.log(state[name][0].numel()) / 2
        for name, bits in subject.bits.items()
    )


def rounded_deviation(deviation: float, bits: int) -> float:
    """Return the standard deviation of a Gaussian of mean 0, cut and rounded to integers.

    >>> round(rounded_deviation(4.0, 2), 2), round(rounded_deviation(4.0, 8), 3)
    (1.74, 4.01)
    """
    bound = 2 ** (bits - 1)

    def above(edge: float) -> float:
        return math.erfc(edge / (deviation * math.sqrt(2))) / 2

    inner = sum(k * k * (above(k - 0.5) - above(k + 0.5)) for k in range(1, bound))
    return math.sqrt(2 * (inner + bound * bound * above(bound - 0.5)))


ompq = FunctionProxy(
    "ompq",
    orthogonality,
    "OMPQ: bits for the layers whose outputs resemble those of other layers least.",
    {
        "deviations": "The outputs are those of the layers themselves, there those behind batch "
        "norm and ReLU, or behind the shortcut. beta is the code's default, 1; the released "
        "scripts set 100 for ResNet-18 and 1e-9 for MobileNetV2. The paper maximises the score "
        "under a budget by linear programming, with the first and the last layer apart; here it "
        "ranks configurations. The network is in evaluation mode.",
        "paper": "OMPQ: Orthogonal Mixed Precision Quantization (Ma et al., AAAI 2023)",
        "released_code": "MAC-AutoML/OMPQ",
        "url": "https://arxiv.org/abs/2109.07865",
        "year": 2023,
    },
    needs_bits=True,
    batch=32,
    version=2,
)

qe_score = FunctionProxy(
    "qe_score",
    quantised_entropy,
    "QE-Score: the entropy that a network of Gaussian weights keeps at the layers' bits.",
    {
        "deviations": "It designs untrained networks; of a trained one it sees the shapes and bits "
        "alone, and its configurations differ by the deviation of the quantised weights only. "
        "Terms that are the same for all bits of a network are left out: those of the "
        "activations' bits and of the last stage's channels. The released code adds the scores of "
        "several depths of the network, weighed for five stages; here it is that of the whole.",
        "paper": "Entropy-Driven Mixed-Precision Quantization for Deep Network Design (Sun et al., "
        "NeurIPS 2022)",
        "released_code": "alibaba/lightweight-neural-architecture-search",
        "url": "https://openreview.net/forum?id=E28hy5isRzC",
        "year": 2022,
    },
    needs_bits=True,
    version=1,
)
