"""What is lost without a part of a proxy, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import somersd

from autoprox.assessment.ablation import ablate, ablation, mean_of, replaced
from autoprox.errors import ScoreError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.ranking import Column
from tests.made_measurements import measurement, table, weights
from tests.tiny_bench import bench

# Three networks of 1, 2 and 3 layers. By hand: params 6, 2 + 2, 1 + 1 + 1 and flops 1, 5 + 3,
# 1 + 1 + 4.
NETWORKS = table(
    measurement(params=[6.0], flops=[1.0]),
    measurement(params=[2.0, 2.0], flops=[5.0, 3.0]),
    measurement(params=[1.0, 1.0, 1.0], flops=[1.0, 1.0, 4.0]),
)


def column(*accuracies: float) -> Column:
    return Column("made", "up", np.arange(len(accuracies)), np.array(accuracies))


def losses(graph: Graph, *accuracies: float) -> dict[str, float | None]:
    found = ablation(graph, NETWORKS, [column(*accuracies)])
    return {part.text: part.loss for part in found.parts}


def test_a_layers_number_becomes_the_mean_over_all_layers_of_all_networks():
    evaluator = Evaluator(NETWORKS)
    assert mean_of(parse("params"), evaluator) == pytest.approx((6 + 2 + 2 + 1 + 1 + 1) / 6)
    assert mean_of(parse("sum(params)"), evaluator) == pytest.approx((6 + 4 + 3) / 3)


def test_the_mean_of_entries_is_that_of_the_means_of_the_layers():
    evaluator = Evaluator(table(weights([1.0, 3.0]), weights([5.0, 5.0], [0.0, 6.0])))
    assert mean_of(parse("weight"), evaluator) == pytest.approx((2 + 5 + 3) / 3)
    assert mean_of(parse("sum(weight)"), evaluator) == pytest.approx((4 + 10 + 6) / 3)


def test_what_is_left_of_a_sum_over_layers_is_how_many_there_are():
    # sum(params) is 6, 4, 3; without params it is m, 2m, 3m: upside down. So with accuracies that
    # fall, D goes from 1 to -1.
    found = ablation(parse("sum(params)"), NETWORKS, [column(3, 2, 1)])
    assert found.joint == 1
    (part,) = found.parts
    assert (part.text, part.joint, part.loss) == ("params", -1, 2)
    assert part.constant == pytest.approx(13 / 6)


def test_each_part_is_replaced_wherever_it_is_used_and_the_root_is_not():
    # Products by layer: 6; 10 + 6; 1 + 1 + 4, so the scores are 6, 16, 6.
    graph = parse("sum(multiply(params, flops))")
    # Without params: 1, 8, 6 times the mean. Without flops: 6, 4, 3 times the mean.
    # Without both: 1, 2, 3 times the mean.
    found = ablation(graph, NETWORKS, [column(1, 3, 2)])
    left = {part.text: part.joint for part in found.parts}
    assert found.joint == pytest.approx(2 / 3)  # two pairs agree, one ties
    assert left == {
        "params": pytest.approx(1),
        "flops": pytest.approx(-1 / 3),
        "multiply(flops, params)": pytest.approx(1 / 3),
    }


def test_what_ranks_nothing_loses_all():
    assert losses(parse("negative(sum(params))"), 1, 2, 3)["sum(params)"] == 1


def test_numbers_are_no_parts():
    assert set(losses(parse("add(sum(params), 2.0)"), 3, 2, 1)) == {"params", "sum(params)"}


def test_several_columns_count_by_their_weights():
    graph, columns = parse("sum(params)"), [column(3, 2, 1), column(1, 2, 3), column(1, 2, 3)]
    assert ablation(graph, NETWORKS, columns).joint == pytest.approx(-1 / 3)


def test_an_entry_keeps_how_many_there_are():
    found = ablation(
        parse("sum(sum(weight))"),
        table(weights([9.0]), weights([2.0, 2.0]), weights([1.0, 0.0, 1.0])),
        [column(1, 2, 3)],
    )
    left = {part.text: part.joint for part in found.parts}
    assert found.joint == -1
    assert left["weight"] == 1  # 1, 2 and 3 entries
    assert left["sum(weight)"] == 0  # one layer each


def test_a_proxy_without_a_score_after_the_replacement_says_why():
    found = ablation(
        parse("sum(multiply(params, flops))"),
        table(*(measurement(params=[p], flops=[f]) for p, f in ((1e300, 1), (1, 1e300), (2, 3)))),
        [column(1, 2, 3)],
    )
    by_text = {part.text: part for part in found.parts}
    assert by_text["params"].loss is None
    assert "not finite" in by_text["params"].failure
    assert by_text["params"].constant == pytest.approx(1e300 / 3)


def test_a_mean_that_is_not_finite_replaces_nothing():
    found = ablation(
        parse("sum(params)"),
        table(*(measurement(params=[each]) for each in (1.7e308, 1.6e308, 1.0))),
        [column(1, 2, 3)],
    )
    assert (found.parts[0].constant, found.parts[0].joint) == (None, None)
    assert found.parts[0].failure == "its mean is not finite"


def test_a_proxy_without_a_score_is_an_error():
    broken = table(*(measurement(params=[each]) for each in (1e300, 1.0, 2.0)))
    with pytest.raises(ScoreError, match=r"sum\(square\(params\)\) has no score on some network"):
        ablation(parse("sum(square(params))"), broken, [column(1, 2, 3)])


def test_replacing_leaves_what_does_not_use_the_part():
    graph = parse("divide(sum(params), add(sum(flops), 1.0))")
    assert replaced(graph, parse("params"), parse("params")) is graph
    assert replaced(graph, parse("sum(flops)"), parse("sum(params)")).text == (
        "divide(sum(params), add(1.0, sum(params)))"
    )


@pytest.mark.usefixtures("one_thread")
def test_a_bench_is_measured_for_an_ablation(tmp_path):
    found = ablate(parse("sum(params)"), bench, spaces=["cnn"], targets=["coarse"], cache=tmp_path)
    # Without params, the number of layers: 2 or 4. The widths within a depth tie.
    accuracies = [each.accuracies["coarse"] for each in bench.in_space("cnn")]
    depths = [each.config["depth"] for each in bench.in_space("cnn")]
    assert found.parts[0].joint == pytest.approx(somersd(accuracies, depths).statistic)
    assert list(tmp_path.iterdir())
