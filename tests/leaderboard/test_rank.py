"""`autoprox.rank` on a small bench: what is measured, kept, compared and refused."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import autoprox
from autoprox.benches import Architecture, load_bench
from autoprox.errors import (
    AutoproxError,
    BenchError,
    CacheError,
    LanguageError,
    ScoreError,
    StatisticError,
    UnknownNameError,
)
from autoprox.leaderboard import run
from autoprox.leaderboard.searched import Searched
from autoprox.measuring import scoring
from autoprox.measuring.probe import Probe
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.proxy import Proxy, dumps
from tests.copied_bench import copied, interval_of_networks
from tests.scipy_correlations import SCIPY

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
FEW = ["snip", "zico", "params", "swap", "sum(norm(grad))"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def board(cache):
    return autoprox.rank(FEW, TINY, cache=cache)


def built(monkeypatch, refused=()):
    """Count the networks that are measured, and let some not be built."""
    calls = []
    measure = scoring.score_network

    def counted(bench, works, folder):
        calls.append(works[0].architecture.name)
        if works[0].architecture.name in refused:
            raise KeyboardInterrupt
        return measure(bench, works, folder)

    monkeypatch.setattr(scoring, "score_network", counted)
    return calls


def counted_measures(monkeypatch):
    """Note the statistics of each call of `measure`."""
    from autoprox.statistics.measuring import measure

    calls = []

    def counted(network, inputs, targets, names, **kwargs):
        calls.append(tuple(names))
        return measure(network, inputs, targets, names, **kwargs)

    monkeypatch.setattr("autoprox.measuring.probe.measure", counted)
    return calls


# The figures


def test_the_order_is_right_by_construction(tmp_path):
    bench = load_bench(TINY)
    figures = {each.name: each.accuracies["coarse"] for each in bench.architectures}
    sizes = {}
    for each in bench.architectures:
        sizes[each.space, sum(p.numel() for p in bench.network(each).parameters())] = each.name

    def truth(subject, sign=1.0):
        space = "cnn" if any(isinstance(m, nn.Conv2d) for m in subject.network.modules()) else "mlp"
        count = sum(p.numel() for p in subject.network.parameters())
        return sign * figures[sizes[space, count]]

    board = autoprox.rank(
        [
            FunctionProxy("worst", lambda subject: truth(subject, -1.0)),
            "params",
            FunctionProxy("best", truth),
            FunctionProxy("even", lambda _: 1.0),
        ],
        bench,
        targets=["coarse"],
        cache=tmp_path,
    )
    assert [row.name for row in board] == ["best", "params", "even", "worst"]
    assert [row.place for row in board] == [1, 2, 3, 4]
    best, params, even, worst = board
    assert (best.joint, best.top_share) == pytest.approx((1.0, 1.0))
    assert (best.top1_regret, best.top5_regret) == (0.0, 0.0)
    assert (worst.joint, worst.top_share) == pytest.approx((-1.0, 0.0))
    spaces = (bench.accuracies("coarse", bench.in_space(name)) for name in bench.spaces)
    spreads = [np.ptp(own) for own in spaces]
    assert worst.top1_regret == pytest.approx(np.mean(spreads))
    assert 0 < params.joint < 1
    assert even.joint == 0.0
    assert even.reason == "the same score for every architecture"
    low, high = best.joint_interval
    assert low == pytest.approx(high) == pytest.approx(1.0)


def test_figures_are_those_of_the_scores(board):
    bench = load_bench(TINY)
    assert board.columns == ("mlp/coarse", "mlp/fine", "cnn/coarse", "cnn/fine")
    for row in board:
        scores = board.scores[row.name]
        found = {name: [] for name in SCIPY}
        for space in ("mlp", "cnn"):
            for target in ("coarse", "fine"):
                places = [i for i, a in enumerate(bench.architectures) if a.space == space]
                for name, correlation in SCIPY.items():
                    own = correlation(scores[places], bench.accuracies(target)[places])
                    found[name].append(own.statistic)
        for name, own in found.items():
            assert [each.correlation(name) for each in row.columns] == pytest.approx(own)
        assert (row.joint, row.joint_kendall, row.joint_spearman) == pytest.approx(
            tuple(np.mean(found[name]) for name in ("somers", "kendall", "spearman"))
        )
        assert row.joint_interval[0] <= row.joint <= row.joint_interval[1]


def test_cached_scores_are_those_of_a_call(board):
    bench = load_bench(TINY)
    for name in FEW:
        proxy = autoprox.load(name)
        inputs, targets = Probe(batch=32 if name == "swap" else 8).inputs(bench)
        for place in (0, 9, 23):
            network = bench.network(bench.architectures[place])
            live = proxy(network, inputs, targets, sample="full")
            assert board.scores[name][place] == pytest.approx(live, rel=1e-5)


def test_a_sampled_ranking_has_the_scores_of_sampled_calls(tmp_path):
    bench = load_bench(TINY)
    board = autoprox.rank(["snip"], TINY, cache=tmp_path, sample=16, spaces=["cnn"])
    inputs, targets = Probe().inputs(bench)
    network = bench.network(bench.architectures[20])
    live = autoprox.load("snip")(network, inputs, targets, sample=16)
    assert board.scores["snip"][20 - 12] == pytest.approx(live, rel=1e-5)
    assert live != pytest.approx(autoprox.load("snip")(network, inputs, targets, sample="full"))


def test_every_proxy_has_a_cost(board):
    assert all(0 < row.seconds < 10 for row in board)


def test_an_ensemble_is_computed_from_the_scores_of_its_parts_in_each_space(tmp_path):
    both = Ensemble("both", ("params", "snip"), lambda parts: parts.argsort(1).argsort(1).sum(0))
    board = autoprox.rank([both, "params", "snip"], TINY, cache=tmp_path)
    for places in (slice(0, 12), slice(12, 24)):
        parts = np.stack([board.scores[name][places] for name in ("params", "snip")])
        expected = parts.argsort(1).argsort(1).sum(0)
        np.testing.assert_array_equal(board.scores["both"][places], expected)
    alone = autoprox.rank([both], TINY, cache=tmp_path)
    assert alone["both"].joint == board["both"].joint
    assert alone["both"].seconds == pytest.approx(
        sum(board[name].seconds for name in ("params", "snip")), rel=0.9
    )
    assert len(alone) == 1


def test_a_part_of_a_bench_is_ranked(cache):
    board = autoprox.rank(["params"], TINY, cache=cache, held_out=True, split_seed=3, timed=False)
    parts = autoprox.benches.split(load_bench(TINY), 3)
    names = [load_bench(TINY).architectures[i].name for i in parts.held_out]
    assert list(board.architectures) == names
    one = autoprox.rank(["params"], TINY, cache=cache, spaces=["cnn"], targets=["fine"])
    assert one.columns == ("cnn/fine",)
    few = autoprox.rank(["params"], TINY, cache=cache, architectures=16)
    assert len(few.architectures) == 16


def test_the_settings_say_how_many_architectures_were_drawn(cache):
    assert autoprox.rank(["params"], TINY, cache=cache).settings["architectures"] == 24
    few = autoprox.rank(["params"], TINY, cache=cache, architectures=16, spaces=["cnn"])
    assert few.settings["architectures"] == 16


def test_a_plain_ranking_draws_equal_architectures_like_all_others(cache):
    tiny = load_bench(TINY)
    rows = tuple(
        dataclasses.replace(each, isomorph="wide" if each.config["width"] > 8 else None)
        for each in tiny.architectures
    )
    twins = dataclasses.replace(tiny, name="twins", architectures=rows)
    board = autoprox.rank(["params"], twins, cache=cache, architectures=16, plain=True, timed=False)
    drawn = [each.name for each in twins.sampled(16, plain=True).architectures]
    assert list(board.architectures) == drawn
    assert drawn != [each.name for each in twins.sampled(16).architectures]
    assert board.settings["plain"] is True


def test_what_is_drawn_plainly_was_held_out_by_no_search(cache):
    with pytest.raises(BenchError, match="held_out and plain do not go together"):
        autoprox.rank(["params"], TINY, cache=cache, plain=True, held_out=True)


def test_a_column_with_too_few_scores_means_no_rank(tmp_path):
    bench = load_bench(TINY)
    kept = [each.name for each in bench.architectures if each.space == "mlp"][:3]
    rows = tuple(
        each
        if each.name in kept or each.space == "cnn"
        else dataclasses.replace(each, accuracies={**each.accuracies, "fine": None})
        for each in bench.architectures
    )
    bench = dataclasses.replace(bench, architectures=rows)
    sizes = {sum(p.numel() for p in bench.network(rows[2]).parameters())}

    def choosy(subject):
        size = sum(p.numel() for p in subject.network.parameters())
        if size in sizes:
            raise ValueError("not this one")
        return size

    row = autoprox.rank([FunctionProxy("choosy", choosy)], bench, cache=tmp_path)["choosy"]
    assert (row.place, row.joint, row.failures) == (None, None, 1)
    assert row.reason.startswith("2 scores for mlp/fine; a rank correlation needs 3: ")
    assert "not this one" in row.reason


def test_an_ensemble_is_given_the_scores_of_an_ensemble_within(tmp_path, monkeypatch):
    inner = Ensemble("inner", ("params", "snip"), lambda parts: parts[0] - parts[1])
    load = run.load
    monkeypatch.setattr(run, "load", lambda name: inner if name == "inner" else load(name))
    outer = Ensemble("outer", ("inner", "params"), lambda parts: 2 * parts[0] + parts[1])
    board = autoprox.rank([outer, "params", "snip"], TINY, cache=tmp_path)
    params, snip = (board.scores[name] for name in ("params", "snip"))
    np.testing.assert_allclose(board.scores["outer"], 2 * (params - snip) + params)
    assert board["outer"].seconds is not None


def broken(_):
    raise ZeroDivisionError("nothing")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (broken, "its rule failed: ZeroDivisionError: nothing"),
        (lambda parts: parts[0] * np.inf, "its rule gives what is not finite"),
    ],
)
def test_an_ensemble_whose_rule_fails_has_a_reason(tmp_path, rule, reason):
    row = autoprox.rank([Ensemble("e", ("params",), rule)], TINY, cache=tmp_path)["e"]
    assert (row.place, row.failures, row.reason) == (None, 24, reason)


def test_epe_nas_is_shown_so_many_inputs_that_classes_repeat(tmp_path):
    bench = load_bench(TINY)
    board = autoprox.rank(["epe_nas"], TINY, cache=tmp_path, spaces=["mlp"], timed=False)
    live = autoprox.load("epe_nas")(
        bench.network(bench.architectures[4]), *Probe(batch=64).inputs(bench)
    )
    assert board.scores["epe_nas"][4] == pytest.approx(live, rel=1e-5)


# What a search saw


def discovered(**settings):
    graph = autoprox.load("params").graph
    return Proxy(graph, "found", provenance={"settings": {"bench": TINY, **settings}})


def part(names, seed, **rules):
    """Return the search part, and count which of some names are in it."""
    bench = load_bench(TINY).restricted(rules.pop("spaces", None))
    seen = autoprox.benches.split(bench, seed, **rules).search
    return sum(bench.architectures[i].name in names for i in seen)


def test_a_discovered_proxy_says_on_how_many_of_the_architectures_it_was_searched(cache):
    def row(proxy, **options):
        board = autoprox.rank([proxy, "params"], TINY, cache=cache, timed=False, **options)
        assert board["params"].searched_on is None
        return board["found"].searched_on, board

    count, board = row(discovered(split_seed=3))
    assert count == part(board.architectures, 3) == 14
    note = "* found: searched on 14 of 24 of these architectures"
    assert board.footnotes == {"found": note}
    assert note in board._repr_html_()
    assert "found *" in board._repr_html_()
    assert json.loads(json.dumps(board.to_json()))["rows"][0]["searched_on"] == 14
    assert [line["searched_on"] for line in csv.DictReader(io.StringIO(board.to_csv()))] == [
        "14",
        "",
    ]
    count, board = row(discovered(split_seed=3), held_out=True, split_seed=3)
    assert (count, board.footnotes) == (0, {})
    count, board = row(discovered(split_seed=3), held_out=True, split_seed=0)
    assert 0 < count == part(board.architectures, 3) < 14
    for share in ("held_out_share", "held_out"):  # the latter is what runs wrote before
        count, board = row(discovered(spaces=["cnn"], **{share: 0.6}))
        assert count == part(board.architectures, 0, spaces=["cnn"], held_out_share=0.6) == 5
    assert row(discovered(spaces=["cnn"]), spaces=["mlp"])[0] == 0
    assert row(discovered(bench="vit101"))[0] == 0


def test_a_proxy_discovered_on_some_of_a_bench_was_searched_for_on_those(cache):
    drawn = load_bench(TINY).sampled(20)
    names = {drawn.architectures[i].name for i in autoprox.benches.split(drawn, 1).search}
    proxy = discovered(architectures=20, split_seed=1)
    board = autoprox.rank([proxy], TINY, cache=cache, timed=False)
    assert board["found"].searched_on == len(names) == 12
    one_space = autoprox.rank([proxy], TINY, cache=cache, timed=False, spaces=["mlp"])
    assert one_space["found"].searched_on == sum(name.startswith("mlp") for name in names)


def test_what_the_search_saw_that_another_one_started_from_counts_too():
    bench = load_bench(TINY)
    spaces = ("mlp", "cnn")
    first, second = ({"bench": TINY, "spaces": [space], "split_seed": 3} for space in spaces)
    count = Searched(bench, TINY, bench.architectures)
    alone = [count(discovered(**each)) for each in (first, second)]
    assert min(alone) > 0
    assert count(discovered(**second, started_from=first)) == sum(alone)
    assert count(discovered(**second, searches={"runs/a": first})) == sum(alone)
    between = {"bench": "vit101", "searches": {"runs/a": first}}
    for name, told in (("started_from", between), ("searches", {"runs/b": between})):
        assert count(discovered(**second, **{name: told})) == sum(alone)


def test_another_architecture_with_the_same_network_counts_as_searched_on(cache):
    tiny = load_bench(TINY)
    first, *others = tiny.architectures
    twin = dataclasses.replace(first, name="mlp/twin", isomorph="one")
    rows = (dataclasses.replace(first, isomorph="one"), *others, twin)
    bench = dataclasses.replace(tiny, name="twins", architectures=rows)
    count = Searched(bench, bench, (rows[0], twin))
    seen = {count(discovered(bench="twins", split_seed=seed)) for seed in range(6)}
    assert seen == {0, 2}
    alone = Searched(bench, bench, (twin,))
    assert {alone(discovered(bench="twins", split_seed=seed)) for seed in range(6)} == {0, 1}


def test_intervals_draw_a_network_with_all_of_its_copies(tmp_path):
    bench = copied()
    board = autoprox.rank(["params"], bench, cache=tmp_path, timed=False)
    for figures in board["params"].columns:
        space, target = figures.column.split("/")
        rows = bench.in_space(space)
        scores = [board.scores["params"][bench.architectures.index(row)] for row in rows]
        assert figures.interval == pytest.approx(interval_of_networks(rows, target, scores))


def test_a_proxy_of_several_benches_was_searched_for_on_its_part_of_each():
    bench = load_bench("vit101")
    proxy = discovered(bench="vit101,nb201", architectures=40)
    drawn = bench.sampled(40)
    names = {drawn.architectures[i].name for i in autoprox.benches.split(drawn, 0).search}
    assert Searched(bench, "vit101", bench.architectures)(proxy) == len(names)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"bench": "other.py"}, "its search was on other.py, which is not ranked here"),
        ({"bench": "nowhere"}, "unknown bench 'nowhere'"),
        ({"more": 1}, "unknown settings more"),
        ({"started_from": {"bench": "other.py"}}, "its search was on other.py, which is not"),
        ({"searches": {"runs/a": {"bench": "other.py"}}}, "its search was on other.py, which"),
        ({"searches": ["x"]}, "settings.searches: expected an object"),
        ({"split_seed": "x"}, "settings.split_seed: expected a whole number, got text"),
    ],
)
def test_a_search_that_is_not_known_is_a_reason(cache, settings, reason):
    row = autoprox.rank([discovered(**settings)], TINY, cache=cache, timed=False)["found"]
    assert row.place == 1
    assert row.searched_on is None
    assert row.reason.startswith(f"what its search saw is not known: {reason}")


# What is measured, and kept


def test_proxies_that_share_statistics_are_measured_once(tmp_path, monkeypatch):
    calls = counted_measures(monkeypatch)
    autoprox.rank(["snip", "sum(norm(grad))", "plain"], TINY, cache=tmp_path, timed=False)
    assert len(calls) == 24
    assert set(calls) == {("grad", "weight")}


def test_a_second_call_measures_nothing_and_a_new_proxy_only_itself(tmp_path, monkeypatch):
    first = autoprox.rank(["snip"], TINY, cache=tmp_path)
    calls = counted_measures(monkeypatch)
    again = autoprox.rank(["snip"], TINY, cache=tmp_path)
    assert calls == []
    assert again.rows == first.rows
    autoprox.rank(["snip", "synflow"], TINY, cache=tmp_path, timed=False)
    assert len(calls) == 24
    assert {name for names in calls for name in names} == {*autoprox.load("synflow").statistics}


def test_what_changes_a_score_changes_where_it_is_kept(tmp_path, monkeypatch):
    built_names = built(monkeypatch)
    first = FunctionProxy("mine", lambda _: 1.0)
    other = FunctionProxy("mine", lambda _: 2.0)
    newer = FunctionProxy("mine", lambda _: 1.0, version=2)
    for number, proxy in enumerate((first, other, newer, newer)):
        values = autoprox.rank([proxy], TINY, cache=tmp_path, timed=False).scores["mine"]
        assert len(built_names) == 24 * min(number + 1, 3)
        assert set(values) == {2.0 if proxy is other else 1.0}
    autoprox.rank(["params"], TINY, cache=tmp_path, batch=4, timed=False)
    autoprox.rank(["params"], TINY, cache=tmp_path, probe_seed=1, timed=False)
    assert len(built_names) == 24 * 5


def test_a_primitive_of_ones_own_is_known_by_what_it_does(tmp_path):
    try:
        for factor, sign in ((1.0, 1), (-1.0, -1)):
            if "turned" in PRIMITIVES:
                PRIMITIVES.unregister("turned")
            if sign > 0:

                @primitive("elementwise", latex="{0}")
                def turned(x):
                    """Itself."""
                    return x * 1.0
            else:

                @primitive("elementwise", latex="-{0}")
                def turned(x):
                    """Its opposite."""
                    return x * -1.0

            board = autoprox.rank(["turned(sum(params))", "params"], TINY, cache=tmp_path, jobs=2)
            own = board.scores["turned(sum(params))"]
            np.testing.assert_array_equal(own, factor * board.scores["params"])
    finally:
        PRIMITIVES.unregister("turned")


def test_images_that_were_replaced_are_read_again(tmp_path):
    images, boards = tmp_path / "images.npz", []
    for seed, folder in ((0, "a"), (1, "a"), (1, "b")):
        x = np.random.default_rng(seed).integers(0, 255, (8, 8, 8, 3), dtype=np.uint8)
        np.savez(images, x=x, y=np.arange(8) % 5)
        options = {"images": str(images), "spaces": ["mlp"], "timed": False}
        boards.append(autoprox.rank(["snip"], TINY, cache=tmp_path / folder, **options))
    first, second, alone = (board.scores["snip"] for board in boards)
    assert (first != second).all()
    np.testing.assert_array_equal(second, alone)


def test_images_of_a_path_are_those_of_its_text(tmp_path):
    images = tmp_path / "images.npz"
    x = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 3), dtype=np.uint8)
    np.savez(images, x=x, y=np.arange(8) % 5)
    how = {"spaces": ["mlp"], "timed": False, "cache": tmp_path}
    boards = [autoprox.rank(["snip"], TINY, images=each, **how) for each in (images, str(images))]
    texts = [json.dumps(board.to_json()) for board in boards]
    assert texts[0] == texts[1]
    assert Probe(teacher="resnet8", teacher_weights=images).teacher_weights == str(images)


def test_too_few_images_for_one_proxy_cost_only_that(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(10) % 5)
    images = str(tmp_path / "images.npz")
    board = autoprox.rank(["swap", "params"], TINY, cache=tmp_path, images=images)
    assert board["params"].place == 1
    assert board["swap"].reason.endswith("holds 10 images; expected 32 or more for a batch")
    with pytest.raises(StatisticError, match="expected 16 or more"):
        autoprox.rank(["swap", "params"], TINY, cache=tmp_path, images=images, batch=16)


def test_images_for_networks_that_take_none_are_refused(tmp_path):
    bench = dataclasses.replace(load_bench(TINY), input_shape=(192,))
    with pytest.raises(StatisticError, match=r"take inputs of shape \(192,\); images are"):
        autoprox.rank(["params"], bench, cache=tmp_path, images=str(tmp_path))


def test_a_function_without_a_digest_is_scored_anew_by_each_call(tmp_path, monkeypatch):
    calls = built(monkeypatch)
    thing = object()
    proxy = FunctionProxy("mine", lambda _: 1.0 if thing else 0.0)
    other = FunctionProxy("mine", dataclasses.make_dataclass("F", [], namespace={
        "__call__": lambda self, _: 2.0
    })())  # fmt: skip
    for number in (1, 2):
        board = autoprox.rank([proxy, other, "params"], TINY, cache=tmp_path)
        assert len(calls) == 24 * number
        assert set(board.scores["mine"]) == {1.0}
        assert set(board.scores["mine (2)"]) == {2.0}
        assert board["mine"].seconds is not None
    files = list((tmp_path / "scores").glob("??/*.json"))
    assert len(files) == 24
    assert not any("mine" in file.read_text(encoding="utf-8") for file in files)
    again = autoprox.rank([proxy, "params"], TINY, cache=tmp_path, jobs=2)
    assert set(again.scores["mine"]) == {1.0}


def test_the_best_of_a_run_is_called_by_its_folder(cache, tmp_path):
    texts = {"a": "sum(params)", "b": "mean(params)"}
    folders = [tmp_path / place / "run" for place in texts]
    for folder, text in zip(folders, texts.values(), strict=True):
        folder.mkdir(parents=True)
        (folder / "best.json").write_text(dumps(autoprox.load(text)))
    sources = [folders[0], str(folders[1]), "mean(params)", "snip"]
    board = autoprox.rank(sources, TINY, cache=cache, timed=False)
    assert {row.name for row in board} == {"run", "run (2)", "mean(params)", "snip"}
    assert (board["run"].formula, board["run (2)"].formula) == (*texts.values(),)
    networks = [load_bench(TINY).network(each) for each in load_bench(TINY).architectures[:2]]
    assert autoprox.score(networks, folders[0], torch.ones(4, 3, 8, 8)).proxies == ("run",)


def test_a_partial_function_is_ranked_and_named(tmp_path):
    proxy = FunctionProxy("mine", functools.partial(lambda by, _: by, 2.0))
    board = autoprox.rank([proxy], TINY, cache=tmp_path)
    assert set(board.scores["mine"]) == {2.0}
    assert board["mine"].formula.startswith("function tests.leaderboard.test_rank.")
    assert "lambda" in proxy.to_json()["function"]


def test_an_interrupted_ranking_goes_on_where_it_was(tmp_path, monkeypatch, board):
    with monkeypatch.context() as patch:
        calls = built(patch, refused=("cnn/8x1",))
        with pytest.raises(KeyboardInterrupt):
            autoprox.rank(FEW, TINY, cache=tmp_path, timed=False)
        assert 5 < len(calls) < 24
    progress = []
    again = autoprox.rank(
        FEW, TINY, cache=tmp_path, timed=False, progress=lambda *each: progress.append(each)
    )
    left = 24 - (len(calls) - 1)
    assert progress == [("scoring architectures", done, left) for done in range(left + 1)]
    assert [dataclasses.replace(row, seconds=None) for row in board] == list(again)


def test_any_number_of_processes_gives_the_same(tmp_path, board):
    again = autoprox.rank(FEW, TINY, cache=tmp_path, jobs=2, timed=False)
    assert [dataclasses.replace(row, seconds=None) for row in board] == list(again)


def test_a_damaged_file_is_computed_again(tmp_path):
    first = autoprox.rank(["params"], TINY, cache=tmp_path, timed=False)
    files = sorted((tmp_path / "scores").glob("??/*.json"))
    assert len(files) == 24
    files[3].write_text("{")
    files[4].write_bytes(b"\xff\xfe")
    files[5].write_text(files[6].read_text(encoding="utf-8"), encoding="utf-8")
    again = autoprox.rank(["params"], TINY, cache=tmp_path, timed=False)
    np.testing.assert_array_equal(first.scores["params"], again.scores["params"])


# Failures


def odd_bench(odd):
    """The tiny bench, in which some architectures have networks of another sort."""
    bench = load_bench(TINY)

    def build(architecture: Architecture) -> nn.Module:
        if architecture.name in odd:
            raise ValueError("no such network")
        return bench.build(architecture)

    return dataclasses.replace(bench, build=build, name="odd")


def test_one_failure_in_twenty_four_is_a_reason_and_costs_only_itself(tmp_path):
    board = autoprox.rank(["params", "snip"], odd_bench({"mlp/8x1"}), cache=tmp_path)
    row = board["params"]
    assert row.place is not None
    assert row.failures == 1
    assert row.reason == "the network cannot be built: ValueError: no such network"
    assert np.isnan(board.scores["params"]).sum() == 1
    assert [each.architectures for each in row.columns] == [12, 12, 12, 12]


def dead_bench(name):
    """The tiny bench, in which one network hears nothing: no weight of it has a gradient."""
    bench = load_bench(TINY)

    def build(architecture):
        network = bench.build(architecture)
        if architecture.name == name:
            for parameter in network.parameters():
                nn.init.zeros_(parameter)
        return network

    return dataclasses.replace(bench, build=build, name="dead")


@pytest.mark.parametrize("name", ["snip", "negative(sum(only_early(norm(grad))))"])
@pytest.mark.parametrize("sample", ["full", 16])
def test_a_score_that_says_nothing_is_a_failure_as_it_is_in_a_call(tmp_path, name, sample):
    bench = dead_bench("mlp/8x1")
    board = autoprox.rank([name], bench, cache=tmp_path, sample=sample)
    (row,), place = board.rows, board.architectures.index("mlp/8x1")
    network, shown = bench.network(bench.architectures[place]), Probe().inputs(bench)
    with pytest.raises(ScoreError) as refused:
        autoprox.load(name)(network, *shown, sample=sample)
    assert (row.place, row.failures) == (1, 1)
    assert row.reason.startswith("it says nothing: ")
    assert str(refused.value).endswith(f"no score on this network: {row.reason}")
    assert np.flatnonzero(np.isnan(board.scores[row.name])).tolist() == [place]


def test_a_fitted_proxy_has_a_score_where_what_it_reads_says_nothing(tmp_path):
    fitted = autoprox.fit(TINY, "ridge", labels=8, inputs="snip", cache=tmp_path).proxy
    bench = dead_bench("mlp/8x1")
    board = autoprox.rank([fitted], bench, cache=tmp_path)
    place = board.architectures.index("mlp/8x1")
    network, shown = bench.network(bench.architectures[place]), Probe().inputs(bench)
    assert board.rows[0].failures == 0
    assert board.scores[fitted.name][place] == pytest.approx(fitted(network, *shown))


def test_more_failures_than_one_in_twenty_mean_no_rank(tmp_path, monkeypatch):
    board = autoprox.rank(["jacob_cov", "params"], TINY, cache=tmp_path)
    row = board["jacob_cov"]
    assert (row.place, row.joint, row.columns, row.failures) == (None, None, (), 2)
    calls = built(monkeypatch)
    again = autoprox.rank(["jacob_cov", "params"], TINY, cache=tmp_path)
    assert calls == []
    assert again.rows == board.rows


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("where", ["build", "network", "function", "measure"])
def test_a_failure_of_the_environment_is_told_and_tried_again(tmp_path, monkeypatch, where, jobs):
    if where == "measure" and jobs == 2:
        pytest.skip("a patch does not reach other processes")
    path, tiny = tmp_path / "weights", load_bench(TINY)

    def needed():
        if not path.exists():
            raise FileNotFoundError(f"no {path.name}")

    class Reading(nn.Module):
        """A network that reads a file as it runs."""

        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            needed()
            return self.network(x)

    def build(architecture):
        if where == "build":
            needed()
        network = tiny.build(architecture)
        return Reading(network) if where == "network" else network

    def function(_):
        needed()
        return 1.0

    def measure(*args, **kwargs):
        needed()
        return autoprox.statistics.measuring.measure(*args, **kwargs)

    if where == "measure":
        monkeypatch.setattr("autoprox.measuring.probe.measure", measure)
    bench = dataclasses.replace(tiny, build=build, name="reading")
    proxy = FunctionProxy("mine", function, version=1) if where == "function" else "snip"
    options = {"cache": tmp_path / "cache", "jobs": jobs, "spaces": ["mlp"]}
    before = autoprox.rank([proxy], bench, **options).rows[0]
    assert (before.place, before.failures) == (None, 12)
    assert "FileNotFoundError: no weights" in before.reason
    path.write_text("")
    after = autoprox.rank([proxy], bench, **options).rows[0]
    assert (after.place, after.failures) == (1, 0)
    assert after.seconds is not None


def test_a_primitive_of_ones_own_that_raises_is_a_reason(tmp_path):
    @primitive("elementwise", latex="{0}")
    def picky(x):
        """Itself, if there are few rows."""
        if x.shape[0] == 1 and x.ndim == 2 and x.dtype == torch.float32 and x.numel() > 4:
            raise ValueError("too much of it")
        return x * 1.0

    try:
        board = autoprox.rank(["sum(sum(picky(weight)))", "params"], TINY, cache=tmp_path)
    finally:
        PRIMITIVES.unregister("picky")
    row = board["sum(sum(picky(weight)))"]
    assert (row.place, row.reason) == (None, "it failed: ValueError: too much of it")
    assert board["params"].failures == 0


def test_a_config_that_is_no_json_is_refused(tmp_path):
    tiny = load_bench(TINY)
    rows = tuple(
        dataclasses.replace(each, config={**each.config, "width": np.int64(each.config["width"])})
        for each in tiny.architectures
    )
    with pytest.raises(CacheError, match="made of JSON values"):
        autoprox.rank(["params"], dataclasses.replace(tiny, architectures=rows), cache=tmp_path)


def test_a_statistic_that_cannot_be_shown_costs_only_the_proxies_that_use_it(tmp_path):
    board = autoprox.rank(["zen_score", "jacob_cov", "params", "dss"], TINY, cache=tmp_path)
    assert [row.name for row in board] == ["params", "dss", "jacob_cov", "zen_score"]
    assert board["params"].failures == 0
    assert board["jacob_cov"].failures == 2
    assert "the gradient by input" in board["jacob_cov"].reason
    assert board["zen_score"].reason == (
        "it undoes the scales of batch norms, and Sequential has none"
    )
    assert board["dss"].reason.startswith("no layer has")


def test_an_ensemble_fails_where_a_part_does(tmp_path):
    sum_of = Ensemble("sum_of", ("params", "jacob_cov"), lambda parts: parts.sum(0))
    row = autoprox.rank([sum_of], TINY, cache=tmp_path)["sum_of"]
    assert (row.place, row.failures) == (None, 2)
    assert "the gradient by input" in row.reason


@pytest.mark.parametrize(
    ("proxies", "options", "error", "reason"),
    [
        (["snipp"], {}, UnknownNameError, "unknown proxy 'snipp'; did you mean 'snip'"),
        (["sum(weight, 2)"], {}, LanguageError, "sum"),
        (["weight"], {}, AutoproxError, "weight"),
        ([], {}, BenchError, "nothing to rank: 0 proxies"),
        (["snip"], {"bench": "vit11"}, UnknownNameError, "did you mean 'vit101'"),
        (["snip"], {"spaces": ["cnm"]}, UnknownNameError, "unknown space 'cnm'"),
        (["snip"], {"targets": ["fin"]}, UnknownNameError, "unknown target 'fin'"),
        (["snip"], {"architectures": 400}, BenchError, "400"),
        (["snip"], {"batch": 0}, StatisticError, "batch is at least 1"),
        (["snip"], {"probe_seed": -1}, StatisticError, "probe_seed is from 0 to"),
        (["snip"], {"probe_seed": 2**32}, StatisticError, "from 0 to 4294967295; got 4294967296"),
        (["snip"], {"sample": 0}, StatisticError, "1 or more, or 'full'"),
        (["snip"], {"sample": "all"}, StatisticError, "or 'full'; got 'all'"),
        (["snip"], {"batch": "8"}, StatisticError, "batch is a whole number; got '8'"),
    ],
)
def test_what_cannot_be_ranked_is_refused(tmp_path, proxies, options, error, reason):
    bench = options.pop("bench", TINY)
    with pytest.raises(error, match=reason.replace("(", r"\(")):
        autoprox.rank(proxies, bench, cache=tmp_path, **options)
    assert not list(tmp_path.rglob("*.json"))


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot write to the cache folder"):
        autoprox.rank(["params"], TINY, cache=tmp_path / "file")


# What the leaderboard is turned into


def test_json_holds_every_figure(board):
    data = json.loads(json.dumps(board.to_json(), allow_nan=False))
    assert data["bench"] == "tiny"
    assert data["columns"] == list(board.columns)
    assert [row["name"] for row in data["rows"]] == [row.name for row in board]
    for written, row in zip(data["rows"], board, strict=True):
        assert written["joint"] == row.joint
        spearman = {column["column"]: column["spearman"] for column in written["columns"]}
        assert spearman == {column.column: column.spearman for column in row.columns}


def test_csv_has_a_line_a_proxy_and_a_column_a_figure(board):
    lines = list(csv.DictReader(io.StringIO(board.to_csv())))
    assert [line["proxy"] for line in lines] == [row.name for row in board]
    for line, row in zip(lines, board, strict=True):
        assert float(line["joint_somers"]) == row.joint
        assert float(line["joint_kendall"]) == row.joint_kendall
        assert float(line["top5_regret"]) == row.top5_regret
        (fine,) = (column for column in row.columns if column.column == "cnn/fine")
        assert float(line["cnn/fine somers_low"]) == fine.interval[0]
        assert float(line["cnn/fine somers"]) == fine.somers
        assert float(line["cnn/fine kendall"]) == fine.kendall
        assert float(line["cnn/fine top1_regret"]) == fine.top1_regret
        assert float(line["cnn/fine spearman"]) == row.columns[3].spearman
        assert line["reason"] == ""


def test_a_data_frame_has_the_same_content(board):
    frame = board.to_frame()
    assert list(frame["proxy"]) == [row.name for row in board]
    assert frame["joint_somers"].tolist() == [row.joint for row in board]
    assert frame["joint_kendall"].tolist() == [row.joint_kendall for row in board]


def test_without_pandas_there_is_a_clear_message(board, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(AutoproxError, match="needs pandas"):
        board.to_frame()


def test_a_notebook_shows_a_table(board):
    text = board._repr_html_()
    assert text.count("<tr>") == len(board) + 1
    assert "snip" in text


def test_a_row_is_found_by_name(board):
    assert board["snip"].name == "snip"
    assert math.isfinite(board["snip"].joint)
    with pytest.raises(UnknownNameError, match="did you mean 'snip'"):
        board["snpi"]
