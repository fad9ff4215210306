"""A search algorithm of one's own: as an object, by a name, and in a loop of one's own."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import autoprox
from autoprox.cli import main
from autoprox.errors import RunError, UnknownNameError
from autoprox.evolution.algorithms import ALGORITHMS, Default, Emq
from autoprox.evolution.base import Algorithm, Proposal, World, algorithm, ranked
from autoprox.evolution.drawing import random
from tests.evolution.worlds import TEXTS, Drawn, Spelling, candidate, candidates, failure, grown

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 60, "population": 10, "proposals": 10}

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(eq=False)
class Climber(Algorithm):
    """Mutates the best, and at times draws a new one."""

    restarts: float = 0.2

    def offspring(self):
        best = self.population[0].graph
        return [
            self.newcomer() if random.random() < self.restarts else self.mutant(best)
            for _ in range(self.proposals)
        ]

    def survive(self, candidates):
        self.population = ranked([*self.population, *candidates])[: self.size]


def evolve(out, cache, **options):
    return autoprox.evolve(TINY, out=out, cache=cache, **{**SMALL, **options})


def lines(folder):
    return (folder / "candidates.jsonl").read_bytes()


def settings_in(folder):
    return json.loads((folder / "config.json").read_text())["settings"]


class Stopping:
    """An observer that stops a run after some generations, once."""

    def __init__(self, after):
        self.left = after

    def __getattr__(self, name):
        return lambda *_: None

    def generation(self, generation, held_out):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_run_keeps_the_class_and_the_parameters_of_an_object(cache, tmp_path):
    climber = Climber(restarts=0.5)
    evolve(tmp_path / "run", cache, algorithm=climber)
    assert settings_in(tmp_path / "run")["algorithm"] == "Climber"
    assert settings_in(tmp_path / "run")["parameters"] == {"restarts": 0.5}
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["settings"]["parameters"] == {"restarts": 0.5}
    assert not hasattr(climber, "population")  # a run works on a copy
    evolve(tmp_path / "again", cache, algorithm=climber)
    assert lines(tmp_path / "again") == lines(tmp_path / "run")
    evolve(tmp_path / "other", cache, algorithm=Climber(restarts=0.1))
    assert lines(tmp_path / "other") != lines(tmp_path / "run")


def test_a_run_with_an_object_goes_on_only_if_it_is_given_again(cache, tmp_path):
    evolve(tmp_path / "whole", cache, algorithm=Climber(restarts=0.5))
    stopped = evolve(tmp_path / "run", cache, algorithm=Climber(restarts=0.5), observer=Stopping(3))
    assert not stopped.finished
    assert lines(tmp_path / "run") != lines(tmp_path / "whole")
    expected = r"registered nowhere: give Climber\(restarts=0.5\) again"
    with pytest.raises(RunError, match=expected):
        autoprox.evolve(resume=tmp_path / "run", cache=cache)
    with pytest.raises(RunError, match=r"Climber\(restarts=0.5\); got Climber\(restarts=0.2\)"):
        autoprox.evolve(resume=tmp_path / "run", cache=cache, algorithm=Climber())
    with pytest.raises(RunError, match="a resumed run keeps its settings"):
        autoprox.evolve(resume=tmp_path / "run", cache=cache, algorithm="emq")
    autoprox.evolve(resume=tmp_path / "run", cache=cache, algorithm=Climber(restarts=0.5))
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


@pytest.mark.parametrize("name", ["default", "emq"])
def test_a_stopped_run_goes_on_with_the_parameters_that_it_began_with(name, cache, tmp_path):
    changed = {
        each.name: each.default / 2 if isinstance(each.default, float) else each.default
        for each in dataclasses.fields(ALGORITHMS[name])
    }
    options = {"algorithm": name, "parameters": changed}
    evolve(tmp_path / "whole", cache, **options)
    evolve(tmp_path / "run", cache, **options, observer=Stopping(3))
    assert settings_in(tmp_path / "run")["parameters"] == changed
    autoprox.evolve(resume=tmp_path / "run", cache=cache)
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_parameters_by_name_are_those_of_an_object(cache, tmp_path):
    evolve(tmp_path / "one", cache, algorithm="emq", parameters={"crossover": 0.9})
    evolve(tmp_path / "two", cache, algorithm=Emq(crossover=0.9))
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
    assert settings_in(tmp_path / "one") == settings_in(tmp_path / "two")
    whole = {"top": 0.2, "crossover": 0.9, "mutation": 0.5}
    assert settings_in(tmp_path / "one")["parameters"] == whole


def test_what_is_no_algorithm_and_no_parameter_is_refused(cache, tmp_path):
    with pytest.raises(UnknownNameError, match="unknown algorithm 'emk'; did you mean 'emq'"):
        evolve(tmp_path / "run", cache, algorithm="emk")
    with pytest.raises(UnknownNameError, match="'crosover'; did you mean 'crossover'"):
        evolve(tmp_path / "run", cache, algorithm="emq", parameters={"crosover": 0.9})
    with pytest.raises(RunError, match="crossover is a share, from 0 to 1; got 9"):
        evolve(tmp_path / "run", cache, algorithm="emq", parameters={"crossover": 9})
    with pytest.raises(RunError, match="patience is a count, at least 1; got 0"):
        Default(patience=0)
    with pytest.raises(RunError, match=r"a class derived from autoprox\.Algorithm; got 3"):
        evolve(tmp_path / "run", cache, algorithm=3)
    with pytest.raises(RunError, match=r"has its own parameters; got Emq\(top=0.3, .*'top': 0.9"):
        evolve(tmp_path / "run", cache, algorithm=Emq(top=0.3), parameters={"top": 0.9})
    with pytest.raises(RunError, match="parameter 'restarts' of Climber is kept"):
        evolve(tmp_path / "run", cache, algorithm=Climber(restarts=object()))
    assert not (tmp_path / "run").exists()


def test_the_decorator_refuses_what_a_name_alone_could_not_make():
    with pytest.raises(RunError, match=r"derive the class from autoprox\.Algorithm"):
        algorithm("mine")(dict)

    @dataclass(eq=False)
    class Silent(Algorithm):
        pass

    with pytest.raises(RunError, match="say how it searches in a docstring"):
        algorithm("mine")(Silent)

    @dataclass(eq=False)
    class Needy(Algorithm):
        """Wants to be told a rate."""

        rate: float

    with pytest.raises(RunError, match="give every parameter a default"):
        algorithm("mine")(Needy)
    assert "mine" not in ALGORITHMS


BENCH = """
from dataclasses import dataclass

