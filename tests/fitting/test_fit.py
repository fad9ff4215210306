"""From labels of a bench to a proxy that is saved, loaded, called, ranked and searched with."""

import hashlib
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from scipy.stats import norm, rankdata

import autoprox
from autoprox.assessment.wording import difference_in_words
from autoprox.benches import split
from autoprox.cli import main
from autoprox.cli.rank import rank
from autoprox.errors import AutoproxError, BenchError, RunError, ScoreError, UnknownNameError
from autoprox.evaluation import evaluate
from autoprox.evaluation.evaluate import Scores
from autoprox.evolution.settings import Settings
from autoprox.fitting.fit import Fitter, Shown, fit
from autoprox.fitting.inputs import inputs_of
from autoprox.fitting.labelling import chosen, labels_of
from autoprox.leaderboard.searched import Searched
from autoprox.measuring.probe import Probe
from autoprox.predictors.features import Scales, normal_scores
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.schema import dumped
from autoprox.runtime.tensors import with_checksum
from autoprox.statistics import noise
from tests.copied_bench import copied, interval_of_networks
from tests.made_measurements import measurement, table

TINY = str(Path(__file__).parent.parent / "tiny_bench.py")
QUICK = {"width": 16, "depth": 1, "epochs": 5}
PARZC = ["norm(grad)", "layers:snip"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fits")


def tiny(folder, model="gp", **options):
    return fit(TINY, model, labels=12, cache=folder / "cache", **options)


def test_a_fitted_proxy_is_saved_loaded_and_the_same(folder):
    found = tiny(folder, "parzc", settings=QUICK, inputs=PARZC, out=folder / "own.safetensors")
    proxy = autoprox.load(folder / "own.safetensors")
    assert isinstance(proxy, FittedProxy)
    assert proxy == found.proxy
    assert b"pickle" not in (folder / "own.safetensors").read_bytes()
    bench = autoprox.load_bench(TINY)
    row = bench.architectures[3]
    shown = noise(bench.input_shape, bench.classes, batch=8, seed=0)
    score = proxy(bench.network(row, 0), *shown, seed=0)
    board = autoprox.rank(
        [folder / "own.safetensors", "params"], TINY, cache=folder / "cache", timed=False
    )
    place = board.architectures.index(row.name)
    assert board.scores[proxy.name][place] == pytest.approx(score, rel=1e-6)
    assert board[proxy.name].searched_on == 12
    assert "fitted to 12 accuracies of tiny" in board[proxy.name].formula


@pytest.mark.parametrize("kind", ["{}", "layers:{}", "magnitudes:{}"])
def test_an_input_may_not_have_been_found_on_what_is_held_out(kind, folder):
    found_by = {"settings": Settings(TINY, split_seed=1).to_json()}
    path = folder / "other.json"
    proxy = Proxy(autoprox.load("snip").graph, "other", provenance=found_by)
    path.write_text(json.dumps(proxy.to_json()))
    with pytest.raises(RunError, match=r"search that found .*other.json searched on \d+ of the"):
        tiny(folder, inputs=[kind.format(path)])
    assert tiny(folder, inputs=[kind.format(path)], split_seed=1).fits  # the same split


def found_by(folder, name, text, **settings):
    """Write the file of a proxy that a search found."""
    told = {"settings": Settings(TINY, **settings).to_json()}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(Proxy(autoprox.load(text).graph, name, "", told).to_json()))
    return str(path)


@pytest.mark.parametrize("kind", ["{}", "layers:{}"])
def test_a_fit_was_searched_on_what_the_searches_of_its_inputs_saw(kind, folder, tmp_path):
    first = found_by(tmp_path, "first", "snip", spaces=("mlp",))
    second = found_by(tmp_path, "second", "plain", spaces=("cnn",), held_out_share=0.6)
    bench = autoprox.load_bench(TINY)
    alone = [Searched(bench, TINY, bench.architectures)(autoprox.load(p)) for p in (first, second)]
    path = tmp_path / "own.safetensors"
    inputs = [
        kind.format(first),
        kind.format(second),
        kind.format("params" if kind == "{}" else "snip"),
    ]
    tiny(folder, "ridge", inputs=inputs, out=path)
    proxy = autoprox.load(path)
    assert [each["spaces"] for each in proxy.provenance["searches"]] == [["mlp"], ["cnn"]]
    seen = {*proxy.provenance["labels"]["architectures"]}
    for space, share in (("mlp", 0.4), ("cnn", 0.6)):
        part = bench.restricted([space])
        search = autoprox.benches.split(part, 0, share).search
        seen |= {part.architectures[i].name for i in search}
    board = autoprox.rank([path], TINY, cache=folder / "cache", timed=False)
    assert board[proxy.name].searched_on == len(seen) > max(12, *alone)


