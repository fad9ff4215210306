"""A bench of configurations: one network measured once a number of bits, and gathered exactly."""

import json

import numpy as np
import pytest

import autoprox
from autoprox.errors import BenchError, QuantisationError, ScoreError, StatisticError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse_proxy
from autoprox.leaderboard.run import rank
from autoprox.measuring.probe import Probe, architecture_key
from autoprox.measuring.tables import Plan, TableRow, load_table, measure_bench, pending, table_of
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.loading import load
from autoprox.runs.evolve import evolve
from autoprox.runs.ground import lay
from autoprox.runtime.parallel import HERE, open_workers
from autoprox.statistics import Store, curvature, measure
from tests.quantised_tiny_bench import bench

BENCH = str(autoprox.__path__[0]) + "/../tests/quantised_tiny_bench.py"
EXPRESSIONS = (
    "sum(bits)",
    "sum(multiply(params, bits))",
    "sum(multiply(sum(absolute(multiply(weight, grad))), bits))",
    "sum(multiply(hessian_trace, sum(square(weight_error))))",
    "sum(divide(hessian_top, params))",
    "sum(log(norm(act_error)))",
    "sum(only_inner(multiply(mean(absolute(weight_error)), mean(absolute(act)))))",
    "mean(only_late(norm(multiply(weight_error, grad))))",
    "std(min_max(norm(weight_error)))",
    "sum(multiply(norm(ones_grad), bits))",
)
NAMES = tuple(dict.fromkeys(name for each in EXPRESSIONS for name in load(each).statistics))


