"""Any inputs, targets, loss and outputs, against plain autograd."""

from collections import UserDict, defaultdict
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprox.errors import StatisticError
from autoprox.proxies.loading import load
from autoprox.statistics import STATISTICS, fingerprint, measure, statistic, token_noise
from autoprox.statistics.trees import arguments, batch_of, rows
from tests.any_networks import (
    TOKENS,
    VOCABULARY,
    TwoInputs,
    box_loss,
    dense,
    detector,
    language,
    two_inputs,
)
from tests.known_networks import left, random_states
from tests.statistics.test_other_networks import Calls

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def weights(network):
    return [p for n, p in network.named_parameters() if n.endswith("weight") and p.ndim > 1]


def token_loss(output, targets):
    return F.cross_entropy(output["logits"].reshape(-1, VOCABULARY), targets.reshape(-1))


def mse(output, targets):
    return (output - targets).square().mean()


CASES = {
    "tokens": (language, token_loss, {}),
    "dense": (dense, F.cross_entropy, {}),
    "two inputs": (two_inputs, mse, {"loss": mse}),
    "detection": (detector, box_loss, {"loss": box_loss}),
}


@pytest.fixture(params=CASES)
def case(request):
    build, loss, how = CASES[request.param]
    network, inputs, targets = build()

    def grads(low, high):
        positional, keywords = arguments(rows(inputs, slice(low, high)))
        output = network(*positional, **keywords)
        found = loss(output, rows(targets, slice(low, high)))
        return [g.detach() for g in torch.autograd.grad(found, weights(network))]

    return SimpleNamespace(
        network=network, batch=(inputs, targets), how=how, size=batch_of(inputs), grads=grads
    )


def test_snip_and_grad_norm_are_those_of_autograd(case):
    grads = case.grads(0, case.size)
    pairs = zip(weights(case.network), grads, strict=True)
    snip = sum((w.detach() * g).abs().sum() for w, g in pairs)
    norms = sum(g.norm() for g in grads)
    how = {"sample": "full", **case.how}
    found = load("snip")(case.network, *case.batch, **how)
    assert found == pytest.approx(float(snip), rel=1e-4)
    found = load("sum(norm(grad))")(case.network, *case.batch, **how)
    assert found == pytest.approx(float(norms), rel=1e-4)


def test_the_spread_over_micro_batches_is_that_of_a_loop(case):
    cuts = [round(case.size * part / 4) for part in range(5)]
    loop = [case.grads(low, high) for low, high in pairwise(cuts)]
    found = measure(
        case.network, *case.batch, ["grad_abs_mean", "grad_std"], sample="full", **case.how
    )
    for layer, parts in enumerate(zip(*loop, strict=True)):
        stack = torch.stack(parts).double()
        expected = {"grad_abs_mean": stack.abs().mean(0), "grad_std": stack.std(0, correction=0)}
        for name, value in expected.items():
            torch.testing.assert_close(
                found.values[name][layer], value.flatten().float(), rtol=1e-3, atol=1e-6
            )
    ratio = torch.stack([found.values[n][0] for n in ("grad_abs_mean", "grad_std")])
    ratio = (ratio[0] / ratio[1])[ratio[1] > 0]
    assert ratio.isfinite().all()


def test_zico_of_a_token_model_is_that_of_a_loop():
    network, ids, targets = language()
    loop = []
    for low in range(0, 8, 2):
        loss = token_loss(network(ids[low : low + 2]), targets[low : low + 2])
        loop.append(torch.autograd.grad(loss, weights(network)))
    expected = 0.0
    for parts in zip(*loop, strict=True):
        stack = torch.stack(parts).double()
        mean, std = stack.abs().mean(0), stack.std(0, correction=0)
        expected += float((mean[std > 0] / std[std > 0]).sum().log())
    assert load("zico")(network, ids, targets, sample="full") == pytest.approx(expected, rel=1e-3)


def test_gradients_of_samples_are_those_of_each_alone(case):
    each = [
        torch.cat([g.flatten() for g in case.grads(at, at + 1)]).double() for at in range(case.size)
    ]
    stack = torch.stack(each)
    found = measure(case.network, *case.batch, ["grad_gram"], sample="full", **case.how)
    expected = (stack @ stack.T).float()
    torch.testing.assert_close(found.values["grad_gram"][0].reshape(expected.shape), expected,
                               rtol=1e-3, atol=1e-5)  # fmt: skip


