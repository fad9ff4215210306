"""What a network's code does beside computing: nothing is left of it, and nothing comes of it."""

import functools
import gc
import runpy
import weakref
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, deque
from dataclasses import dataclass
from types import SimpleNamespace

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprox.errors import StatisticError
from autoprox.proxies.loading import load
from autoprox.statistics import held, measure
from tests.statistics.test_other_networks import Calls, gradients, two

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

CALLS, SEEN = 0, []
"""What a network below writes into."""


def batch(samples=8):
    return torch.randn(samples, 12), torch.arange(samples) % 10


def agrees(network, x, y, **how):
    """Hold the measured gradients against autograd's on the network itself, which has not run."""
    found = measure(network, x, y, ["grad", "flow_grad"], sample="full", **how)
    network.train()
    expected = gradients(network, x, y)
    for layer, grad in zip(found.layers, found.values["grad"], strict=True):
        torch.testing.assert_close(grad, expected[layer], rtol=1e-4, atol=1e-6)


class Counts(nn.Module):
    """Counts its calls in its class, its file, an object and an array, and scales by the counts."""

    calls, seen = 0, []

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 10)
        self.state, self.array = SimpleNamespace(calls=0), numpy.zeros(1)

    def forward(self, x):
        global CALLS  # as people do
        type(self).calls += 1
        CALLS += 1
        SEEN.append(CALLS)
        self.seen.append(CALLS)
        self.state.calls += 1
        self.array += 1
        return self.head(x * (self.state.calls * float(self.array[0])))


def test_what_is_written_beside_the_network_is_put_back():
    network, (x, y) = Counts(), batch()
    found = measure(network, x, y, ["grad", "flow_grad", "ntk"], sample="full")
    assert (Counts.calls, Counts.seen, CALLS, SEEN) == (0, [], 0, [])
    assert network.state.calls == network.array[0] == 0
    expected = gradients(network, x, y)["head.weight"]
    torch.testing.assert_close(found.values["grad"][0], expected)


class Slots:
    __slots__ = ("__last", "calls")

    def __init__(self):
        self.calls = 0

    def count(self):
        self.calls = getattr(self, "_Slots__last", 0) + 1
        self.__last = self.calls
        return self.calls


@dataclass(frozen=True, slots=True)
class Record:
    calls: list


class Closed(OrderedDict):
    """Refuses what would change several of its items, as outputs of transformers do."""

    def update(self, *_):
        raise TypeError("not allowed")

    clear = update


class Listed(list):
    calls = 0

    def count(self):
        self.append(1)
        self.calls += 1
        return len(self) * self.calls


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(1))

    def forward(self):
        self.scale += 1
        self.calls = getattr(self, "calls", 0) + 1
        return self.scale * self.calls


def lengthened(sequence):
    sequence.append(1)
    return len(sequence)


def counted(mapping):
    mapping["calls"] = mapping.get("calls", 0) + 1
    mapping.setdefault("first", mapping["calls"])
    return mapping["calls"]


@pytest.mark.parametrize(
    ("keep", "count"),
    [
        (Slots, Slots.count), (Listed, Listed.count),
        (lambda: Record([]), lambda record: lengthened(record.calls)),
        (Counter, counted), (UserDict, counted), (Closed, counted),
        (lambda: ChainMap({}, {"calls": 0}), counted),
        (bytearray, lengthened), (lambda: array("i"), lengthened), (deque, lengthened),
        (lambda: ({"inner": ([], 1)},), lambda nested: lengthened(nested[0]["inner"][0])),
        (lambda: [Hidden()], lambda modules: modules[0]()),
    ],
)  # fmt: skip
def test_what_any_kind_of_object_keeps_of_one_pass_is_not_there_in_the_next(keep, count):
    network = two(lambda self, x: self.head(self.first(x * count(self.kept)).tanh()))
    network.kept = keep()
    agrees(network, *batch())


class Writes(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 10)


class Makes(Writes):
    """Makes a class attribute and a variable of its file in its first pass."""

    def forward(self, x):
        global MADE
        if not hasattr(Makes, "made"):
            Makes.made = MADE = 1
        return self.head(x)


