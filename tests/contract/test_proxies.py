"""What every proxy that ships promises."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprox import proxies
from autoprox.proxies import names
from tests.known_networks import Convolutions, Transformer, case, left, random_states

pytestmark = pytest.mark.usefixtures("one_thread")

FILES = sorted(Path(proxies.__file__).parent.glob("*.json"))
SCORED = [
    (name, kind)
    for name in proxies.expressions()
    for kind in (Convolutions, Transformer)
    if (name, kind) != ("dss", Convolutions)  # it needs attention
    and (name, kind) != ("meco", Transformer)  # its channels outnumber its positions: refused
]


def drawn_anew(network):
    """The network with other weights."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(1)
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / 2)
    return network


TEACHERS = {kind: drawn_anew(case(kind)[0]) for kind in (Convolutions, Transformer)}


def scored(name, network, x, y):
    """The score of a proxy, at 4 bits if it needs any, beside a teacher if it needs one."""
    proxy = proxies.get(name)
    teacher = TEACHERS[type(network)] if proxy.needs_teacher else None
    return proxy(network, x, y, bits=4 if proxy.needs_bits else None, teacher=teacher)


@pytest.mark.parametrize("name", names())
def test_a_proxy_says_where_it_comes_from(name):
    proxy = proxies.get(name)
    provenance = proxy.provenance
    assert proxy.name == name
    assert proxy.description.endswith(".")
    if "command" in provenance:  # discovered
        assert provenance["command"].startswith(("autoprox ", "python results/"))
        return
    assert provenance["deviations"].endswith(".")
    if "baseline" not in provenance:
        assert provenance["paper"]
        assert provenance["url"].startswith("https://")
        assert 2014 < provenance["year"] < 2030
        assert str(provenance["year"]) in provenance["paper"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_files_are_written_alike(file):
    text = file.read_text(encoding="utf-8")
    data = json.loads(text)
    assert text == json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    keys = ["format", "version", "name", "expression", "description", "provenance"]
    assert [key for key in data if key != "graph"] == keys
    assert list(data["provenance"]) == sorted(data["provenance"])


@pytest.mark.parametrize(("name", "kind"), SCORED)
def test_a_network_is_left_as_it_was_and_scores_the_same_again(name, kind):
    network, x, y = case(kind)
    network.eval()
    next(network.children()).train()
    next(network.parameters()).requires_grad_(False)
    network.register_forward_hook(lambda *_: None)
    tensors = copy.deepcopy(network.state_dict())
    inputs, before, states = x.clone(), left(network), random_states()

    score = scored(name, network, x, y)

    assert np.isfinite(score)
    assert isinstance(score, float)
    assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())
    assert left(network) == before
    assert random_states() == states
    assert torch.equal(x, inputs)
    assert not x.requires_grad
    assert scored(name, network, x, y) == score


@pytest.mark.parametrize(("name", "kind"), SCORED)
def test_what_a_network_did_before_does_not_matter(name, kind):
    network, x, y = case(kind)
    fresh = scored(name, network, x, y)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    with torch.no_grad():
        assert scored(name, network.eval(), x, y) == pytest.approx(fresh, rel=1e-6)
