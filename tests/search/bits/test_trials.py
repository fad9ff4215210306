"""Configurations tried on the network itself."""

import itertools

import numpy as np
import pytest
import torch

import autoprox
from autoprox.errors import QuantisationError
from autoprox.proxies.function import FunctionProxy
from autoprox.quantise import Method, costs, quantise
from autoprox.search.bits.limits import limit_of, space_of
from autoprox.search.bits.trials import divergence_of, neighbour, tried
from tests.search.bits.small import WIDTHS, batch, network

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = Method()


def decided():
    """The network with classes that differ, so that rounding is small beside the divergence."""
    made = network()
    with torch.no_grad():
        made[-1].weight.mul_(100)
    return made


def space(**limit):
    return space_of(costs(network(), batch()[0]), WIDTHS, limit_of({"average_bits": 3.2} | limit))


def test_the_divergence_is_that_of_the_outputs_probabilities():
    images, _ = batch(24)
    bits = (8, 2, 3, 2, 3, 8)
    with torch.no_grad():
        own, made = (
            each.eval()(images[12:]).double().softmax(1).numpy()
            for each in (decided(), quantise(decided(), bits, images[:12], PLAIN))
        )
    expected = np.mean(np.sum(own * np.log(own / made), axis=1))
    found = divergence_of(decided(), images, PLAIN)
    np.testing.assert_allclose(found(bits), expected, rtol=1e-4)
    assert expected > 0


def test_only_512_images_calibrate():
    images = batch(1040)[0]
    with torch.no_grad():
        own = decided().eval()(images[512:]).double().log_softmax(1)
        made = quantise(decided(), 3, images[:512], PLAIN)(images[512:]).double().log_softmax(1)
    expected = torch.nn.functional.kl_div(made, own, reduction="batchmean", log_target=True)
    found = divergence_of(decided(), images, PLAIN)((8, 3, 3, 3, 3, 8))
    np.testing.assert_allclose(found, float(expected), rtol=1e-4)


def test_as_many_images_calibrate_as_are_asked_for():
    images = batch(40)[0]
    for asked, count in ((None, 20), (8, 8), (39, 39)):
        with torch.no_grad():
            own = decided().eval()(images[count:]).double().log_softmax(1)
            made = quantise(decided(), 3, images[:count], PLAIN)(images[count:])
        made = made.double().log_softmax(1)
        expected = torch.nn.functional.kl_div(made, own, reduction="batchmean", log_target=True)
        found = divergence_of(decided(), images, PLAIN, asked)((8, 3, 3, 3, 3, 8))
        np.testing.assert_allclose(found, float(expected), rtol=1e-4)


def test_the_number_that_calibrates_reaches_the_trials():
    given = {"average_bits": 3.3, "widths": WIDTHS, "trials": 3, "images": batch(40)[0]}
    choice = autoprox.search_bits(network(), *batch(), "bit_sum", **given, calibration=5)
    divergence = divergence_of(network(), given["images"], calibration=5)
    assert choice.divergence == divergence(tuple(choice.bits.values()))
    assert choice.divergence != divergence_of(network(), given["images"])(
        tuple(choice.bits.values())
    )


@pytest.mark.parametrize("average_bits", [2.1, 2.6, 3.2, 3.9, 4])
def test_a_neighbour_fits_and_leaves_no_room(average_bits):
    there, generator = space(average_bits=average_bits), np.random.default_rng(0)
    place = there.uniform()[-1]
    for _ in range(50):
        place = neighbour(there, place, generator)
        assert there.fits(place[None])[0]
        for layer in np.flatnonzero(place < len(WIDTHS) - 1):
            higher = place.copy()
            higher[layer] += 1
            assert not there.fits(higher[None])[0]


@pytest.mark.parametrize("seed", range(5))
def test_hill_climbing_finds_the_least_of_a_simple_divergence(seed):
    there = space()
    every = np.array(list(itertools.product(range(len(WIDTHS)), repeat=4)))
    weights = np.random.default_rng(seed).random(4)
    asked = []

    def divergence(bits):
        asked.append(bits)
        return float(np.sum(weights * 2.0 ** -np.array(bits[1:-1])))

    values = np.sum(weights * 2.0 ** -np.array(WIDTHS)[every], axis=1)
    told = []
    found = tried(
        there,
        there.uniform()[-1:],
        divergence,
        np.random.default_rng(seed),
        81,
        lambda *numbers: told.append(numbers),
    )
    assert found.divergence == pytest.approx(values[there.fits(every)].min())
    assert len(asked) == len(set(asked)) == found.count == len(told) - 1
    assert told[:2] == [(0, 81), (1, 81)]


def test_the_best_start_stays_if_nothing_is_closer_and_known_neighbours_end_it():
    there = space()
    starts = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    order = iter([2.0, 1.0, *[3.0] * 20])
    found = tried(
        there, starts, lambda _: next(order), np.random.default_rng(0), 9, lambda *_: None
    )
    assert (found.places.tolist(), found.divergence) == ([[1, 1, 1, 1]], 1.0)
    assert 2 < found.count < 9
    assert found.finished


