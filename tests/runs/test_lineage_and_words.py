"""Where a candidate comes from, and what the good ones use: runs made by hand, and a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoprox.errors import RunError
from autoprox.runs.evolve import evolve
from autoprox.runs.lineage import lineage
from autoprox.runs.record import read_run
from autoprox.runs.word_use import word_use
from tests.made_runs import found, judged

A, B, C, D, E = (f"{word}(params)" for word in ("sum", "mean", "max", "min", "std"))

# a and b are random; c is bred from both, d from a, and e from c and d.
FAMILY = found(
    judged((A, 0.1, ()), (B, 0.2, ()), (C, 0.3, (A, B)), (D, 0.25, (A,)), (E, 0.5, (C, D)))
)


def steps(run, **options) -> dict[str, int]:
    return {each.candidate.text: each.steps for each in lineage(run, **options).members}


def test_a_lineage_holds_every_ancestor_once_the_last_judged_first():
    shown = lineage(FAMILY)
    assert [each.candidate.text for each in shown.members] == [E, D, C, B, A]
    assert shown.earlier == 0
    assert steps(FAMILY) == {E: 0, D: 1, C: 1, B: 2, A: 2}


def test_the_nearest_ancestors_are_shown_first_and_of_these_the_fitter():
    assert steps(FAMILY, most=2) == {E: 0, C: 1}
    assert lineage(FAMILY, most=2).earlier == 3
    assert steps(FAMILY, most=4) == {E: 0, D: 1, C: 1, B: 2}


def test_any_candidate_has_a_lineage():
    assert steps(FAMILY, text=C) == {C: 0, B: 1, A: 1}
    assert steps(FAMILY, text=A) == {A: 0}


def test_a_formula_that_was_judged_twice_has_the_parents_of_the_first_time():
    run = found(judged((A, 0.1, ()), (B, 0.2, ()), (C, 0.3, (A,)), (C, 0.3, (B,))))
    assert steps(run) == {C: 0, A: 1}


def test_a_candidate_that_was_not_judged_has_none():
    with pytest.raises(RunError, match=r"judged no candidate 'norm\(params\)' with a fitness"):
        lineage(FAMILY, "norm(params)")


def test_a_run_that_wrote_no_parents_says_so():
    with pytest.raises(RunError, match="does not say what its candidates were bred from"):
        lineage(found(judged((A, 0.1, None))))


def test_shares_count_formulas_and_not_uses():
    run = found(
        judged(
            ("sum(add(params, params))", 0.9, ()),
            ("sum(params)", 0.8, ()),
            ("sum(flops)", 0.5, ()),
            ("mean(flops)", 0.4, ()),
            ("mean(flops)", 0.4, ()),
        )
    )
    shares = {each.word: (each.best, each.all) for each in word_use(run, best=2)}
    assert shares == {
        "params": (1, 0.5),
        "sum": (1, 0.75),
        "add": (0.5, 0.25),
        "flops": (0, 0.5),
        "mean": (0, 0.25),
    }


def test_words_come_by_their_use_and_say_their_form():
    uses = word_use(FAMILY, best=1)
    assert [each.word for each in uses][:2] == ["params", "std"]
    assert {each.word: each.form for each in uses}["params"] == "statistic"
    assert {each.word: each.form for each in uses}["std"] == "reduction"


def test_more_best_ones_than_there_are_is_all_of_them():
    assert all(each.best == each.all for each in word_use(FAMILY, best=50))


@pytest.mark.parametrize("best", [0, -3])
def test_no_best_ones_are_refused(best):
    with pytest.raises(RunError, match="at least 1 best candidate; got"):
        word_use(FAMILY, best)


@pytest.mark.usefixtures("one_thread")
def test_a_real_run_has_the_lineage_that_its_file_tells(tmp_path):
    tiny = str(Path(__file__).parents[1] / "tiny_bench.py")
    evolve(tiny, out=tmp_path / "run", cache=tmp_path / "c", evaluations=160, population=20,
           proposals=40)  # fmt: skip
    run = read_run(tmp_path / "run")
    told = {}
    for line in (tmp_path / "run" / "candidates.jsonl").read_text().splitlines():
        data = json.loads(line)
        if "expression" in data:
            told.setdefault(data["expression"], data["parents"])
    (last,) = {each.text for each in run.judged[-1:]}
    ancestors, todo = set(), [last]
    while todo:
        text = todo.pop()
        ancestors.add(text)
        todo += set(told[text]) - ancestors
    assert {each.candidate.text for each in lineage(run, last).members} == ancestors
