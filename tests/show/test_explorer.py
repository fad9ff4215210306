"""The explorer of a run, without a screen: what is picked is what is shown."""

from __future__ import annotations

import dataclasses
import html
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoprox
from autoprox.benches import load_bench, split
from autoprox.errors import AutoproxError, RunError
from autoprox.evaluation.evaluate import Scores
from autoprox.language.graph import Graph
from autoprox.proxies.proxy import Proxy
from autoprox.runs.record import Run
from autoprox.show.explorer import Explorer
from tests.own_words import OWN, own_words
from tests.scipy_correlations import SCIPY

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

TINY = str(Path(__file__).parents[1].joinpath("tiny_bench.py"))
SMALL = {"evaluations": 240, "population": 20, "proposals": 40, "spaces": ("cnn",)}


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return autoprox.evolve(TINY, out=tmp_path_factory.mktemp("runs") / "a", cache=cache, **SMALL)


@pytest.fixture
def explorer(run: Run, cache: Path) -> Explorer:
    pytest.importorskip("ipywidgets")
    return autoprox.explore(run, cache=cache)


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is shown when a proxy is picked."""

    pick: Any
    name: int
    proxy: Proxy
    facts: str
    graph: str
    plane: bytes
    marks: list[tuple[float, ...]]
    held_out: float
    levels: tuple[float, float]


@pytest.fixture(scope="module")
def shown(run: Run, cache: Path) -> list[Shown]:
    """What is shown at one pick after the other."""
    pytest.importorskip("ipywidgets")
    explorer, found = autoprox.explore(run, cache=cache), []
    for place, pick in enumerate(explorer.picks):
        explorer.picker.index = place
        found.append(
            Shown(
                pick,
                explorer.names.index,
                explorer.proxy,
                explorer.facts.value,
                explorer.graph.value,
                bytes(explorer.plane.value),
                [tuple(mark.get_offsets()[0]) for mark in explorer._marks],
                explorer._assessed[explorer.proxy.graph].joint,
                explorer.axes.get_ylim(),
            )
        )
    return found


def test_a_fitness_that_is_no_mean_is_called_by_its_name_and_alone_in_the_picture(
    cache: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ipywidgets")
    benches = f"{TINY},{Path(TINY).with_name('other_tiny_bench.py')}"
    options: dict[str, Any] = {**SMALL, "evaluations": 60, "spaces": None, "over": "wins"}
    run = autoprox.evolve(benches, out=tmp_path / "run", cache=cache, **options)
    explorer = autoprox.explore(run, cache=cache)
    fitness = run.best.provenance["search_fitness"]
    assert f"fitness (wins) {fitness:.3f} on the search split, joint D" in explorer.facts.value
    assert [mark.get_offsets()[0][1] for mark in explorer._marks] == pytest.approx([fitness])


def test_it_begins_with_the_best_proxy_and_its_figures(explorer: Explorer, run: Run) -> None:
    best, searched = run.held_out[0], run.search[0]
    assert explorer.proxy.graph is run.best.graph
    assert html.escape(best.expression) in explorer.facts.value
    assert f"{searched.joint:.3f} on the search split" in explorer.facts.value
    low, high = best.joint_interval
    assert f"{best.joint:.3f} held out (95 % interval {low:.3f} to {high:.3f})" in (
        explorer.facts.value
    )
    assert f"{best.difference:+.3f} to" in explorer.facts.value


def test_a_notebook_shows_it(explorer: Explorer) -> None:
    assert "application/vnd.jupyter.widget-view+json" in explorer._repr_mimebundle_()


def test_another_pick_changes_all_that_is_shown_to_the_right_proxy(
    shown: list[Shown],
) -> None:
    for place, each in enumerate(shown):
        assert each.name == place
        assert str(each.proxy) == each.pick.text
        assert f"<code>{html.escape(each.pick.text)}</code>" in each.facts
        assert each.plane.startswith(b"\x89PNG")
        assert each.graph.lstrip().startswith("<svg")
    assert len({each.pick.text for each in shown}) == len(shown) > 3
    assert len({each.graph for each in shown}) == len(shown)
    # Proxies that rank alike and are as large may stand at one place of the plane.
    places = {each.plane: np.round(each.marks, 3).tolist() for each in shown}
    assert 1 < len(places) <= len(shown)
    for each in shown:
        assert np.round(each.marks, 3).tolist() == places[each.plane]


def test_a_pick_by_name_is_one_in_the_plane(explorer: Explorer) -> None:
    explorer.picker.index = 1
    assert str(explorer.proxy) == explorer.picks[1].text
    explorer.names.index = 0
    assert explorer.picker.index == 0
    assert str(explorer.proxy) == explorer.picks[0].text


def test_the_marks_stand_at_the_figures_of_the_pick(shown: list[Shown]) -> None:
    for each in shown:
        place = each.pick.complexity
        assert each.marks == [(place, each.pick.search), (place, each.held_out)]
        low, high = each.levels
        assert all(low < level < high for _, level in each.marks)


def test_the_scatter_is_of_the_held_out_architectures(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = autoprox.show.draw.scatter
    monkeypatch.setattr(
        autoprox.show.draw,
        "scatter",
        lambda *given, **named: drawn.append(given) or draw(*given, **named),
    )
    before = explorer.scatter.value
    assert explorer.column.options == ("cnn/coarse", "cnn/fine")
    explorer.column.index = 1
    assert explorer.scatter.value != before
    bench = load_bench(TINY).restricted(["cnn"])
    held_out = [bench.architectures[i] for i in split(bench, 0, 0.4).held_out]
    ((scores, accuracies),) = drawn
    assert sorted(accuracies) == sorted(each.accuracies["fine"] for each in held_out)
    row = explorer._assessed[explorer.proxy.graph]
    truth = SCIPY["somers"](np.asarray(scores), accuracies).statistic
    assert row.columns[1].somers == pytest.approx(truth)


def test_the_scatter_shows_losses_in_their_own_unit(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ipywidgets")
    bench = dataclasses.replace(load_bench(TINY), name="losing", lower_is_better="coarse")
    run = autoprox.evolve(bench, out=tmp_path, cache=cache, **{**SMALL, "evaluations": 40})
    drawn, draw = [], autoprox.show.draw.scatter
    monkeypatch.setattr(
        autoprox.show.draw, "scatter", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1]
    )
    autoprox.explore(run, bench, cache=cache)
    assert drawn[0].get_ylabel() == "cnn/coarse (lower is better)"
    assert f"Somers' D = {run.held_out[0].columns[0].somers:.3f}  " in drawn[0].get_title()
    figures = sorted(drawn[0].collections[0].get_offsets()[:, 1])
    assert figures == sorted(placed.accuracies["coarse"] for placed in run.placed)


@pytest.mark.parametrize(("missing", "title"), [(1, "Somers' D = "), (99, "no score  (0 ")])
def test_a_proxy_without_a_score_on_some_or_all_of_what_is_held_out(
    missing: int, title: str, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator, drawn = explorer.assessor.evaluator, []

    def failing(graph: Graph, **_: Any) -> Scores:
        values = evaluator(graph).values
        values[:missing] = np.nan
        return Scores(values, {0: "it is not finite"})

    draw = autoprox.show.draw.scatter
    monkeypatch.setattr(
        autoprox.show.draw, "scatter", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1]
    )
    explorer.assessor.evaluator = failing  # type: ignore[assignment]
    explorer._assessed, explorer.assessor._results = {}, {}
    explorer._show()
    assert drawn[-1].get_title().startswith(title)
    none = "no score on an architecture that the search did not see: it is not finite"
    assert (none in explorer.facts.value) is (missing > 1)


def test_a_run_on_a_bench_object_is_explored_with_it(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    bench = dataclasses.replace(load_bench(TINY), name="mine")
    run = autoprox.evolve(bench, out=tmp_path / "run", cache=cache, evaluations=60, proposals=40)
    assert autoprox.explore(run.folder, bench, cache=cache).proxy.graph is run.best.graph
    with pytest.raises(RunError, match="has changed since it began"):
        autoprox.explore(run.folder, bench.restricted(["mlp"]), cache=cache)


def test_a_run_of_words_in_a_file_is_explored_with_it(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    with own_words(tmp_path / "bench.py") as bench:
        autoprox.evolve(bench, seed_proxies=(OWN,), out=tmp_path / "run", cache=cache,
                        evaluations=20, proposals=40, population=20)  # fmt: skip
    with own_words(tmp_path / "bench.py") as bench:
        first, known = (autoprox.explore(tmp_path / "run", bench, cache=cache) for _ in range(2))
        assert str(first.proxy) == OWN
        drawn, expected = (each.axes.collections[0].get_offsets() for each in (first, known))
        assert len(drawn) == len(expected)


def test_without_ipywidgets_the_message_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(AutoproxError, match="pip install ipywidgets"):
        autoprox.explore(run)


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    with pytest.raises(RunError, match=r"no config\.json"):
        autoprox.explore(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(RunError):
        autoprox.explore(tmp_path)
