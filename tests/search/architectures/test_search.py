"""Searches of architectures: what they find, and that nothing else decides it."""

import json
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import autoprox
from autoprox import search_architectures
from autoprox.benches.spaces import ChoiceSpace
from autoprox.errors import RunError, ScoreError, SpaceError, StatisticError, UnknownNameError
from autoprox.measuring.probe import Probe
from autoprox.proxies.function import FunctionProxy
from autoprox.search.architectures import draws
from autoprox.search.architectures.algorithms import ALGORITHMS, POPULATION, non_dominated
from autoprox.search.architectures.limits import cost_of
from autoprox.search.architectures.scoring import Scored, merits
from autoprox.search.architectures.search import GENERATION, ArchitectureSearch
from autoprox.search.architectures.settings import SearchSettings
from tests.search.architectures.toy_space import Toy, parameters, space

FILE = str(Path(__file__).with_name("toy_space.py"))
PROXY = "sum(norm(grad))"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def search(tmp_path, cache):
    """Runs a small search in the folder of that name."""

    def run(name="run", proxies=PROXY, source=FILE, **options):
        options = {"evaluations": 40, "cache": cache, **options}
        return search_architectures(source, proxies, out=tmp_path / name, **options)

    return run


def content(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in ("scored.jsonl", "top.json", "front.csv")}


def after(count: int):
    """A callback that presses Ctrl-C when a generation begins and that many are scored."""
    last = -2

    def progress(task, done, total):
        nonlocal last
        begins, last = done != last + 1, done
        if begins and done >= count:
            raise KeyboardInterrupt

    return progress


# What decides the result


def test_the_number_of_jobs_changes_nothing(search, tmp_path) -> None:
    one = search("one", cache=tmp_path / "a")
    two = search("two", cache=tmp_path / "b", jobs=2)
    assert content(one.folder) == content(two.folder)


