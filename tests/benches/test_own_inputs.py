"""Benches and spaces that declare their inputs, loss and outputs."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

import autoprox
from autoprox.benches import joined
from autoprox.errors import BenchError, StatisticError
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.hardware.timing import time_network
from autoprox.measuring.probe import Probe
from autoprox.proxies.loading import load
from autoprox.runs.ground import searched_statistics
from autoprox.search.architectures.limits import one_input
from tests.any_networks import TOKENS, VOCABULARY, Language
from tests.token_bench import bench, inputs

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_ranking_scores_as_the_proxies_do_on_the_benchs_own_inputs(tmp_path):
    board = autoprox.rank(["snip", "params", "swap"], bench, cache=tmp_path, timed=False)
    shown = inputs(8, 0)
    for place in (0, 7):
        network = bench.network(bench.architectures[place])
        expected = load("snip")(network, *shown, sample="full")
        assert board.scores["snip"][place] == pytest.approx(expected, rel=1e-6)
    assert [row.failures for row in board] == [0, 0, 0]


def test_another_loss_is_kept_apart_in_the_cache(tmp_path):
    def rank(which):
        return autoprox.rank(["snip"], which, cache=tmp_path, timed=False).scores["snip"]

    def louder(output, targets):
        return 2 * F.cross_entropy(output["logits"].flatten(0, 1), targets.flatten())

    plain, loud = rank(bench), rank(dataclasses.replace(bench, loss=louder))
    assert loud == pytest.approx(2 * plain, rel=1e-4)
    quiet = dataclasses.replace(bench, outputs=lambda output: output["logits"] * 0.5)
    assert not (rank(quiet) == plain).any()


def test_another_seed_is_kept_apart_in_the_cache_though_the_inputs_are_the_same(tmp_path):
    same = dataclasses.replace(bench, inputs=lambda batch, seed: inputs(batch, 0))
    first, other = (
        autoprox.rank(["snip"], same, cache=tmp_path, timed=False, probe_seed=seed).scores["snip"]
        for seed in (0, 1)
    )
    assert (first != other).all()  # the weights are others


def test_evolution_leaves_out_what_tokens_cannot_show(tmp_path):
    left_out = set(DEFAULT_STATISTICS) - set(searched_statistics(bench))
    assert left_out == {"flow_grad"}
    ids, _ = inputs(8, 0)
    unlabelled = dataclasses.replace(bench, inputs=lambda batch, seed: (ids, None))
    assert not {"grad", "act_grad", "grad_std"} & set(searched_statistics(unlabelled))
    run = autoprox.evolve(
        bench, out=tmp_path / "run", cache=tmp_path / "cache", evaluations=30, population=10
    )
    assert run.best


def test_a_search_scores_tokens_within_limits(tmp_path):
    class Space:
        name = "lm"
        inputs = staticmethod(inputs)

        def sample(self, random):
            return {"width": random.randint(2, 12)}

        def mutate(self, config, random):
            return self.sample(random)

        def build(self, config):
            return Language(config["width"])

    found = autoprox.search_architectures(
        Space(), "snip", evaluations=6, params=":400", flops=":10M", cache=tmp_path / "cache",
        out=tmp_path / "out",
    )  # fmt: skip
    best = found.top(1)[0]
    assert best.params <= 400
    network = autoprox.build(Space(), best.config)
    score = load("snip")(network, *inputs(8, 0), sample="full")
    assert best.scores["snip"] == pytest.approx(score, rel=1e-6)
    assert best.flops == load("flops")(network, *inputs(8, 0))
    assert time_network(network, one_input(Space())).seconds > 0


def test_what_a_bench_declares_wrongly_is_refused():
    with pytest.raises(BenchError, match="take the place of input_shape"):
        dataclasses.replace(bench, input_shape=(3,), classes=2)
    with pytest.raises(BenchError, match="input_shape is the shape"):
        dataclasses.replace(bench, inputs=None)
    broken = dataclasses.replace(bench, inputs=lambda batch: batch)
    with pytest.raises(BenchError, match=r"'tokens': inputs\(8, seed=0\) failed: TypeError"):
        Probe().inputs(broken)
    with pytest.raises(StatisticError, match="has inputs of its own; leave out photos"):
        Probe(images="photos").inputs(bench)
    assert joined([bench]).inputs is None


def test_the_inputs_may_draw_from_torch_and_leave_its_generator():
    drawing = dataclasses.replace(
        bench, inputs=lambda batch, _: (torch.randint(0, VOCABULARY, (batch, TOKENS)), None)
    )
    before = torch.get_rng_state()
    first, again = (Probe(seed=5).inputs(drawing)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
