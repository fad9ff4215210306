"""Searches by fitted models, against going through whole spaces."""

import time

import numpy as np
import pytest
from click.testing import CliRunner

import autoprox
from autoprox.benches import Architecture, Bench
from autoprox.benches.spaces import BenchSpace
from autoprox.cli import main
from autoprox.errors import AutoproxError, SpaceError, UnknownNameError
from autoprox.search.architectures.by_accuracies import _is_best
from autoprox.search.architectures.relaxed import fit_models, maximise, taken


def test_steps_in_between_are_taken_in_part():
    assert taken(np.array([[0.0, 2.25, 1.0]]), (2, 4, 2)).tolist() == [[0, 1, 1, 0.25, 1]]


@pytest.fixture(scope="module")
def models():
    """Models of 216 architectures of three numbers, fitted to 40; and all of their places."""
    steps = (6, 6, 6)
    every = np.stack(np.meshgrid(*map(np.arange, steps), indexing="ij"), -1).reshape(-1, 3)
    random = np.random.default_rng(0)
    accuracies = 90 - np.exp(-every @ [0.2, 0.5, 0.3]) * 20 - 0.3 * (every[:, 0] - 3) ** 2
    costs = 1 + every @ [1.0, 2.0, 0.5] + 0.25 * (1 + every[:, 0]) * (1 + every[:, 1])
    drawn = random.permutation(len(every))[:40]
    fits = fit_models(every[drawn], accuracies[drawn], {"ms": costs[drawn]}, steps)
    return fits, every, costs


def test_fitted_costs_of_sums_and_products_of_neighbours_are_exact(models):
    fits, every, costs = models
    np.testing.assert_allclose(fits.cost("ms", every), costs, rtol=1e-6)


def test_the_optimum_of_the_models_is_found_for_random_limits(models):
    fits, every, costs = models
    predicted, hits, seconds = fits.accuracies(every.astype(float)), 0, []
    for most in np.random.default_rng(1).uniform(costs.min() * 1.01, costs.max(), 20):
        begun = time.process_time()
        found = maximise(fits, {"ms": most}, lambda near: np.ones(len(near), dtype=bool))
        seconds.append(time.process_time() - begun)
        within = fits.fitting(every, {"ms": most})
        place = np.flatnonzero((every == found).all(1))[0]
        assert within[place]
        hits += predicted[place] >= predicted[within].max() - 1e-9
    assert hits >= 19
    assert np.median(seconds) < 1


def test_architectures_that_the_space_has_not_are_not_chosen(models):
    fits, _, _ = models
    best = maximise(fits, {}, lambda near: np.ones(len(near), dtype=bool))
    other = maximise(fits, {}, lambda near: (near != best).any(1))
    assert (other != best).any()


def all_of(near):
    return np.ones(len(near), dtype=bool)


@pytest.mark.parametrize("off", [0.6, 0.9, 1.1, 1.5])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_limits_are_kept_by_true_costs_where_fitted_ones_are_off(models, off, share):
    fits, every, costs = models
    factors = 1 + (off - 1) * np.sin(1 + every @ [0.3, 0.2, 0.1]) ** 2  # off here, right there
    true_of = dict(zip(map(tuple, every.tolist()), (costs * factors).tolist(), strict=True))
    most, built = float(np.quantile([*true_of.values()], share)), []

    def true(place):
        built.append(tuple(place.tolist()))
        return {"ms": true_of[built[-1]]}

    found = maximise(fits, {"ms": most}, all_of, true)
    assert true_of[tuple(found.tolist())] <= most
    assert len(built) <= 12
    assert len({*built}) == len(built)
    within = every[np.array([true_of[tuple(place)] <= most for place in every.tolist()])]
    best = fits.accuracies(within.astype(float))
    assert fits.accuracies(found[None].astype(float))[0] >= np.quantile(best, 0.95)


def test_what_costs_less_than_it_is_fitted_to_is_found(models):
    fits, every, costs = models
    half = dict(zip(map(tuple, every.tolist()), (costs / 2).tolist(), strict=True))
    most = 0.6 * costs.min()  # by fitted costs nothing is within that
    found = maximise(fits, {"ms": most}, all_of, lambda at: {"ms": half[tuple(at.tolist())]})
    assert half[tuple(found.tolist())] <= most