def test_the_loss_of_samples_that_batch_norm_couples_is_taken_within_the_batch():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    output = network(x)
    grads = [
        torch.cat([
            g.flatten()
            for g in torch.autograd.grad(
                mse(output[i : i + 1], y[i : i + 1]), weights(network), retain_graph=True
            )
        ]).double()
        for i in range(5)
    ]  # fmt: skip
    stack = torch.stack(grads)
    found = measure(network, x, y, ["grad_gram"], loss=mse, sample="full")
    torch.testing.assert_close(
        found.values["grad_gram"][0].reshape(5, 5), (stack @ stack.T).float(), rtol=1e-3, atol=1e-6
    )


def test_a_loss_that_adds_is_that_of_the_whole_batch():
    network, inputs, targets = two_inputs(9)

    def total(output, y):
        return (output - y).square().sum()

    grads = torch.autograd.grad(total(network(**inputs), targets), weights(network))
    found = measure(network, inputs, targets, ["grad"], loss=total, sample="full")
    by_name = dict(zip(found.layers, found.values["grad"], strict=True))
    names = [n for n, p in network.named_parameters() if p.ndim > 1]
    for name, grad in zip(names, grads, strict=True):
        torch.testing.assert_close(by_name[name], grad.flatten(), rtol=1e-4, atol=1e-5)


def test_tokens_that_are_ignored_do_not_count_however_they_are_spread():
    network, ids, targets = language()
    targets[0, 1:] = -100
    targets[5, :4] = -100
    expected = torch.autograd.grad(token_loss(network(ids), targets), weights(network))
    found = measure(network, ids, targets, ["grad"], sample="full")
    for a, b in zip(found.values["grad"], expected, strict=True):
        torch.testing.assert_close(a, b.flatten(), rtol=1e-4, atol=1e-6)
    targets[3] = -100
    with pytest.raises(StatisticError, match="all targets of some samples are -100"):
        measure(network, ids, targets, ["grad_gram"])


def test_the_jacobian_is_by_all_numbers_among_the_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2, bias=False), nn.Linear(4, 2, bias=False)

        def forward(self, x, y, mask):
            return self.a(x).tanh() + self.b(y).tanh() * mask[:, None]

    network, inputs = Sum(), (torch.randn(5, 3), torch.randn(5, 4), torch.ones(5).bool())
    inputs[2][1] = False
    found = measure(network, inputs, None, ["jacobian_gram"], sample="full")
    leaves = [each.clone().requires_grad_() for each in inputs[:2]]
    grads = torch.autograd.grad(network(*leaves, inputs[2]).sum(), leaves)
    matrix = torch.cat(grads, 1)
    torch.testing.assert_close(
        found.values["jacobian_gram"][0].reshape(5, 5), matrix @ matrix.T, rtol=1e-4, atol=1e-6
    )


def test_the_tangent_kernel_looks_at_what_outputs_picks():
    network, ids, _ = language(3)
    for pick in (None, lambda output: output["hidden"]):
        picked = (lambda output: output["logits"]) if pick is None else pick
        names = weights(network)[: 3 if pick is None else 2]
        rows_ = [
            torch.cat([
                g.flatten()
                for g in torch.autograd.grad(picked(network(ids[i : i + 1])).sum(), names)
            ]).double()
            for i in range(3)
        ]  # fmt: skip
        stack = torch.stack(rows_)
        if pick is None:
            found = measure(network, ids, None, ["ntk"], outputs=pick, sample="full")
            torch.testing.assert_close(
                found.values["ntk"][0].reshape(3, 3), (stack @ stack.T).float(),
                rtol=1e-3, atol=1e-4,
            )  # fmt: skip
        else:
            with pytest.raises(StatisticError, match=r"does not reach head\.weight"):
                measure(network, ids, None, ["ntk"], outputs=pick)


class Wrapped(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.layer, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, x):
        return self.wrap(self.layer(x))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: {"logits": logits, "hidden": logits[:, :1]},
        lambda logits: {"out": logits},
        lambda logits: {"out": {"logits": logits, "hidden": logits[:, :1]}},
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: (logits, None),
        lambda logits: [{"logits": logits}],
    ],
)
def test_logits_are_found_in_what_networks_return(wrap):
    network, x, y = Wrapped(wrap), torch.randn(8, 4), torch.randint(0, 3, (8,))
    plain = nn.Sequential(network.layer)
    names = ["grad", "act", "flow_grad", "ntk", "jacobian_gram", "grad_std", "hessian_grad"]
    found, expected = measure(network, x, y, names), measure(plain, x, y, names)
    for name in names:
        assert torch.equal(found.values[name], expected.values[name]), name