def test_another_seed_finds_other_architectures(search) -> None:
    first, second = search("first"), search("second", seed=1)
    assert [each.config for each in first.scored] != [each.config for each in second.scored]
    # Weights and batch go with the other seed: what both scored has one score.
    scores = {json.dumps(each.config): each.scores for each in first.scored}
    shared = [each for each in second.scored if json.dumps(each.config) in scores]
    assert shared
    assert all(scores[json.dumps(each.config)] == each.scores for each in shared)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_search_ends_as_if_nothing_had_happened(search, algorithm, cache) -> None:
    options = {
        "algorithm": algorithm,
        "evaluations": 120,
        "proxies": ["params", PROXY],
        "params": "60:140",
    }
    whole = search("whole", **options)
    stopped = search("stopped", progress=after(64), **options)
    assert not stopped.finished
    assert len(stopped.scored) == 64
    assert json.loads((stopped.folder / "top.json").read_text())["top"]
    with (stopped.folder / "scored.jsonl").open("a") as file:
        file.write('{"torn": ')  # what a killed process may leave
    resumed = search_architectures(resume=stopped.folder, cache=cache)
    assert resumed.finished
    assert content(resumed.folder) == content(whole.folder)
    for name in ("state.json", "states.jsonl"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert (resumed.drawn, resumed.fit) == (whole.drawn, whole.fit)


def test_ctrl_c_before_the_first_generation_leaves_a_search_to_resume(search, cache) -> None:
    stopped = search("stopped", progress=after(0))
    assert (stopped.finished, stopped.scored, stopped.top(), stopped.front()) == (False, (), [], [])
    resumed = search_architectures(resume=stopped.folder, cache=cache)
    assert content(resumed.folder) == content(search("whole").folder)


def test_a_search_leaves_the_random_states_as_they_were(search) -> None:
    torch_state, python_state = torch.get_rng_state(), __import__("random").getstate()
    search(params="60:140", algorithm="pareto", evaluations=80)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert __import__("random").getstate() == python_state


# What is found


def test_every_architecture_is_scored_once_and_keeps_within_the_limits(search) -> None:
    found = search(params="80:120", flops=":200", evaluations=60)
    assert len({json.dumps(each.config) for each in found.scored}) == len(found.scored) == 60
    for each in found.scored:
        assert each.params == parameters(each.config["widths"])
        assert 80 <= each.params <= 120
        assert each.flops <= 200
    assert found.fit == 60
    assert found.rate == f"60 of {found.drawn} samples fit"
    assert found.drawn > 60


def test_what_does_not_fit_is_counted_and_priced_once(search, monkeypatch) -> None:
    priced = []

    def noted(space, config, name):
        priced.append(json.dumps(config))
        return cost_of(space, config, name)

    monkeypatch.setattr(draws, "cost_of", noted)
    found = search(params=":70", evaluations=90)
    assert len(priced) == len({*priced})
    assert found.drawn == len(priced) > found.fit == 90


def silent(found):
    """The architectures so narrow that nothing passes, and gradients are 0 in every layer."""
    return [each for each in found.scored if "is 0 in every layer" in each.failures.get(PROXY, "")]


def test_scores_are_those_of_the_proxy_on_the_network_that_is_built(search) -> None:
    found = search(probe_seed=3, batch=4)
    best = found.top(1)[0]
    shown = Probe(4, 3, "full").inputs(SimpleNamespace(input_shape=(5,), classes=3, inputs=None))
    score = autoprox.load(PROXY)(found.network(), *shown, sample="full", seed=3)
    assert score == best.scores[PROXY]
    heard = [each for each in found.scored if each not in silent(found)]
    assert best.scores[PROXY] == max(each.scores[PROXY] for each in heard)


def test_the_call_in_the_report_builds_the_network(search) -> None:
    found = search(probe_seed=3)
    report = json.loads((found.folder / "top.json").read_text())
    for place, each in enumerate(report["top"]):
        network = eval(each["build"], {"autoprox": autoprox})
        assert sum(p.numel() for p in network.parameters()) == each["params"]
        for ours, theirs in zip(
            network.parameters(), found.network(place).parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)


def test_several_proxies_are_combined_by_their_mean_rank() -> None:
    rows = [(1.0, 30.0), (2.0, 20.0), (3.0, 10.0), (3.0 + 1e-9, 40.0), (9.0, None)]
    scored = [
        Scored({}, 1, {"a": a} | ({"b": b} if b else {}), {} if b else {"b": "no"}, 1, 1)
        for a, b in rows
    ]
    # Ranks by a: 1, 2, and 3.5 for two scores that differ by rounding; by b: 3, 2, 1, 4.
    expected = np.array([4, 4, 4.5, 7.5]) / 2 / 4
    found = merits(scored, ("a", "b"))
    np.testing.assert_allclose(found[:4], expected)
    assert np.isnan(found[4])
    np.testing.assert_array_equal(merits(scored[:4], ("b",)), [30.0, 20.0, 10.0, 40.0])


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_beats(seed) -> None:
    generator = np.random.default_rng(seed)
    merit, price = generator.integers(0, 8, (2, 60)).astype(float)
    merit[generator.integers(60, size=5)] = np.nan
    price[generator.integers(60, size=5)] = np.nan

    def beats(a, b):
        no_worse = merit[a] >= merit[b] and price[a] <= price[b]
        return no_worse and (merit[a] > merit[b] or price[a] < price[b])

    known = [i for i in range(60) if np.isfinite(merit[i] + price[i])]
    unbeaten = [i for i in known if not any(beats(j, i) for j in known)]
    front = non_dominated(merit, price)
    assert set(front) <= set(unbeaten)
    points = {(merit[i], price[i]) for i in unbeaten}
    assert {(merit[i], price[i]) for i in front} == points
    assert len(front) == len(points)


def test_the_front_of_a_search_is_in_its_file(search) -> None:
    found = search(algorithm="pareto", evaluations=80)
    lines = (found.folder / "front.csv").read_text().splitlines()
    assert lines[0].startswith(f"{PROXY},params,flops,latency (s),config")
    assert len(lines) == 1 + len(found.front())
    prices = [each.params for each in found.front()]
    scores = [each.scores[PROXY] for each in found.front()]
    assert prices == sorted(set(prices))
    assert scores == sorted(set(scores))


def test_what_was_not_found_is_told(search) -> None:
    found = search()
    for asked in (lambda: found.front("param"), lambda: found.cost(found.scored[0], "param")):
        with pytest.raises(UnknownNameError, match="unknown cost 'param'; did you mean 'params'"):
            asked()
    count = len(found.top(40))
    with pytest.raises(SpaceError, match=rf"{count} architectures have a score, .*; got {count}"):
        found.network(count)
    with pytest.raises(SpaceError, match="place is a whole number from 0; got -1"):
        found.network(-1)
    with pytest.raises(SpaceError, match="count is a whole number from 0; got -1"):
        found.top(-1)


def test_a_frame_has_a_row_an_architecture(search) -> None:
    pytest.importorskip("pandas")
    frame = search(proxies=["params", PROXY]).to_frame()
    assert len(frame) == 40
    assert {"params", PROXY, "merit", "generation", "widths", "flops"} <= set(frame.columns)
    assert frame["merit"].dropna().between(0, 1).all()


def test_a_choice_with_the_name_of_a_score_has_a_column_of_its_own(tmp_path, cache) -> None:
    pytest.importorskip("pandas")
    names = ("depth", "merit", "config_depth")
    space = ChoiceSpace(
        name="like_scores",
        choices={name: (1, 2) for name in names},
        build=lambda config: torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in names]),
        input_shape=(3,),
        classes=3,
        version="1",
    )
    found = search_architectures(
        space, ["depth", PROXY], evaluations=8, out=tmp_path / "run", cache=cache
    )
    frame = found.to_frame()
    assert frame["depth"].tolist() == [each.scores["depth"] for each in found.scored]
    assert frame["merit"].tolist() == found.merits.tolist()
    for column, name in [
        ("config_depth", "depth"),
        ("config_merit", "merit"),
        ("config_config_depth", "config_depth"),
    ]:
        assert frame[column].tolist() == [each.config[name] for each in found.scored]


