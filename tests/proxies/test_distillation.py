"""DisWOT, TVT and losses of distillation, against their definitions written out."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import nn

import autoprox
from autoprox.errors import ScoreError, StatisticError
from autoprox.proxies import functions
from autoprox.proxies.functions.distillation import draw_normal
from autoprox.statistics import noise
from tests.known_networks import random_states
from tests.statistics.test_taught import Small, made

BATCH = 7


@pytest.fixture
def case():
    return made(), made(seed=3), noise((3, 8, 8), classes=5, batch=BATCH, seed=1)


def unit_rows(matrix):
    return F.normalize(matrix, dim=-1, eps=1e-12)


def last_map(network, x):
    return network.second(network.first(x)).detach()


def stages(network, x):
    first = network.first(x).detach()
    return [first, network.second(first).detach()]


def class_grads(network, x, y):
    network = copy.deepcopy(network)
    network.zero_grad()
    F.cross_entropy(network(x), y).backward()
    return network.head.weight.grad.double()


def semantic(student, teacher, x, y):
    """The definition: Gram matrices of C x C for each class."""
    own, others = class_grads(student, x, y), class_grads(teacher, x, y)

    def grams(grads):
        return unit_rows(grads[:, :, None] * grads[:, None, :])

    return -((grams(own) - grams(others)) ** 2).sum().item() / own.numel()


def relation(student, teacher, x, y):
    grams = [
        unit_rows(flat @ flat.T)
        for flat in (last_map(network, x).flatten(1).double() for network in (student, teacher))
    ]
    return -((grams[0] - grams[1]) ** 2).sum().item() / BATCH**2


def drawn(network):
    copied = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        draw_normal(copied, 0)
    return copied


def test_the_semantic_metric_is_its_definition(case):
    student, teacher, (x, y) = case
    own = autoprox.load("diswot_semantic_own")
    found = own(student, x, y, teacher=teacher, sample="full")
    assert found * 6 == pytest.approx(semantic(student, teacher, x, y), rel=1e-4)
    found = autoprox.load("diswot_semantic")(student, x, y, teacher=teacher)
    assert found == pytest.approx(semantic(drawn(student), drawn(teacher), x, y), rel=1e-4)


def test_the_semantic_metric_has_its_closed_form_where_no_gradient_vanishes(case):
    student, teacher, (x, y) = case
    own, others = class_grads(student, x, y), class_grads(teacher, x, y)
    kept = own.abs().sum(1) > 0
    assert kept.all()
    agree = (own.sign() * others.sign()).mean(1)
    expected = -2 + 2 * (F.cosine_similarity(own, others) * agree).mean()
    signs = (own.sign() ** 2).mean(1), (others.sign() ** 2).mean(1)
    expected += (2 - signs[0] - signs[1]).mean()  # ReLU leaves features that are 0 for all samples
    assert semantic(student, teacher, x, y) == pytest.approx(expected.item(), rel=1e-6)


def test_classes_without_a_gradient_add_nothing(case):
    student, teacher, (x, y) = case
    with torch.no_grad():
        for network in (student, teacher):
            network.head.bias[2] = -200.0  # nobody says class 2
    y = y.where(y != 2, 1)
    found = autoprox.load("diswot_semantic_own")(student, x, y, teacher=teacher, sample="full")
    assert found * 6 == pytest.approx(semantic(student, teacher, x, y), rel=1e-4)


def test_the_relation_metric_is_its_definition_and_the_sum_is_unscaled(case):
    student, teacher, (x, y) = case
    how = {"teacher": teacher}
    own = autoprox.load("diswot_relation_own")(student, x, y, **how)
    assert own == pytest.approx(relation(student, teacher, x, y), rel=1e-4)
    found = {name: autoprox.load(name)(student, x, y, **how)
             for name in ("diswot", "diswot_semantic", "diswot_relation")}  # fmt: skip
    expected = relation(drawn(student), drawn(teacher), x, y)
    assert found["diswot_relation"] == pytest.approx(expected, rel=1e-4)
    parts = found["diswot_semantic"] + found["diswot_relation"]
    assert found["diswot"] == pytest.approx(parts, rel=1e-6)


def test_weights_are_drawn_from_the_normal_distribution():
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Linear(64, 100))
    before = copy.deepcopy(network)
    one, other = drawn(network), drawn(network)
    weight = one[0].weight.detach().flatten()
    assert abs(weight.mean().item()) < 0.1
    assert weight.std().item() == pytest.approx(1.0, abs=0.05)
    assert not one[0].bias.any()
    assert torch.equal(one[1].weight, torch.ones(64))
    assert torch.equal(one[2].weight, other[2].weight)
    assert torch.equal(network[2].weight, before[2].weight)


def pooled(network, x):
    return last_map(network, x).mean((2, 3))


def attention_apart(pair):
    own, others = (F.normalize(each.square().mean(1).flatten(1), dim=1) for each in pair)
    return ((own - others) ** 2).mean()


def of_kd(student, teacher, x):
    student, teacher = (copy.deepcopy(each).requires_grad_(False) for each in (student, teacher))
    own, others = student(x) / 4, teacher(x) / 4
    loss = F.kl_div(own.log_softmax(1), others.softmax(1), reduction="batchmean")
    return -loss / 5  # a mean over the classes as well


def of_rkd(student, teacher, x):
    loss = 0
    own, others = pooled(student, x), pooled(teacher, x)
    pairs = [(i, j) for i in range(BATCH) for j in range(BATCH)]
    scale = [
        np.mean([(rows[i] - rows[j]).norm().item() for i, j in pairs if i != j])
        for rows in (own, others)
    ]
    for i, j in pairs:
        a, b = ((r[i] - r[j]).norm() / s for r, s in zip((own, others), scale, strict=True))
        loss += 25 * F.smooth_l1_loss(a, b) / BATCH**2
    for i in range(BATCH):
        for j, k in pairs:
            a, b = (
                F.normalize(r[j] - r[i], dim=0) @ F.normalize(r[k] - r[i], dim=0)
                for r in (own, others)
            )
            loss += 50 * F.smooth_l1_loss(a, b) / BATCH**3
    return -loss


def of_pkt(student, teacher, x):
    shares = []
    for rows in (pooled(student, x), pooled(teacher, x)):
        cosines = torch.stack([F.cosine_similarity(row[None], rows) for row in rows])
        shares.append((cosines + 1) / (cosines + 1).sum(1, keepdim=True))
    own, others = shares
    return -(others * (others.log() - own.log())).mean()


def of_cc(student, teacher, x):
    apart = (pooled(student, x) - pooled(teacher, x)).abs()
    return -sum(apart[i] @ apart[i + 1] for i in range(BATCH - 1)) / (BATCH - 1)


def of_at(student, teacher, x):
    return -sum(map(attention_apart, zip(stages(student, x), stages(teacher, x), strict=True)))


def of_nst(student, teacher, x):
    loss = 0
    for s, t in zip(stages(student, x), stages(teacher, x), strict=True):
        s, t = F.normalize(s.flatten(2), dim=2), F.normalize(t.flatten(2), dim=2)
        for a, b, weight in ((t, t, 1), (s, s, 1), (s, t, -2)):
            loss += weight * torch.einsum("bip,bjp->bij", a, b).square().mean()
    return -loss


LOSSES = {
    "kd": of_kd,
    "fitnet": lambda s, t, x: -F.mse_loss(pooled(s, x), pooled(t, x)),
    "rkd": of_rkd,
    "pkt": of_pkt,
    "cc": of_cc,
    "at": of_at,
    "nst": of_nst,
    "tvt_teacher": lambda s, t, x: -attention_apart((last_map(s, x), last_map(t, x))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula(name, case):
    student, teacher, (x, y) = case
    expected = float(LOSSES[name](student, teacher, x))
    found = autoprox.load(name)(student, x, y, teacher=teacher, sample="full")
    assert found == pytest.approx(expected, rel=1e-3)


TAUGHT = [name for name in autoprox.proxies.names() if autoprox.load(name).needs_teacher]


@pytest.mark.parametrize("name", TAUGHT)
def test_each_asks_for_a_teacher_in_a_sentence(name, case):
    student, _, batch = case
    if name in ("diswot_ranks", "tvt"):
        with pytest.raises(ScoreError, match="compares networks with each other"):
            autoprox.load(name)(student, *batch)
    else:
        with pytest.raises(StatisticError, match="cannot be measured without a teacher"):
            autoprox.load(name)(student, *batch)


@pytest.mark.parametrize("name", ["diswot", "rkd", "nst"])
def test_both_networks_are_left_as_they_were(name, case):
    student, teacher, batch = case
    before = [copy.deepcopy(each.state_dict()) for each in (student, teacher)]
    states = random_states()
    found = autoprox.load(name)(student, *batch, teacher=teacher)
    assert random_states() == states
    for state, network in zip(before, (student, teacher), strict=True):
        assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
        assert not any(module._forward_hooks for module in network.modules())
    assert autoprox.load(name)(student, *batch, teacher=teacher) == found


def test_a_twin_is_as_near_as_can_be(case):
    student, _, batch = case
    twin = copy.deepcopy(student)
    for name in ("rkd", "pkt", "cc", "at", "nst", "diswot"):
        found = autoprox.load(name)(student, *batch, teacher=twin)
        assert found == pytest.approx(0.0, abs=1e-6), name
    for name in ("kd", "fitnet", "tvt_teacher"):  # expressions, which are refused where they are 0
        with pytest.raises(ScoreError, match="it says nothing"):
            autoprox.load(name)(student, *batch, teacher=twin)


def test_layers_by_number_need_as_many_blocks(case):
    student, teacher, batch = case
    with pytest.raises(StatisticError, match=r"they have 2 stages and 0 blocks: use tvt_teacher"):
        autoprox.load("tvt_blocks")(student, *batch, teacher=teacher)


def test_inner_layers_are_stages_of_the_teacher_and_blocks_of_the_network():
    from autoprox.benches.cifar.resnet import ResNet

    batch = noise((3, 8, 8), classes=10, batch=4, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student, teacher = ResNet(20), ResNet(8)
    with torch.no_grad():

        def maps(network):
            x, found = torch.relu(network.norm(network.conv(batch[0]))), []
            for block in network.blocks:
                found.append(x := block(x))
            return found

        own, others = maps(copy.deepcopy(student)), maps(copy.deepcopy(teacher))
        pairs = [(own[1], others[1]), (own[6], others[2])]
        resized = [
            (F.interpolate(a, size, mode="bilinear"), F.interpolate(b, size, mode="bilinear"))
            for a, b in pairs
            for size in [max(a.shape[2], b.shape[2])]
        ]
        expected = -sum(map(attention_apart, resized)) / 2
    found = autoprox.load("tvt_blocks")(student, *batch, teacher=teacher)
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_an_ensemble_is_the_mean_of_ranks(case):
    _, teacher, batch = case
    networks = {f"n{seed}": made(seed=seed) for seed in (4, 5, 6)}
    frame = autoprox.score(networks, ["tvt", "tvt_teacher", "l2_norm"], *batch, teacher=teacher)
    parts = np.array([list(frame["tvt_teacher"].values()), list(frame["l2_norm"].values())])
    assert list(frame["tvt"].values()) == rankdata(parts, axis=1).mean(0).tolist()


def test_one_teacher_serves_a_frame_of_networks(case):
    _, teacher, batch = case
    runs = []
    teacher.first.register_forward_hook(lambda *_: runs.append(1))
    networks = {f"n{seed}": made(seed=seed) for seed in (4, 5, 6)}
    frame = autoprox.score(networks, ["rkd", "kd", "diswot"], *batch, teacher=teacher)
    assert not frame.failures
    alone = autoprox.load("rkd")(networks["n5"], *batch, teacher=teacher)
    assert frame["rkd"]["n5"] == pytest.approx(alone, rel=1e-6)
    assert isinstance(teacher, Small)


def test_every_function_that_compares_ships():
    homes = {name for name, home in functions.HOMES.items() if home == "distillation"}
    assert homes <= set(TAUGHT)
