"""Statistics of a network beside a teacher, against what autograd and matrices say."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprox.benches.cifar.resnet import ResNet
from autoprox.errors import StatisticError
from autoprox.proxies import at
from autoprox.statistics import STATISTICS, measure, noise
from autoprox.statistics.taught import Teacher, aligned
from autoprox.statistics.words import TAUGHT
from tests.known_networks import lines


class Small(nn.Module):
    """Two stages of convolutions, a pooling and a classifier."""

    def __init__(self, width=6, classes=5):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, width, 3, 2, padding=1), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.second(self.first(x)).mean((2, 3)))


class Tokens(nn.Module):
    """Patches with a class token, and a block of which the token is taken."""

    def __init__(self, classes=5):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, 4)
        self.block = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6))
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = self.block(F.pad(x, (0, 0, 1, 0)))
        return self.head(x[:, 0])


def made(kind=Small, seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**options)


@pytest.fixture
def batch():
    return noise((3, 8, 8), classes=5, batch=7, seed=1)


def measured(network, batch, names=TAUGHT, **options):
    found = measure(network, *batch, names, sample="full", **options)
    last = len(found.layers) - 1
    assert all(found.present[name].nonzero().tolist() == [[last]] for name in found.names)
    return {name: found.values[name][last] for name in found.names}


def test_each_is_what_its_definition_says(batch):
    student, teacher = made(), made(seed=3)
    found = measured(student, batch, teacher=teacher)
    for prefix, network in (("", student), ("teacher_", teacher)):
        last = network.second(network.first(batch[0]))
        pooled = last.mean((2, 3))
        logits = network.head(pooled)
        flat, channels = last.flatten(1), last.transpose(0, 1).flatten(1)
        network.zero_grad()
        F.cross_entropy(network(batch[0]), batch[1]).backward()
        expected = {
            "map_gram": flat @ flat.T,
            "map_energy": last.square().mean(1).flatten(1),
            "map_channels": channels @ channels.T,
            "pooled": pooled,
            "pooled_gram": pooled @ pooled.T,
            "logits": logits,
            "class_grad": network.head.weight.grad,
        }
        for name, tensor in expected.items():
            torch.testing.assert_close(found[f"{prefix}{name}"], tensor.detach())
    assert len(found) == len(TAUGHT) == 14


class Scaled(Small):
    """What the classifier says is written over with a multiple of it, and stands in a dict."""

    def forward(self, x):
        logits = super().forward(x)
        return {"logits": logits.mul_(10).log_softmax(1), "features": x}


def smooth(output, targets):
    return F.nll_loss(output["logits"], targets) + output["logits"].square().mean()


@pytest.mark.parametrize("loss", [None, smooth])
def test_the_gradient_of_classes_is_by_the_weight_whatever_follows_the_last_layer(batch, loss):
    student, teacher = made(Scaled), made(Scaled, seed=3)
    names = ("class_grad", "teacher_class_grad")
    for drawn in (student, made(Scaled, seed=1)):  # the teacher is looked at once for both
        beside = measured(drawn, batch, names, teacher=teacher, loss=loss)
        for network, found in zip((drawn, teacher), beside.values(), strict=True):
            output = network(batch[0])
            wrong = loss(output, batch[1]) if loss else F.cross_entropy(output["logits"], batch[1])
            expected = torch.autograd.grad(wrong, network.head.weight)[0]
            torch.testing.assert_close(found, expected)


def test_features_of_another_width_keep_their_length_on_average():
    narrow, wide = torch.randn(5, 4), torch.randn(5, 400)
    mixed = aligned(narrow, wide, seed=0)
    assert mixed.shape == wide.shape
    assert float(mixed.norm() / narrow.norm()) == pytest.approx(1, rel=0.1)
    assert torch.equal(mixed, aligned(narrow, wide, seed=0))


def test_sampled_they_stand_on_the_last_layer_as_matrices(batch):
    found = measure(made(), *batch, ["logits", "weight"], sample=16, teacher=made(seed=1))
    assert found.values["logits"].shape == (3, 7, 5)
    assert found.values["weight"].shape == (3, 16)
    assert not found.values["logits"][:2].any()


def test_a_map_of_tokens_is_a_grid_without_the_class_token(batch):
    student, teacher = made(Tokens), made()
    found = measured(student, batch, ("map_energy", "teacher_map_energy"), teacher=teacher)
    tokens = student.block(F.pad(student.patch(batch[0]).flatten(2).transpose(1, 2), (0, 0, 1, 0)))
    grid = tokens[:, 1:].transpose(1, 2).reshape(7, 6, 2, 2)
    larger = F.interpolate(grid, (4, 4), mode="bilinear")
    torch.testing.assert_close(found["map_energy"], larger.square().mean(1).flatten(1).detach())
    assert found["teacher_map_energy"].shape == (7, 16)


def test_a_map_of_one_dimension_has_channels_where_its_twin_of_two_has_them():
    names = [name for name in TAUGHT if "map" in name]
    found, nearness = [], []
    for (network, x), (teacher, _) in zip(lines(), lines(seed=1), strict=True):
        given = x, torch.arange(8) % 5
        found.append(measured(network, given, names, teacher=teacher))
        nearness.append(at(network, *given, teacher=teacher))
    for name in names:
        torch.testing.assert_close(found[0][name], found[1][name])
    assert found[0]["map_channels"].shape == (6, 6)
    assert nearness[0] == pytest.approx(nearness[1], rel=1e-5)


class Mixing(nn.Module):
    """Mixes channels, of a map that has them last, or moves them there and back."""

    def __init__(self, width, back):
        super().__init__()
        self.norm, self.up, self.back = nn.LayerNorm(width), nn.Linear(width, 2 * width), back
        self.act, self.down = nn.GELU(), nn.Linear(2 * width, width)

    def forward(self, x):
        y = x.movedim(1, 3) if self.back else x.roll(1, 1)
        y = self.down(self.act(self.up(self.norm(y))))
        return x + (y.permute(0, 3, 1, 2).contiguous() if self.back else y)


class Shrinking(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.reduce = nn.Linear(4 * width, 2 * width)

    def forward(self, x):
        return self.reduce(torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1))


class ByKeyword(Small):
    """Calls its layers by keyword."""

    def forward(self, x):
        maps = self.second[1](input=self.second[0](input=self.first(x)))
        return self.head(input=maps.mean((2, 3)))


def test_layers_that_are_called_by_keyword_are_seen(batch):
    found, expected = (
        measured(made(kind), batch, teacher=made(kind, seed=1)) for kind in (ByKeyword, Small)
    )
    for name in TAUGHT:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)


class Hierarchy(nn.Module):
    """As Swin (channels last) and ConvNeXt (channels first) are built."""

    def __init__(self, last, classes=5):
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 6, 2, 2), last
        blocks = [Mixing(6, not last), Mixing(6, not last)]
        self.blocks = nn.Sequential(*blocks, *([Shrinking(6), Mixing(12, False)] if last else []))
        self.head = nn.Linear(12 if last else 6, classes)

    def maps(self, x):
        x = self.stem(x)
        return self.blocks(x.permute(0, 2, 3, 1) if self.last else x)

    def forward(self, x):
        return self.head(self.maps(x).mean((1, 2) if self.last else (2, 3)))


@pytest.mark.parametrize("last", [False, True])
def test_a_map_has_its_channels_where_the_network_has_them(batch, last):
    student, teacher = made(Hierarchy, last=last), made(Hierarchy, seed=1, last=last)
    found = measured(student, batch, ("map_energy", "map_channels"), teacher=teacher)
    maps = student.maps(batch[0]).detach()
    maps = maps.permute(0, 3, 1, 2) if last else maps
    torch.testing.assert_close(found["map_energy"], maps.square().mean(1).flatten(1))
    channels = maps.transpose(0, 1).flatten(1)
    torch.testing.assert_close(found["map_channels"], channels @ channels.T)


class Normed(nn.Module):
    """Blocks with a norm over the channels behind them, inside of a part that returns it."""

    def __init__(self, classes=5):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, 4)
        self.part = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        return self.head(self.part(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


def test_what_the_last_norm_of_a_transformer_returns_is_no_map(batch):
    student = made(Normed)
    found = measured(student, batch, ("map_energy", "pooled"), teacher=made(Normed, seed=1))
    tokens = student.part[0](student.patch(batch[0]).flatten(2).transpose(1, 2))
    torch.testing.assert_close(found["map_energy"], tokens.square().mean(2).detach())
    pooled = student.part[1](tokens).mean(1)
    torch.testing.assert_close(found["pooled"], pooled.detach())


def test_other_widths_go_through_a_random_map_of_the_seed(batch):
    student, teacher = made(width=9), made()
    names = ("pooled", "class_grad", "map_channels", "teacher_pooled")
    found = measured(student, batch, names, teacher=teacher)
    assert found["pooled"].shape == found["teacher_pooled"].shape == (7, 6)
    assert found["map_channels"].shape == (6, 6)
    again = measured(student, batch, names, teacher=teacher)
    assert all(torch.equal(found[name], again[name]) for name in names)
    other = measured(student, batch, names, teacher=teacher, seed=1)
    assert not torch.equal(found["pooled"], other["pooled"])
    # A linear map: there is one matrix for the features of all samples.
    pooled = student.second(student.first(batch[0])).mean((2, 3)).detach()
    rank = torch.linalg.matrix_rank(torch.cat([pooled, found["pooled"]], 1).double(), rtol=1e-5)
    assert rank <= 7
    assert found["pooled"].norm() == pytest.approx(pooled.norm().item(), rel=0.8)


def test_a_teacher_is_left_as_it_was_and_run_once_for_all(batch):
    teacher = ResNet(8, classes=5)
    before = copy.deepcopy(teacher.state_dict())
    runs = []
    teacher.conv.register_forward_hook(lambda *_: runs.append(1))
    shared = Teacher(teacher)
    first = measured(made(), batch, teacher=shared)
    second = measured(made(seed=4), batch, teacher=shared)
    assert torch.equal(first["teacher_logits"], second["teacher_logits"])
    assert len(shared.sides) == 1
    assert teacher.training
    assert all(torch.equal(before[name], each) for name, each in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_is_run_anew_for_what_it_has_not_seen(batch):
    teacher = ResNet(8, classes=5)
    runs, shared, student = [], Teacher(teacher), made()
    teacher.conv.register_forward_hook(lambda *_: runs.append(1))
    names = ("teacher_logits", "teacher_class_grad")

    def agrees(x, y, ran, **how):
        found = measured(student, (x, y), names, teacher=shared, **how)
        assert len(runs) == ran
        expected = measured(student, (x, y), names, teacher=copy.deepcopy(teacher), **how)
        runs.clear()
        for name in names:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)

    x, y = (each.clone() for each in batch)
    agrees(x, y, 1)
    agrees(x.clone(), y.clone(), 0)
    agrees(x[:4], y[:4], 1)
    x.mul_(2)
    agrees(x, y, 1)
    y.copy_(y.flip(0))
    agrees(x, y, 1)
    agrees(x, y, 1, loss=lambda output, targets: 2 * F.cross_entropy(output, targets))
    agrees(x, y, 1, outputs=lambda output: output.flip(1))
    teacher.eval()
    agrees(x, y, 1, outputs=None)
    agrees(x, y, 0)


def test_a_teacher_runs_in_its_own_mode(batch):
    teacher, student = ResNet(8, classes=5), made()
    names = ("teacher_logits",)
    with torch.no_grad():
        trained = copy.deepcopy(teacher)(batch[0])
        used = teacher.eval()(batch[0])
    torch.testing.assert_close(measured(student, batch, names, teacher=teacher)[names[0]], used)
    found = measured(student, batch, names, teacher=teacher.train())[names[0]]
    torch.testing.assert_close(found, trained)
    assert not torch.allclose(used, trained)


@pytest.mark.parametrize("size", [4, (4, 4), [4, 4]])
def test_images_are_resized_to_what_a_teacher_takes(batch, size):
    teacher = ResNet(8, classes=5).eval()
    teacher.image_size = size
    small = F.interpolate(batch[0], (4, 4), mode="bilinear")
    found = measured(made(), batch, ("teacher_logits",), teacher=teacher)
    torch.testing.assert_close(found["teacher_logits"], teacher(small).detach())


@pytest.mark.parametrize("size", ["big", 0, -3, 4.5, True, (4,), (4, 4, 4), torch.tensor(4)])
def test_a_size_that_is_none_is_refused_in_a_sentence(batch, size):
    teacher = ResNet(8, classes=5).eval()
    teacher.image_size = size
    with pytest.raises(StatisticError, match="the teacher: expected image_size to be a side in"):
        measured(made(), batch, ("teacher_logits",), teacher=teacher)


class Sentences(nn.Module):
    """A network without a classifier of features."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.embed(x).flatten(2).transpose(1, 2)).mean(1)


