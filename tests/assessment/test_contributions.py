"""What layers contribute, against numbers written down."""

from __future__ import annotations

import pytest

from autoprox.assessment.contributions import contributions
from autoprox.errors import ScoreError
from autoprox.language.text import parse
from tests.made_measurements import measurement, weights


def test_the_numbers_of_the_layers_are_those_before_the_reduction():
    network = measurement(params=[1.0, 2.0, 4.0], flops=[3.0, 3.0, 5.0])
    (found,) = contributions(parse("log(sum(multiply(params, flops)))"), network)
    assert (found.reduction, found.text) == ("sum", "multiply(flops, params)")
    assert found.layers == ("layer0.weight", "layer1.weight", "layer2.weight")
    assert found.values == (3.0, 6.0, 20.0)
    assert found.result == 29.0


def test_each_reduction_to_the_network_has_its_own():
    network = measurement(params=[1.0, 2.0], flops=[3.0, 9.0])
    found = contributions(parse("divide(sum(params), max(flops))"), network)
    assert {(each.reduction, each.values, each.result) for each in found} == {
        ("sum", (1.0, 2.0), 3.0),
        ("max", (3.0, 9.0), 9.0),
    }


def test_layers_that_are_left_out_contribute_nothing():
    network = measurement(("embedding", "attention", "head"), params=[1.0, 2.0, 4.0])
    (found,) = contributions(parse("sum(only_attention(params))"), network)
    assert (found.layers, found.roles) == (("layer1.weight",), ("attention",))
    assert (found.values, found.result) == ((2.0,), 2.0)


def test_the_entries_of_a_layer_are_reduced_first():
    (found,) = contributions(parse("mean(sum(weight))"), weights([1.0, 2.0], [5.0, 6.0]))
    assert (found.text, found.values, found.result) == ("sum(weight)", (3.0, 11.0), 7.0)


def test_without_a_score_there_is_nothing_to_contribute_to():
    with pytest.raises(ScoreError, match=r"has no score on this network: no layer has"):
        contributions(parse("sum(only_attention(params))"), measurement(params=[1.0]))