def test_a_fit_of_what_no_search_found_says_nothing_of_searches(folder):
    proxy = tiny(folder, "ridge", inputs=["params", "norm(grad)", "layers:snip"]).proxy
    assert "searches" not in proxy.provenance


def test_damaged_settings_of_searches_are_told(folder):
    proxy = tiny(folder, "ridge", inputs=["params"]).proxy
    for searches in ("some", ["some"], [{"bench": TINY, "split_seed": "x"}]):
        damaged = replace(proxy, provenance={**proxy.provenance, "searches": searches})
        row = autoprox.rank([damaged], TINY, cache=folder / "cache", timed=False)[proxy.name]
        assert row.searched_on is None
        assert row.reason.startswith("what its search saw is not known: ")


def test_what_is_held_out_has_no_say(folder):
    first = tiny(folder)
    bench = autoprox.load_bench(TINY)
    used = {*first.proxy.provenance["labels"]["architectures"]}
    rows = tuple(
        row
        if row.name in used
        else replace(row, accuracies={name: 99.0 - i for name in row.accuracies})
        for i, row in enumerate(bench.architectures)
    )
    again = fit(replace(bench, architectures=rows), "gp", labels=12, cache=folder / "cache")
    assert again.proxy == first.proxy
    assert again.fits[0].own.joint != first.fits[0].own.joint


@pytest.mark.parametrize("layers", ["within", "magnitudes"])
def test_the_networks_that_are_held_out_set_no_scale(layers):
    bench = autoprox.load_bench(TINY)
    seen = {*autoprox.benches.split(bench, 0).search}
    total, each = autoprox.parse("sum(params)"), autoprox.parse("params")

    def fitted(held_out):
        networks = [
            measurement(params=[1.0 + place] * 2 if place in seen else held_out)
            for place in range(len(bench.architectures))
        ]
        evaluator = evaluate.Evaluator(table(*networks))
        shown = Shown(bench, ("coarse",), evaluator, {"params": total}, Probe())
        return Fitter(shown, "ridge", (total, each), {}, 10, layers=layers).fitted(0, 0)[0]

    small, large = fitted([0.1] * 2), fitted([1e6] * 3)
    assert small.widths == large.widths == (0, 2)
    np.testing.assert_array_equal(small.arrays["knots"], large.arrays["knots"])
    assert small == large


def test_labels_and_figures_are_of_different_architectures(folder):
    found = tiny(folder, repeats=2)
    taken = {name: None for name in found.proxy.provenance["labels"]["architectures"]}
    bench = autoprox.load_bench(TINY)
    parts = autoprox.benches.split(bench, 0)
    assert {*taken} <= {bench.architectures[i].name for i in parts.search}
    assert [fit.seed for fit in found.fits] == [0, 1]
    assert found.median == np.median([fit.own.joint for fit in found.fits])
    own = found.fits[0].own
    assert own.joint_interval[0] <= own.joint <= own.joint_interval[1]
    assert {row.name for row in found.fits[0].held_out} >= {"params", "snip"}


def test_the_figures_of_known_proxies_are_sorted_nothing_above_what_is_upside_down(folder):
    found = fit(TINY, "ridge", labels=6, spaces="mlp", targets="coarse", cache=folder / "cache")
    figures = {row.name: row.joint for row in found.fits[0].held_out[1:]}
    assert figures["depth"] == 0.0  # the same for all
    assert min(figures.values()) < 0
    assert list(figures.values()) == sorted(figures.values(), reverse=True)