class Flat(nn.Module):
    """A network without maps."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(192, 6), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)))


@pytest.mark.parametrize(
    ("teacher", "names", "message"),
    [
        (None, ("logits",), "'logits' cannot be measured without a teacher: pass teacher="),
        ("resnet", ("logits",), r"expected a torch\.nn\.Module for the teacher; got str"),
        (made(classes=9), ("logits",), "the teacher has 9 classes and the network 5"),
        (made(classes=9), ("class_grad",), "the teacher has 9 classes and the network 5"),
        (nn.Conv2d(1, 5, 3), ("logits",), "the teacher: the network failed on inputs of"),
        (Sentences(), ("logits",), "the teacher: Sentences has no classifier to compare"),
        (Flat(), ("map_energy",), "the teacher: Flat shows no map to compare"),
        (nn.Sequential(nn.Flatten()), ("pooled",), "the teacher: Sequential has no layer"),
    ],
)
def test_what_is_no_teacher_is_refused_in_a_sentence(batch, teacher, names, message):
    with pytest.raises(StatisticError, match=message):
        measure(made(), *batch, names, teacher=teacher)


def test_a_teacher_without_maps_can_be_compared_by_what_it_says(batch):
    names = ("logits", "teacher_logits", "teacher_pooled")
    found = measured(made(), batch, names, teacher=Flat())
    assert found["teacher_logits"].shape == found["logits"].shape
    with pytest.raises(StatisticError, match="the teacher: Flat shows no map"):
        at(made(), *batch, teacher=Flat())


def test_a_network_is_not_its_own_teacher(batch):
    network = made()
    with pytest.raises(StatisticError, match="the teacher is the network itself"):
        measure(network, *batch, ["logits"], teacher=network)


def test_a_teacher_of_other_classes_can_be_compared_by_maps(batch):
    found = measured(made(), batch, ("map_gram", "teacher_map_gram"), teacher=made(classes=9))
    assert found["map_gram"].shape == (7, 7)


def test_kinds_of_a_teacher_line_up_or_are_refused():
    import autoprox

    autoprox.load("sum(mean(multiply(act_gram, teacher_map_gram)))")
    with pytest.raises(autoprox.AutoproxError, match="Logit"):
        autoprox.load("sum(mean(multiply(teacher_logits, teacher_pooled)))")
    assert all(STATISTICS[f"teacher_{name}"].kind is STATISTICS[name].kind
               for name in TAUGHT if not name.startswith("teacher_"))  # fmt: skip