@pytest.mark.parametrize("inputs", [None, (1,), (1, 2), "scale"])
def test_a_call_is_the_same_however_its_arguments_are_given(inputs):
    network, given, y = two_inputs()
    expected = load("snip")(network, given, y, loss=mse)
    picture, category = given.values()
    ways = {
        None: (picture, category),
        (1,): (picture, category, 1.0),
        (1, 2): {"category": category, "picture": picture},
        "scale": {**given, "scale": 1.0},
    }
    assert load("snip")(network, ways[inputs], y, loss=mse) == expected


def test_class_numbers_last_or_first():
    x = torch.randn(4, 5, 5)
    channels_first = nn.Conv1d(5, 7, 1)
    y = torch.randint(0, 7, (4, 5))
    expected = torch.autograd.grad(F.cross_entropy(channels_first(x), y), channels_first.weight)
    found = measure(channels_first, x, y, ["grad"], sample="full")
    torch.testing.assert_close(found.values["grad"][0], expected[0].flatten())
    square = nn.Linear(5, 5)  # (4, 5, 5): of tokens the classes come last
    y = torch.randint(0, 5, (4, 5))
    loss = F.cross_entropy(square(x).reshape(-1, 5), y.reshape(-1))
    expected = torch.autograd.grad(loss, square.weight)
    found = measure(square, x, y, ["grad"], sample="full")
    torch.testing.assert_close(found.values["grad"][0], expected[0].flatten())


def test_targets_are_looked_at_by_those_alone_that_use_the_loss():
    network, x, _ = dense()
    for name in ("params", "flops", "synflow", "l2_norm", "naswot", "jacob_cov"):
        scores = {load(name)(network, x, targets) for targets in (None, torch.ones(3))}
        assert len(scores) == 1
    with pytest.raises(StatisticError, match="'grad' cannot be measured without targets"):
        load("snip")(network, x)


def test_a_loss_may_do_without_targets():
    network, inputs, y = two_inputs()
    without = load("snip")(network, inputs, None, loss=lambda output, _: mse(output, y[:8]))
    assert without == load("snip")(network, inputs, y, loss=mse)


def test_a_network_is_left_as_it_was(case):
    before, states = left(case.network), random_states()
    whole = fingerprint(*case.batch)
    names = ["grad", "grad_std"] if isinstance(case.batch[0], list) else ["grad", "act", "grad_std"]
    measure(case.network, *case.batch, names, **case.how)
    assert left(case.network) == before
    assert random_states() == states
    assert fingerprint(*case.batch) == whole


@pytest.mark.parametrize("sizes", [(6, 7) * 4, (6,) * 8])
def test_outputs_of_a_module_that_runs_once_a_sample_are_refused(sizes):
    network, images = detector()[0], [torch.randn(3, size, size) for size in sizes]
    with pytest.raises(StatisticError, match="'body' follow no order of samples, so that 'act'"):
        measure(network, images, None, ["act"])
    assert measure(network, images[:1], None, ["act"]).present["act"].all()