def test_what_cannot_be_built_is_not_chosen(models):
    fits, _, _ = models
    best = maximise(fits, {}, all_of)
    other = maximise(fits, {}, all_of, lambda at: None if (at == best).all() else {})
    assert (other != best).any()
    with pytest.raises(SpaceError, match="no architecture was found"):
        maximise(fits, {}, all_of, lambda at: None)


class Cube:
    """The space of the models."""

    levels = (tuple(range(6)),) * 3

    def at(self, numbers):
        return {"numbers": numbers}


@pytest.mark.parametrize(("better", "said"), [(0, True), (10, True), (11, None)])
def test_whether_nothing_is_better_is_not_said_where_too_many_would_have_to_be_built(
    models, better, said
):
    fits, every, _ = models
    predicted = np.sort(fits.accuracies(every.astype(float)))[-1 - better]
    too_much = {"ms": np.inf}
    assert _is_best(Cube(), fits, predicted, {"ms": 1e9}, lambda place: too_much) is said
    if better:
        assert _is_best(Cube(), fits, predicted, {"ms": 1e9}, lambda place: {"ms": 1}) is False


@pytest.mark.parametrize("seed", [0, 1])
def test_a_choice_keeps_its_limits_by_what_its_network_costs(seed):
    choice = autoprox.search_by_accuracies("natssss", params=":150K", model="ridge", seed=seed)
    network = autoprox.build("natssss", choice.config)
    true = sum(each.numel() for each in network.parameters())
    assert true <= 150_000
    assert choice.true_costs == {"params": true}
    assert choice.costs["params"] != true  # the model has its own opinion
    assert choice.to_json()["true_costs"] == {"params": true}


def test_a_bench_of_numbers_is_searched():
    choice = autoprox.search_by_accuracies("resnet64", 25, params=":400K", target="c100")
    bench = autoprox.load_bench("resnet64")
    chosen = next(row for row in bench.architectures if row.config == choice.config)
    network = autoprox.build("resnet64", choice.config)
    assert sum(each.numel() for each in network.parameters()) <= 400_000
    assert choice.costs["params"] <= 400_000
    assert choice.errors["params"] < 0.01
    assert choice.best
    assert choice.accuracy == chosen.accuracies["c100"]
    assert choice.to_json()["trained"] == 25
    again = autoprox.search_by_accuracies("resnet64", 25, params=":400K", target="c100")
    assert (again.config, again.predicted) == (choice.config, choice.predicted)


class Numbers:
    """A space of one's own: two widths."""

    name, input_shape, classes = "two_widths", (3,), 2
    levels = ((2, 4, 8), (2, 4, 8))

    def numbers(self, config):
        return config["widths"]

    def at(self, numbers):
        return {"widths": list(numbers)}

    def sample(self, random):
        return {"widths": [random.choice(levels) for levels in self.levels]}

    def mutate(self, config, random):
        return self.sample(random)

    def build(self, config):
        from torch import nn

        first, second = config["widths"]
        return nn.Sequential(nn.Linear(3, first), nn.Linear(first, second), nn.Linear(second, 2))


def test_a_space_of_ones_own_is_searched_by_its_trained_networks():
    trained = [({"widths": [a, b]}, 50 + 4 * a - b) for a in (2, 4, 8) for b in (2, 4, 8)]
    trained += trained[:1]
    choice = autoprox.search_by_accuracies(Numbers(), trained)
    assert choice.config == {"widths": [8, 2]}
    assert choice.accuracy is None


