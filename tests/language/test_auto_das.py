"""The genotypes of Auto-DAS decode to what its operations say."""

import pytest
import torch
import torch.nn.functional as F

import autoprox
from autoprox.errors import LanguageError, UnknownNameError
from autoprox.language.graph import apply
from autoprox.statistics import noise
from tests.language.auto_das import instinct, interaction
from tests.statistics.test_taught import made

PUBLISHED = {
    "auto_das_resnet": (
        ("grad", ("logsoftmax", "no_op", "frobenius_norm", "normalized_sum")),
        ("k2", ("relu", "sigmoid", "abs"), "kl_T8", "w100_teacher_student"),
    ),
    "auto_das_nb101": (
        ("virtual_grad", ("abslog", "sigmoid", "normalized_sum", "invert")),
        ("k3", ("multi_scale_r4", "pow2"), "l1_loss", "w100_teacher_student"),
    ),
    "auto_das_nb201": (
        ("grad", ("logsoftmax", "no_op", "tanh", "l1_norm")),
        ("k2", ("mish", "pow2", "softmax_N"), "multiply", "w100_teacher_student"),
    ),
    "auto_das_vit": (
        ("grad", ("sigmoid", "logsoftmax", "abslog", "no_op")),
        ("k3", ("sigmoid", "mask", "softmax_N"), "kl_T1", "w1_teacher"),
    ),
}
"""Instinct and interaction; the second without its dropout."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_genotypes_ship(name):
    own, between = PUBLISHED[name]
    decoded = apply("add", instinct(*own), interaction(*between))
    assert autoprox.load(name).graph is decoded


CHANGES = {
    "relu": F.relu, "sigmoid": torch.sigmoid, "abs": torch.abs, "mish": F.mish,
    "pow2": lambda f: f**2, "softmax_N": lambda f: f.softmax(0),
    "softmax_C": lambda f: f.softmax(1),
    "logsoftmax_C": lambda f: f.log_softmax(1), "norm_C": lambda f: F.normalize(f, dim=1),
    "scale": lambda f: (f + 1) / 2, "swish": F.silu, "tanh": torch.tanh, "pow4": lambda f: f**4,
    "mask": lambda f: f, "multi_scale_r4": lambda f: f,
}  # fmt: skip


def divergence(s, t, temperature):
    logs, shares = (s / temperature).log_softmax(1), (t / temperature).softmax(1)
    return F.kl_div(logs, shares, reduction="batchmean") * temperature**2


APART = {
    "kl_T8": lambda s, t: divergence(s, t, 8),
    "kl_T1": lambda s, t: divergence(s, t, 1),
    "l1_loss": F.l1_loss,
    "mse_loss": F.mse_loss,
    "multiply": lambda s, t: (s * t).mean(),
    "matrix_multiplication": lambda s, t: (s * t).sum(),
}


@pytest.mark.parametrize(
    "between",
    [
        *(between for _, between in PUBLISHED.values()),
        ("k2", ("swish", "norm_C", "scale"), "mse_loss", "w100_teacher_student"),
        ("k3", ("tanh", "logsoftmax_C", "pow4"), "matrix_multiplication", "w1_teacher"),
        ("k3", ("softmax_C",), "mse_loss", "w1_teacher"),
    ],
)
def test_an_interaction_is_what_its_operations_say(between):
    source, transforms, distance, weight = between
    student, teacher, (x, y) = made(), made(seed=3), noise((3, 8, 8), 5, batch=7, seed=1)
    tensors = []
    for network in (student, teacher):
        found = network.second(network.first(x)).mean((2, 3))
        found = (network.head(found) if source == "k3" else found).detach().double()
        for each in transforms:
            found = CHANGES[each](found)
        tensors.append(found)
    expected = APART[distance](*tensors)
    if weight == "w100_teacher_student":
        expected = 100 * expected * F.cosine_similarity(*tensors, dim=0).mean()
    proxy = autoprox.load(interaction(*between))
    assert proxy(student, x, y, teacher=teacher) == pytest.approx(expected.item(), rel=1e-2)


def test_an_instinct_adds_up_the_layers_means():
    network, (x, y) = made(), noise((3, 8, 8), 5, batch=7, seed=1)
    proxy = autoprox.load(instinct("weight", ("abslog", "sigmoid", "normalized_sum", "invert")))
    weights = (each for name, each in network.named_parameters() if name.endswith("weight"))
    expected = sum(1 / each.abs().log().sigmoid().mean().item() for each in weights)
    assert proxy(network, x, y, sample="full") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("between", "error", "message"),
    [
        (("k1", (), "l1_loss", "w1_teacher"), LanguageError, "map_gram, map_energy"),
        (("k4", (), "l1_loss", "w1_teacher"), UnknownNameError, "k4"),
        (("k2", ("drop",), "l1_loss", "w1_teacher"), LanguageError, "'drop' is random"),
        (("k2", ("pow3",), "l1_loss", "w1_teacher"), UnknownNameError, "pow3"),
        (("k2", (), "l3_loss", "w1_teacher"), UnknownNameError, "l3_loss"),
        (("k2", (), "l1_loss", "w5"), UnknownNameError, "w5"),
    ],
)
def test_what_cannot_be_decoded_is_refused(between, error, message):
    with pytest.raises(error, match=message):
        interaction(*between)
