"""EPE-NAS: how alike a network treats the samples of one class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoprox.errors import ScoreError
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions.whole import measured
from autoprox.statistics.outcomes import class_targets
from autoprox.statistics.structure import couples_samples
from autoprox.statistics.subject import Subject
from autoprox.statistics.trees import rows

OFFSET = 1e-5
"""Added before the logarithm, as in the released code."""

MANY_CLASSES = 100
"""From more classes than this on, the classes' sums are compared with each other."""


def class_correlations(subject: Subject) -> float:
    r"""Sum over the classes of the log-correlations between their samples' input gradients.

    .. code-block:: text

        J_i = gradient of the summed logits by input i
        R_c = Pearson correlations of the J_i of class c
        e_c = sum over the entries of log(|R_c| + 1e-5)
        score = sum over the classes of |e_c|                                (up to 100 classes)
        score = mean over classes c of sum over classes d of |e_c - e_d|     (more than 100),
                each e_c divided by the number of samples of its class; classes that occur once
                do not count

    Lopes, Alirezazadeh and Alexandre, EPE-NAS: Efficient Performance Estimation Without Training
    for Neural Architecture Search (ICANN 2021), as in the code released with it. Conventions:
    the subject's mode, one batch, the network's own initial weights. A sample that is the only one
    of its class is compared with none: where batch norm does not couple it with others, the network
    is not shown it.

    Raises:
        StatisticError: the batch has one sample, or a gradient is constant.
        ScoreError: no class occurs twice.
    """
    targets = class_targets(subject).cpu()
    shown = (targets[:, None] == targets).sum(1) > 1
    if subject.batch > 1 and not shown.any():
        raise ScoreError(
            f"it compares samples of one class, and the {subject.batch} labels are all different; "
            "show the network more inputs"
        )
    if couples_samples(subject.network) or subject.batch == 1:
        shown[:] = True
    word = "jacobian_correlation"
    correlations = measured(subject, word, rows(subject.inputs, shown)).values[word][0]
    assert isinstance(correlations, Tensor)
    with torch.no_grad():
        few = min(2, subject.batch)
        output = subject.forward(subject.part(0, few), subject.state(), 0)
        classes = subject.logits(output, few).shape[-1]
    return _score(correlations.double(), targets[shown], int((~shown).sum()), classes)


def _score(correlations: Tensor, targets: Tensor, alone: int, classes: int) -> float:
    """Return the score from the correlations ``(shown, shown)`` of samples of classes `targets`.

    `alone` samples were not shown, as the only ones of their classes; `classes` counts the logits.
    """
    sums = []
    for number in sorted(set(targets.tolist())):
        places = (targets == number).nonzero()[:, 0]
        if len(places) == 1 and classes > MANY_CLASSES:
            continue
        logs = (correlations[places][:, places].abs() + OFFSET).log()
        sums.append(logs.sum() / (len(places) if classes > MANY_CLASSES else 1))
    by_class = torch.stack(sums)
    if classes <= MANY_CLASSES:
        return float(by_class.abs().sum()) + alone * math.log1p(OFFSET)
    return float((by_class[:, None] - by_class[None, :]).abs().sum() / len(by_class))


epe_nas = FunctionProxy(
    "epe_nas",
    class_correlations,
    "EPE-NAS: how much the network's linear maps on the samples of one class correlate.",
    {
        "deviations": "As in the released code, a class that occurs once adds log(1 + 1e-5), or "
        "nothing where there are more than 100 classes. The number of classes is that of the "
        "logits; the released function takes 10 unless it is told. The batch is 64 in a ranking, "
        "unless it is larger, so that classes occur more than once; there it is 256. Scores are "
        "comparable for one batch only.",
        "paper": "EPE-NAS: Efficient Performance Estimation Without Training for Neural "
        "Architecture Search (Lopes et al., ICANN 2021)",
        "released_code": "VascoLopes/EPE-NAS",
        "url": "https://arxiv.org/abs/2102.08099",
        "year": 2021,
    },
    needs_labels=True,
    batch=64,
    version=4,
)