def test_samples_coupled_by_a_list_are_found():
    class Coupled(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            points = torch.stack(x)
            return {"logits": self.head(points - points.mean(0)), "more": [points]}

    items, y = {"x": list(torch.randn(8, 4))}, torch.arange(8) % 3
    network = Coupled()
    nn.init.normal_(network.head.weight)
    found = measure(network, items, y, ["grad"], sample="full").values["grad"][0]
    F.cross_entropy(network(**items)["logits"], y).backward()
    torch.testing.assert_close(found, network.head.weight.grad.flatten())


@dataclass
class Scaled:
    """Changes what it is given each time that it is made."""

    x: torch.Tensor
    scale: float

    def __post_init__(self):
        self.x = self.x * self.scale


@dataclass(frozen=True)
class Checked:
    """Refuses a batch of less than 8, and counts."""

    x: torch.Tensor
    samples: int = field(init=False)

    def __post_init__(self):
        assert len(self.x) == 8
        object.__setattr__(self, "samples", 8)


@dataclass
class Counted:
    """Computes of what it is given, and is told more later."""

    x: torch.Tensor
    more: InitVar[float] = 0.0
    samples: int = field(init=False)
    later: torch.Tensor | None = field(init=False, default=None)

    def __post_init__(self, more):
        self.samples = len(self.x)

    @classmethod
    def made(cls, x):
        result = cls(x)
        result.later = x
        return result


class ByAttribute(UserDict):
    """As the batches of transformers' tokenisers."""

    def __getattr__(self, name):
        if name == "data":
            raise AttributeError
        return self.data[name]


class ItsOwnAttributes(dict):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class ReadOnly(Mapping):
    """Cannot be copied."""

    def __init__(self, **items):
        self.items_of_it = tuple(items.items())

    def __getitem__(self, key):
        return dict(self.items_of_it)[key]

    def __iter__(self):
        return iter(dict(self.items_of_it))

    def __len__(self):
        return len(self.items_of_it)

    def __copy__(self):
        raise TypeError


TREES = {
    "changed": (lambda x: Scaled(x, 3.0), lambda it: it.x),
    "checked": (Checked, lambda it: it.x * it.samples),
    "counted": (Counted.made, lambda it: it.later * (len(it.x) == it.samples)),
    "by attribute": (lambda x: ByAttribute(x=x), lambda it: it.x + it["x"]),
    "its own attributes": (lambda x: ItsOwnAttributes(x=x), lambda it: it.x + it["x"]),
    "default": (lambda x: defaultdict(float, x=x), lambda it: it["x"] + it["y"]),
    "read only": (lambda x: ReadOnly(x=x), lambda it: it["x"]),
}


@pytest.mark.parametrize(
    ("name", "returned"),
    [*((name, False) for name in TREES), *((name, True) for name in TREES if name != "checked")],
)
def test_a_tree_of_any_type_is_cut_as_what_it_holds(name, returned):
    made, read = TREES[name]
    head, x, y = nn.Linear(5, 3), torch.randn(8, 5), torch.arange(8) % 3
    network, inputs, outputs = Calls(lambda self, it: head(read(it)), head=head), (made(x),), None
    if returned:
        network, inputs, outputs = Calls(lambda self, x: made(head(x)), head=head), x, read
    logits = read(network(x)) if returned else network(*inputs)
    losses = F.cross_entropy(logits, y, reduction="none")
    each = [torch.autograd.grad(it, head.weight, retain_graph=True)[0].flatten() for it in losses]
    found = measure(
        network, inputs, y, ["grad", "grad_gram"], sample="full", outputs=outputs
    ).values
    torch.testing.assert_close(found["grad"][0], torch.stack(each).mean(0))
    gram = torch.stack(each) @ torch.stack(each).T
    torch.testing.assert_close(found["grad_gram"][0].float(), gram, rtol=1e-4, atol=1e-5)
    before = inputs if returned else read(inputs[0])
    torch.testing.assert_close(before, x if returned else read(made(x)))


def test_a_statistic_of_ones_own_sees_the_whole_trees():
    @statistic("Layer", latex="t", needs_labels=False)
    def any_network_tree(network, inputs, targets):
        """Sum of what is given."""
        inputs["picture"].zero_()
        return {"head.weight": targets["y"].sum() + len(inputs)}

    try:
        network, inputs, y = two_inputs()
        found = measure(network, inputs, {"y": y}, ["any_network_tree"])
        assert float(found.values["any_network_tree"].sum()) == pytest.approx(float(y.sum()) + 2)
        assert inputs["picture"].any()
    finally:
        STATISTICS.unregister("any_network_tree")


def refusals():
    network, ids, y = language()
    two, given, z = two_inputs()
    pixels, images, labels = dense()
    boxes, pictures, _ = detector()
    short = {**given, "category": given["category"][:5]}
    return {
        "flow of tokens": (
            (network, ids, None, ["flow_grad"]), {}, "'flow_grad' needs floating-point inputs, as",
        ),
        "flow of one of two": (
            (two, given, None, ["ones_grad"]), {}, r"torch.int64 for inputs\['category'\]",
        ),
        "jacobian of tokens": (
            (network, ids, None, ["jacobian_gram"]), {}, "floating-point inputs to differentiate",
        ),
        "jacobian of a list": (
            (boxes, pictures, None, ["jacobian_gram"]), {}, "a list of samples may have",
        ),
        "rows": ((two, short, z, ["act"]), {}, r"8 in inputs\['picture'\] and 5 in inputs\['cat"),
        "no row": (
            (two, {**given, "scale": torch.tensor(1.0)}, z, ["act"]), {}, "without dimensions",
        ),
        "nothing": ((two, (1.0, None), z, ["act"]), {}, "got tuple for the inputs"),
        "array": ((two, (given["picture"].numpy(),), z, ["act"]), {}, "got ndarray for the inputs"),
        "floats": ((pixels, images, images, ["grad"]), {}, "float32: pass loss="),
        "one number": ((two, given, z, ["grad"]), {}, "one number for each sample: pass loss="),
        "tree": (
            (network, ids, {"y": y}, ["grad"]), {}, "got a dict for the targets: pass loss=",
        ),
        "tokens": (
            (network, ids, y[:, :3], ["grad"]), {},
            r"expected targets of shape \(8, 6\) .*dimension 2 of the logits \(batch, 6, 11\); got",
        ),
        "pixels": (
            (pixels, images, labels[:, :2], ["grad"]), {},
            r"expected targets of shape \(8, 5, 5\) .*dimension 1",
        ),
        "class": ((network, ids, y + 5, ["grad"]), {}, "the network has 11 outputs"),
        "rows of targets": (
            (two, given, {"y": z[:3]}, ["grad"]), {"loss": mse}, r"8 inputs; got 3 in targets\['y",
        ),
        "failing loss": (
            (two, given, {"y": z}, ["grad"]), {"loss": mse}, "the loss failed: TypeError",
        ),
        "many numbers": (
            (two, given, z, ["grad"]), {"loss": lambda a, b: a - b}, r"one number; got shape \(",
        ),
        "no gradient": (
            (two, given, z, ["grad"]), {"loss": lambda a, b: b.mean()}, "does not reach",
        ),
        "no logits": (
            (network, ids, y, ["grad"]), {"outputs": lambda out: out["hiden"]},
            "outputs= failed on what the network returned, a dict: KeyError",
        ),
        "what logits": (
            (boxes, pictures, None, ["ntk"]), {"outputs": lambda out: out}, "got a list; pass outp",
        ),
        "ambiguous list": (
            (boxes, [torch.ones(3, 6, 6)] * 3, None, ["act"]), {}, "as samples and as parts",
        ),
        "network": ((two, ids, z, ["act"]), {}, r"failed on inputs of shape \(1, 6\), torch.int64"),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(refusals()))
def test_what_cannot_be_measured_is_refused_in_one_sentence(name):
    (network, inputs, targets, names), how, message = refusals()[name]
    with pytest.raises(StatisticError, match=message) as raised:
        measure(network, inputs, targets, names, **how)
    assert "\n" not in str(raised.value)


def test_functions_that_cannot_say_anything_of_tokens_say_so():
    network, ids, y = language()
    normed = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.BatchNorm1d(24), nn.Linear(24, 3))
    with pytest.raises(StatisticError, match="needs floating-point inputs, as it moves them"):
        load("zen_score")(normed, ids % 9)
    with pytest.raises(StatisticError, match=r"expected targets of shape \(8,\)"):
        load("epe_nas")(network, ids, y)
    with pytest.raises(StatisticError, match=r"8 inputs; got 3 in targets\[0\]"):
        load("epe_nas")(network, ids, (y[:3],))


