"""What proxies are worth on some architectures, where they have no score on some of them."""

import dataclasses
import zlib

import numpy as np
import pytest
from scipy.stats import somersd

from autoprox.assessment.assess import Assessor, columns
from autoprox.assessment.wording import reservations_in_words
from autoprox.benches import load_bench
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.text import parse
from autoprox.ranking import Column
from autoprox.ranking.figures import Comparison
from autoprox.ranking.resampling import resample
from tests import tiny_bench
from tests.copied_bench import copied
from tests.made_measurements import measurement, table

PARAMS = (8.0, 1e200, 2.0, 1e200, 32.0)
"""The parameters of five networks of a layer; the square of the largest is no score."""
ACCURACIES = np.array([70.0, 10.0, 60.0, 30.0, 50.0])


@pytest.fixture
def assessor():
    networks = table(*(measurement(params=[count]) for count in PARAMS))
    column = Column("made", "up", np.arange(5), ACCURACIES)
    return Assessor(Evaluator(networks), [column], {"params": parse("sum(params)")})


def test_networks_without_a_score_share_the_last_place(assessor):
    assessment = assessor("top 1", parse("sum(square(params))"))
    last = np.array([64.0, 0.0, 4.0, 0.0, 1024.0])
    assert assessment.joint == pytest.approx(somersd(ACCURACIES, last).statistic)
    assert assessment.without_score == pytest.approx(2 / 5)
    assert assessment.failure is None
    assert reservations_in_words([assessment]) == [
        "No score on some architectures, which then come last: top 1 (40%)."
    ]


def test_a_proxy_with_a_score_on_all_networks_has_no_reservation(assessor):
    assessment = assessor("params", parse("sum(params)"))
    assert assessment.joint == pytest.approx(somersd(ACCURACIES, PARAMS).statistic)
    assert assessment.without_score == 0
    assert reservations_in_words([assessment]) == []


def test_a_proxy_without_any_score_says_why(assessor):
    assessment = assessor("top 1", parse("multiply(1e200, multiply(1e200, sum(add(1.0, params))))"))
    assert assessment.joint is None
    assert assessment.failure == "not finite: multiply"
    assert reservations_in_words([assessment]) == []


def test_the_best_known_proxy_is_the_highest_and_not_the_farthest_from_0():
    # By hand, over three pairs: -1, and 2 - 1 of 3.
    networks = [measurement(params=[p], flops=[f]) for p, f in ((3, 2), (2, 1), (1, 3))]
    column = Column("made", "up", np.arange(3), np.array([1.0, 2.0, 3.0]))
    known = {name: parse(f"sum({name})") for name in ("params", "flops")}
    assessor = Assessor(Evaluator(table(*networks)), [column], known)
    assert assessor.best_known == "flops"
    assert assessor("down", known["params"]).difference == pytest.approx(-4 / 3)


def test_the_figures_on_resamples_are_scipys_and_make_the_interval(assessor):
    graph = parse("sum(sqrt(params))")
    resampled = assessor.resampled(graph)
    counts = resample(5, len(resampled), [0, zlib.crc32(b"made")])
    for drawn, found in zip(counts[:40].astype(int), resampled, strict=False):
        repeated = (np.repeat(each, drawn) for each in (ACCURACIES, PARAMS))
        truth = somersd(*repeated).statistic  # NaN where all scores are the same
        assert found == pytest.approx(np.nan_to_num(truth))
    low, high = np.quantile(resampled, [0.025, 0.975])
    assert assessor("top 1", graph).joint_interval == pytest.approx((low, high))
    failing = parse("multiply(1e200, multiply(1e200, sum(add(1.0, params))))")
    assert not assessor.resampled(failing).any()


def test_the_columns_of_a_bench_say_which_architectures_are_copies_of_one_network():
    bench = copied()
    indices = range(3, 24)
    names = [bench.architectures[i].isomorph for i in indices]
    own, *others = columns(bench, indices, ["coarse", "fine"])
    assert [names[place] for place in own.networks] == names
    assert len({*own.networks.tolist()}) == len({*names}) < len(names)
    assert all((other.networks == own.networks).all() for other in others)


def test_without_copies_every_figure_is_that_of_columns_that_say_nothing_of_them():
    bench = load_bench(tiny_bench.__file__)
    own = columns(bench, range(24), ["coarse", "fine"])
    silent = [dataclasses.replace(column, networks=None) for column in own]
    scores = np.random.default_rng(0).normal(size=24)
    told, untold = Comparison(own)(scores), Comparison(silent)(scores)
    assert told.columns == untold.columns
    np.testing.assert_array_equal(told.resampled, untold.resampled)