def test_latencies_are_measured_for_what_is_shown_or_searched_by(search) -> None:
    found = search(latency=True, top=3)
    shown = [each.latency for each in (*found.top(3), *found.front())]
    assert all(seconds > 0 for seconds in shown)
    assert sum(each.latency is not None for each in found.scored) <= 3 + len(found.front())
    searched = search("searched", cost="latency", algorithm="pareto", evaluations=20)
    assert all(each.latency > 0 for each in searched.scored)


# Methods, on scores that are known


class Known:
    """A scorer of what a formula says: the nearer all widths are to 40, the better."""

    def __init__(self):
        self.proxies = {"known": None}

    def __call__(self, configs, generation, progress=None):
        return [
            Scored(
                config, generation, {"known": -float(sum((w - 40) ** 2 for w in config["widths"]))},
                {}, sum(config["widths"]), None,
            )
            for config in configs
        ]  # fmt: skip


class Large(Toy):
    """Eight numbers up to 64: too many architectures to meet the best one by chance."""

    def sample(self, random):
        return {"widths": [random.randint(1, 64) for _ in range(8)]}

    def mutate(self, config, random):
        widths = list(config["widths"])
        widths[random.randrange(8)] = random.randint(1, 64)
        return {"widths": widths}


def ran(algorithm: str, seed: int, evaluations: int = 600) -> ArchitectureSearch:
    settings = SearchSettings(
        "large", ("known",), evaluations=evaluations, algorithm=algorithm, seed=seed
    )
    search = ArchitectureSearch(settings, Large(), Known())
    while not search.done:
        search.step()
    return search


@pytest.mark.parametrize("seed", range(3))
def test_evolution_comes_nearer_to_the_best_than_chance_does(seed) -> None:
    best = {
        algorithm: max(each.scores["known"] for each in ran(algorithm, seed).scored)
        for algorithm in ("evolution", "random")
    }
    assert best["evolution"] > best["random"] / 4  # scores are negative: a quarter of the distance