def test_zen_score_draws_every_number_among_the_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.head = nn.Linear(4, 2)

        def forward(self, x, y):
            return self.head(self.norm(self.conv(x + y)).mean((2, 3)))

    x = torch.randn(4, 3, 6, 6)
    zen = load("zen_score")
    assert zen(Two(), (x, x)) == zen(Two(), {"x": 9 * x, "y": x + 1})


def test_noise_for_tokens_is_ids_and_the_ones_after():
    ids, following = token_noise(TOKENS, VOCABULARY, batch=64, seed=3)
    assert ids.shape == following.shape == (64, TOKENS)
    assert torch.equal(ids[:, 1:], following[:, :-1])
    assert set(ids.unique().tolist()) == set(range(VOCABULARY))
    assert torch.equal(token_noise(TOKENS, VOCABULARY, 64, 3)[0], ids)


def test_the_fingerprint_follows_the_form_of_a_tree():
    x, y = torch.ones(2, 3), torch.zeros(2)
    batches = [(x, y), ((x,), y), ((x, y), None), ({"a": x, "b": y}, None), ((x, 1), y)]
    batches += [([x, y], None), ([x], y), (([x],), y), (x, [y]), (([x], y), None), ((x, [y]), None)]
    assert len({fingerprint(*batch) for batch in batches}) == len(batches)


def test_a_keyword_that_the_network_does_not_have_is_named():
    _, given, z = two_inputs()
    with pytest.raises(StatisticError, match="unexpected keyword argument 'colour'"):
        measure(TwoInputs(), {**given, "colour": given["picture"]}, z, ["act"])
