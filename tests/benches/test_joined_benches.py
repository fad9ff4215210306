"""Several benches in one table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from autoprox.benches import Bench, joined, load_bench, several
from autoprox.errors import BenchError, UnknownNameError

TINY, OTHER = (
    str(Path(__file__).parents[1].joinpath(name))
    for name in ("tiny_bench.py", "other_tiny_bench.py")
)


@pytest.fixture(scope="module")
def tiny() -> Bench:
    return load_bench(TINY)


@pytest.fixture(scope="module")
def other() -> Bench:
    return load_bench(OTHER)


def test_architectures_and_spaces_are_called_by_their_bench(tiny: Bench, other: Bench) -> None:
    view = joined([tiny, other])
    assert view.spaces == ("tiny/mlp", "tiny/cnn", "other/mlp")
    names = [one.name for one in view.architectures]
    assert names[:24] == [f"tiny/{one.name}" for one in tiny.architectures]
    assert names[24:] == [f"other/{one.name}" for one in other.architectures]


def test_the_figures_are_those_of_each_bench_s_own_default_targets(
    tiny: Bench, other: Bench
) -> None:
    view = joined([tiny, other])
    assert view.targets == view.default_targets == ("coarse", "fine", "top1")
    for seen, own in zip(view.architectures[:24], tiny.architectures, strict=True):
        assert seen.accuracies == {**own.accuracies, "top1": None}
    for seen, own in zip(view.architectures[24:], other.architectures, strict=True):
        # The other bench has figures for "coarse" as well, but not as a default target.
        figures = {"coarse": None, "fine": None, "top1": own.accuracies["top1"]}
        assert seen.accuracies == figures


def test_a_view_ranks_by_what_its_benches_agree_on(tiny: Bench, other: Bench) -> None:
    by_rho, too = (dataclasses.replace(b, default_correlation="spearman") for b in (tiny, other))
    assert joined([by_rho, too]).default_correlation == "spearman"
    assert joined([by_rho, other]).default_correlation == "somers"


def test_targets_that_are_asked_for_are_those_of_every_bench_that_has_them(
    tiny: Bench, other: Bench
) -> None:
    view = joined([tiny, other], ["coarse"])
    assert view.targets == ("coarse",)
    assert None not in view.accuracies("coarse").tolist()
    assert (
        view.architectures[24].accuracies["coarse"] == other.architectures[0].accuracies["coarse"]
    )


def test_isomorphism_classes_of_two_benches_are_never_one(tiny: Bench) -> None:
    rows = tuple(
        dataclasses.replace(one, isomorph="same" if i < 2 else None)
        for i, one in enumerate(tiny.architectures)
    )
    pair = [dataclasses.replace(tiny, name=name, architectures=rows) for name in ("a", "b")]
    isomorphs = [one.isomorph for one in joined(pair).architectures if one.isomorph]
    assert isomorphs == ["a/same", "a/same", "b/same", "b/same"]


def test_a_view_builds_no_network_and_says_why(tiny: Bench, other: Bench) -> None:
    view = joined([tiny, other])
    with pytest.raises(BenchError, match="'other/mlp/3x1' is seen through a view"):
        view.network(view.architectures[24])


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (["top2"], UnknownNameError, "did you mean 'top1'"),
        (["top1"], BenchError, r"'tiny' has none of the targets top1.*\(coarse, fine\)"),
    ],
)
def test_targets_that_a_bench_cannot_be_ranked_by_are_refused(
    targets: list[str], error: type[Exception], message: str, tiny: Bench, other: Bench
) -> None:
    with pytest.raises(error, match=message):
        joined([tiny, other], targets)


def test_benches_of_one_name_are_refused(tiny: Bench) -> None:
    with pytest.raises(BenchError, match="2 of the benches are called 'tiny'"):
        joined([tiny, tiny])
    with pytest.raises(BenchError, match="at least one"):
        joined([])


def test_commas_stand_between_benches() -> None:
    assert several("vit101") == ("vit101",)
    assert several("vit101, nb201,my.py") == ("vit101", "nb201", "my.py")
    for text in ("vit101,", ",vit101", "vit101,,nb201", ","):
        with pytest.raises(BenchError, match=f"between commas.*got {text!r}"):
            several(text)


def test_a_file_with_a_comma_in_its_path_is_one_bench(tmp_path: Path) -> None:
    path = tmp_path / "a,b.py"
    path.write_text("")
    assert several(str(path)) == (str(path),)


def test_losses_stay_losses_and_are_turned_once(tiny: Bench) -> None:
    losing = dataclasses.replace(tiny, lower_is_better="coarse")
    view = joined([losing])
    assert view.lower_is_better == ("coarse",)
    figures = losing.figures("coarse")
    assert (losing.accuracies("coarse") == -figures).all()
    assert (figures == tiny.accuracies("coarse")).all()
    assert (view.accuracies("coarse")[: len(figures)] == -figures).all()
    assert losing.sampled(12).lower_is_better == ("coarse",)


def test_a_target_of_two_directions_is_refused(tiny: Bench) -> None:
    losing = dataclasses.replace(tiny, name="losing", lower_is_better=("coarse",))
    with pytest.raises(BenchError, match="'coarse': lower is better in bench losing and higher in"):
        joined([tiny, losing])


def test_the_noise_of_figures_is_known_in_a_view(tiny: Bench, other: Bench) -> None:
    noisy = dataclasses.replace(tiny, noise={"mlp/coarse": 0.5, "mlp/fine": 0.2})
    assert joined([noisy, other]).noise == {
        "tiny/mlp/coarse": 0.5,
        "tiny/mlp/fine": 0.2,
    }
    assert joined([noisy], "fine").noise == {"tiny/mlp/fine": 0.2}
    with pytest.raises(BenchError, match="a standard deviation above 0; got nan"):
        dataclasses.replace(tiny, noise={"mlp/coarse": float("nan")})


def test_the_noise_of_macro_is_that_of_three_trainings() -> None:
    bench = load_bench("macro")
    figures = np.array([bench.figures(target) for target in bench.targets[1:]])
    _, one_each = np.unique([one.isomorph for one in bench.architectures], return_index=True)
    deviation = np.sqrt(figures[:, one_each].var(axis=0, ddof=1).mean())
    assert bench.noise["macro/c10_first"] == pytest.approx(deviation, abs=0.005)
    assert bench.noise["macro/c10"] == pytest.approx(deviation / np.sqrt(3), abs=0.005)


def test_the_noise_of_nb201_is_that_of_cells_of_one_class() -> None:
    bench = load_bench("nb201")
    classes: dict[str | None, list[int]] = {}
    for place, one in enumerate(bench.architectures):
        classes.setdefault(one.isomorph, []).append(place)
    for target, noise in zip(bench.default_targets, (0.3, 0.4, 0.6), strict=True):
        assert bench.noise[f"nb201/{target}"] == noise
        figures = bench.figures(target)
        squares = sum(figures[own].var() * len(own) for own in classes.values())
        deviation = np.sqrt(squares / (len(figures) - len(classes)))
        assert deviation == pytest.approx(noise, abs=0.05)
