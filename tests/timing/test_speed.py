"""`autoprox speed`: all comparisons run, compute the same both ways, and are told as they are."""

from __future__ import annotations

import inspect
import json
import math
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner

import autoprox
from autoprox.cli import main
from autoprox.cli.speed import speed as speed_command
from autoprox.errors import BenchError, RunError, UnknownNameError
from autoprox.language.text import parse
from autoprox.timing import run
from autoprox.timing.pairs import A_SECOND, PAIRS, SECONDS, Pair
from autoprox.timing.stage import Lap, Way, laid

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
BITS = str(Path(__file__).parents[1] / "quantised_tiny_bench.py")


@pytest.fixture(scope="module")
def found(cache):
    return autoprox.speed(TINY, repeats=1, evaluations=60, cache=cache)


def stage(cache, **changes):
    settings = {"space": None, "architectures": 200, "jobs": 2, "evaluations": 60, "seed": 0}
    return laid(TINY, folder=cache, progress=lambda *told: None, **{**settings, **changes})


def call(*words):
    return CliRunner().invoke(main, ["speed", *words])


@pytest.mark.parametrize("name", PAIRS)
def test_both_ways_of_a_comparison_run_and_compute_the_same(name, found):
    pair = found[name]
    quicker = pair.second.figure / pair.first.figure
    counted_by_second = pair.unit.endswith("/s")  # else in seconds, of which fewer are better
    assert pair.ratio == pytest.approx(quicker if counted_by_second else 1 / quicker)
    assert pair.ratio_range == (pair.ratio, pair.ratio)
    for way in (pair.first, pair.second):
        assert way.repetitions == (way.figure,)
    if PAIRS[name].difference is not None:
        assert 0 <= pair.difference <= PAIRS[name].tolerance


def test_only_a_whole_run_and_re_running_compute_different_things(found):
    assert [each.name for each in found.comparisons if each.difference is None] == ["run"]


def test_the_candidates_are_those_of_the_seed(cache):
    first, second = (stage(cache).candidates for _ in range(2))
    assert first == second != stage(cache, seed=1).candidates


def test_one_process_is_counted_as_often_as_there_are_processes(cache):
    assert PAIRS["search"].share(stage(cache, jobs=4)) == 1 / 4
    drawn = stage(cache)
    assert len(drawn.ground.search) < len(drawn.bench.architectures) == 12
    assert PAIRS["run"].share(drawn) == len(drawn.ground.search) / 12 / 2


def made_of(monkeypatch, first, second, **options):
    """Let there be one comparison, "made", of ways that take the given seconds."""
    calls = []

    def way(label, seconds_of_laps):
        def laps(_):
            for seconds in seconds_of_laps:
                calls.append(label)
                if seconds is None:
                    raise KeyboardInterrupt
                yield Lap(seconds, label, f"note of {label}")

        return Way(label, laps)

    ways = (way("one", first), way("other", second))
    pair = Pair("made", "Made up", options.pop("unit", A_SECOND), *ways, **options)
    monkeypatch.setattr(run, "PAIRS", {"made": pair})
    return calls


def test_the_ways_take_turns_and_the_figures_are_medians(monkeypatch):
    calls = made_of(monkeypatch, (4.0, 1.0, 2.0), (0.5, 1.0, 0.25), unit=SECONDS)
    each = autoprox.speed(TINY, repeats=3)["made"]
    assert calls == ["one", "other"] * 3
    assert (each.first.figure, each.second.figure) == (2.0, 0.5)
    assert each.first.repetitions == (4.0, 1.0, 2.0)
    assert each.ratio == 4.0
    assert each.ratio_range == (1.0, 8.0)
    assert each.notes == ("note of one", "note of other")


def test_a_share_of_the_first_way_is_counted(monkeypatch):
    made_of(monkeypatch, (4.0,), (0.5,), share=lambda stage: 0.25)
    each = autoprox.speed(TINY, repeats=1)["made"]
    assert each.first.figure == 1.0  # candidates a second
    assert each.ratio == 2.0


@pytest.mark.parametrize("difference", [0.5, math.nan])
def test_times_of_ways_that_do_not_compute_the_same_are_refused(monkeypatch, difference):
    made_of(monkeypatch, count(1), count(1), difference=lambda *values: difference, tolerance=0.1)
    with pytest.raises(RunError, match="computed what lies"):
        autoprox.speed(TINY, repeats=1)