import autoprox

@autoprox.algorithm("halves")
@dataclass(eq=False)
class Halves(autoprox.Algorithm):
    '''Mutates the better half.'''

    share: float = 0.5

    def offspring(self):
        best = self.population[: max(1, int(self.share * self.size))]
        return [self.mutant(best[i % len(best)].graph) for i in range(self.proposals)]

    def survive(self, candidates):
        self.population += [each for each in candidates if self.admits(each)]
        self.remove_worst()
"""


def test_a_name_registered_in_the_file_of_a_bench_works_on_the_command_line(cache, tmp_path):
    (tmp_path / "halves.py").write_text(Path(TINY).read_text() + BENCH)
    words = ["evolve", "--bench", str(tmp_path / "halves.py"), "--algorithm", "halves"]
    words += ["--parameter", "share=0.25", "--quiet", "--cache", str(cache)]
    words += ["--out", str(tmp_path / "run"), "--permutations", "2", "--jobs", "2"]
    words += [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
    try:
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        assert settings_in(tmp_path / "run")["parameters"] == {"share": 0.25}
        nulls = json.loads((tmp_path / "run" / "permutations.json").read_text())
        assert sum(str(number) in json.dumps(nulls) for number in (1, 2)) == 2
    finally:
        ALGORITHMS.unregister("halves")


def test_a_parameter_without_a_value_is_refused():
    done = CliRunner().invoke(main, ["evolve", "--bench", TINY, "--parameter", "share"])
    assert done.exit_code == 2
    assert "NAME=VALUE, as in crossover=0.3; got 'share'" in " ".join(done.output.split())


def test_a_loop_of_ones_own_finds_what_a_run_finds(cache, tmp_path):
    evolve(tmp_path / "run", cache, algorithm=Climber(), seed=3)
    search = autoprox.begin_search(TINY, cache=cache, algorithm=Climber(), seed=3, **SMALL)
    texts = []
    while not search.done:
        graphs = search.ask()
        texts += list(search.tell(search.judge(graphs)).new)
    with_numbers = [json.loads(line) for line in lines(tmp_path / "run").decode().splitlines()]
    assert texts == [each["proposed"] for each in with_numbers]


def test_what_is_none_is_not_given(cache):
    unset = dict.fromkeys(("parameters", "evaluations", "seed_proxies", "leave_out", "seed"))
    given = autoprox.begin_search(TINY, cache=cache, **unset).settings
    assert given == autoprox.begin_search(TINY, cache=cache).settings


def test_a_target_that_is_given_twice_counts_once(cache):
    judge = autoprox.begin_search(TINY, cache=cache, targets=("fine", "fine"), spaces="mlp").judge
    assert [each.name for each in judge.ranker.columns] == ["mlp/fine"]


def test_a_loop_of_ones_own_may_judge_in_its_own_way(cache):
    search = autoprox.begin_search(TINY, cache=cache, algorithm="random", **SMALL)
    graphs = search.ask()
    candidates = [
        dataclasses.replace(each, fitness=1 / each.graph.complexity)
        for each in search.judge(graphs)
    ]
    generation = search.tell(candidates)
    assert generation.best.graph.complexity == min(each.graph.complexity for each in candidates)


def test_ask_and_tell_take_turns(cache):
    search = autoprox.begin_search(TINY, cache=cache, algorithm="random", **SMALL)
    with pytest.raises(RunError, match="call ask before tell"):
        search.tell([])
    graphs = search.ask()
    with pytest.raises(RunError, match="call tell before you ask again"):
        search.ask()
    with pytest.raises(RunError, match=f"each of the {len(graphs)} graphs .* got 0"):
        search.tell([])
    search.tell(search.judge(graphs))
    while not search.done:
        search.step()
    with pytest.raises(RunError, match="the search is done"):
        search.ask()


def mistaken(**methods):
    """A class derived from `Climber` with a mistake."""
    return dataclass(eq=False)(type("Mistaken", (Climber,), {"__doc__": "Errs.", **methods}))()


def misspelt(self):
    return [self.mutatn(member.graph) for member in self.population]


MISTAKES = {
    "nothing": ({"ask": lambda self: None}, r"^Mistaken has to return lists of prop.*; got None$"),
    "graphs": (
        {"offspring": lambda self: [member.graph for member in self.population]},
        r"^Mistaken has to return lists of proposals, such as self\.mutant\(graph\) or .*; one is ",
    ),
    "misspelt": (
        {"offspring": misspelt},
        r"^offspring of the algorithm Mistaken failed: AttributeError: .*mutatn.*"
        r" \(.*test_own_algorithm\.py, line \d+\)$",
    ),
    "survive": (
        {"survive": lambda self, candidates: self.population.clear() or [][0]},
        r"^survive of the algorithm Mistaken failed: IndexError: ",
    ),
    "no offspring": ({"offspring": Algorithm.offspring}, r"^Mistaken defines no offspring\(\), "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_algorithm_is_told_in_a_sentence(cache, tmp_path, mistake):
    methods, message = MISTAKES[mistake]
    with pytest.raises(RunError, match=message):
        evolve(tmp_path / "run", cache, algorithm=mistaken(**methods))


def test_unless_an_algorithm_says_otherwise_the_best_that_differ_survive():
    @dataclass(eq=False)
    class Picky(Algorithm):
        """Leaves out one text."""

        def admits(self, candidate):
            return super().admits(candidate) and candidate.graph.text != TEXTS[3]

    members = candidates(0.4, 0.2)
    picky = grown(Picky, members, size=3)
    third, fourth = candidate(TEXTS[2], 0.3), candidate(TEXTS[3], 0.9)
    large, small = candidate(f"exp({TEXTS[4]})", 0.5, "same"), candidate(TEXTS[4], 0.5, "same")
    picky.tell([third, fourth, failure(TEXTS[5]), large, small])
    assert picky.population == [small, members[0], third]


def test_the_fittest_of_a_few_is_the_best_of_those_drawn(monkeypatch):
    members = candidates(0.2, 0.4, 0.3, 0.9)
    climber = grown(Climber, members)
    drawn = Drawn(monkeypatch)
    assert climber.fittest(3) is members[1]
    assert climber.fittest(9) is members[3]
    assert drawn.samples == [(members, 3), (members, 4)]


def test_an_algorithm_may_ask_and_tell_all_by_itself():
    @dataclass(eq=False)
    class Fixed(Algorithm):
        """Proposes the seeds."""

        def ask(self):
            return [Proposal(seed) for seed in self.seeds]

        def tell(self, candidates):
            self.population = list(candidates)

    fixed = Fixed()
    seed = candidate(TEXTS[0], 0.5)
    fixed.begin(World(Spelling(), 3, 2, (seed.graph,)))
    assert [each.graph for each in fixed.ask()] == [seed.graph]
    fixed.tell([seed])
    assert fixed.population == [seed]
