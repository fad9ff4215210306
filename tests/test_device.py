"""Where networks run: on a GPU the same places and noise, and the same numbers to rounding."""

import pytest
import torch

import autoprox
from autoprox.device import device_of
from autoprox.errors import StatisticError
from autoprox.statistics import Store
from autoprox.tables import Plan, Probe, load_table, measure_bench
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