def test_the_command_prints_what_the_function_finds(folder, capsys):
    found = tiny(folder, "ridge")
    arguments = ["fit", "--bench", TINY, "--model", "ridge", "--labels", "12", "--quiet"]
    arguments += ["--cache", str(folder / "cache"), "--jobs", "1"]
    with pytest.raises(SystemExit):
        main.main(arguments)
    printed = capsys.readouterr().out
    assert f"{found.fits[0].own.joint:.3f}" in printed
    assert "params" in printed
    assert difference_in_words(found.fits[0].held_out, "joint D") in printed
    assert "--out FILE.safetensors keeps it" in printed
    path = folder / "told.safetensors"
    part = ["--split-seed", "3", "--target", "coarse", "--space", "cnn", "--labels", "6"]
    with pytest.raises(SystemExit):
        main.main([*arguments, "--out", str(path), *part])
    told = capsys.readouterr().out
    assert f"Saved: {path}. Next:" in told
    command = next(line for line in told.splitlines() if line.startswith("  autoprox rank"))
    asked = rank.make_context("rank", shlex.split(command)[2:]).params
    assert asked["proxies"] == (str(path), "params", "zico")
    assert (asked["bench"], asked["held_out"], asked["split_seed"]) == (TINY, True, 3)
    assert (asked["spaces"], asked["targets"]) == (("cnn",), ("coarse",))
    assert asked["cache"] == str(folder / "cache")
    assert f"  autoprox show {path}" in told
    with pytest.raises(SystemExit):
        main.main([*arguments, "--labels", "2"])
    assert "the model 'ridge' needs at least 5 labels; got 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": 4}, "'gp' needs at least 5 labels; got 4"),
        ({"labels": 12.0}, "labels is a whole number from 1; got 12.0"),
        ({"labels": "12"}, "labels is a whole number from 1; got '12'"),
        ({"repeats": 2.5}, "repeats is a whole number from 1; got 2.5"),
        ({"seed": 0.5}, "seed is a whole number from 0; got 0.5"),
        ({"split_seed": -1}, "split_seed is a whole number from 0; got -1"),
        ({"labels": 15}, "split has 14 architectures with figures; got labels=15: draw more"),
        ({"targets": "coarser"}, "unknown target 'coarser'; did you mean 'coarse'"),
        ({"out": "gp.pt"}, r"a fitted proxy is a file NAME\.safetensors; got 'gp.pt'"),
        ({"device": "nope"}, r"^expected a device like 'cpu', 'cuda' or 'cuda:1'; got 'nope'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(options, reason, tmp_path):
    with pytest.raises(AutoproxError, match=reason):
        fit(TINY, **{"labels": 12, "cache": tmp_path / "cache", **options})
    assert not (tmp_path / "cache").exists()


def test_targets_that_no_architecture_has_together_are_to_be_named_one_by_one(tmp_path):
    bench = autoprox.load_bench(TINY)
    rows = tuple(
        replace(row, accuracies={**row.accuracies, ("coarse", "fine")[i % 2]: None})
        for i, row in enumerate(bench.architectures)
    )
    part, cache = replace(bench, architectures=rows), tmp_path / "cache"
    expected = "no architecture of 'tiny' has figures for all of the targets .*one with --target"
    with pytest.raises(BenchError, match=expected):
        fit(part, labels=5, targets=("coarse", "fine"), cache=cache)
    assert not cache.exists()


def test_images_of_a_path_are_those_of_its_text(folder, tmp_path):
    images = tmp_path / "images.npz"
    x = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 3), dtype=np.uint8)
    np.savez(images, x=x, y=np.arange(8) % 5)
    path, text = (tiny(folder, "ridge", images=each).proxy for each in (images, str(images)))
    assert path.digest == text.digest


def test_labels_of_one_value_are_refused(folder):
    bench = autoprox.load_bench(TINY)
    seen = set(autoprox.benches.split(bench, 0).search)
    rows = tuple(
        replace(row, accuracies={**row.accuracies, "coarse": 7.0}) if i in seen else row
        for i, row in enumerate(bench.architectures)
    )
    with pytest.raises(AutoproxError, match="all 12 labels are the same: there is nothing to"):
        fit(
            replace(bench, architectures=rows),
            labels=12,
            targets="coarse",
            cache=folder / "cache",
        )


def test_labels_are_bought_as_asked(folder):
    scores = np.arange(20.0)[::-1]
    places = list(range(100, 120))

    def doubt(known, other):
        return np.array([float(place) for place in other])

    spread = chosen("spread", 4, places, scores, doubt, 0)
    assert spread == [102, 107, 112, 117]
    by_doubt = chosen("uncertainty", 8, places, scores, doubt, 0)
    assert len({*by_doubt}) == 8
    assert {119, 118, 117} <= {*by_doubt} | {*chosen("random", 2, places, scores, doubt, 0)}
    with pytest.raises(BenchError, match="has 20 architectures with figures; got labels=21"):
        chosen("random", 21, places, scores, doubt, 0)
    with pytest.raises(AutoproxError, match="'ridge' does not say how sure it is"):
        tiny(folder, "ridge", labelling="uncertainty")
    assert tiny(folder, "gp", labelling="uncertainty").fits[0].labels == 12


def test_a_network_without_a_score_is_the_last_of_what_the_known_proxies_say():
    scores = {"below 0": [-5.0, np.nan, -3.0, -4.0], "above": [2.0, np.inf, 4.0, 3.0]}

    def evaluated(name):
        return Scores(np.array(scores[name]), {1: "not finite"})

    shown = Shown(None, ("coarse",), evaluated, {name: name for name in scores}, None)
    assert shown.consensus.argsort().tolist() == [1, 0, 3, 2]
    assert shown.consensus == pytest.approx(norm.ppf(np.array([3, 1, 7, 5]) / 8))


