"""Cost models against measurements that were published, and searches under their limits."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import autoprox
from autoprox.cli import main
from autoprox.errors import AutoproxError, BenchError, RunError, SpaceError, UnknownNameError
from autoprox.hardware.cost import CostModel, cost_model, errors, fit_cost
from autoprox.hardware.devices import devices, measured, measurements_of
from autoprox.hardware.features import features_of, nb201_features
from autoprox.hardware.fitting import fit_file
from autoprox.hardware.pricing import price_of
from autoprox.hardware.timing import Latency, time_network
from autoprox.search.architectures import draws
from autoprox.search.architectures.limits import count_flops

TOY = Path(__file__).parent.parent / "search/architectures/toy_space.py"
TINY = str(Path(__file__).parent.parent / "tiny_bench.py")
BITS = str(Path(__file__).parent.parent / "quantised_tiny_bench.py")


@pytest.mark.parametrize(
    ("device", "spearman", "error"),
    [
        ("pi5_litert_ms", 0.985, 0.025),
        ("pi5_litert_mj", 0.975, 0.04),
        ("raspi4_ms", 0.97, 0.06),
        ("pixel3_ms", 0.965, 0.06),
        ("1080ti_ms", 0.97, 0.02),
    ],
)
def test_25_measurements_tell_the_other_cells(device, spearman, error):
    costs = measured("nb201", device)
    names = [name for name in measured("nb201", "pi5_litert_ms") if name in costs]  # one a class
    found = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(names)).tolist()
        known = [names[i] for i in order[:25]]
        other = [names[i] for i in order[25:1025]]
        model = fit_cost([nb201_features(n) for n in known], [costs[n] for n in known])
        predicted = np.array([model(nb201_features(name)) for name in other])
        found.append(errors(predicted, np.array([costs[name] for name in other])))
    assert np.median([each for _, each in found]) > spearman
    assert np.median([each for each, _ in found]) < error


def test_fbnet_is_told_by_the_operations_of_its_blocks():
    from autoprox.hardware.features import fbnet_features

    costs = measured("fbnet", "raspi4_ms")
    names = list(costs)[:600]
    model = fit_cost([fbnet_features(n) for n in names], [costs[n] for n in names])
    assert model.spearman > 0.9
    assert model.error < 0.1


def test_names_of_fbnet_may_begin_with_the_space(tmp_path):
    costs = measured("fbnet", "raspi4_ms")
    models = []
    for space in ("", "fbnet/"):
        lines = [f"{space}{name},{costs[name]}" for name in list(costs)[:60]]
        path = tmp_path / "own.csv"
        path.write_text("\n".join(["architecture,ms", *lines, ""]))
        models.append(fit_file(path, "fbnet"))
    assert models[0] == models[1]


def test_published_figures_are_as_printed():
    # HW-NAS-Bench's README prints the figures of the cell of index 0.
    first = autoprox.load_bench("nb201").architectures[0].name
    assert measured("nb201", "raspi4_ms")[first] == pytest.approx(10.482)
    assert measured("nb201", "edgegpu_mj")[first] == pytest.approx(24.227)
    assert all(value > 0 for value in measured("nb201", "edgetpu_ms").values())
    assert len(measured("nb201", "edgetpu_ms")) == 15625 - 4699
    with pytest.raises(UnknownNameError, match="'raspi5_ms'; did you mean 'raspi4_ms'"):
        measured("nb201", "raspi5_ms")
    with pytest.raises(UnknownNameError, match="space with measurements 'nb301'"):
        devices("nb301")


def test_prices_are_recovered_and_never_negative():
    draws = np.random.default_rng(0)
    rows = [{"one": 1.0, "a": x, "b": y} for x, y in draws.uniform(0, 1e9, (40, 2))]
    costs = [3.0 + 2e-9 * row["a"] for row in rows]
    model = fit_cost(rows, costs)
    assert model.prices == pytest.approx({"one": 3.0, "a": 2e-9, "b": 0.0}, abs=1e-6)
    assert model.error < 1e-6
    falling = fit_cost(rows, [5.0 - 2e-9 * row["a"] for row in rows])
    assert min(falling.prices.values()) >= 0
    assert "-" not in "".join(map(str, falling.prices.values())).replace("e-", "")


def test_the_error_is_that_of_models_that_did_not_see_what_they_predict():
    rows = [{f"of {place} alone": 1.0} for place in range(12)]
    model = fit_cost(rows, [1.0 + place for place in range(12)])
    assert model.error == 1.0  # each costs nothing to a model that does not know its feature


def test_costs_that_are_sums_of_the_features_have_their_exact_prices():
    draw = np.random.default_rng(0)
    rows = [{"a": float(a), "b": float(b)} for a, b in draw.integers(1, 1_000_000, (25, 2))]
    model = fit_cost(rows, [3.0 * row["a"] + 7e-3 * row["b"] for row in rows])
    assert model.prices == pytest.approx({"a": 3.0, "b": 7e-3}, rel=1e-12)


@pytest.mark.parametrize("cost", [0.0, -1.0, float("nan"), float("inf")])
def test_a_measurement_that_is_no_time_is_refused_in_a_sentence(cost):
    costs = [float(1 + place) for place in range(20)]
    costs[7] = cost
    with pytest.raises(BenchError, match=rf"above 0; measurement 7, counted from 0, is {cost:g}"):
        fit_cost([{"one": 1.0}] * 20, costs)


def test_a_few_measurements_that_are_far_off_change_no_price():
    draws = np.random.default_rng(1)
    rows = [{"one": 1.0, "a": x} for x in draws.uniform(1, 9, 40)]
    costs = [3.0 + 2.0 * row["a"] for row in rows]
    for place in (3, 11, 30):
        costs[place] *= 1.8
    model = fit_cost(rows, costs)
    assert model.prices == pytest.approx({"one": 3.0, "a": 2.0})


def test_edges_that_lead_nowhere_are_counted_apart():
    # Nothing leads on from the third node, where the second and the third edge end.
    counts = {name: count for name, count in nb201_features("nb201/030130").items() if count}
    assert counts == {
        "one": 1, "none": 2, "skip_connect": 1, "nor_conv_3x3": 1,
        "unused none": 1, "unused nor_conv_3x3": 1,
    }  # fmt: skip


def test_features_of_a_network_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 5, groups=8, padding=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip
    found = features_of(network, torch.zeros(1, 3, 4, 4))
    assert found["convolution 3x3 macs"] == 3 * 8 * 9 * 16
    assert found["convolution 3x3 bytes"] == 4 * (3 * 16 + 8 * 16 + 3 * 8 * 9)
    assert found["convolution 5x5 grouped macs"] == 8 * 25 * 16
    assert found["linear macs"] == 40
    assert (found["norm count"], found["pool count"], found["activation count"]) == (1, 1, 1)
    assert found["one"] == found["other count"] == 1
    assert not any(module._forward_hooks for module in network.modules())


class Reader(nn.Module):
    """A table of vectors, a layer that takes them under the names of `how`, and a linear one."""

    def __init__(self, layer, width, how):
        super().__init__()
        self.table, self.layer, self.head = nn.Embedding(9, 16), layer, nn.Linear(width, 4)
        self.how = how

    def forward(self, places):
        x = self.table(places)
        read = self.layer(**dict.fromkeys(self.how, x)) if self.how else self.layer(x)
        return self.head((read if isinstance(read, torch.Tensor) else read[0]).mean(1))


ATTENTION = 7 * 16 * 48 + 2 * 2 * 7 * 7 * 8 + 7 * 16 * 16  # maps into, scores and sums, a map out


@pytest.mark.parametrize(
    ("layer", "width", "how", "macs", "moved"),
    [
        (nn.MultiheadAttention(16, 2, batch_first=True), 16, ("query", "key", "value"),
         {"attention": ATTENTION}, 4 * 7 * 16 + 7 * 7 + 16 * 64),  # the scores come out, too
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 16, (),
         {"attention": ATTENTION, "linear": 7 * 2 * 16 * 32}, 4 * 7 * 16 + 16 * 64),
        (nn.LSTM(16, 32, batch_first=True), 32, (),
         {"recurrent": 7 * 48 * 128}, 7 * 48 + 64 + 48 * 128),
        (nn.GRU(16, 32, batch_first=True), 32, (),
         {"recurrent": 7 * 48 * 96}, 7 * 48 + 32 + 48 * 96),
        (nn.RNN(16, 32, batch_first=True), 32, (),
         {"recurrent": 7 * 48 * 32}, 7 * 48 + 32 + 48 * 32),
    ],
)  # fmt: skip
def test_attention_and_recurrent_layers_have_features_and_tables_multiply_nothing(
    layer, width, how, macs, moved
):
    fast = torch.backends.mha.get_fastpath_enabled()
    found = features_of(Reader(layer, width, how), torch.zeros(1, 7, dtype=torch.int64))
    counts = {name: count for name, count in found.items() if name.endswith(" macs")}
    head = {"linear": macs.get("linear", 0) + 4 * width}
    assert counts == {f"{kind} macs": count for kind, count in {**macs, **head}.items()}
    kind = next(iter(macs))
    assert found[f"{kind} count"] == 1
    assert found[f"{kind} bytes"] == 4 * moved
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_a_transposed_convolution_multiplies_each_place_of_its_input():
    found = features_of(nn.ConvTranspose2d(3, 8, 2, stride=2), torch.zeros(1, 3, 5, 5))
    assert found["convolution 2x2 macs"] == 3 * 25 * 8 * 4


def test_products_that_a_network_writes_out_count_as_other():
    class Attends(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    class Within(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.attends = nn.Linear(8, 8), Attends()

        def forward(self, x):
            x = self.attends(self.into(x))
            return x @ x.mT

    found = features_of(Within(), torch.zeros(1, 6, 8))
    assert found["other macs"] == 2 * 6 * 6 * 8 + 6 * 6 * 8
    assert found["linear macs"] == 6 * 8 * 8


def test_a_network_is_timed_and_the_process_gets_its_cores_back():
    import os

    before = os.sched_getaffinity(0)
    taken = time_network(nn.Linear(4, 4), torch.zeros(1, 4), passes=5)
    assert taken.seconds > 0
    assert taken.noise >= 0
    assert os.sched_getaffinity(0) == before


def test_the_latency_is_the_median_of_an_even_number_of_passes(monkeypatch):
    ticks = iter([0, 9, 0, 9, 0, 9, 0, 1, 0, 2, 0, 4, 0, 8])  # the warm-up, then the passes
    monkeypatch.setattr("autoprox.hardware.timing.time.perf_counter", lambda: next(ticks))
    assert time_network(nn.Linear(4, 4), torch.zeros(1, 4), passes=4).seconds == 3


def test_the_noise_that_is_told_is_the_median_of_an_even_number_of_networks(tmp_path, monkeypatch):
    times = iter(Latency(0.002, noise) for noise in (0.01, 0.02, 0.04, 0.03))
    monkeypatch.setattr("autoprox.hardware.fitting.time_network", lambda *_: next(times))
    words = ("--architectures", "4", "--out", str(tmp_path / "here.csv"))
    said = call("cost", "measure", "--bench", TINY, *words).output
    assert "their passes is 2.5% of the median for the middle one, 4.0% at most" in said


def test_exported_modules_have_features_operations_and_times():
    network, shown = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.zeros(1, 4)
    exported = torch.export.export(network, (shown,)).module()
    assert features_of(exported, shown) == {"one": 1, "other macs": 12}
    assert time_network(exported, shown, passes=5).seconds > 0
    assert count_flops(exported, shown) == count_flops(network, shown) == 2 * 4 * 3


def call(*words):
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("command", ["measure", "fit"])
def test_a_bench_of_bits_is_refused_as_its_networks_would_run_without_them(command, tmp_path):
    table = tmp_path / "here.csv"
    table.write_text("architecture,ms\n" + "".join(f"wide/{i},{1 + i}\n" for i in range(14)))
    before = table.read_text()
    words = {"measure": ("--architectures", "4", "--passes", "4", "--out", str(table)),
             "fit": ("--measurements", str(table))}  # fmt: skip
    done = call("cost", command, "--bench", BITS, *words[command])
    assert done.exit_code == 1
    assert "bench 'tinybits' differ by their bits; choose another bench" in done.stderr
    assert table.read_text() == before


def test_measured_here_then_fitted_then_searched_under(tmp_path):
    table, model = str(tmp_path / "here.csv"), str(tmp_path / "here.json")
    done = call("cost", "measure", "--bench", TINY, "--architectures", "12", "--out", table,
                "--passes", "4", "--quiet")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "12 networks" in done.output
    done = call("cost", "fit", "--measurements", table, "--bench", TINY, "--out", model)
    assert done.exit_code == 0, done.output
    assert "12 measurements on here" in done.output
    saved = cost_model(Path(model))
    assert saved.space == "any"
    assert saved.unit == "ms"
    network = autoprox.load_bench(TINY).network(autoprox.load_bench(TINY).architectures[0], 0)
    assert saved(features_of(network, torch.zeros(1, 3, 8, 8))) > 0
    (tmp_path / "old.json").write_text(
        json.dumps({**json.loads(Path(model).read_text()), "version": 9})
    )
    with pytest.raises(AutoproxError, match="version 9 of the format 'autoprox cost model'"):
        cost_model(tmp_path / "old.json")
    (tmp_path / "older.json").write_text(
        Path(model).read_text().replace('"version": 4', '"version": 3')
    )
    with pytest.raises(AutoproxError, match=r"version 3 .* expected 4 or later"):
        cost_model(tmp_path / "older.json")


@pytest.mark.parametrize("done", [0, 3])
def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch, done):
    times = iter([Latency(0.002, 0.01)] * done)

    def timed(*_):
        for latency in times:
            return latency
        raise KeyboardInterrupt

    monkeypatch.setattr("autoprox.hardware.fitting.time_network", timed)
    table = tmp_path / "here.csv"
    ended = call("cost", "measure", "--bench", TINY, "--architectures", "12", "--out", str(table))
    assert ended.exit_code == 130
    if done:
        assert f"interrupted; {table} has 3 of 12 networks" in ended.stderr
        unit, costs = measurements_of(table)
        assert (unit, [*costs.values()]) == ("ms", [2.0] * 3)
    else:
        assert "interrupted; nothing was measured" in ended.stderr
        assert not table.exists()


def test_a_name_that_no_model_may_have_is_refused_before_anything_is_read(tmp_path):
    done = call("cost", "fit", "--measurements", str(tmp_path / "none.csv"), "--bench", TINY,
                "--out", "here.txt")  # fmt: skip
    assert "a cost model is a file NAME.json; got 'here.txt'" in done.output + str(done.exception)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the columns architecture, and ms or mj; got no rows"),
        ("name,ms\na,1\n", "the columns architecture, and ms or mj; got name, ms"),
        ("architecture,ms\nnb201/000000,0\n", "line 2: nb201/000000: time and energy are above 0"),
        ("architecture,ms\nnb201/000000,-3\n", "time and energy are above 0; got -3"),
        ("architecture,ms\nnb201/000000,-1\n", "-1 says that the device has no measurement"),
        ("architecture,ms\nnb201/000000,x\n", "expected a number; got 'x'"),
        ("architecture,ms\na,1\na,2\n", "line 3: a is there twice"),
        ("architecture,ms\nnb201/000009,1\n", "nb201 has no architecture 'nb201/000009'"),
        ("architecture,ms\nnb201/000000,1\n", "a cost model needs 10 measurements or more; got 1"),
    ],
)
def test_measurements_that_are_none_are_refused(tmp_path, text, reason):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(BenchError) as told:
        fit_file(path, "nb201")
    assert reason in str(told.value)


def test_measurements_of_architectures_that_the_bench_lacks(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("architecture,mj\nmlp/4x9,1\n")
    assert measurements_of(path) == ("mj", {"mlp/4x9": 1.0})
    with pytest.raises(BenchError, match="bench 'tiny' has no architecture 'mlp/4x9'"):
        fit_file(path, TINY)


@pytest.mark.parametrize("space", ["nb201", "fbnet"])
def test_what_was_measured_is_the_price(space):
    table = measured(space, "raspi4_ms")
    price = price_of("latency:raspi4", space)
    for name in [*table][:200]:
        assert price({"cell": name.rpartition("/")[2]}, lambda: None) == table[name]
    assert price.least == min(table.values())


def test_a_search_keeps_within_the_limit_of_a_device(tmp_path):
    found = autoprox.search_architectures(
        "nb201", "params", limits="latency:raspi4:12ms", cost="latency:pixel3", algorithm="pareto",
        evaluations=32, batch=2, out=tmp_path / "search", cache=tmp_path / "cache",
    )  # fmt: skip
    price = price_of("latency:raspi4", "nb201")
    for each in found.scored:
        assert price(each.config, lambda: None) <= 12
        assert each.device == price_of("latency:pixel3", "nb201")(each.config, lambda: None)
    costs = [each.device for each in found.front()]
    assert costs == sorted(costs)
    best = found.to_json()["top"][0]  # what the search is limited by is told, asked for or not
    assert best["latency:raspi4 (ms)"] == price(best["config"], lambda: None)
    heading = found.front_csv().splitlines()[0]
    assert "latency (s),latency:pixel3 (ms),latency:raspi4 (ms)" in heading
    again = autoprox.search_architectures(resume=tmp_path / "search", cache=tmp_path / "cache")
    assert again.scored == found.scored


def test_the_axis_of_a_front_names_the_unit_of_the_device(tmp_path):
    pytest.importorskip("matplotlib")
    from autoprox.show.draw.fronts import front_figure

    found = autoprox.search_architectures(
        "nb201", "params", cost="latency:pixel3", evaluations=4, batch=2, out=tmp_path / "search",
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert front_figure(found).get_xlabel() == "latency:pixel3 (ms)"


@pytest.mark.parametrize("asked", [{"limits": "latency:edgetpu:9ms"}, {"cost": "latency:edgetpu"}])
def test_cells_that_a_device_cannot_run_are_not_found(tmp_path, asked):
    found = autoprox.search_architectures(
        "nb201", "params", **asked, evaluations=12, batch=2, out=tmp_path / "search",
        cache=tmp_path / "cache",
    )  # fmt: skip
    able = measured("nb201", "edgetpu_ms")
    assert len(able) == 15625 - 4699
    cells = [f"nb201/{each.config['cell']}" for each in found.scored]
    assert [each.device for each in found.scored] == [able[cell] for cell in cells]
    assert "latency:edgetpu (ms)" in found.to_json()["top"][0]
    assert found.fit < found.drawn


def test_what_other_devices_cannot_run_has_no_cost_there(tmp_path):
    found = autoprox.search_architectures(
        "nb201",
        "params",
        evaluations=12,
        batch=2,
        out=tmp_path / "search",
        cache=tmp_path / "cache",
    )
    able = measured("nb201", "edgetpu_ms")
    known = [able.get(f"nb201/{each.config['cell']}") for each in found.scored]
    assert [found.cost(each, "latency:edgetpu") for each in found.scored] == known
    assert None in known
    front = found.front("latency:edgetpu")
    assert front
    assert all(f"nb201/{each.config['cell']}" in able for each in front)


def test_what_earlier_searches_did_not_keep_is_computed(tmp_path):
    found = autoprox.search_architectures(
        "nb201", "params", limits="latency:raspi4:30ms", evaluations=8, batch=2,
        out=tmp_path / "search", cache=tmp_path / "cache",
    )  # fmt: skip
    old = replace(found, scored=tuple(replace(each, device=None) for each in found.scored))
    costs = [each.device for each in found.scored]
    assert None not in costs
    assert [old.cost(each, "latency:raspi4") for each in old.scored] == costs
    assert old.front_csv() == found.front_csv()


def test_an_error_names_the_limits_that_were_given_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(draws, "DRAWS", 20)
    with pytest.raises(SpaceError, match=r"fits params :10 \(seen: [^:]*\); widen the range$"):
        autoprox.search_architectures(
            "nb201", "params", cost="latency:raspi4", params=":10", out=tmp_path / "search"
        )


def saved_model(path, price):
    """A model in a file by which any network costs `price` ms."""
    return CostModel("here", "ms", "any", {"one": price}, 25, 0.0, 1.0).save(path)


def test_the_price_of_a_file_is_that_of_its_present_model(tmp_path):
    file = tmp_path / "here.json"
    for price in (3.0, 5.0):
        saved_model(file, price)
        assert price_of(f"latency:{file}", "pit").model.prices == {"one": price}
    assert price_of(f"latency:{file}", "pit") is price_of(f"latency:{file}", "pit")
    file.unlink()
    with pytest.raises(AutoproxError, match=r"here\.json"):
        price_of(f"latency:{file}", "pit")


def after(count):
    """A progress that presses Ctrl-C when so many are scored."""

    def progress(task, done, total):
        if done >= count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("role", ["cost", "limits"])
def test_a_search_is_not_resumed_under_another_model(tmp_path, role):
    first, second = saved_model(tmp_path / "a.json", 3.0), saved_model(tmp_path / "b.json", 3.0)
    asked = {"cost": f"latency:{first}", "limits": [f"latency:{second}:4ms"]}
    changed = {"cost": first, "limits": second}[role]
    options = {"evaluations": 40, "batch": 2, "cache": tmp_path / "cache"}
    stopped = autoprox.search_architectures(
        TOY, "params", **asked, **options, out=tmp_path / "search", progress=after(20)
    )
    assert not stopped.finished
    saved_model(changed, 2.0)
    with pytest.raises(RunError, match=rf"^latency:{re.escape(str(changed))} of the search .* cha"):
        autoprox.search_architectures(TOY, resume=stopped.folder, cache=tmp_path / "cache")
    saved_model(changed, 3.0)
    found = autoprox.search_architectures(TOY, resume=stopped.folder, cache=tmp_path / "cache")
    assert found.finished
    assert {each.device for each in found.scored} == {3.0}


def test_a_model_that_changes_while_it_is_searched_by_ends_the_search(tmp_path):
    file = saved_model(tmp_path / "here.json", 3.0)

    def progress(task, done, total):
        if done == 20:
            saved_model(file, 2.0)

    with pytest.raises(RunError, match=r"here\.json of the search .* changed since it began"):
        autoprox.search_architectures(
            TOY, "params", cost=f"latency:{file}", evaluations=40, batch=2,
            out=tmp_path / "search", cache=tmp_path / "cache", progress=progress,
        )  # fmt: skip
    lines = (tmp_path / "search" / "scored.jsonl").read_text().splitlines()
    assert {json.loads(line)["device"] for line in lines} == {3.0}


def test_a_search_is_resumed_in_another_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    saved_model(tmp_path / "here.json", 3.0)
    monkeypatch.chdir(tmp_path)
    autoprox.search_architectures(
        TOY, "params", cost="latency:here.json", limits="latency:here.json:4ms",
        evaluations=20, batch=2, out="search", cache=tmp_path / "cache", progress=after(16),
    )  # fmt: skip
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = autoprox.search_architectures(TOY, resume=tmp_path / "search", cache=tmp_path / "cache")
    assert found.finished
    assert found.settings.devices == (f"latency:{tmp_path / 'here.json'}",)


def test_limits_that_nothing_keeps_are_refused(tmp_path):
    def search(limit):
        autoprox.search_architectures("nb201", "params", limits=limit, out=tmp_path / "search")

    with pytest.raises(SpaceError, match=r"latency:raspi4 of 0.01 ms: the least is \d"):
        search("latency:raspi4:0.01ms")
    with pytest.raises(UnknownNameError, match="device with latency of nb201 'raspi5'"):
        search("latency:raspi5:30ms")
    with pytest.raises(SpaceError, match="a limit is latency:DEVICE:MOST"):
        search("raspi4:30ms")
    with pytest.raises(UnknownNameError, match="device with latency of pit 'raspi4'"):
        autoprox.search_architectures(
            "pit", "params", limits="latency:raspi4:30", out=tmp_path / "search"
        )
