"""Networks by proxies, without a bench."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

import autoprox
from autoprox.errors import LanguageError, StatisticError, UnknownNameError
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import load
from tests.any_networks import Language, TwoInputs, language, two_inputs
from tests.known_networks import Convolutions, Transformer, left

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def models(count=3):
    return {f"width {4 * n}": Language(4 * n) for n in range(1, count + 1)}


def test_each_score_is_that_of_the_proxys_own_call():
    _, ids, y = language()
    networks, names = models(), ["params", "snip", "zico", "swap", "sum(norm(act))"]
    before = [left(each) for each in networks.values()]
    frame = autoprox.score(networks, names, ids, y)
    assert (frame.networks, frame.proxies, len(frame)) == (tuple(networks), tuple(names), 3)
    for name in names:
        assert frame[name] == {key: load(name)(net, ids, y) for key, net in networks.items()}
    assert frame.ranking("params") == tuple(reversed(networks))
    assert frame.failures == {}
    assert [left(each) for each in networks.values()] == before


def test_what_fails_is_left_empty_and_said_once_and_costs_no_other():
    _, ids, y = language()
    frame = autoprox.score(models(), ["synflow", "snip", "epe_nas", "jacob_cov"], ids, y)
    assert np.isnan([*frame["synflow"].values(), *frame["epe_nas"].values()]).all()
    assert np.isfinite([*frame["snip"].values()]).all()
    assert frame.ranking("synflow") == ()
    reason = frame.failures["width 8", "synflow"]
    assert reason.startswith("'flow_grad' needs floating-point inputs")
    assert str(frame).count(reason) == 1
    assert f"synflow on every network: {reason}" in str(frame)


def test_a_network_that_fails_costs_its_own_row_alone():
    class Broken(Language):
        def forward(self, ids):
            raise RuntimeError("out of order")

    _, ids, y = language()
    frame = autoprox.score([Language(), Broken(), Language(4)], ["snip", "az_nas"], ids, y)
    assert frame.networks == ("Language 1", "Broken", "Language 2")
    assert np.isnan(frame.scores).all(1).tolist() == [False, True, False]
    assert "out of order" in frame.failures["Broken", "snip"]
    assert frame.failures["Broken", "az_nas"].startswith("its part az_expressivity")
    assert "snip on Broken: " in str(frame)


def test_a_proxy_that_scores_all_alike_is_named_whatever_failed_beside():
    networks = {"a": nn.Linear(2, 3), "b": nn.Linear(2, 3), "c": nn.Embedding(5, 3)}
    frame = autoprox.score(networks, ["depth", "params"], torch.ones(4, 2))
    assert ("c", "depth") in frame.failures
    note = "the same score on every network, which says nothing: depth, params"
    assert str(frame).endswith(note)
    one = autoprox.score({"a": networks["a"], "c": networks["c"]}, "depth", torch.ones(4, 2))
    assert "says nothing" not in str(one)


def test_an_ensemble_ranks_over_the_networks():
    torch.manual_seed(1)
    networks = [Transformer() for _ in range(4)]
    x = torch.randn(8, *Transformer.shape)
    parts = ["az_expressivity", "az_progressivity", "az_trainability", "flops"]
    frame = autoprox.score(networks, [*parts, "az_nas"], x)
    expected = sum(np.log(rankdata([*frame[part].values()]) / 4) for part in parts)
    np.testing.assert_allclose([*frame["az_nas"].values()], expected)
    alone = autoprox.score(networks[:1], "az_nas", x)
    assert "two or more" in alone.failures["Transformer", "az_nas"]


def test_a_rule_that_fails_is_named():
    def rule(_):
        raise ValueError("no such rank")

    broken = Ensemble("broken", ("params", "flops"), rule)
    frame = autoprox.score(models(2), [broken], torch.zeros(4, 3, dtype=torch.int64))
    assert frame.failures["width 4", "broken"] == "its rule failed: ValueError: no such rank"


def test_the_frame_says_what_loss_it_saw():
    network, given, y = two_inputs()
    _, ids, following = language()
    said = autoprox.score([Language()], ["snip"], ids, following).loss
    assert said == "mean cross-entropy of logits (8, 6, 11), the 11 classes in dimension 2"
    assert autoprox.score([Language()], ["params"], ids).loss is None
    said = autoprox.score([network], ["snip"], given, y, loss=nn.functional.mse_loss).loss
    assert said == "the function torch.nn.functional.mse_loss"
    assert autoprox.score([network], ["snip"], given, y).loss is None


def test_batch_norm_keeps_its_buffers_when_the_loss_is_said():
    network, x = Convolutions(), torch.randn(8, *Convolutions.shape)
    before = {name: each.clone() for name, each in network.named_buffers()}
    autoprox.score([network], ["snip"], x, torch.zeros(8, dtype=torch.int64))
    assert all(torch.equal(each, before[name]) for name, each in network.named_buffers())


def test_the_same_numbers_as_a_table_a_data_frame_json_and_html():
    pandas = pytest.importorskip("pandas")
    _, ids, y = language()
    frame = autoprox.score(models(2), ["snip", "synflow"], ids, y)
    table = frame.to_frame()
    assert isinstance(table, pandas.DataFrame)
    np.testing.assert_array_equal(table.to_numpy(), frame.scores)
    assert list(table.index) == list(frame.networks)
    data = json.loads(json.dumps(frame.to_json(), allow_nan=False))
    assert data["rows"][1]["scores"] == {"snip": frame["snip"]["width 8"]}
    assert list(data["rows"][1]["failures"]) == ["synflow"]
    html = ElementTree.fromstring(f"<div>{frame._repr_html_()}</div>")
    rows = [["".join(cell.itertext()) for cell in row] for row in html.iter("tr")]
    assert rows[0] == ["", "snip", "synflow"]
    assert rows[1] == ["width 4", f"{frame['snip']['width 4']:.5g}", "-"]
    assert str(frame).splitlines()[1].split() == ["width", "4", rows[1][1], "-"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((TwoInputs(), ["snip"]), StatisticError, "a dict or a list of networks; got TwoInputs"),
        (({}, ["snip"]), StatisticError, "at least one network"),
        (([TwoInputs()], []), StatisticError, "at least one proxy"),
        ((["resnet18"], ["snip"]), StatisticError, "got str for the network"),
        (([TwoInputs()], ["snipp"]), UnknownNameError, "did you mean 'snip'"),
        (([TwoInputs()], "sum(weight"), LanguageError, "weight"),
    ],
)
def test_what_is_no_list_of_networks_or_no_proxy_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        autoprox.score(*arguments, torch.randn(4, 5))
    with pytest.raises(UnknownNameError, match="unknown proxy 'snip'"):
        autoprox.score([nn.Linear(5, 2)], ["params"], torch.randn(4, 5))["snip"]


def test_a_function_of_ones_own_is_a_column_like_any_other():
    own = FunctionProxy("widest", lambda s: max(p.numel() for p in s.network.parameters()))
    frame = autoprox.score(models(2), ["params", own], torch.zeros(2, 3, dtype=torch.int64))
    assert frame["widest"] == {"width 4": 44.0, "width 8": 88.0}