def test_ctrl_c_keeps_the_repetitions_that_are_complete(monkeypatch, tmp_path):
    made_of(monkeypatch, (1.0, 2.0, 9.0), (1.0, 1.0, None))
    file = tmp_path / "speed.json"
    result = call("--bench", TINY, "--repeats", "3", "--quiet", "--json", str(file))
    assert result.exit_code == 130
    assert "interrupted after 2 of 3 repetitions" in result.stderr
    assert "Made up" in result.stdout
    data = json.loads(file.read_text(encoding="utf-8"))
    assert (data["finished"], data["repeats"]) == (False, 2)
    assert data["comparisons"][0]["first"]["repetitions"] == [1.0, 0.5]


def test_ctrl_c_before_the_first_repetition_is_complete_is_one_message(monkeypatch):
    made_of(monkeypatch, (1.0,), (None,))
    result = call("--bench", TINY, "--quiet")
    assert result.exit_code == 130
    assert "interrupted before a repetition was complete" in result.stderr
    assert result.stdout == ""


def test_the_table_has_all_comparisons_and_the_file_all_figures(cache, tmp_path):
    file = tmp_path / "made" / "speed.json"
    words = ("--only", "kendall,expressions", "--repeats", "2", "--cache", str(cache))
    result = call("--bench", TINY, *words, "--json", str(file))
    assert result.exit_code == 0, result.output
    assert "12 networks of tiny/mlp, medians of 2" in result.stdout
    assert "times as fast" in result.stdout
    data = json.loads(file.read_text(encoding="utf-8"))
    assert (data["format"], data["version"], data["finished"]) == ("autoprox speed", 1, True)
    assert {"processor", "cores", "torch", "numpy", "scipy", "deap"} <= data["machine"].keys()
    assert data["settings"]["architectures"] == 12
    assert [each["name"] for each in data["comparisons"]] == ["kendall", "expressions"]
    for each in data["comparisons"]:
        assert each["name"] in result.stdout
        assert each.keys() == {
            *("name", "title", "unit", "first", "second"),
            *("ratio", "ratio_range", "difference", "notes"),
        }
        for way in ("first", "second"):
            assert each[way].keys() == {"label", "figure", "repetitions"}
            assert len(each[way]["repetitions"]) == 2


def test_standard_output_holds_the_data_alone(cache):
    words = ("--only", "kendall", "--repeats", "1", "--cache", str(cache), "--json", "-", "--quiet")
    result = call("--bench", TINY, *words)
    assert json.loads(result.stdout)["comparisons"][0]["name"] == "kendall"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("--only", "kendal"), 1, "did you mean 'kendall'"),
        (("--repeats", "0"), 2, "--repeats"),
        (("--only", "workers", "--jobs", "1"), 1, "2 jobs or more"),
        (("--space", "mpl"), 1, "unknown space 'mpl'"),
        (("--architectures", "3"), 1, "got 3"),
        (("--bench", BITS), 1, "differ by their bits"),
    ],
)
def test_bad_input_is_one_message(words, status, reason):
    bench = () if "--bench" in words else ("--bench", TINY)
    result = call(*bench, *words)
    assert result.exit_code == status, result.output
    assert reason in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"only": ("kendal",)}, UnknownNameError),
        ({"repeats": 0}, RunError),
        ({"evaluations": 0}, RunError),
        ({"jobs": 0}, RunError),
        ({"bench": BITS}, BenchError),
    ],
)
def test_the_function_refuses_what_the_command_refuses(settings, error):
    with pytest.raises(error):
        autoprox.speed(**{"bench": TINY, **settings})


def test_a_search_that_judged_nothing_the_other_one_can_write_is_to_judge_more():
    judged = {parse("sum(flops)"): 0.5}  # a sum is none of the other one's words
    with pytest.raises(RunError, match=r"none of the 1 candidates .* give it more evaluations"):
        PAIRS["search"].gap(Lap(1.0, lambda graph: 0.5), Lap(1.0, judged))


def test_one_process_is_not_compared_with_itself():
    names = [each.name for each in run.chosen((), jobs=1)]
    assert names == [name for name in PAIRS if name != "workers"]
    assert [each.name for each in run.chosen((), jobs=2)] == list(PAIRS)


def test_help_names_every_comparison_and_has_an_example():
    text = " ".join(call("--help").output.split())
    assert f"Only these: {', '.join(PAIRS)}." in text
    assert "Example: autoprox speed" in text


def test_every_argument_of_the_function_is_an_option():
    options = {str(param.name) for param in speed_command.params}
    arguments = set(inspect.signature(autoprox.speed).parameters)
    assert arguments - options == {"progress"}
    assert options - arguments == {"json_file", "quiet"}