def test_nsga_spreads_a_better_front_than_chance_does() -> None:
    def missing(search):
        """What a front lacks of the area below the true one, above score -8000 and cost < 512."""
        merit = merits(search.scored, ("known",))
        price = np.array([float(each.params) for each in search.scored])
        front = [i for i in non_dominated(merit, price) if merit[i] > -8000]
        ends = [*price[front][1:], 512.0]
        pairs = zip(front, ends, strict=True)
        area = sum((merit[i] + 8000) * (end - price[i]) for i, end in pairs)
        # The best score at cost s is that of equal widths, -(320 - s)^2 / 8 up to 320, 0 beyond.
        return 8000 * 253 - 253**3 / 24 + 8000 * 192 - area

    lacks = {
        algorithm: [missing(ran(algorithm, seed)) for seed in range(5)]
        for algorithm in ("pareto", "random")
    }
    assert min(lacks["pareto"]) > 0
    assert sum(lacks["pareto"]) < 0.65 * sum(lacks["random"])


def test_the_oldest_die_whatever_their_merit() -> None:
    algorithm = ALGORITHMS["evolution"](Large())
    config = {"widths": [1] * 8}
    scored = [Scored(config, 1, {"known": 1000.0}, {}, 1, 1)]
    scored += [Scored(config, 1, {"known": float(i)}, {}, 1, 1) for i in range(POPULATION)]
    algorithm.learn(scored, merits(scored, ("known",)), 0, "params")
    assert 0 not in algorithm.population
    assert len(algorithm.population) == POPULATION


# Failures


def picky(subject):
    """Return the parameters of a network, or fail if they are odd."""
    count = sum(each.numel() for each in subject.network.parameters())
    if count % 2:
        raise ValueError("odd")
    return float(count)


def test_failures_are_counted_and_are_neither_best_nor_parents(search) -> None:
    found = search(proxies=["params", FunctionProxy("picky", picky, version=1)], evaluations=80)
    odd = [each for each in found.scored if each.params % 2]
    assert 0 < len(odd) < 80
    assert all(each.failures == {"picky": "failed: ValueError: odd"} for each in odd), odd[0]
    assert found.failures == {"picky: failed: ValueError: odd": len(odd)}
    assert all(each.params % 2 == 0 for each in (*found.top(80), *found.front()))
    assert json.loads((found.folder / "top.json").read_text())["failures"] == found.failures


def test_a_proxy_without_any_score_says_why(search) -> None:
    with pytest.raises(ScoreError, match=f"none of the first {GENERATION} .*attention"):
        search(proxies="sum(mean(attention))")


class Broken(Toy):
    name = "broken"

    def build(self, config):
        if config["widths"][0] % 2:
            raise ValueError("odd")
        return super().build(config)


def test_a_network_that_cannot_be_built_is_counted(search) -> None:
    found = search(source=Broken())
    odd = [each for each in found.scored if each.config["widths"][0] % 2]
    assert odd
    assert all(each.failures[PROXY].endswith("ValueError: odd") for each in odd)
    assert sum(found.failures.values()) == len(odd) + len(silent(found))
    assert all(each.config["widths"][0] % 2 == 0 for each in found.top(40))
    # Under limits it does not fit.
    limited = search("limited", source=Broken(), params=":200")
    assert all(each.config["widths"][0] % 2 == 0 for each in limited.scored)


def test_a_space_without_a_version_keeps_its_scores_in_its_own_folder(search, tmp_path) -> None:
    found = search(source=space, cache=tmp_path / "shared")
    assert (found.folder / "cache" / "scores").is_dir()
    assert not (tmp_path / "shared").exists()


class Few(Toy):
    def sample(self, random):
        return {"widths": [random.randint(1, 3), 2]}

    def mutate(self, config, random):
        return self.sample(random)


def test_a_search_ends_when_there_is_nothing_new(search) -> None:
    found = search(source=Few(), evaluations=50)
    assert found.finished
    assert len(found.scored) == 3