@pytest.mark.parametrize(("model", "same"), [("parzc_ranks", True), ("parzc_magnitudes", False)])
def test_a_model_of_ranks_learns_the_order_of_the_labels_alone(folder, model, same):
    bench = autoprox.load_bench(TINY)
    rows = tuple(
        replace(row, accuracies={name: 1.1**value for name, value in row.accuracies.items()})
        for row in bench.architectures
    )
    first = tiny(folder, model, settings=QUICK).proxy
    other = fit(
        replace(bench, architectures=rows), model, labels=12, settings=QUICK, cache=folder / "cache"
    ).proxy
    assert (first == other) is same


def test_labels_are_scaled_within_each_space():
    bench = autoprox.load_bench(TINY)
    places = list(range(0, 24, 2))
    labels = labels_of(bench, places, ("coarse", "fine"), "standardised")
    assert labels[:6].mean() == pytest.approx(0)
    assert labels[6:].mean() == pytest.approx(0)
    coarse = labels_of(bench, places, ("coarse",), "ranks")
    figures = bench.accuracies("coarse", [bench.architectures[i] for i in places[:6]])
    assert coarse[:6] == pytest.approx(norm.ppf((rankdata(figures) - 0.5) / 6))


def test_normal_scores_are_those_of_the_middles_of_the_ranks():
    found = normal_scores(np.array([3.0, 1.0, 2.0]))
    assert found == pytest.approx(norm.ppf([5 / 6, 1 / 6, 1 / 2]))


class Values:
    def __init__(self, numbers, present=None):
        import torch

        self.numbers = torch.tensor(numbers, dtype=torch.float64)
        self.present = None if present is None else torch.tensor(present)


class Evaluator:
    def __init__(self, values):
        self.value = lambda graph: values


