"""The cache of scores: what is kept under which key, and what is not believed."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoprox.errors import CacheError
from autoprox.measuring.score_store import Kept, ScoreStore, identity, keepable
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions.patterns import distinct_neurons, distinct_samples, regularised
from autoprox.proxies.loading import load
from autoprox.runtime.digest import _installed
from autoprox.statistics import STATISTICS
from tests.processes import other_seed, run_python

KEY = {"bench": "tiny", "architecture": "a", "seed": 0}


def test_a_statistic_that_is_defined_anew_gives_its_expressions_another_identity(monkeypatch):
    proxies = [load(name) for name in ("tvt_teacher", "snip", "rkd")]
    before = [identity(proxy) for proxy in proxies]
    raised = dataclasses.replace(STATISTICS["map_energy"], version=99)
    monkeypatch.setitem(STATISTICS._members, "map_energy", raised)
    after = [identity(proxy) for proxy in proxies]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True]


def test_what_is_saved_is_loaded_to_the_last_digit(tmp_path):
    kept = Kept({"snip": 0.1 + 0.2}, {"zen_score 1": "no batch norm"}, {"snip": 1 / 3})
    ScoreStore(tmp_path).save(KEY, kept)
    assert ScoreStore(tmp_path).load(KEY) == kept
    assert ScoreStore(tmp_path).load({**KEY, "seed": 1}) == Kept()
    assert kept.knows("snip")
    assert kept.knows("zen_score 1")
    assert not kept.knows("zico")


def test_what_was_saved_at_different_times_is_one(tmp_path):
    ScoreStore(tmp_path).save(KEY, Kept({"snip": 1.0}))
    ScoreStore(tmp_path).save(KEY, Kept({"zico": 2.0}, seconds={"snip": 0.5}))
    assert ScoreStore(tmp_path).load(KEY) == Kept({"snip": 1.0, "zico": 2.0}, {}, {"snip": 0.5})


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    def write(number):
        ScoreStore(tmp_path).save(KEY, Kept({f"p{number}": float(number)}))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert ScoreStore(tmp_path).load(KEY).scores == {f"p{n}": float(n) for n in range(20)}


@pytest.mark.parametrize("part", ["scores", "failures", "seconds"])
@pytest.mark.parametrize("damage", [None, [], {"snip": None}, {"snip": ["x"]}])
def test_a_file_without_its_parts_counts_as_missing(tmp_path, part, damage):
    store = ScoreStore(tmp_path)
    store.save(KEY, Kept({"snip": 1.0}))
    file = next(Path(tmp_path).rglob("*.json"))
    data = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**data, part: damage}), encoding="utf-8")
    assert ScoreStore(tmp_path).load(KEY) == Kept()


@pytest.mark.parametrize("value", [np.int64(3), math.nan, {1, 2}])
def test_a_key_that_is_no_json_is_refused(tmp_path, value):
    with pytest.raises(CacheError, match="made of JSON values"):
        ScoreStore(tmp_path).load({"config": {"width": value}})
    with pytest.raises(CacheError, match="made of JSON values"):
        ScoreStore(tmp_path).save({"config": {"width": value}}, Kept({"snip": 1.0}))


@pytest.mark.parametrize("text", ["", "{", '{"format": "other"}', "[]"])
def test_a_damaged_file_counts_as_missing(tmp_path, text):
    store = ScoreStore(tmp_path)
    store.save(KEY, Kept({"snip": 1.0}))
    file = next(Path(tmp_path).rglob("*.json"))
    file.write_text(text, encoding="utf-8")
    assert ScoreStore(tmp_path).load(KEY) == Kept()
    store.save(KEY, Kept({"snip": 1.0}))
    assert ScoreStore(tmp_path).load(KEY).scores == {"snip": 1.0}


def test_a_file_of_another_architecture_is_not_believed(tmp_path):
    store = ScoreStore(tmp_path)
    store.save(KEY, Kept({"snip": 1.0}))
    file = next(Path(tmp_path).rglob("*.json"))
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"architecture": "a"', '"architecture": "b"'), encoding="utf-8")
    assert ScoreStore(tmp_path).load(KEY) == Kept()


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "scores").write_text("")
    with pytest.raises(CacheError, match="--cache"):
        ScoreStore(tmp_path).save(KEY, Kept({"snip": 1.0}))


def test_an_expression_is_known_by_its_text_whatever_it_is_called():
    assert identity(load("snip")) == identity(load(load("snip").graph.text))
    assert identity(load("snip")) != identity(load("plain"))


def test_a_shipped_function_is_known_by_name_and_version():
    assert identity(load("swap")) == f"swap {load('swap').version}"


def made(number):
    return FunctionProxy("mine", lambda _: number)


def test_a_function_of_ones_own_is_known_by_its_code():
    assert identity(made(1.0)) == identity(made(1.0))
    assert identity(made(1.0)) != identity(made(2.0))
    first = FunctionProxy("mine", lambda _: 1.0)
    second = FunctionProxy("mine", lambda _: -1.0)
    assert identity(first) != identity(second)
    assert identity(first) != identity(FunctionProxy("mine", first.function, version=2))


HELPERS = """
import functools, math
from autoprox.proxies.function import FunctionProxy
FACTOR = {factor}
class Thing:
    pass