def test_an_impossible_limit_says_what_was_seen(search) -> None:
    with pytest.raises(SpaceError, match=r"none of 1000 .* params 1:2 \(seen: 1\d to \d+\)"):
        search(params="1:2")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"source": "autofromer"}, UnknownNameError, "did you mean 'autoformer'"),
        ({"proxies": "zicoo"}, UnknownNameError, "did you mean 'zico'"),
        ({"proxies": []}, SpaceError, "at least one proxy"),
        ({"proxies": "az_nas"}, ScoreError, "search by its parts"),
        ({"proxies": "bit_sum"}, ScoreError, "bits of trained networks"),
        ({"algorithm": "evolve"}, UnknownNameError, "unknown algorithm 'evolve'"),
        ({"cost": "energy"}, UnknownNameError, "unknown cost 'energy'"),
        ({"params": "5M:"}, SpaceError, "range LEAST:MOST or :MOST"),
        ({"params": "5M"}, SpaceError, "range LEAST:MOST or :MOST"),
        ({"params": "5X:7M"}, SpaceError, "got '5X:7M'"),
        ({"params": "0:5"}, SpaceError, ":MOST of numbers above 0, as in .*; got '0:5'"),
        ({"params": "7M:5M"}, SpaceError, "did you mean 5M:7M"),
        ({"evaluations": 0}, SpaceError, "evaluations is at least 1; got 0"),
        ({"batch": 0}, StatisticError, "batch is at least 1"),
        ({"batch": 10**30}, StatisticError, "batch is at most"),
        ({"sample": 10**30}, StatisticError, "sample is at most"),
        ({"seed": -1}, SpaceError, "seed is from 0"),
        ({"sample": 0}, StatisticError, "sample is 1 or more"),
        ({"top": 2.5}, SpaceError, "top is a whole number from 0; got 2.5"),
        ({"top": -1}, SpaceError, "top is a whole number from 0; got -1"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_scored(
    search, options, error, message, tmp_path
) -> None:
    with pytest.raises(error, match=message):
        search(**options)
    assert not (tmp_path / "run").exists()


def test_a_resumed_search_refuses_what_has_changed(search, tmp_path, cache) -> None:
    own = tmp_path / "own.py"
    own.write_text(Path(FILE).read_text())
    stopped = search("stopped", source=own, progress=after(16))
    own.write_text(own.read_text() + "\n# changed\n")
    with pytest.raises(RunError, match=r"no file is executed because a folder says so"):
        search_architectures(resume=stopped.folder, cache=cache)
    with pytest.raises(RunError, match=r"space of the search .* changed"):
        search_architectures(own, resume=stopped.folder, cache=cache)
    with pytest.raises(RunError, match="keeps its settings"):
        search_architectures(resume=stopped.folder, evaluations=3)
    with pytest.raises(RunError, match="already holds a run"):
        search("stopped")
    with pytest.raises(RunError, match="no search to resume"):
        search_architectures(resume=tmp_path / "nowhere")


def test_scores_that_are_missing_are_noticed_and_found_again(search, cache) -> None:
    stopped = search("stopped", progress=after(32))
    path = stopped.folder / "scored.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    begun = []

    def progress(task, done, total):
        begun.append(done)

    resumed = search_architectures(resume=stopped.folder, cache=cache, progress=progress)
    assert begun[0] == 16  # the last state whose architectures are all there
    assert content(resumed.folder) == content(search("whole").folder)


def test_scores_that_were_altered_are_noticed(search, cache) -> None:
    stopped = search("stopped", progress=after(32))
    path = stopped.folder / "scored.jsonl"
    path.write_text(path.read_text().replace('"widths": [', '"widths": [1', 1))
    with pytest.raises(RunError, match="line 1, is damaged: its checksum does not fit"):
        search_architectures(resume=stopped.folder, cache=cache)


def test_methods_draw_from_the_generator_that_is_given() -> None:
    for algorithm in ALGORITHMS.values():
        first, second = (algorithm(Large()).propose(Random(5)) for _ in range(2))
        assert first == second