@pytest.fixture(scope="module", autouse=True)
def few_products():
    """Quick estimates of the Hessian."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curvature, "PRODUCTS", 3)
        patch.setattr(curvature, "ITERATIONS", 3)
        yield


@pytest.fixture(scope="module", params=[64, "full"])
def probe(request):
    return Probe(batch=8, sample=request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, probe):
    folder = tmp_path_factory.mktemp("cache")
    measure_bench(Plan(bench, bench, NAMES, probe, folder), Store(folder))
    return folder


@pytest.fixture(scope="module")
def table(folder, probe):
    plan = Plan(bench, bench, NAMES, probe, folder)
    return load_table(Store(folder), plan.rows, NAMES)


@pytest.fixture(scope="module")
def direct(probe):
    """A table of each configuration measured by itself."""
    batch = probe.inputs(bench)
    networks = {space: bench.network(bench.in_space(space)[0]) for space in bench.spaces}
    return Table(
        tuple(
            measure(networks[each.space], *batch, NAMES, sample=probe.sample, bits=bench.bits(each))
            for each in bench.architectures[::3]
        )
    )


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_gathered_score_is_that_of_the_configuration_measured_by_itself(table, direct, text):
    gathered = Evaluator(table)(parse_proxy(text))
    truth = Evaluator(direct)(parse_proxy(text))
    assert not gathered.failures
    np.testing.assert_allclose(gathered.values[::3], truth.values, rtol=1e-12)


def test_a_network_is_measured_once_for_each_number_of_bits(table):
    assert len(table) == len(bench.architectures) == 28
    assert len(table.measurements) == 2 * 4  # two networks at 2, 3, 4 and 8 bits


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_live_score_is_the_cached_one(table, probe, text):
    place = 20
    architecture = bench.architectures[place]
    network = bench.network(architecture)
    live = load(text)(
        network, *probe.inputs(bench), sample=probe.sample, bits=bench.bits(architecture)
    )
    cached = Evaluator(table)(parse_proxy(text)).values[place]
    np.testing.assert_allclose(live, cached, rtol=1e-9)


def test_a_part_of_the_table_gives_the_same_scores(table):
    graph = parse_proxy("sum(multiply(hessian_trace, sum(square(weight_error))))")
    whole = Evaluator(table)(graph).values
    part = Evaluator(table.subset([21, 3, 4]))(graph).values
    np.testing.assert_array_equal(part, whole[[21, 3, 4]])


def test_a_failure_is_that_of_its_own_configuration(folder, probe):
    plan = Plan(bench, bench, ("bits",), probe, folder)
    table = load_table(Store(folder), plan.rows, ("bits",))
    scores = Evaluator(table)(parse_proxy("log(subtract(sum(bits), 22))"))
    sums = np.array([sum(bench.bits(each)) for each in bench.architectures])
    truth = {i for i, each in enumerate(sums) if each == 22}
    finite = Evaluator(table)(parse_proxy("sum(bits)"))
    assert not finite.failures
    np.testing.assert_array_equal(finite.values, sums)
    assert truth
    assert set(scores.failures) in (set(), truth)  # log is guarded, or says where it is not


def test_nothing_is_measured_again(folder, probe):
    assert not pending(Plan(bench, bench, NAMES, probe, folder), Store(folder))


def test_the_key_of_a_configuration_has_its_bits_and_that_of_its_network_has_none(folder, probe):
    plan = Plan(bench, bench, NAMES, probe, folder)
    first = bench.architectures[0]
    own = architecture_key(probe.shared_key(bench, ""), bench, first)
    assert own["bits"] == list(bench.bits(first))
    assert {json.loads(row.key)["bits"] for row in plan.rows} == {None}
    assert len({row.key for row in plan.rows}) == 2
    assert {work.key["bits"] for work in plan.works} == {None, 2, 3, 4, 8}
    assert len({json.dumps(work.key, sort_keys=True) for work in plan.works}) == len(plan.works)


def test_the_wrong_number_of_bits_is_refused(probe, tmp_path):
    first = bench.architectures[0]
    with pytest.raises(QuantisationError, match="4 layers"):
        load("sum(bits)")(bench.network(first), *probe.inputs(bench), bits=(8, 2, 8))

    def measured(key, names, width):
        return measure(bench.network(first), *probe.inputs(bench), names, bits=(width,) * 4)

    with pytest.raises(BenchError, match=r"3 numbers of bits.*4 layers: 0\.weight"):
        table_of([TableRow("", (2, 3, 2))], ("bits",), measured)


def test_without_bits_the_message_says_how_to_give_them(probe):
    network = bench.network(bench.architectures[0])
    with pytest.raises(StatisticError, match=r"'weight_error' cannot be measured .*bits=\["):
        load("sum(norm(weight_error))")(network, *probe.inputs(bench))


def test_judging_with_two_jobs_is_judging_with_one(tmp_path):
    settings = Settings(BENCH, batch=8)
    ground = lay(BENCH, settings, tmp_path)
    ground.measure(HERE, lambda *_: None)
    known = {*ground.names}
    graphs = [parse_proxy(each) for each in EXPRESSIONS if {*load(each).statistics} <= known]
    assert len(graphs) > 4
    one = ground.judge(ground.search)(graphs)
    with open_workers(2) as workers:
        two = ground.judge(ground.search, workers)(graphs)
    assert [(each.fitness, each.behaviour) for each in one] == [
        (each.fitness, each.behaviour) for each in two
    ]
    assert any(each.fitness for each in one)


def test_evolution_finds_what_the_figures_are_made_of(tmp_path):
    small = {"evaluations": 120, "population": 20, "proposals": 40}
    run = evolve(BENCH, out=tmp_path / "run", jobs=1, cache=tmp_path, **small)
    assert run.finished
    assert run.held_out[0].joint > 0.5
    assert len((run.folder / "candidates.jsonl").read_text().splitlines()) == 120


def levels(subject):
    return float(sum(subject.bits.values()))


def evaluating(subject):
    return float(subject.mode == "eval")


def test_the_leaderboard_scores_every_configuration(tmp_path, monkeypatch):
    calls = []
    score = FunctionProxy._score

    def counted(proxy, *args, **how):
        calls.append(proxy.name)
        return score(proxy, *args, **how)

    monkeypatch.setattr(FunctionProxy, "_score", counted)
    curved = "sum(multiply(hessian_trace, sum(square(weight_error))))"
    functions = [
        FunctionProxy("levels", levels, needs_bits=True, version=1),
        FunctionProxy("evaluating", evaluating, version=1),
    ]
    board = rank(["sum(bits)", curved, *functions], BENCH, cache=tmp_path, jobs=1)
    np.testing.assert_array_equal(board.scores["levels"], board.scores["sum(bits)"])
    np.testing.assert_array_equal(board.scores["evaluating"], 1)
    assert board.rows[0].joint > 0.5
    distinct = {(each.space, bench.bits(each)) for each in bench.architectures}
    timed = 2 * 3
    assert calls.count("levels") == len(distinct) + timed
    assert calls.count("evaluating") == 2 + timed  # once a network
    for place in (2, 25):
        architecture = bench.architectures[place]
        live = load(curved)(
            bench.network(architecture),
            *Probe().inputs(bench),
            sample="full",
            bits=bench.bits(architecture),
        )
        np.testing.assert_allclose(board.scores[curved][place], live, rtol=1e-9)

    calls.clear()
    again = rank(["sum(bits)", curved, *functions], BENCH, cache=tmp_path, jobs=1)
    assert again.rows == board.rows
    assert not calls


def test_two_processes_score_as_one_does(tmp_path):
    boards = [
        rank(["sum(norm(weight_error))"], BENCH, cache=tmp_path / str(jobs), jobs=jobs, timed=False)
        for jobs in (1, 2)
    ]
    assert boards[0].rows == boards[1].rows


def test_of_configurations_measured_together_those_have_no_score_that_say_nothing(tmp_path):
    name, shown = "sum(only_inner(relu(subtract(bits, 3.0))))", Probe().inputs(bench)
    board = rank([name], bench, cache=tmp_path, timed=False)
    widest = [max(bench.bits(each)[1:-1]) for each in bench.architectures]
    scores = board.scores[board.rows[0].name]
    assert np.isnan(scores).tolist() == [width <= 3 for width in widest]
    for place in map(widest.index, (2, 3, 4)):
        row = bench.architectures[place]
        try:
            score = load(name)(bench.network(row), *shown, bits=bench.bits(row))
        except ScoreError:
            score = np.nan
        assert scores[place] == pytest.approx(score, nan_ok=True)
