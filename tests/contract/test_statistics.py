"""What every statistic promises on every network."""

import importlib.util
import re
import sys
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprox.errors import AutoproxError
from autoprox.export import exported
from autoprox.primitives.kinds import Layer, Relation
from autoprox.proxies.loading import load
from autoprox.statistics import ROLES, STATISTICS, measure
from autoprox.statistics.words import GROUPS
from tests.known_networks import random_states

BATCH, SAMPLE = 6, 32
ALONE = [name for name, word in STATISTICS.items() if not word.needs_teacher]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x):
        q, k, v = self.qkv(x).reshape(len(x), -1, 3, 2, 6).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Two pre-norm blocks on 2 x 2 patches, with a class token and learned positions."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 12))
        self.patch = nn.Conv2d(3, 12, 4, 4)
        self.pos_table = nn.Parameter(torch.randn(1, 5, 12) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(4))
        self.attentions = nn.ModuleList(Attention() for _ in range(2))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12)) for _ in range(2)
        )
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.pos_table
        for place in range(2):
            x = x + self.attentions[place](self.norms[2 * place](x))
            x = x + self.mlps[place](self.norms[2 * place + 1](x))
        return self.head(x[:, 0])


class Encoder(nn.Module):
    """torch's own encoder layers, which attend inside nn.MultiheadAttention."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 12, 3, groups=4),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = {"convolutional": convolutional, "transformer": Transformer, "encoder": Encoder}


def built(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[kind]()


def made_batch():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, 3, 8, 8, generator=generator)
    return x, torch.randint(0, 5, (BATCH,), generator=generator)


def measured(network, batch, name, **options):
    """One statistic, with bits if it needs them."""
    bits = 3 if STATISTICS[name].needs_bits else None
    return measure(network, *batch, [name], bits=bits, **options)


@cache
def sampled(kind, name):
    """One statistic of a network, measured once for all tests that only look at it."""
    return measured(built(kind), made_batch(), name, sample=SAMPLE)


@cache
def everything(kind, bits):
    """All statistics of a network in evaluation mode that can be measured together."""
    names = [name for name in ALONE if bits or not STATISTICS[name].needs_bits]
    return measure(built(kind).eval(), *made_batch(), names, sample=SAMPLE, bits=bits)


@pytest.fixture(params=sorted(NETWORKS))
def kind(request):
    return request.param


@pytest.fixture
def network(kind):
    return built(kind)


@pytest.fixture
def batch():
    return made_batch()


@pytest.fixture(params=sorted(ALONE))
def name(request):
    return request.param


def equal(a, b):
    if isinstance(a, tuple):
        return all(
            (x is None and y is None) or torch.equal(x, y) for x, y in zip(a, b, strict=True)
        )
    return torch.equal(a, b)


def test_a_sampled_statistic_is_finite_and_has_the_documented_shape(kind, name):
    found = sampled(kind, name)
    values, layers = found.values[name], len(found.layers)
    values_kind = STATISTICS[name].kind
    shapes = {Layer: (layers,), Relation: (layers, BATCH, BATCH)}
    assert values.shape == shapes.get(values_kind, (layers, SAMPLE))
    assert values.dtype == (torch.float64 if values_kind is Layer else torch.float32)
    assert torch.isfinite(values).all()
    assert values[~found.present[name]].abs().sum() == 0
    assert found.present[name].dtype == torch.bool
    assert found.sizes[name].dtype == torch.float64
    assert ((found.sizes[name] > 0) == found.present[name]).all()
    assert not values.requires_grad
    assert set(found.roles) <= set(ROLES)
    assert found.names == (name,)


def test_the_network_and_the_random_state_are_left_as_they_were(network, batch, name):
    network.eval()
    network[0].train() if isinstance(network, nn.Sequential) else network.patch.train()
    first = next(network.parameters())
    first.requires_grad_(False)
    last = list(network.parameters())[-1]
    last.grad = torch.ones_like(last)
    calls = []
    handle = network.register_forward_hook(lambda *_: calls.append(1))
    state = {key: value.clone() for key, value in network.state_dict().items()}
    identities = [id(parameter) for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    before = random_states()

    measured(network, batch, name, sample=SAMPLE)

    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert identities == [id(parameter) for parameter in network.parameters()]
    assert modes == [module.training for module in network.modules()]
    assert [p.requires_grad for p in network.parameters()].count(False) == 1
    assert not first.requires_grad
    assert first.grad is None
    assert torch.equal(last.grad, torch.ones_like(last))
    assert list(network._forward_hooks) == [handle.id]
    for module in network.modules():
        assert not module._forward_pre_hooks
        assert module is network or not module._forward_hooks
    assert random_states() == before


def test_measuring_twice_gives_the_same_numbers_whatever_else_is_asked(kind, name):
    alone = sampled(kind, name)
    together = everything(kind, 3 if STATISTICS[name].needs_bits else None)
    assert alone.layers == together.layers
    assert alone.roles == together.roles
    assert torch.equal(alone.present[name], together.present[name])
    assert torch.equal(alone.sizes[name], together.sizes[name])
    torch.testing.assert_close(alone.values[name], together.values[name], rtol=1e-5, atol=1e-7)


def test_a_sample_is_a_part_of_the_full_statistic(kind, network, batch, name):
    part = sampled(kind, name)
    full = measured(network, batch, name, sample="full")
    assert torch.equal(part.present[name], full.present[name])
    assert torch.equal(part.sizes[name], full.sizes[name])
    if STATISTICS[name].kind is Layer:
        assert torch.equal(part.values[name], full.values[name])
        return
    assert len(full.values[name]) == len(full.layers)
    for layer, whole in enumerate(full.values[name]):
        if not full.present[name][layer]:
            assert whole is None
            continue
        assert whole.numel() == full.sizes[name][layer]
        kept = part.values[name][layer]
        if STATISTICS[name].kind is Relation:
            assert torch.equal(kept, whole)
        else:
            assert torch.isin(kept, whole).all()


def test_a_statistic_that_is_said_not_to_be_negative_is_not(kind, name):
    if not STATISTICS[name].nonnegative:
        pytest.skip("may be negative")
    assert not (sampled(kind, name).values[name] < 0).any()


def test_another_seed_keeps_other_entries(network, batch):
    first = measure(network, *batch, ["weight"], sample=SAMPLE, seed=0)
    second = measure(network, *batch, ["weight"], sample=SAMPLE, seed=1)
    assert not torch.equal(first.values["weight"], second.values["weight"])


def test_a_statistic_is_exportable_or_says_why_not(name, tmp_path):
    """The formula shows whether its layers, numbers and order are right."""
    number = name if STATISTICS[name].kind is Layer else f"add(entropy({name}), norm({name}))"
    proxy = load(f"add(sum({number}), sum(multiply(position, {number})))")
    if STATISTICS[name].unexportable:
        with pytest.raises(AutoproxError, match=re.escape(STATISTICS[name].unexportable)):
            exported(proxy, "python")
        return
    text = exported(proxy, "python")
    assert not re.search(r"^\s*(from|import) autoprox", text, re.MULTILINE)
    file = tmp_path / "exported_statistic.py"
    file.write_text(text, encoding="utf-8")
    score, batch = exported_in(file).score, made_batch()
    compared = 0
    for kind, bits in {
        "convolutional": [8, 3, 8],
        "transformer": [8, 3, 8, 8] * 2 + [8, 8],
    }.items():
        network, given = built(kind), {"bits": bits} if proxy.needs_bits else {}
        try:
            expected = proxy(network, *batch, sample="full", **given)
        except AutoproxError:
            continue  # it is not on such a network
        assert score(network, *batch, **given) == pytest.approx(expected, rel=1e-9)
        compared += 1
    assert compared


def exported_in(file):
    """The module in an exported file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    sys.modules[file.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_definition_is_filled_in(name):
    found = STATISTICS[name]
    assert found.name == name
    assert found.group in GROUPS
    assert found.latex.count("{") == found.latex.count("}")
    assert len(found.description.split()) > 2
    assert not found.description.endswith(".")
