"""Where networks run and tensors are reduced: on a GPU the same numbers to rounding."""

import numpy as np
import pytest
import torch

import autoprox
from autoprox.device import device_of
from autoprox.errors import StatisticError
from autoprox.evaluate import Evaluator
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.statistics import Store
from autoprox.tables import Plan, Probe, load_table, measure_bench
from tests.evolution.test_variation import drawn
from tests.tiny_bench import bench

NAMES = (
    "weight",
    "grad",
    "grad_std",
    "act",
    "act_grad",
    "act_gram",
    "flow_grad",
    "weight_spectrum",
)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "meta"])
def test_a_device_that_is_not_there_is_one_clear_error_before_anything_begins(tmp_path, name):
    for call in (autoprox.evolve, lambda *args, **rest: autoprox.rank(["params"], *args, **rest)):
        with pytest.raises(StatisticError, match=rf"'{name}'"):
            call(bench, device=name, cache=tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_processor_is_the_device_that_nobody_names():
    first = bench.architectures[0]
    named, usual = Probe(device="cpu"), Probe()
    assert named.key(bench, first, "mark") == usual.key(bench, first, "mark")
    gpu = Probe(device="cuda:1").key(bench, first, "mark")
    assert gpu == {**usual.key(bench, first, "mark"), "device": "cuda"}


def test_a_network_is_moved_to_its_device():
    network = bench.network(bench.architectures[0])
    moved, inputs, targets = Probe().on_device(network, *Probe().inputs(bench))
    assert moved is network
    assert {inputs.device, targets.device} == {device_of("cpu")}


@GPU
def test_a_gpu_measures_what_the_processor_does(tmp_path):
    tables = []
    for device in ("cpu", "cuda"):
        plan = Plan(bench, bench, NAMES, Probe(device=device), tmp_path)
        tables.append(load_table(Store(tmp_path), measure_bench(plan, Store(tmp_path)), NAMES))
    for one, other in zip(*(table.measurements for table in tables), strict=True):
        for name in NAMES:
            scale = one.values[name].abs().max()
            torch.testing.assert_close(
                one.values[name] / scale, other.values[name] / scale, rtol=1e-3, atol=1e-4
            )


@GPU
def test_a_gpu_reduces_what_the_processor_does(tmp_path):
    plan = Plan(bench, bench, DEFAULT_STATISTICS, Probe(), tmp_path)
    here = load_table(Store(tmp_path), measure_bench(plan, Store(tmp_path)), DEFAULT_STATISTICS)
    there = here.on(device_of("cuda"))
    variation = Variation(Vocabulary(DEFAULT_STATISTICS))
    graphs = drawn(0, lambda: [variation.random() for _ in range(200)])
    words = {node.word for graph in graphs for node in graph}
    assert {"log_determinant", "matmul", "softmax", "entropy", "coarsen"} <= words
    for graph in graphs:
        one, other = Evaluator(here)(graph), Evaluator(there)(graph)
        assert one.failures == other.failures
        valid = [i for i in range(len(here)) if i not in one.failures]
        np.testing.assert_allclose(one.values[valid], other.values[valid], rtol=1e-3, atol=1e-6)


@GPU
def test_a_search_finds_nearly_the_same_on_a_gpu(tmp_path):
    runs = [
        autoprox.evolve(bench, out=tmp_path / each, cache=tmp_path, device=each, evaluations=200)
        for each in ("cpu", "cuda")
    ]
    one, other = (found.best.provenance["held_out_fitness"] for found in runs)
    assert one == pytest.approx(other, abs=0.2)  # rounding may turn a choice
