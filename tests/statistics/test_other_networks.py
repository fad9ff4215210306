"""Networks that are written in other ways than most: each is measured right, or refused."""

import functools
from types import MethodType

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprox.errors import StatisticError
from autoprox.statistics import measure
from tests.known_networks import left
from tests.statistics.zoo import Attends

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class Calls(nn.Module):
    """Layers of its own, and what is to be done with them and with an input."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.does = forward

    def forward(self, x):
        return self.does(self, x)


def two(forward=None):
    """Return a network of two linear layers, from 12 to 8 to 10 numbers."""
    forward = forward or (lambda self, x: self.head(self.first(x).tanh()))
    return Calls(forward, first=nn.Linear(12, 8), head=nn.Linear(8, 10))


def gradients(network, x, y, loss=F.cross_entropy):
    """Gradients of the whole batch's loss, by autograd."""
    network.zero_grad()
    loss(network(x.clone()), y).backward()
    grads = {name: each.grad for name, each in network.named_parameters()}
    return {name: grad.flatten() for name, grad in grads.items() if grad is not None}


def patched(network, new):
    """Replace the forward of the first layer by a function of the old one and the layer."""
    network.first.forward = new(network.first.forward, network.first)
    return network


def nested(old, _):
    def inner(x):
        return old(x)

    return lambda x: inner(x) * 2


PATCHES = {
    "closure": lambda old, _: lambda x: old(x) * 3,
    "nested": nested,
    "default": lambda _, layer: lambda x, layer=layer: F.linear(x, layer.weight) * 2,
    "partial": lambda old, _: functools.partial(lambda old, x: old(x) * 2, old),
    "method": lambda _, layer: MethodType(lambda self, x: F.linear(x, self.weight) * 2, layer),
    "compiled": lambda old, _: torch.compile(old, backend="eager"),
}


def in_a_notebook():
    """Return a network patched by a function that finds the old forward among its globals."""
    network = two()
    names = {"old": network.first.forward}
    network.first.forward = eval("lambda x: old(x) * 3", names)
    return network


class Slotted(nn.Module):
    """Keeps what it writes in a slot."""

    __slots__ = ("scale",)

    def __init__(self):
        super().__init__()
        self.head, self.scale = nn.Linear(12, 10), torch.ones(12)

    def forward(self, x):
        self.scale = self.scale * 1.5
        return self.head(x * self.scale)


def writes_into_its_input(self, x):
    return self.head(self.first(x.sub_(0.5).div_(2)).relu_())


def by_half_a_batch(self, x):
    hidden = self.first(x)
    if len(x) % 2 == 0:
        halves = hidden.unflatten(0, (2, -1))
        hidden = (halves - halves.mean(1, keepdim=True)).flatten(0, 1)
    return self.head(hidden.tanh())


def by_the_mean(self, x):
    hidden = self.first(x)
    return self.head((hidden if x.mean() > 0 else hidden * 3).tanh())


def up_to_three(self, x):
    hidden = self.first(x)
    chosen = hidden[:, 0] > 0
    return self.head(hidden * (chosen & (chosen.int().cumsum(0) <= 3))[:, None])


