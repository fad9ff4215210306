"""The parameters of a search are in the signature of the function, with the defaults of its record.

So an editor shows them, and a misspelt one is a TypeError where it was written.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields

import pytest

import autoprox
from autoprox.errors import RunError
from autoprox.evolution.settings import Settings
from autoprox.search.architectures.settings import SearchSettings

FUNCTIONS = [(autoprox.evolve, Settings), (autoprox.search_architectures, SearchSettings)]


@pytest.mark.parametrize(("function", "record"), FUNCTIONS)
def test_every_setting_is_a_typed_parameter_with_its_default(function, record):
    parameters = inspect.signature(function).parameters
    assert all(each.annotation is not inspect.Parameter.empty for each in parameters.values())
    for field in fields(record):
        if field.name in ("started_from", "searches"):  # evolve_from and seed proxies say them
            continue
        parameter = parameters[field.name]
        if field.default is not MISSING and field.name != "evaluations":  # a resumed run keeps its
            assert parameter.default == field.default, field.name


@pytest.mark.parametrize(
    "function",
    [autoprox.evolve, autoprox.rank, autoprox.search_architectures, autoprox.search_bits,
     autoprox.speed],
)  # fmt: skip
def test_no_function_takes_what_it_does_not_name(function):
    kinds = {each.kind for each in inspect.signature(function).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds


def test_a_resumed_run_takes_no_settings(tmp_path):
    for settings in ({"seed": 1}, {"seed": 0}, {"spaces": ["pit"]}, {"out": tmp_path}):
        with pytest.raises(RunError, match="keeps its settings"):
            autoprox.evolve(resume=tmp_path, **settings)
        with pytest.raises(RunError, match="keeps its settings"):
            autoprox.search_architectures(
                resume=tmp_path, **{"evaluations": 3} if "spaces" in settings else settings
            )
    usual = {"population": Settings.population, "proposals": Settings.proposals}
    with pytest.raises(RunError, match="keeps its settings: leave out population, proposals, or"):
        autoprox.evolve(resume=tmp_path, **usual)
    with pytest.raises(RunError, match="leave out algorithm, or"):
        autoprox.evolve(resume=tmp_path, algorithm="default")
    with pytest.raises(RunError, match="leave out proxies, or"):
        autoprox.search_architectures(None, ["zico"], resume=tmp_path)


def test_what_is_none_is_not_given_beside_a_resumed_run(tmp_path):
    nothing = {"spaces": None, "seed_proxies": (), "parameters": None, "out": None}
    with pytest.raises(RunError, match="no run to resume"):
        autoprox.evolve(resume=tmp_path / "nowhere", **nothing, evaluations=None, permutations=0)
    with pytest.raises(RunError, match="no search to resume"):
        autoprox.search_architectures(None, (), resume=tmp_path / "nowhere", params=None)