def test_trials_start_from_the_choice_and_from_uniform_bits():
    shown, images = batch(), batch(40)[0]
    given = {"average_bits": 3.3, "widths": WIDTHS, "seed": 1}
    plain = autoprox.search_bits(network(), *shown, "hawq_v2", **given)
    told = []
    choice, again = (
        autoprox.search_bits(
            network(),
            *shown,
            "hawq_v2",
            **given,
            trials=6,
            images=images,
            progress=lambda *each: told.append(each),
        )
        for _ in range(2)
    )
    assert choice == again
    assert choice.untried == plain
    assert (choice.found_by, choice.evaluated) == ("trials", 6)
    divergence = divergence_of(network(), images)
    assert choice.divergence == divergence(tuple(choice.bits.values()))
    assert choice.divergence <= divergence(tuple(plain.bits.values()))
    assert choice.divergence <= divergence((8, 3, 3, 3, 3, 8))
    assert choice.average_bits <= 3.3
    live = autoprox.load("hawq_v2")(network(), *shown, bits=choice.bits, sample=512, seed=1)
    np.testing.assert_allclose(choice.score, live, rtol=1e-9)
    assert choice.to_json()["untried"]["bits"] == plain.bits
    assert told[-1] == ("trying configurations on the network", 6, 6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 5}, "5 trials run the quantised network: give images"),
        ({"trials": -1}, "or 0; got -1"),
        ({"trials": "5"}, "or 0; got '5'"),
        ({"trials": 5, "images": torch.zeros(3, 3, 6, 6)}, "give 4 or more; got 3"),
        (
            {"trials": 5, "images": torch.zeros(8, 3, 6, 6), "calibration": 8},
            "do not calibrate: 2 to 7 of 8 may; got 8",
        ),
        ({"trials": 5, "images": torch.zeros(8, 6, 6, 3)}, r"\(images, 3, 6, 6\); got Tensor \(8,"),
        ({"trials": 5, "images": np.zeros((8, 3, 6, 6))}, "got ndarray"),
        ({"trials": 5, "images": torch.zeros(8, 3, 6, 6, dtype=torch.uint8)}, "normalised images"),
        ({"trials": 5, "images": torch.full((8, 3, 6, 6), torch.nan)}, "not finite"),
    ],
)
def test_trials_that_cannot_be_run_are_refused(given, message):
    with pytest.raises(QuantisationError, match=message):
        autoprox.search_bits(network(), *batch(), "bit_sum", average_bits=3, **given)


def test_images_are_refused_before_the_proxy_is_asked():
    def refusing(subject):
        """Is not to be called."""
        raise AssertionError(subject)

    proxy = FunctionProxy("refusing", refusing, needs_bits=True)
    images = torch.zeros(3, 3, 6, 6)
    with pytest.raises(QuantisationError, match="give 4 or more"):
        autoprox.search_bits(network(), *batch(), proxy, average_bits=3, trials=5, images=images)


def test_a_network_of_one_output_is_refused():
    made = torch.nn.Sequential(*list(network())[:-1], torch.nn.Linear(4, 1))
    with pytest.raises(QuantisationError, match=r"2 classes or more\); got \(4, 1\)"):
        divergence_of(made, batch(8)[0], PLAIN)


def test_what_the_proxy_has_no_score_for_may_be_chosen():
    def few(subject):
        """Minus the sum of the bits, where all are 2."""
        inner = list(subject.bits.values())[1:-1]
        return -float(sum(inner)) if set(inner) == {2} else float("nan")

    proxy = FunctionProxy("few", few, needs_bits=True)
    choice = autoprox.search_bits(
        network(), *batch(), proxy, average_bits=4, trials=5, images=batch(40)[0], evaluations=90
    )
    assert choice.untried.score == -8
    assert choice.score is None
    assert choice.to_json()["score"] is None


def test_an_interrupt_keeps_what_was_found():
    there = space()

    def divergence(bits, seen=[]):  # noqa: B006 - counts its calls
        seen.append(bits)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return float(len(seen) != 2)

    starts = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
    found = tried(there, starts, divergence, np.random.default_rng(0), 50, lambda *_: None)
    assert (found.places.tolist(), found.divergence) == ([[1, 1, 1, 1]], 0.0)
    assert (found.count, found.finished) == (3, False)

    def at_once(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tried(there, starts, at_once, np.random.default_rng(0), 50, lambda *_: None)


def test_configurations_without_finite_outputs_are_refused():
    there = space()
    with pytest.raises(QuantisationError, match="no configuration that was tried"):
        tried(
            there,
            there.uniform(),
            lambda _: float("nan"),
            np.random.default_rng(0),
            5,
            lambda *_: None,
        )


def test_an_interrupt_before_the_first_trial_keeps_the_proxys_choice(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("autoprox.search.bits.bits.tried", interrupted)
    given = {"average_bits": 3.3, "widths": WIDTHS}
    plain = autoprox.search_bits(network(), *batch(), "bit_sum", **given)
    choice = autoprox.search_bits(
        network(), *batch(), "bit_sum", **given, trials=5, images=batch(8)[0]
    )
    assert (choice.bits, choice.found_by) == (plain.bits, plain.found_by)
    assert plain.finished
    assert not choice.finished