def bench_of_losses():
    """A bench whose first target is a loss, least at the largest architecture."""
    from torch import nn

    def build(row):
        (width,) = row.config["width"]
        return nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.Linear(width, 3))

    sizes = [(width, depth) for width in range(4, 34, 2) for depth in (1, 2)]
    rows = [
        Architecture(
            f"net/{width}x{depth}",
            "net",
            {"width": [width], "depth": [depth]},
            {"loss": 12 - width / 4 - depth, "accuracy": 50.0 + width + depth},
        )
        for width, depth in sizes
    ]
    return Bench(
        name="of_losses",
        architectures=tuple(rows),
        build=build,
        input_shape=(3, 2, 2),
        classes=3,
        lower_is_better=("loss",),
    )


@pytest.mark.parametrize("target", [None, "loss", "accuracy"])
@pytest.mark.parametrize("given", [True, False])
def test_of_losses_the_least_is_chosen_and_shown_in_its_own_unit(target, given):
    space = BenchSpace(bench_of_losses())
    rows = space.bench.architectures
    own = [(row.config, row.accuracies[target or "loss"]) for row in rows[::2] + rows[-1:]]
    choice = autoprox.search_by_accuracies(space, own if given else 20, target=target)
    assert choice.config == {"width": [32], "depth": [2]}
    assert choice.best
    assert choice.accuracy == {"accuracy": 84.0}.get(target, 2.0)
    assert choice.predicted == pytest.approx(choice.accuracy, abs=1)


@pytest.mark.parametrize(
    ("space", "options", "words"),
    [
        ("resnet64", {"params": ":1K"}, "the least is 8"),
        ("resnet64", {"params": "1K:2M"}, "limits from above.*'1K:2M'"),
        ("resnet64", {"trained": 2}, "needs at least 5 labels; got 2"),
        ("resnet64", {"trained": 65}, "64 architectures with accuracies; got labels=65"),
        ("resnet64", {"trained": 6, "params": ":1M"}, "needs 10 measurements or more; got 6"),
        ("autoformer", {}, "autoformer are no vectors of numbers"),
        (Numbers(), {}, "nothing is known of the accuracies of two_widths"),
        (Numbers(), {"trained": [({"widths": [2, 2]}, 1.0)] * 9}, "all 9 labels are the same"),
        (Numbers(), {"trained": [({"widths": [2, 3]}, 1.0)] * 9}, "3 is none of 2, 4, 8"),
        (Numbers(), {"trained": [({"widths": [2]}, 1.0)] * 9}, "1 numbers, not 2"),
        (Numbers(), {"trained": [({"widths": [2, 2]}, None)] * 9}, "got None for"),
    ],
)
def test_what_cannot_be_searched_is_refused(space, options, words):
    with pytest.raises(AutoproxError, match=words):
        autoprox.search_by_accuracies(space, **options)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="c100_kd"):
        autoprox.search_by_accuracies("resnet64", target="c101")
    with pytest.raises(UnknownNameError, match="c100_kd"):
        autoprox.search_by_accuracies("resnet64", [({"depths": [3, 3, 3]}, 1.0)], target="c101")
    with pytest.raises(UnknownNameError, match="gp"):
        autoprox.search_by_accuracies("resnet64", model="forest")


def test_nothing_within_the_limits_is_said(models):
    fits, _, _ = models
    with pytest.raises(SpaceError, match=r"within ms of at most 0\.5"):
        maximise(fits, {"ms": 0.5}, lambda near: np.ones(len(near), dtype=bool))


def test_the_command_prints_the_choice_and_refuses_what_does_not_go_with_it():
    def said(*arguments):
        done = CliRunner().invoke(main, ["search", "--space", "resnet64", *arguments])
        return done.exit_code, " ".join(done.output.split())

    code, text = said("--method", "shgo", "--labels", "12", "--target", "c100")
    choice = autoprox.search_by_accuracies("resnet64", 12, target="c100")
    assert code == 0, text
    assert f"accuracy {choice.predicted:.2f} by a model of 12 trained networks" in text
    assert f"published {choice.accuracy:.2f}" in text
    assert "no other within the limits is better by the model" in text
    code, text = said("--algorithm", "shgo", "--proxy", "zico")
    assert code == 2
    assert "--algorithm shgo does not go with --proxy" in text
    code, text = said("--proxy", "zico", "--labels", "25")
    assert code == 2
    assert "--labels goes with --algorithm shgo" in text
