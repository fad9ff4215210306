"""What proxies are worth on some architectures, where they have no score on some of them."""

import numpy as np
import pytest
from scipy.stats import somersd

from autoprox.assessment.assess import Assessor
from autoprox.assessment.wording import reservations_in_words
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.text import parse
from autoprox.ranking import Column
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


def test_the_figures_on_resamples_are_those_of_the_interval(assessor):
    graph = parse("sum(sqrt(params))")
    low, high = np.quantile(assessor.resampled(graph), [0.025, 0.975])
    assert assessor("top 1", graph).joint_interval == pytest.approx((low, high))
    failing = parse("multiply(1e200, multiply(1e200, sum(add(1.0, params))))")
    assert not assessor.resampled(failing).any()