def test_what_the_first_pass_makes_beside_the_network_is_gone():
    measure(Makes(), *batch(), ["grad"])
    assert "made" not in vars(Makes)
    assert "MADE" not in globals()


HIDDEN = Hidden()


class UsesAModule(Writes):
    def forward(self, x):
        return self.head(x * HIDDEN())


def test_a_module_of_the_file_is_put_back():
    measure(UsesAModule(), *batch(), ["grad"])
    assert HIDDEN.scale == 1
    assert "calls" not in vars(HIDDEN)


def passing_on(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)

    return call


WRITTEN = {}


def written_by_a_function():
    WRITTEN["function"] = 1


class ByFunction(Writes):
    def forward(self, x):
        written_by_a_function()
        return self.head(x)


class BehindDecorator(Writes):
    @passing_on
    def forward(self, x):
        WRITTEN["decorated"] = 1
        return self.head(x)


class ByProperty(Writes):
    @property
    def scale(self):
        WRITTEN["property"] = 1
        return 2

    def forward(self, x):
        return self.head(x * self.scale)


class ByStaticMethod(Writes):
    @staticmethod
    def scaled(x):
        WRITTEN["static"] = 1
        return 2 * x

    def forward(self, x):
        return self.head(self.scaled(x))


@pytest.mark.parametrize("kind", [ByFunction, BehindDecorator, ByProperty, ByStaticMethod])
def test_what_methods_of_all_kinds_and_functions_that_they_call_write_is_put_back(kind):
    network, (x, y) = kind(), batch()
    measure(network, x, y, ["grad"])
    left = dict(WRITTEN)
    WRITTEN.clear()
    assert not left


def test_objects_of_a_script_are_put_back_where_this_code_is_pasted_into_it():
    pasted = runpy.run_path(held.__file__, run_name="__main__")
    thing = type("Thing", (), {"__module__": "__main__"})()
    thing.calls = 0
    kept = pasted["Held"]({"thing": thing})
    thing.calls = 1
    kept.put_back()
    assert thing.calls == 0


def test_tensors_that_nothing_writes_into_are_not_cloned_in_each_pass(monkeypatch):
    network, (x, y), cloned = two(), batch(), []
    network.state = type("State", (), {})()
    network.state.table, clone = torch.zeros(12345), torch.Tensor.clone
    monkeypatch.setattr(
        torch.Tensor, "clone", lambda it, **how: [cloned.append(it.shape), clone(it, **how)][1]
    )
    measure(network, x, y, ["grad", "ntk", "flow_grad"])
    assert cloned.count((12345,)) <= 4  # those of copies of the network, too; passes are many


class Copied(numpy.ndarray):
    copies = 0

    def copy(self, *args):
        Copied.copies += 1
        return super().copy(*args)


def test_an_array_is_copied_once_and_put_back_after_each_pass():
    seen, before = [], Copied.copies

    def forward(self, x):
        seen.append(float(self.table[0]))
        self.table += 1
        return self.head(self.first(x).tanh())

    network = two(forward)
    network.table = numpy.zeros(3).view(Copied)
    measure(network, *batch(), ["grad", "ntk", "flow_grad"])
    assert len(seen) > 4
    assert set(seen) == {0.0}
    assert Copied.copies == before + 1


def test_what_hooks_keep_is_there_for_the_loss():
    network, (x, y), kept = two(), batch(), {}

    def keep(_module, _inputs, output):
        kept["first"] = output

    def loss(output, targets):
        return F.cross_entropy(output, targets) + kept["first"].square().mean()

    network.first.register_forward_hook(keep)
    found = measure(network, x, y, ["grad"], loss=loss, sample="full").values["grad"]
    expected = gradients(network, x, y, loss)
    torch.testing.assert_close(found[0], expected["first.weight"])