THING = Thing()
def helper(x):
    return x * FACTOR if x else again(x)
def again(x):
    return helper(1)
def helped(_):
    return helper(2.0)
def plain(_):
    return math.sqrt(2.0)
def thing(_):
    return id(THING)
def imported(_):
    import some_helpers_of_mine
    return some_helpers_of_mine.f()
"""


def module(factor=1.0):
    names = {"__name__": "a_file_of_mine"}
    exec(HELPERS.format(factor=factor), names)
    return names


def known(function, **facts):
    proxy = FunctionProxy("mine", function, **facts)
    assert keepable(proxy)
    return identity(proxy)


def scaled(factor, *, power=1):
    return lambda _, by=2: factor[0] * power * by


def scaled_by(_, *, factor=1.0):
    return factor


def other_default(_, *, factor=2.0):
    return factor


def both(first, _):
    return first


def test_what_a_function_closes_over_and_its_defaults_are_part_of_its_identity():
    assert known(scaled((1.0, [2]))) == known(scaled((1.0, [2])))
    assert known(scaled((1.0, [2]))) != known(scaled((1.0, [3])))
    assert known(scaled({"a": (1,)})) != known(scaled({"a": (2,)}))
    assert known(scaled_by) != known(other_default)
    inner, other = (scaled((n,)) for n in (1, 2))
    assert known(lambda x: inner(x)) != known(lambda x: other(x))


def test_arrays_tensors_and_modules_count_by_what_they_hold():
    kinds = {
        "array": lambda x: np.array([1.0, x]),
        "tensor": lambda x: torch.tensor([1.0, x]),
        "parameter": lambda x: nn.Parameter(torch.tensor([1.0, x])),
        "loss": lambda x: nn.CrossEntropyLoss(label_smoothing=x),
        "weighed": lambda x: nn.CrossEntropyLoss(torch.tensor([1.0, x])),
        "network": lambda x: nn.Sequential(nn.Flatten(), nn.Dropout(x)),
    }
    for hold in kinds.values():
        assert known(scaled((hold(0.25),))) == known(scaled((hold(0.25),)))
        assert known(scaled((hold(0.25),))) != known(scaled((hold(0.5),)))
    assert len({known(scaled((hold(0.25),))) for hold in kinds.values()}) == len(kinds)
    half = torch.tensor([1.0, 0.25], dtype=torch.bfloat16)  # numpy has no such numbers
    assert not keepable(FunctionProxy("mine", scaled((half,))))


def test_how_many_inputs_a_function_is_shown_is_part_of_its_identity():
    assert known(scaled_by) != known(scaled_by, batch=16)


def test_a_partial_function_is_known_by_what_it_is_given():
    assert known(functools.partial(both, 1)) == known(functools.partial(both, 1))
    assert known(functools.partial(both, 1)) != known(functools.partial(both, 2))
    assert known(functools.partial(scaled_by, factor=1)) != known(functools.partial(scaled_by))


def test_helpers_and_constants_of_the_same_file_are_part_of_a_functions_identity():
    assert known(module()["helped"]) == known(module()["helped"])
    assert known(module()["helped"]) != known(module(2.0)["helped"])
    assert known(module()["plain"]) == known(module(2.0)["plain"])


def test_what_is_installed_counts_by_its_name_and_what_is_typed_by_its_code():
    installed = ("autoprox.primitives", "math", "torch.nn", "pytest")
    assert all(map(_installed, installed))
    assert not any(
        map(_installed, ("__main__", "tests.measuring.test_scores", "a_file_of_mine", ""))
    )


@pytest.mark.parametrize("name", ["thing", "imported"])
def test_what_has_no_digest_is_kept_only_under_a_version(name):
    first, second = (FunctionProxy("mine", module()[name]) for _ in range(2))
    assert not keepable(first)
    assert identity(first) == identity(first)
    if name == "thing":
        assert identity(first) != identity(second)
    versions = [FunctionProxy("mine", each.function, version=1) for each in (first, second)]
    assert all(map(keepable, versions))
    assert identity(versions[0]) == identity(versions[1])


def test_a_shipped_function_under_another_name_is_known_by_its_code():
    samples, neurons = (FunctionProxy("x", each) for each in (distinct_samples, distinct_neurons))
    assert identity(samples) != identity(neurons)
    assert identity(regularised(1e6, 10)) != identity(regularised(1e6 + 0.5, 10))
    assert regularised(1e6, 10).name != regularised(1e6 + 0.5, 10).name
    renamed = [FunctionProxy("x", regularised(n, 10).function) for n in (1.0, 2.0)]
    assert identity(renamed[0]) != identity(renamed[1])


def test_the_identity_of_code_is_the_same_in_every_process(capsys):
    script = (
        "from autoprox.proxies.function import FunctionProxy\n"
        "from autoprox.measuring.score_store import identity\n"
        "print(identity(FunctionProxy('x', lambda s: "
        "[y for y in 'ab' if y in {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}])))"
    )
    exec(compile(script, "<string>", "exec"), {"__name__": "__main__"})
    there = run_python("-c", script, hash_seed=other_seed())
    assert there.stdout == capsys.readouterr().out, there
