"""Live scores against cached ones, over many random graphs on both spaces of vit101."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprox.benches import load_bench
from autoprox.benches.vit101 import build
from autoprox.errors import AutoproxError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench
from autoprox.proxies.frame import score
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.parallel import open_workers
from autoprox.statistics import Store, measure, noise


@pytest.mark.parametrize("place", [217, pytest.param(3, marks=pytest.mark.slow)])
def test_live_and_cached_scores_agree_over_many_random_graphs(place: int, tmp_path: Path) -> None:
    """One network of each space, on small images."""
    architecture = load_bench("vit101").architectures[place]
    size = {"classes": 10, "image_size": 64}
    inputs, targets = noise((3, 64, 64), 10, batch=4, seed=0)
    store = Store(tmp_path)
    built = dataclasses.replace(load_bench("vit101"), build=lambda each: build(each, **size))
    store.save({}, measure(built.network(architecture), inputs, targets, DEFAULT_STATISTICS))
    cached = Evaluator(Table((store.load({}, DEFAULT_STATISTICS),)))
    live = Evaluator(
        Table((measure(built.network(architecture), inputs, targets, DEFAULT_STATISTICS),))
    )
    variation = Variation(Vocabulary(DEFAULT_STATISTICS))
    with drawing_from(random.Random(place)):
        graphs = [variation.random() for _ in range(60)]
    compared = 0
    for graph in graphs:
        theirs, ours = cached(graph), live(graph)
        assert theirs.failures == ours.failures
        if not ours.failures:
            compared += 1
            np.testing.assert_allclose(theirs.values, ours.values, rtol=1e-5, atol=1e-30)
    assert compared > 48
    network = built.network(architecture)
    for graph in graphs[:3]:
        if not cached(graph).failures:
            assert Proxy(graph)(network, inputs, targets, sample=512) == pytest.approx(
                float(cached(graph).values[0]), rel=1e-5
            )


def test_a_file_without_provenance_is_a_proxy_and_one_with_another_sort_is_refused(
    tmp_path: Path,
) -> None:
    file = tmp_path / "proxy.json"
    data = load("snip").to_json()
    file.write_text(json.dumps({**data, "provenance": None}), encoding="utf-8")
    assert load(file).provenance == {}
    file.write_text(json.dumps({**data, "provenance": ["me"]}), encoding="utf-8")
    with pytest.raises(AutoproxError, match="provenance: expected an object or null, got a list"):
        load(file)


@pytest.mark.parametrize("path", ["~nosuchuser/x.json", Path("~nosuchuser/x.json")])
def test_a_home_of_nobody_is_no_file(path: str | Path) -> None:
    with pytest.raises(AutoproxError, match="there is no proxy file '~nosuchuser"):
        load(path)


@pytest.mark.parametrize("source", [3, None, b"zico", ["zico"]])
def test_what_can_be_no_proxy_is_said(source: object) -> None:
    expected = r"a proxy is loaded by its name, file, .*; got " + re.escape(repr(source))
    with pytest.raises(AutoproxError, match=expected):
        load(source)


@pytest.mark.slow
def test_the_shipped_proxy_scores_the_bench_as_a_live_network(tmp_path: Path) -> None:
    """Full size: what a run caches by worker processes, against a call on the network."""
    full = load_bench("nb201")
    few = dataclasses.replace(
        full, architectures=(*full.architectures[:2], *full.architectures[-2:])
    )
    proxy = load("nb201_best")
    plan = Plan(few, "nb201", proxy.statistics, Probe(), tmp_path)
    with open_workers(2) as workers:
        keys = measure_bench(plan, Store(tmp_path), workers)
    scores = Evaluator(load_table(Store(tmp_path), keys, proxy.statistics))(proxy.graph)
    batch = Probe().inputs(few)
    networks = map(few.network, few.architectures)
    live = [proxy(network, *batch, sample=Probe().sample) for network in networks]
    np.testing.assert_allclose(scores.values, live, rtol=1e-5)


def test_a_call_takes_whole_tensors() -> None:
    torch.manual_seed(0)
    network, inputs = torch.nn.Linear(40, 30), torch.randn(8, 40)
    targets = torch.arange(8)
    loss = torch.nn.functional.cross_entropy(network(inputs), targets)
    (grad,) = torch.autograd.grad(loss, network.weight)
    expected = float((network.weight * grad).abs().sum().detach())
    assert load("snip")(network, inputs, targets) == pytest.approx(expected, rel=1e-3)
    frame = score({"it": network}, ["snip"], inputs, targets)
    assert frame["snip"]["it"] == load("snip")(network, inputs, targets)
    assert load("snip")(network, inputs, targets, sample=512) != frame["snip"]["it"]