def the_larger_half(self, x):
    hidden = self.first(x)
    gates, places = hidden[:, 0].sigmoid().topk(max(1, len(x) // 2))
    return self.head(hidden.index_add(0, places, hidden[places].tanh() * gates[:, None]))


FORWARDS = (writes_into_its_input, by_half_a_batch, by_the_mean, up_to_three, the_larger_half)
BUILDS = {
    **{
        name: functools.partial(lambda new: patched(two(), new), new)
        for name, new in PATCHES.items()
    },
    "global": in_a_notebook,
    "slots": Slotted,
    **{forward.__name__: functools.partial(two, forward) for forward in FORWARDS},
}


@pytest.mark.parametrize("name", BUILDS)
def test_gradients_are_those_of_autograd_and_nothing_changes(name):
    torch.manual_seed(5)
    network, x, y = BUILDS[name](), torch.randn(8, 12), torch.randint(0, 10, (8,))
    before, given = left(network), x.clone()
    found = measure(network, x, y, ["grad"], sample="full")
    assert left(network) == before
    assert torch.equal(x, given)
    expected = gradients(network, x, y)
    assert len(found.layers) == 1 + (name != "slots")
    for layer, grad in zip(found.layers, found.values["grad"], strict=True):
        torch.testing.assert_close(grad, expected[layer], rtol=1e-4, atol=1e-6)


def test_a_loss_may_write_into_its_targets():
    def loss(output, targets):
        targets[targets > 8] = 0
        return F.cross_entropy(output, targets)

    network, x, y = two(), torch.randn(8, 12), torch.arange(8) + 2
    found = measure(network, x, y, ["grad"], loss=loss, sample="full")
    assert torch.equal(y, torch.arange(8) + 2)
    expected = gradients(network, x, y.clone(), loss)
    torch.testing.assert_close(found.values["grad"][0], expected["first.weight"])


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_a_loss_that_returns_more_and_a_script_are_refused():
    network, x, y = two(), torch.randn(8, 12), torch.randint(0, 10, (8,))
    with pytest.raises(StatisticError, match="got a tuple: return the number alone"):
        measure(network, x, y, ["grad"], loss=lambda out, y: (F.cross_entropy(out, y), {}))
    script = torch.jit.trace(nn.Linear(12, 10), x)
    with pytest.raises(StatisticError, match="body is a TorchScript module"):
        measure(Calls(lambda self, x: self.body(x), body=script), x, y, ["grad"])


def parameter(*shape):
    return nn.Parameter(torch.randn(*shape) / 3)


def gathered(self, x):
    gate, expert = self.router(x).softmax(-1).max(-1)
    return torch.einsum("bi,boi->bo", x, self.up[expert]) * gate[:, None]


class Renamed(nn.Linear):
    """Holds its weight under another name, as weights that are dropped do."""

    def __init__(self):
        super().__init__(12, 10)
        self.weight_raw = nn.Parameter(self.weight.data)
        del self.weight

    def forward(self, x):
        return F.linear(x, self.weight_raw * 1, self.bias)


FANS = {
    "expert of each sample": (
        Calls(gathered, router=nn.Linear(12, 3), up=parameter(3, 10, 12)),
        {"up": (12, 10), "router.weight": (12, 3)},
    ),
    "heads": (
        Calls(
            lambda self, x: torch.einsum(
                "bhk,hkd->bd", torch.einsum("bd,dhk->bhk", x, self.into).tanh(), self.out
            ),
            into=parameter(12, 2, 5), out=parameter(2, 5, 7),
        ),
        {"into": (12, 10), "out": (10, 7)},
    ),
    "splines": (
        Calls(
            lambda self, x: torch.einsum("big,oig->bo", torch.stack([x, x**2], -1), self.spline),
            spline=parameter(10, 12, 2),
        ),
        {"spline": (24, 10)},
    ),
    "low rank": (
        Calls(
            lambda self, x: F.linear(x, self.up @ self.down),
            up=parameter(10, 2), down=parameter(2, 12),
        ),
        {"up": (2, 10), "down": (12, 2)},
    ),
    "other name": (Calls(lambda self, x: self.body(x), body=Renamed()),
                   {"body.weight_raw": (12, 10)}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FANS)
def test_weights_have_the_fans_of_what_is_computed_with_them(kind):
    network, expected = FANS[kind]
    names = ["fan_in", "fan_out", "weight", "weight_spectrum"]
    found = measure(network, torch.randn(8, 12), None, names, sample="full")
    columns = [found.values[name].tolist() for name in names[:2]]
    fans = dict(zip(found.layers, zip(*columns, strict=True), strict=True))
    assert fans == expected
    weights = dict(network.named_parameters())
    sizes = [weights[name].numel() // expected[name][0] for name in found.layers]
    shapes = [(rows, expected[name][0]) for rows, name in zip(sizes, found.layers, strict=True)]
    assert [len(each) for each in found.values["weight_spectrum"]] == list(map(min, shapes))


def test_a_token_that_a_layer_projects_is_no_layer():
    network = Calls(
        lambda self, x: self.head(x + self.mix(self.cls)),
        cls=parameter(1, 12), mix=nn.Linear(12, 12), head=nn.Linear(12, 10),
    )  # fmt: skip
    found = measure(network, torch.randn(4, 12), None, ["params"])
    assert found.layers == ("mix.weight", "head.weight")
    assert "cls" in found.unseen


def flops(forward, **parts):
    found = measure(Calls(forward, **parts), torch.randn(4, 6, 8), None, ["flops"])
    return found.values["flops"].sum()


def test_operations_in_place_and_lengths_of_vectors_are_counted():
    head = nn.Linear(8, 5, bias=False)
    assert flops(lambda self, x: F.normalize(self.head(x)), head=head) == 2 * 6 * 8 * 5

    def added(self, x):
        return torch.zeros(len(x), 6, 6).baddbmm_(x, x.mT) @ self.head(x)

    assert flops(added, head=head) == 2 * 6 * 6 * 8 + 2 * 6 * 8 * 5 + 2 * 6 * 6 * 5


def test_attention_in_one_operation_is_counted():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def attend(self, x):
        heads = self.head(x)[:, None]
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(heads, heads, heads)[:, 0]

    head = nn.Linear(8, 16, bias=False)
    assert flops(attend, head=head) == 2 * 6 * 8 * 16 + 2 * 2 * 6 * 6 * 16


def test_an_operation_that_few_networks_run_is_named():
    def convolve(self, x):
        return self.head(torch.conv_tbc(x.transpose(0, 1), self.weight, self.bias).mean(0))

    parts = {"weight": parameter(3, 8, 4), "bias": parameter(4), "head": nn.Linear(4, 5)}
    with pytest.raises(StatisticError, match=r"formula for the operations of aten\.conv_tbc"):
        flops(convolve, **parts)
    assert (
        "weight" in measure(Calls(convolve, **parts), torch.randn(4, 6, 8), None, "params").unseen
    )


class Variant(Attends):
    """Attention by hand, in a way of its own."""

    def attend(self, q, k, v):
        return self.way(q @ k.mT / 2, v)


def sinks(scores, v):
    return F.pad(scores, (1, 0)).softmax(-1)[..., 1:] @ v


def talking(scores, v):
    mixed = torch.einsum("bhqk,hg->bgqk", scores, torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    return mixed.softmax(-1) @ v


def gated(scores, v):
    out = scores.softmax(-1) @ v
    return out * out.softmax(-1)


MAPS = {sinks: lambda s: F.pad(s, (1, 0)), gated: lambda s: s,
        talking: lambda s: torch.stack([s[:, 0], 0.5 * s[:, 0] + s[:, 1]], 1)}  # fmt: skip


@pytest.mark.parametrize("way", MAPS)
def test_maps_of_attention_in_other_ways(way):
    network, x = Variant(way), torch.randn(8, 3, 2, 8)
    found = measure(network, x, None, ["attention", "heads"], sample="full")
    q, k = (
        layer(x.flatten(1, 2)).unflatten(-1, (2, -1)).transpose(1, 2)
        for layer in (network.q, network.k)
    )
    expected = MAPS[way](q @ k.mT / 2).softmax(-1)
    (maps,) = (each for each in found.values["attention"] if each is not None)
    torch.testing.assert_close(maps, expected.flatten())
    assert found.values["heads"].max() == 2
