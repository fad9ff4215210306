"""One value where several are meant, names of options, and numbers."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import autoprox
from autoprox.errors import AutoproxError, RunError, UnknownNameError
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.runtime.arguments import check_counts, check_numbers, is_finite, is_plain_name, listed
from autoprox.search.architectures.settings import SearchSettings

TINY = str(Path(__file__).parent.parent / "tiny_bench.py")


def test_one_is_a_list_of_one():
    graph = autoprox.parse("sum(params)")
    assert listed("zico") == ("zico",)
    assert listed(("a", "b")) == ("a", "b")
    assert listed(iter("ab")) == ("a", "b")
    assert listed(Path("x"), Path) == (Path("x"),)
    assert listed(graph, Path, Graph) == (graph,)
    assert listed(3) == (3,)


def test_settings_take_one_name_for_a_list():
    made = Settings("b", spaces="s", targets="t", statistics="weight", seed_proxies="zico")
    lists = {"spaces": ("s",), "targets": ("t",), "statistics": ("weight",)}
    assert made == Settings("b", **lists, seed_proxies=("zico",))


def test_one_proxy_and_one_target_rank_as_a_list_of_one(tmp_path):
    one = autoprox.rank("params", TINY, targets="fine", spaces="mlp", cache=tmp_path, timed=False)
    several = autoprox.rank(
        ["params"], TINY, targets=["fine"], spaces=["mlp"], cache=tmp_path, timed=False
    )
    assert one.to_json() == several.to_json()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: autoprox.rank("zico", TINY, target="fine"), "option of rank 'target'; did you"),
        (lambda: autoprox.evolve(TINY, evalutions=9), "did you mean 'evaluations'"),
        (
            lambda: autoprox.search_architectures("nb201", "zico", evalutions=9),
            "did you mean 'evaluations'",
        ),
        (lambda: autoprox.search_bits(None, None, None, "zico", sise=9), "did you mean 'size'"),
        (lambda: autoprox.speed(TINY, onyl="cold"), "did you mean 'only'"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(call, said):
    with pytest.raises(UnknownNameError, match=said):
        call()


@pytest.mark.parametrize("value", ["x", None, 1.5, True, float("nan")])
def test_what_is_no_number_is_refused_where_one_is_meant(value):
    with pytest.raises(RunError, match="evaluations is a whole number; got"):
        Settings("b", evaluations=value)


@pytest.mark.parametrize("value", ["no", None, 1, 0.0])
def test_what_is_no_bool_is_refused_where_one_is_meant(value):
    for settings in (
        lambda: Settings("b", comparing=value),
        lambda: SearchSettings("s", ("zico",), latency=value),
    ):
        with pytest.raises(AutoproxError, match=f" is True or False; got {value!r}"):
            settings()


def test_a_whole_number_may_stand_for_a_share():
    @dataclass(frozen=True)
    class Made:
        share: float = 0.5
        count: int = 3
        name: str = ""

    check_numbers(Made(share=1), RunError)
    with pytest.raises(AutoproxError, match="share is a number; got 'half'"):
        check_numbers(Made(share="half"), RunError)


@pytest.mark.parametrize("value", ["8", 8.0, True, None, 0])
def test_a_count_is_a_whole_number_from_the_least_on(value):
    check_counts(RunError, labels=1, repeats=10**400)
    with pytest.raises(RunError, match=rf"labels is a whole number from 1; got {value!r}"):
        check_counts(RunError, labels=value)


def test_numbers_and_names():
    assert not any(map(is_finite, (True, None, "1", float("inf"), float("nan"), 10**400)))
    assert all(map(is_finite, (0, -1.5, 10**300)))
    assert not any(map(is_plain_name, ("", " ", "a/b", "a\\b", "a\0", "\ud800", "\x1b[2J", None)))
    assert all(map(is_plain_name, ("mine", "mine-2 b", "τ")))
