"""Tables of any size: read when used, judged in portions, ranked by sorting, in bounded memory."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprox import ranking
from autoprox.errors import CacheError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution import judge as judging
from autoprox.evolution.judge import Judge
from autoprox.language.text import parse_proxy
from autoprox.measuring.tables import TableRow, load_table
from autoprox.ranking import Column, Ranker
from autoprox.ranking.resampling import RESAMPLED, interval, linearised, resample
from autoprox.statistics import Measurement, Store, measure, noise
from tests.scipy_correlations import SCIPY
from tests.tiny_bench import bench

ROOT = Path(__file__).parents[2]
NAMES = ("weight", "grad", "act", "act_gram", "params", "position")
TEXTS = (
    "sum(sum(absolute(multiply(weight, grad))))",
    "mean(norm(act))",
    "sum(log(trace(act_gram)))",
    "sum(only_early(multiply(params, std(act))))",
    "sum(log(params))",
)


@pytest.fixture(scope="module", params=[64, "full"])
def measured(request):
    batch = noise(bench.input_shape, bench.classes, batch=8, seed=0)
    return [
        measure(bench.network(each), *batch, NAMES, sample=request.param)
        for each in bench.architectures[:12]
    ]


def saved(folder, measurements):
    store = Store(folder)
    for place, each in enumerate(measurements):
        store.save({"place": place}, each)
    return load_table(
        store, [TableRow(f'{{"place":{i}}}') for i in range(len(measurements))], NAMES
    )


def scores(table):
    evaluator = Evaluator(table)
    return np.array([evaluator(parse_proxy(text)).values for text in TEXTS])


def test_a_table_on_disk_gives_the_scores_of_one_in_memory_to_the_last_bit(tmp_path, measured):
    np.testing.assert_array_equal(scores(saved(tmp_path, measured)), scores(Table(tuple(measured))))


def test_nothing_is_held_of_what_was_read_once(tmp_path, measured):
    (first, *_) = saved(tmp_path, measured).measurements
    for part in (first.values, first.present, first.sizes):
        assert part["weight"] is not part["weight"]


def test_a_file_that_is_gone_when_it_is_read_is_named(tmp_path, measured):
    table = saved(tmp_path, measured[:1])
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    with pytest.raises(CacheError, match=r"safetensors changed while it was read.*try again"):
        scores(table)


def judged(table, texts=TEXTS):
    column = Column("all", "accuracy", np.arange(len(table)), np.arange(float(len(table))))
    judge = Judge(table, Ranker([column]))
    return judge, judge([parse_proxy(text) for text in texts])


@pytest.mark.parametrize("networks", [1, 5])
def test_a_table_in_portions_is_judged_as_in_one(tmp_path, measured, monkeypatch, networks):
    table = saved(tmp_path, measured)
    texts = (*TEXTS, "sum(square(square(square(square(exp(square(params)))))))")
    whole, expected = judged(table, texts)
    assert len(whole.portions) == 1
    monkeypatch.setattr(judging, "PORTION", networks * table.widest)
    several, found = judged(table, texts)
    assert len(several.portions) == -(-len(table) // networks)
    for one, other in zip(found, expected, strict=True):
        assert (one.graph, one.failure) == (other.graph, other.failure)
        assert one.correlations == pytest.approx(other.correlations)
    assert found[-1].failure == "not finite: square"


@pytest.mark.parametrize("held", [1, 3])
def test_judging_ends_where_hardly_anything_is_remembered(tmp_path, measured, monkeypatch, held):
    table = saved(tmp_path, measured)
    _, expected = judged(table)
    value = 8 * len(table) * table.widest
    room = held * value
    monkeypatch.setattr(judging, "BLOCK_BYTES", value if held > 1 else 100 * value)
    monkeypatch.setattr(judging, "CACHE_BYTES", 1)
    made = judging.Evaluator
    monkeypatch.setattr(judging, "Evaluator", lambda table: made(table, room))
    _, found = judged(table)
    assert found == expected


def test_one_may_push_out_of_the_cache_what_the_next_needs(tmp_path, measured, monkeypatch):
    table = saved(tmp_path, measured)
    later = ("sum(exp(square(log(mean(act)))))", "sum(log(std(act)))")
    _, expected = judged(table, later)
    made = judging.Evaluator
    room = 4 * 8 * len(table) * table.widest
    monkeypatch.setattr(judging, "Evaluator", lambda table: made(table, room))
    judge, _ = judged(table, ("sum(mean(act))", "sum(std(act))"))
    assert judge([parse_proxy(text) for text in later]) == expected


@pytest.mark.parametrize("correlation", ["somers", "kendall"])
@pytest.mark.parametrize("ties", [False, True])
def test_sorting_gives_the_figures_of_all_pairs_and_of_scipy(monkeypatch, ties, correlation):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 9, (6, 120)) if ties else generator.normal(size=(6, 120))
    columns = [Column("s", str(i), np.arange(120), each.astype(float)) for i, each in
               enumerate(generator.normal(size=(2, 120)).round(1 if ties else 9))]  # fmt: skip
    candidates = values.astype(float)
    candidates[0] = 1.0
    by_pairs = Ranker(columns, correlation).correlations(candidates)
    monkeypatch.setattr(ranking.ranker, "LARGEST", 100)
    by_sorting = Ranker(columns, correlation).correlations(candidates)
    np.testing.assert_allclose(by_sorting, by_pairs, atol=1e-12)
    assert by_sorting[0].tolist() == [0.0, 0.0]
    truth = SCIPY[correlation](candidates[1], columns[0].accuracies).statistic
    assert by_sorting[1, 0] == pytest.approx(truth)


def test_forty_thousand_architectures_have_ranks_of_their_own():
    values = np.random.default_rng(0).permutation(40_000).astype(float)
    assert ranking.dense_ranks(values[None])[0].tolist() == values.tolist()
    column = Column("s", "t", np.arange(40_000), values)
    assert Ranker([column]).correlations(np.stack([values, -values]))[:, 0].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("correlation", ["somers", "kendall"])
@pytest.mark.parametrize("ties", [False, True])
def test_resamples_to_first_order_are_those_of_all_pairs_but_for_little(ties, correlation):
    generator = np.random.default_rng(3)
    x = generator.normal(size=600)
    y = x + generator.normal(size=600)
    x, y = (x.round(), y.round()) if ties else (x, y)
    counts = resample(600, 500, seed=1)
    exact = RESAMPLED[correlation](x, y, counts)
    found = linearised(x, y, counts, correlation)
    assert np.corrcoef(exact, found)[0, 1] > 0.99
    np.testing.assert_allclose(interval(found), interval(exact), atol=0.1 * exact.std())
    assert linearised(np.ones(600), y, counts, correlation).tolist() == [0.0] * 500


RESIDENT = """
import resource, sys
import torch
torch.set_num_threads(1)
from autoprox.evaluation import blocks
from autoprox.evaluation import evaluate
from autoprox.evolution.judge import Judge
from autoprox.ranking import Column, Ranker
from autoprox.statistics import Store
from autoprox.measuring.tables import TableRow, load_table
from autoprox.language.text import parse_proxy
import numpy as np
count, budget = int(sys.argv[2]), int(sys.argv[3])
blocks.Budget.__init__.__defaults__ = (budget,)
rows = [TableRow(f'{{"place":{i}}}') for i in range(count)]
table = load_table(Store(sys.argv[1]), rows, ["weight", "act"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
column = Column("s", "t", np.arange(count), np.arange(float(count)))
judge = Judge(table, Ranker([column]))
judge([parse_proxy(t) for t in ("sum(norm(act))", "sum(std(square(weight)))")])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts kilobytes, as Linux does")
def test_a_table_takes_far_less_memory_than_its_files(tmp_path):
    generator = torch.Generator().manual_seed(0)
    count, layers, sample = 80, 16, 16_384
    there = torch.ones(layers, dtype=torch.bool)
    names = ("weight", "act")
    empty = Measurement(
        tuple(f"layer{i}" for i in range(layers)), ("conv",) * layers, sample,
        {}, dict.fromkeys(names, there), dict.fromkeys(names, there.double()),
    )  # fmt: skip
    for place in range(count):
        values = {name: torch.randn(layers, sample, generator=generator) for name in names}
        Store(tmp_path).save({"place": place}, dataclasses.replace(empty, values=values))
    held = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")) // 1024
    command = [sys.executable, "-c", RESIDENT, str(tmp_path), str(count), str(2**20)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(run.stdout) < held / 3