def test_numbers_of_layers_are_scaled_within_their_network_and_padded():
    graph = autoprox.parse("norm(grad)")
    numbers = [[2.0, 4.0, 3.0], [5.0, float("nan"), 9.0]]
    present = [[True, True, True], [True, True, False]]
    scales = Scales((4,), np.zeros((1, 101)))
    rows, failures = scales([graph], Evaluator(Values(numbers, present)))
    assert rows.tolist() == [[0.0, 1.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert failures == {}
    _, failures = Scales((2,), np.zeros((1, 101)))([graph], Evaluator(Values(numbers, present)))
    assert failures == {0: "it has 3 layers; it was fitted on at most 2"}


def test_magnitudes_are_logarithms_on_one_scale_for_all_networks():
    graph = autoprox.parse("norm(grad)")
    numbers = [[1.0, np.e, np.e**4], [np.e**-9, float("nan"), 0.0]]
    present = [[True, True, True], [True, True, True]]
    knots = np.linspace(-0.04, 3.96, 101)[None]  # 0 at log 1, 1 at the median of 1.96
    scales = Scales((4,), knots, "magnitudes")
    rows, failures = scales([graph], Evaluator(Values(numbers, present)))
    assert rows[0] == pytest.approx([0.0, 1 / 1.96, 4 / 1.96, 0.0])
    assert rows[1].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert failures == {}


def test_magnitudes_whose_logarithms_are_all_0_stay_magnitudes():
    # 101 knots of log 1: what is larger on another network is no share of that network's range.
    graph = autoprox.parse("norm(grad)")
    values = Values([[np.e**2, np.e**4, 1.0]], [[True, True, True]])
    rows, _ = Scales((3,), np.zeros((1, 101)), "magnitudes")([graph], Evaluator(values))
    assert rows[0] == pytest.approx([2.0, 4.0, 0.0])


def test_magnitudes_are_fitted_on_and_saved(folder):
    found = tiny(folder, "gp", inputs=["magnitudes"], out=folder / "magnitudes.safetensors")
    within = tiny(folder, "gp", inputs=["layers"])
    assert found.proxy.inputs == within.proxy.inputs
    assert (found.proxy.layers, within.proxy.layers) == ("magnitudes", "within")
    assert found.fits[0].own.joint != within.fits[0].own.joint
    assert autoprox.load(folder / "magnitudes.safetensors") == found.proxy
    for each in (found.proxy, within.proxy):  # version 3 did not say it; its knots tell
        facts = {k: v for k, v in each.to_json().items() if k != "layers"} | {"version": 3}
        content = save(dict(each.arrays), {"autoprox": json.dumps(facts)})
        (folder / "third.safetensors").write_bytes(with_checksum(content))
        third = autoprox.load(folder / "third.safetensors")
        assert replace(third, version=each.version) == each
    with pytest.raises(AutoproxError, match="read as layers or as magnitudes; got both"):
        tiny(folder, "gp", inputs=["layers:snip", "magnitudes"])


LOWEST = norm.ppf(0.5 / 101)
"""The normal score of the middle of the lowest of 101 strips."""


def test_single_numbers_become_normal_scores_of_their_place():
    knots = np.linspace(0, 100, 101)[None]
    graph = autoprox.parse("sum(params)")
    rows, failures = Scales((0,), knots)([graph], Evaluator(Values([50.0, -7.0, 0.0, 1e9, np.nan])))
    assert rows[0, 0] == pytest.approx(0)
    assert rows[1, 0] == rows[2, 0] == pytest.approx(-rows[3, 0]) == pytest.approx(LOWEST)
    assert list(failures) == [4]


def test_inputs_are_read_as_they_are_written():
    bench = autoprox.load_bench(TINY)
    words = ("weight", "grad", "params")
    assert [g.text for g in inputs_of(["layers:snip"], bench, words)] == [
        "sum(absolute(multiply(grad, weight)))"
    ]
    assert len(inputs_of(["layers", "norm(grad)"], bench, words)) == 3
    with pytest.raises(UnknownNameError, match="snop"):
        inputs_of(["snop"], bench, words)
    with pytest.raises(AutoproxError, match="a number a layer or a network"):
        inputs_of(["absolute(grad)"], bench, words)


def test_files_that_are_none_are_refused(folder, tmp_path):
    proxy = tiny(folder).proxy
    with pytest.raises(AutoproxError, match="No such file or directory"):
        autoprox.load(tmp_path / "none.safetensors")
    with pytest.raises(AutoproxError, match=r"a fitted proxy is a file NAME\.safetensors"):
        proxy.save(tmp_path / "own.pt")
    whole = proxy.to_bytes()
    damaged = {
        "truncated": whole[:100],
        "its checksum does not fit": whole[:-1] + bytes([whole[-1] ^ 1]),
        "is no fitted proxy": save({"a": np.zeros(1)}),
        "of version 9; this autoprox reads up to 4": with_checksum(
            whole.replace(b'\\"version\\": 4', b'\\"version\\": 9', 1)
        ),
        "do not fit its inputs": with_checksum(
            whole.replace(b'\\"model\\": \\"gp', b'\\"model\\": \\"xx', 1)
        ),
    }
    for place, (reason, content) in enumerate(damaged.items()):
        path = tmp_path / f"{place}.safetensors"
        path.write_bytes(content)
        with pytest.raises(AutoproxError, match=reason):
            autoprox.load(path)


@pytest.mark.parametrize(("kind", "scale"), [("layers", "within"), ("magnitudes", "magnitudes")])
def test_a_file_of_version_3_keeps_its_digest(kind, scale, folder, tmp_path):
    proxy = tiny(folder, "ridge", inputs=f"{kind}:snip").proxy
    facts = {**proxy.to_json(), "version": 3}
    del facts["layers"]
    arrays = {name: np.ascontiguousarray(each) for name, each in proxy.arrays.items()}
    content = with_checksum(save(arrays, {"autoprox": dumped(facts)}))
    (tmp_path / "old.safetensors").write_bytes(content)
    old = autoprox.load(tmp_path / "old.safetensors")
    assert old.layers == proxy.layers == scale
    assert old.to_bytes() == content
    assert old.digest == hashlib.sha256(content).hexdigest()[:16] != proxy.digest
    assert old.to_bytes() == content


def test_a_proxy_that_was_not_saved_cannot_be_searched_with(folder):
    with pytest.raises(ScoreError, match="save gp_tiny_12 first"):
        autoprox.search_architectures("nb201", tiny(folder).proxy, out=folder / "search")


def test_intervals_draw_a_network_with_all_of_its_copies(tmp_path):
    bench = copied()
    found = fit(bench, "ridge", labels=12, inputs=["params"], cache=tmp_path)
    params = next(row for row in found.fits[0].held_out if row.name == "params")
    held_out = [bench.architectures[place] for place in split(bench, 0).held_out]
    for figures in params.columns:
        space, target = figures.column.split("/")
        rows = [row for row in held_out if row.space == space]
        sizes = [sum(p.numel() for p in bench.network(row).parameters()) for row in rows]
        assert figures.interval == pytest.approx(interval_of_networks(rows, target, sizes))