def test_a_hook_that_raises_is_told_in_a_sentence():
    def fail(*_):
        raise ValueError("not\ntoday")

    for register in ("register_forward_hook", "register_full_backward_hook"):
        network, (x, y) = two(), batch()
        getattr(network.head, register)(fail)
        for name in ("grad", "ntk", "jacobian_gram", "hessian_grad", "grad_gram", "flow_grad"):
            with pytest.raises(StatisticError, match=r"failed on inputs .*: not") as raised:
                measure(network, x, y, [name])
            assert "\n" not in str(raised.value)


class FrozenNorm(nn.Module):
    """Keeps its batch norm in evaluation mode, as detectors do."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)
        nn.init.normal_(self.norm.running_mean)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.head(self.norm(self.first(x)).tanh())


def test_a_network_is_put_in_training_mode_in_its_own_way():
    agrees(FrozenNorm(), *batch())


def test_a_module_that_refers_to_another_one_weakly_refers_to_its_copy():
    class Child(nn.Module):
        def forward(self, x):
            return x * self.parent().first.weight.mean()

    network = Calls(
        lambda self, x: self.head(self.child(self.first(x))),
        first=nn.Linear(12, 8), child=Child(), head=nn.Linear(8, 10),
    )  # fmt: skip
    vars(network.child)["parent"] = weakref.ref(network)
    agrees(network, *batch())


def less_the_mean(self, x):
    hidden = self.first(x)
    return self.head(hidden - hidden.mean(0) if len(x) > 4 else hidden)


def less_the_mean_by_shape(self, x):
    hidden, (samples, _) = self.first(x), x.shape
    return self.head(hidden if samples < 16 else hidden - hidden.mean(0))


class ByAStaticMethod(nn.Module):
    @staticmethod
    def coupled(x, hidden):
        return hidden - hidden.mean(0) if len(x) > 4 else hidden

    def forward(self, x):
        return self.head(self.coupled(x, self.first(x)))


@pytest.mark.parametrize(
    "forward",
    [
        less_the_mean, less_the_mean_by_shape, passing_on(passing_on(less_the_mean)),
        torch.autocast("cpu", enabled=False)(less_the_mean),
    ],
)  # fmt: skip
def test_samples_that_only_a_large_batch_couples_are_found(forward):
    kind = type("Couples", (nn.Module,), {"forward": forward})
    for network in (kind(), ByAStaticMethod()):
        network.first, network.head = nn.Linear(12, 8), nn.Linear(8, 10)
        agrees(network, *batch(16))


def by_the_largest(hidden):
    return hidden / hidden.relu().max()


def by_the_largest_of_each_channel(hidden):
    return hidden / hidden.abs().amax(0).clamp(min=0.1)


def between_least_and_most(hidden):
    least, most = torch.aminmax(hidden)
    return (hidden - least) / (most - least)


def less_the_first(hidden):
    return hidden - 0.5 * hidden[:1]


def by_the_largest_above_a_bound(hidden):
    return hidden / hidden.max().clamp(min=BOUND)


BOUND = torch.tensor(8.0)
"""What one sample of a batch below exceeds."""

COUPLING = [
    by_the_largest, by_the_largest_of_each_channel, between_least_and_most, less_the_first,
    by_the_largest_above_a_bound,
]  # fmt: skip


@pytest.mark.parametrize("coupling", COUPLING)
@pytest.mark.parametrize("samples", [8, 32])
def test_samples_that_one_of_them_couples_are_found_wherever_it_is(coupling, samples):
    network = two(lambda self, x: self.head(coupling(self.first(x))))
    x, y = batch(samples)
    x[0] *= 10 / network.first(x[0]).max().detach()
    for place in (0, 1, 2, samples - 1):
        agrees(network, x.roll(place, 0), y)


@pytest.mark.parametrize("coupling", [None, *COUPLING[:4]])
def test_samples_that_one_of_them_couples_are_found_in_networks_that_draw(coupling, capsys):
    def forward(self, x):
        print(len(x))
        hidden = F.dropout(self.first(x), 0.2)
        return self.head(coupling(hidden) if coupling else hidden), torch.ones(1, 3)

    network, (x, _) = two(forward), batch()
    for place in range(2):
        measure(network, x.roll(place, 0), None, ["act"])
        last = capsys.readouterr().out.split()[-1]
        assert last == ("8" if coupling else "2")


def test_a_row_that_all_samples_share_couples_none(capsys):
    def forward(self, x):
        print(len(x))
        return self.head(self.first(x)), torch.ones(1, 3)

    measure(two(forward), batch()[0], None, ["act"])
    assert capsys.readouterr().out.split() == ["1", "1", "2", "2", "2", "2"]


def less_the_first_of_many(self, x):
    hidden = self.first(x)
    return self.head(hidden - hidden[:1] if len(x) > 4 else hidden)


def by_the_largest_of_many(self, x):
    hidden = self.first(x)
    return self.head(hidden / hidden.max() if len(x) > 4 else hidden)


@pytest.mark.parametrize("forward", [less_the_first_of_many, by_the_largest_of_many])
def test_samples_that_one_of_many_couples_are_found(forward):
    x, y = batch()
    x[0] *= 100
    for place in range(2):
        agrees(two(forward), x.roll(place, 0), y)


@pytest.mark.parametrize("permutation", [torch.randperm, numpy.random.permutation])
@pytest.mark.parametrize("seed", range(4))
def test_samples_that_are_exchanged_by_chance_are_found(permutation, seed, capsys):
    def forward(self, x):
        print(len(x))
        hidden = self.first(x)
        return self.head((0.7 * hidden + 0.3 * hidden[permutation(len(x))]).tanh())

    network, (x, _) = two(forward), batch()
    measure(network, x, None, ["act"], seed=seed)
    assert capsys.readouterr().out.split()[-1] == "8"  # and not a part of the batch


def test_networks_are_not_kept_by_functions_that_they_hold():
    alive = weakref.WeakSet()

    class Watched(Writes):
        def __new__(cls, *_):
            made = super().__new__(cls)
            alive.add(made)
            return made

    for _ in range(3):
        network = Watched()
        network.forward = lambda x, parts=[network]: parts[0].head(x)
        measure(network, *batch(), ["grad"])
    del network
    gc.collect()
    assert not alive


def less_the_mean_of_a_function(x, hidden):
    return hidden if len(x) < 5 else hidden - hidden.mean(0)


def test_a_function_that_modules_hold_is_looked_at_too():
    agrees(two(less_the_mean), *batch(16))
    agrees(
        two(lambda self, x: self.head(less_the_mean_of_a_function(x, self.first(x)))), *batch(16)
    )


@pytest.mark.parametrize("draws", [False, True])
def test_what_a_layer_gives_for_some_samples_is_not_that_of_all(draws):
    def forward(self, x):
        hidden, chosen = self.first(F.dropout(x, 0.1 * draws)), x[:, 0] > 0
        out = hidden.clone()
        out[chosen] = self.some(hidden[chosen]).relu()
        return self.head(out)

    layers = {"first": nn.Linear(12, 8), "some": nn.Linear(8, 8), "head": nn.Linear(8, 10)}
    network, (x, y) = Calls(forward, **layers), batch()
    x[:, 0] = torch.tensor([1, -1, 1, 1, -1, 1, -1, 1])  # one of each part, or both
    for name in ("act", "act_gram", "code_total"):
        with pytest.raises(StatisticError, match="follow no order of samples"):
            measure(network, x, y, [name])
    with pytest.raises(StatisticError, match="follow no order of the 8 samples"):
        load("swap")(network, x[[0, 1, 4, 6, 1, 4, 6, 1]])
    x[:, 0] = 1
    found = measure(network, x, y, ["act"], sample="full", mode="eval")
    if not draws:
        expected = network.some(network.first(x)).detach()
        torch.testing.assert_close(found.values["act"][1], expected.flatten())


@pytest.mark.parametrize("rows", [1, 5])
def test_what_is_made_of_no_data_is_that_of_all_samples(rows):
    def forward(self, x):
        places = self.places(self.table).relu().mean(0)
        return self.head(self.first(x * (x > -9)) + places)

    layers = {"first": nn.Linear(12, 8), "places": nn.Linear(4, 8), "head": nn.Linear(8, 10)}
    network, (x, y) = Calls(forward, **layers), batch()
    network.register_buffer("table", torch.randn(rows, 4))
    found = measure(network, x, y, ["act", "code_total"], sample="full")
    given = network.places(network.table).detach()
    rows = found.values["act"][found.layers.index("places.weight")].reshape(8, *given.shape)
    assert all(torch.equal(row, given) for row in rows)
    assert (found.values["code_total"][0] == given.numel()).all()


def test_gradients_that_are_divided_by_how_often_a_row_was_looked_up_are_those_of_the_batch():
    embed = nn.Embedding(6, 8, scale_grad_by_freq=True)
    network, ids = (
        nn.Sequential(embed, nn.Flatten(), nn.Linear(40, 10)),
        torch.randint(0, 6, (8, 5)),
    )
    found = measure(network, ids, torch.arange(8), ["grad"], sample="full").values["grad"]
    expected = gradients(network, ids, torch.arange(8))
    torch.testing.assert_close(found[0], expected["0.weight"])


def test_a_norm_by_hand_that_takes_no_single_sample():
    def forward(self, x):
        hidden = F.batch_norm(self.first(x), self.mean, self.variance, training=self.training)
        return self.head(hidden.tanh())

    network, (x, y) = two(forward), batch()
    network.register_buffer("mean", torch.zeros(8))
    network.register_buffer("variance", torch.ones(8))
    found = measure(network, x, y, ["grad", "flops"], sample="full")
    expected = gradients(network, x, y)
    torch.testing.assert_close(found.values["grad"][0], expected["first.weight"])
    assert found.values["flops"].sum() == 2 * (12 * 8 + 8 * 10)


def test_a_compiled_module_inside_a_network_is_what_was_compiled():
    network, (x, y) = two(), batch()
    expected = load("snip")(network, x, y)
    network.first = torch.compile(network.first, backend="eager")
    assert load("snip")(network, x, y) == expected


def by_the_data(self, x):
    hidden = self.first(x)
    first, second = (lambda it, act=act: act(self.mix(it)) for act in (torch.tanh, torch.sin))
    return self.head(torch.cond(x.sum() > 0, first, second, (hidden,)))


@pytest.mark.parametrize("sign", [1, -1])
def test_branches_of_torch_are_measured_as_those_of_python(sign):
    def plain(self, x):
        hidden = self.first(x)
        hidden = self.mix(hidden)
        return self.head(hidden.tanh() if x.sum() > 0 else hidden.sin())

    parts = {"first": nn.Linear(12, 8), "mix": nn.Linear(8, 8), "head": nn.Linear(8, 10)}
    x, y = batch()
    x = sign * x.abs()
    names = ["act", "grad", "hessian_grad", "flow_grad", "ntk", "flops"]
    found, expected = (
        measure(Calls(forward, **parts), x, y, names, sample="full")
        for forward in (by_the_data, plain)
    )
    for name in names:
        for one, other in zip(found.values[name], expected.values[name], strict=True):
            assert (one is None and other is None) or torch.equal(one, other), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_flex_attention_has_the_maps_and_gradients_of_attention():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")

    def forward(attend):
        def run(self, x):
            q, k, v = self.qkv(x).unflatten(-1, (3, 2, 16)).permute(2, 0, 3, 1, 4)
            return self.head(attend(q, k, v).transpose(1, 2).flatten(2).mean(1))

        return run

    parts = {"qkv": nn.Linear(32, 96), "head": nn.Linear(32, 10)}
    names = ["grad", "heads", "attention", "flops", "act", "flow_grad", "hessian_grad"]
    found, expected = (
        measure(Calls(forward(attend), **parts), torch.ones(8, 6, 32).cumsum(1).sin(),
                torch.arange(8), names, sample="full").values
        for attend in (flex.flex_attention, F.scaled_dot_product_attention)
    )  # fmt: skip
    for name in names:
        for one, other in zip(found[name], expected[name], strict=True):
            if one is not None or other is not None:
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    assert found["heads"].tolist() == [2, 0]


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
def test_recurrent_layers_run_without_cudnn_which_gives_them_no_second_derivative(
    kind, monkeypatch
):
    enabled, run = [], getattr(torch._VF, kind)

    def seen(*args):
        enabled.append(torch.backends.cudnn.enabled)
        return run(*args)

    monkeypatch.setattr(torch._VF, kind, seen, raising=False)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}[kind](3, 8, batch_first=True)
    network = Calls(lambda self, x: self.head(self.layer(x)[0].mean(1)), layer=layer)
    network.head = nn.Linear(8, 10)
    measure(network, torch.randn(8, 4, 3), torch.arange(8), ["grad", "hessian_grad"])
    assert set(enabled) == {False}
    assert torch.backends.cudnn.enabled
    network(torch.randn(8, 4, 3))
    assert enabled[-1]


def energies(self, x):
    x = x.detach().requires_grad_()
    energy = self.first(x).tanh().square().sum()
    return self.head(torch.autograd.grad(energy, x, create_graph=True)[0])


def inner_steps(self, x):
    inner = self.first(x).square().mean(1).sum()
    (step,) = torch.autograd.grad(inner, self.first.weight, create_graph=True)
    return self.head((F.linear(x, self.first.weight) - F.linear(x, step).tanh()).tanh())


@pytest.mark.parametrize("forward", [energies, inner_steps])
def test_a_forward_pass_may_differentiate(forward):
    head = nn.Linear(12 if forward is energies else 8, 10)
    agrees(Calls(forward, first=nn.Linear(12, 8), head=head), *batch())


@pytest.mark.parametrize(
    "change", [lambda out: torch.complex(out, out), lambda out: out.argmax(1, keepdim=True)]
)
def test_logits_that_are_no_real_numbers_are_refused(change):
    network, (x, y) = two(lambda self, x: change(self.head(self.first(x)))), batch()
    assert load("params")(network, x, y) == 12 * 8 + 8 + 80 + 10
    for name in ("grad", "ntk", "flow_grad", "jacobian_gram"):
        with pytest.raises(StatisticError, match="logits that are real numbers; got") as raised:
            measure(network, x, y, [name])
        assert "\n" not in str(raised.value)


def test_what_was_made_in_inference_mode_scores_as_other_networks():
    def build():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10)
        ), *batch()

    with torch.inference_mode():
        made = build()
    plain = build()
    for name in ("snip", "synflow", "zico", "jacob_cov", "naswot"):
        assert load(name)(*made) == load(name)(*plain)


def test_weights_of_eight_bits_and_a_point_are_named():
    class Eight(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.eye(8).to(torch.float8_e4m3fn), requires_grad=False)

        def forward(self, x):
            return F.linear(x, self.weight.to(x.dtype))

    network, (x, y) = nn.Sequential(nn.Linear(12, 8), Eight(), nn.Linear(8, 10)), batch()
    with pytest.warns(UserWarning, match=r"looks like quantised weights is not measured: 1\.wei"):
        found = measure(network, x, y, ["grad", "flow_grad"], sample="full")
    assert found.layers == ("0.weight", "2.weight")
    plain = nn.Sequential(network[0], network[2])
    expected = measure(plain, x, y, ["grad", "flow_grad"], sample="full")
    for name in ("grad", "flow_grad"):
        for one, other in zip(found.values[name], expected.values[name], strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("how", ["in a list", "as an attribute", "as a parameter"])
def test_a_network_that_makes_its_layers_when_it_runs_is_to_run_first(how):
    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.rest, self.head = nn.Linear(12, 8), nn.ModuleList(), None

        def forward(self, x):
            if how == "in a list":
                if not self.rest:
                    self.rest.append(nn.Linear(8, 10))
                return self.rest[0](self.hidden(x))
            if self.head is None and how == "as an attribute":
                self.head = nn.Linear(8, 10)
            elif self.head is None:
                self.head = nn.Parameter(torch.eye(10, 8))
            layer = self.head
            return layer(self.hidden(x)) if callable(layer) else F.linear(self.hidden(x), layer)

    network, (x, y) = Made(), batch()
    for _ in range(2):
        with pytest.raises(StatisticError, match=r"Made has .* only once it has run; run it once"):
            measure(network, x, y, ["grad", "params"])
    network(x)
    found = measure(network, x, y, ["grad", "params"])
    assert found.layers == tuple(n for n, p in network.named_parameters() if p.ndim == 2)
    assert len(found.layers) == 2


def test_a_buffer_that_is_a_parameter_of_a_module_inside_is_that_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.head = nn.Linear(12, 8), nn.Linear(8, 10)
            self.register_buffer("tied", self.hidden.weight)

        def forward(self, x):
            return self.head(self.hidden(x) + F.linear(x, self.tied).relu())

    network, (x, y) = Tied(), batch()
    found = measure(network, x, y, ["grad"], sample="full")
    F.cross_entropy(network(x), y).backward()
    torch.testing.assert_close(found.values["grad"][0], network.hidden.weight.grad.flatten())


def test_scales_of_eight_bits_and_a_point_are_taken_as_they_are():
    class Scaled(nn.Linear):
        def __init__(self):
            super().__init__(8, 10)
            self.scale = nn.Parameter(torch.full((10,), 2).to(torch.float8_e4m3fn), False)

        def forward(self, x):
            return super().forward(x) * self.scale.float()

    network, (x, y) = nn.Sequential(nn.Linear(12, 8), Scaled()), batch()
    found = measure(network, x, y, ["grad"], sample="full")
    F.cross_entropy(F.linear(network[0](x), network[1].weight, network[1].bias) * 2, y).backward()
    torch.testing.assert_close(found.values["grad"][1], network[1].weight.grad.flatten())
    assert found.unseen == ("0.bias", "1.bias", "1.scale")


@pytest.mark.filterwarnings("ignore:what looks like quantised weights")
@pytest.mark.parametrize("shape", [(10,), (1, 10)])
@pytest.mark.parametrize(
    ("kind", "value"),
    [(torch.uint16, 1), (torch.bool, 1), (torch.int8, -1), (torch.float8_e4m3fn, -1)],
)
def test_the_flow_passes_parameters_of_every_kind_of_number(kind, value, shape):
    class Turned(nn.Linear):
        def __init__(self):
            super().__init__(8, 10)
            turn = torch.full(shape, value).to(kind)
            self.turn = nn.Parameter(turn, turn.is_floating_point())

        def forward(self, x):
            return super().forward(x) * self.turn.to(x.dtype)

    network, (x, y) = nn.Sequential(nn.Linear(12, 8), Turned()), batch()
    found = measure(network, x, y, ["flow_grad"], sample="full")
    first, second = (layer.weight.detach().double().abs() for layer in network)
    shift = network[0].bias.detach().double().abs()
    expected = second.sum(0)[:, None].expand(8, 12), (first.sum(1) + shift).expand(10, 8)
    for one, other in zip(found.values["flow_grad"], expected, strict=True):
        torch.testing.assert_close(one.double(), other.flatten())


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_complex_numbers_of_16_bits_are_refused():
    network, (x, y) = nn.Linear(12, 10), batch()
    network.turn = nn.Parameter(torch.ones(3, dtype=torch.complex32))
    for name in ("snip", "synflow", "params"):
        with pytest.raises(StatisticError, match=r"'turn' has the type complex32, .* to complex64"):
            load(name)(network, x, y)


def test_parameters_that_torch_does_not_know_of_are_warned_of():
    network, (x, y) = two(lambda self, x: self.head(self.hidden[0](self.first(x)))), batch()
    network.hidden = [nn.Linear(8, 8)]
    with pytest.warns(UserWarning, match=r"parameters in 'hidden' are neither measured nor count"):
        found = measure(network, x, y, ["grad"])
    assert found.layers == ("first.weight", "head.weight")
