"""What one command measured, the others find: evolve, rank and search share a cache."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import autoprox
import autoprox.statistics
from autoprox.benches import load_bench
from autoprox.cli.rank import outlook_in_words
from autoprox.measuring.scoring import Outlook
from autoprox.proxies.loading import load
from autoprox.runs.evolve import evolve
from autoprox.statistics import Store

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 40, "population": 20, "proposals": 20, "statistics": ("weight", "grad")}

pytestmark = pytest.mark.usefixtures("one_thread")


def built_by(name: str = "tiny"):
    """A bench that notes which of its networks are built, and the notes."""
    bench, calls = load_bench(TINY), []

    def build(config, **options):
        calls.append(config)
        return bench.build(config, **options)

    return dataclasses.replace(bench, build=build), calls


@pytest.fixture
def measured(monkeypatch):
    """The statistics of each call of `measure`."""
    real, calls = autoprox.statistics.measure, []

    def counted(network, inputs, targets, names, **options):
        calls.append(tuple(names))
        return real(network, inputs, targets, names, **options)

    monkeypatch.setattr("autoprox.measuring.probe.measure", counted)
    return calls


@pytest.fixture
def evolved(tmp_path):
    """A cache that a run has filled."""
    evolve(TINY, out=tmp_path / "run", cache=tmp_path / "cache", **SMALL)
    return tmp_path / "cache"


def test_a_sampled_ranking_after_a_run_builds_no_network(evolved, measured):
    bench, built = built_by()
    outlooks: list[Outlook] = []
    proxies = ["snip", "l2_norm", "params"]
    board = autoprox.rank(proxies, bench, cache=evolved, sample=512, timed=False,
                          outlook=outlooks.append)  # fmt: skip
    assert built == measured == []
    assert [(each.lacking, each.built, each.seconds) for each in outlooks] == [(24, 0, None)]
    (first, *_) = bench.architectures
    batch = autoprox.statistics.noise(bench.input_shape, bench.classes, batch=8, seed=0)
    for name in proxies:
        score = load(name)(load_bench(TINY).network(first, 0), *batch, sample=512)
        assert board.scores[name][0] == score


def test_only_the_statistics_that_a_run_did_not_measure_are_measured(evolved, measured):
    outlooks: list[Outlook] = []
    autoprox.rank(["snip", "sum(mean(act))"], TINY, cache=evolved, sample=512, timed=False,
                  outlook=outlooks.append)  # fmt: skip
    assert measured == [("act",)] * 24
    begun, first = outlooks
    assert (begun.networks, begun.lacking, begun.built, begun.statistics) == (24, 24, 24, ("act",))
    assert begun.seconds is None
    assert first.seconds > 0


def test_a_run_after_a_sampled_ranking_measures_only_what_that_did_not(tmp_path, measured):
    autoprox.rank(["snip"], TINY, cache=tmp_path / "cache", sample=512, timed=False)
    assert measured == [("grad", "weight")] * 24
    measured.clear()
    evolve(TINY, out=tmp_path / "run", cache=tmp_path / "cache", **SMALL)
    assert len(measured) == 24
    assert not {"weight", "grad"} & {name for names in measured for name in names}


def test_whole_tensors_are_not_kept(tmp_path):
    autoprox.rank(["snip"], TINY, cache=tmp_path, timed=False)
    assert Store(tmp_path).info().files == 0


def test_a_search_of_architectures_keeps_no_statistics(tmp_path):
    options = {"sample": 64, "evaluations": 4, "cache": tmp_path / "cache", "out": tmp_path / "out"}
    autoprox.search_architectures("nb201", ["sum(norm(weight))"], **options)
    assert Store(tmp_path / "cache").info().files == 0


def test_the_scores_of_bits_are_those_of_statistics_from_the_cache(tmp_path, measured):
    proxies = ["sum(multiply(bits, norm(weight)))"]
    alone = autoprox.rank(proxies, "mq101", spaces=["resnet20"], architectures=12, timed=False,
                          cache=tmp_path / "a", sample=64)  # fmt: skip
    count = len(measured)
    assert count > 1
    again = autoprox.rank([*proxies, "sum(multiply(bits, sum(weight)))"], "mq101",
                          spaces=["resnet20"], architectures=12, timed=False,
                          cache=tmp_path / "a", sample=64)  # fmt: skip
    assert len(measured) == count
    np.testing.assert_array_equal(alone.scores[proxies[0]], again.scores[proxies[0]])


@pytest.mark.parametrize("command", ["evolve", "rank"])
def test_images_are_not_read_once_an_architecture(tmp_path, monkeypatch, command):
    x = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(8) % 5)
    real, reads = autoprox.statistics.images, []

    def read(*args, **options):
        reads.append(args)
        return real(*args, **options)

    monkeypatch.setattr("autoprox.measuring.probe.images", read)
    shown = {"images": str(tmp_path / "images.npz"), "cache": tmp_path / "cache"}
    if command == "evolve":
        evolve(TINY, out=tmp_path / "run", **SMALL, **shown)
    else:
        autoprox.rank(["snip"], TINY, timed=False, **shown)
    assert 1 <= len(reads) <= 4


def test_the_outlook_says_what_is_done_and_about_how_long_it_takes():
    outlook = Outlook(300, 300, 300, ("weight", "grad"), ("zen_score",), 6, "full")
    assert outlook_in_words(outlook) == (
        "300 of 300 networks lack scores or times; 300 are built, to measure weight, grad; compute "
        "zen_score; time proxies on 6 of them (whole tensors; --sample 512 takes what a search "
        "measured)"
    )
    later = dataclasses.replace(outlook, seconds=200)
    assert outlook_in_words(later) == "about 3 min 20 s left, as the first networks took"
    cached = dataclasses.replace(outlook, built=0, statistics=(), functions=(), timed=0, sample=512)
    assert outlook_in_words(cached).endswith("the cache has all statistics: no network is built")
    nothing = dataclasses.replace(cached, lacking=0)
    assert outlook_in_words(nothing) == "the cache has all scores: nothing is measured"


class Head:
    """Scales the logits; what it does is in an attribute of an object of one's own."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, output):
        return output * self.factor


def weighing(weights):
    """A loss that closes over a tensor."""
    return lambda outputs, targets: nn.functional.cross_entropy(outputs, targets, weights)


CHANGES = {
    "loss": lambda x: {"loss": nn.CrossEntropyLoss(label_smoothing=x)},
    "closure": lambda x: {"loss": weighing(torch.tensor([1.0, 1.0, 1.0, 1.0, 1 + x]))},
    "object": lambda x: {"outputs": Head(1 + x)},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sample", [64, "full"])
def test_another_loss_or_another_reading_of_outputs_is_measured_anew(tmp_path, change, sample):
    bench, how = load_bench(TINY), {"timed": False, "spaces": "mlp", "sample": sample}

    def scores(x, cache):
        changed = dataclasses.replace(bench, **CHANGES[change](x))
        return autoprox.rank(["grad_norm"], changed, cache=cache, **how).scores["grad_norm"]

    first, second = scores(0.0, tmp_path / "cache"), scores(0.5, tmp_path / "cache")
    assert np.array_equal(first, scores(0.0, tmp_path / "cache"))
    assert not np.allclose(first, second)
    assert np.array_equal(second, scores(0.5, tmp_path / "new"))
