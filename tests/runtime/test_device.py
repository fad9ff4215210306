"""Where networks run and tensors are reduced: on a GPU the same numbers to rounding."""

import numpy as np
import pytest
import torch

import autoprox
from autoprox.errors import AutoproxError, StatisticError
from autoprox.evaluation.blocks import Extent, cut
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evaluation.program import Program
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench
from autoprox.primitives import PRIMITIVES
from autoprox.runtime.device import device_of
from autoprox.statistics import Store
from tests.evolution.test_variation import drawn
from tests.processes import run_python
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


@pytest.mark.parametrize("name", ["cuda:99", "cpu:0", "tpu", "meta"])
def test_a_device_that_is_not_there_is_one_clear_error_before_anything_begins(tmp_path, name):
    for call in (autoprox.evolve, lambda *args, **rest: autoprox.rank(["params"], *args, **rest)):
        with pytest.raises(StatisticError, match=rf"'{name}'"):
            call(bench, device=name, cache=tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_processor_is_the_device_that_nobody_names():
    usual = Probe().shared_key(bench, "mark")
    assert Probe(device="cpu").shared_key(bench, "mark") == usual
    assert Probe(device="cuda:1").shared_key(bench, "mark") == {**usual, "device": "cuda"}


def test_a_network_is_moved_to_its_device():
    network = bench.network(bench.architectures[0])
    moved, inputs, targets = Probe().on_device(network, *Probe().inputs(bench))
    assert moved is network
    assert {inputs.device, targets.device} == {device_of("cpu")}


PRECISION = """
import torch
from autoprox.runtime.device import full_precision
backends = torch.backends
def states():
    operations = [backends.cuda.matmul, backends.mkldnn.matmul]
    if hasattr(backends.cudnn, "conv"):
        operations += [backends.cudnn.conv, backends.cudnn.rnn]
    found = [getattr(each, "fp32_precision", None) for each in operations]
    for read in (torch.get_float32_matmul_precision, lambda: backends.cudnn.allow_tf32):
        try:
            found.append(read())
        except RuntimeError:
            found.append("refused")
    return [*found, backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic]
"""


@pytest.mark.parametrize(
    "setting",
    [
        "backends.cudnn.benchmark = True",
        "torch.set_float32_matmul_precision('medium')",
        "backends.cuda.matmul.allow_tf32 = True",
        "backends.fp32_precision = 'tf32'",
        "backends.cuda.matmul.fp32_precision = 'tf32'",
        "backends.cudnn.rnn.fp32_precision = 'ieee'",
        "backends.cudnn.enabled = False",
    ],
)
def test_float32_is_computed_as_such_whatever_is_set_and_that_is_left(setting):
    if "fp32_precision" in setting and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("settings of torch 2.9 on")
    there = run_python(
        "-c",
        f"{PRECISION}\n{setting}\nbefore = states()\n"
        "with full_precision():\n    print(*states())\nprint(before == states())",
    )
    inside, restored = there.stdout.splitlines()
    *products, legacy, convolutions, enabled, benchmark, deterministic = inside.split()
    assert set(products) <= {"ieee", "None"}, there
    assert (legacy, convolutions, benchmark, deterministic) == ("highest", "False", "False", "True")
    assert enabled == str("enabled" not in setting)
    assert restored == "True", there


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


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    plan = Plan(bench, bench, DEFAULT_STATISTICS, Probe(), folder)
    return load_table(Store(folder), measure_bench(plan, Store(folder)), DEFAULT_STATISTICS)


@pytest.fixture(scope="module")
def graphs():
    variation = Variation(Vocabulary(DEFAULT_STATISTICS, tuple(PRIMITIVES)))
    made = drawn(0, lambda: [variation.random() for _ in range(200)])
    rare = ("max(log_determinant(matmul(act_gram, act_gram)))", "sum(sum(softmax(code_gram)))")
    made += map(parse, rare)
    words = {node.word for graph in made for node in graph}
    assert {"log_determinant", "matmul", "softmax", "entropy", "coarsen"} <= words
    return made


def test_the_way_over_a_device_gives_what_the_processor_does(table, graphs):
    # "cpu:0" is the processor, but not the device that a table has unless another is asked for.
    elsewhere = table.on(torch.device("cpu:0"))
    assert len(cut([Extent((), 2**16)] * 3, elsewhere.device)) == 1  # blocks are larger there
    here, there = Evaluator(table), Evaluator(elsewhere.subset(range(len(table))))
    for graph in graphs:
        one, other = here(graph), there(graph)
        assert one.failures == other.failures
        np.testing.assert_array_equal(one.values, other.values)


def test_a_device_whose_memory_is_full_is_one_clear_error(table, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(Program, "__call__", full)
    with pytest.raises(AutoproxError, match=r"2 GiB; free it, or .* --device cpu"):
        table.reduced([parse("mean(weight)")])


@GPU
def test_a_gpu_reduces_what_the_processor_does(table, graphs):
    here, there = Evaluator(table), Evaluator(table.on(device_of("cuda")))
    alike = []
    for graph in graphs:
        one, other = here(graph), there(graph)
        valid = [i for i in range(len(table)) if i not in {**one.failures, **other.failures}]
        near = np.isclose(one.values[valid], other.values[valid], rtol=1e-3, atol=1e-6)
        alike.append(one.failures.keys() == other.failures.keys() and near.all())
    assert np.mean(alike) > 0.95  # a sign or a logarithm may turn on a rounding


@GPU
def test_a_search_finds_nearly_the_same_on_a_gpu(tmp_path):
    runs = [
        autoprox.evolve(bench, out=tmp_path / each, cache=tmp_path, device=each, evaluations=200)
        for each in ("cpu", "cuda")
    ]
    one, other = (found.best.provenance["held_out_fitness"] for found in runs)
    assert one == pytest.approx(other, abs=0.2)  # rounding may turn a choice
