"""Samples of a bench, and runs on them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from torch import nn

import autoprox
from autoprox.benches import Architecture, Bench, drawn, load_bench
from autoprox.cli import main
from autoprox.errors import BenchError, RunError
from autoprox.evolution.settings import Settings
from autoprox.runs.evolve import evolve
from autoprox.runs.ground import lay

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")


def rows(count: int, space: str = "toy", classes: int = 0) -> tuple[Architecture, ...]:
    """Architectures of one space; if `classes` is given, that many isomorphism classes."""
    return tuple(
        Architecture(
            name=f"{space}/{index}",
            space=space,
            config={},
            accuracies={"a": 50.0 + index, "b": 60.0 if index == 0 else None},
            isomorph=f"{space} {index % classes}" if classes else None,
        )
        for index in range(count)
    )


def toy(architectures: tuple[Architecture, ...], **changes: Any) -> Bench:
    given: dict[str, Any] = {"caveats": (), "build": lambda _: nn.Flatten(), **changes}
    return Bench(
        name="toy",
        description="A toy.",
        citation="nobody",
        source="nowhere",
        architectures=architectures,
        targets=("a", "b"),
        default_targets=("a",),
        input_shape=(3, 2, 2),
        classes=12,
        **given,
    )


def names(bench: Bench) -> list[str]:
    return [one.name for one in bench.architectures]


def test_a_larger_sample_holds_the_smaller_one() -> None:
    bench = toy(rows(60, "wide", classes=20) + rows(30, "deep"))
    for seed in range(3):
        samples = [set(names(bench.sampled(count, seed))) for count in (10, 25, 60, 90)]
        assert [len(sample) for sample in samples] == [10, 25, 60, 90]
        assert samples[0] < samples[1] < samples[2] < samples[3]


def test_another_seed_draws_another_sample() -> None:
    bench = toy(rows(60))
    assert names(bench.sampled(20, 1)) == names(bench.sampled(20, 1))
    assert names(bench.sampled(20, 1)) != names(bench.sampled(20, 2))


def test_every_space_gives_its_share() -> None:
    bench = toy(rows(60, "wide") + rows(30, "deep"))
    spaces = Counter(one.space for one in bench.sampled(30).architectures)
    assert spaces == {"wide": 20, "deep": 10}


def test_classes_come_first_and_then_their_other_members() -> None:
    bench = toy(rows(60, classes=20))
    for count, most in ((20, 1), (21, 2), (40, 2), (41, 3)):
        classes = Counter(one.isomorph for one in bench.sampled(count).architectures)
        assert len(classes) == 20
        assert max(classes.values()) == most


def test_a_plain_sample_has_as_many_of_a_class_as_chance_gives_it() -> None:
    bench = toy(tuple(replace(one, isomorph=None if i < 30 else "big")
                      for i, one in enumerate(rows(60))))  # fmt: skip
    assert sum(one.isomorph == "big" for one in bench.sampled(30).architectures) == 1
    shares = [
        np.mean(
            [one.isomorph == "big" for one in bench.sampled(30, seed, plain=True).architectures]
        )
        for seed in range(40)
    ]
    assert 0.3 < min(shares) < max(shares) < 0.7
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)


def test_a_plain_sample_without_classes_is_the_sample() -> None:
    bench = toy(rows(40, "wide") + rows(20, "deep"))
    assert names(bench.sampled(20, 1, plain=True)) == names(bench.sampled(20, 1))
    assert set(names(bench.sampled(20, plain=True))) < set(names(bench.sampled(30, plain=True)))


def test_every_architecture_can_be_drawn() -> None:
    bench = toy(rows(12, classes=10))
    seen = {name for seed in range(60) for name in names(bench.sampled(10, seed))}
    assert seen == set(names(bench))


def test_a_target_without_a_figure_in_the_sample_is_left_out() -> None:
    bench = toy(rows(60))
    targets = {bench.sampled(10, seed).targets for seed in range(60)}
    assert targets == {("a",), ("a", "b")}


@pytest.mark.parametrize("count", [-1, 0, 9, 61])
def test_a_sample_too_small_or_too_large_is_refused(count: int) -> None:
    with pytest.raises(BenchError, match=rf"'toy' has 10 to 60 architectures.*got {count}"):
        toy(rows(60)).sampled(count)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(BenchError, match="non-negative integer; got -1"):
        toy(rows(60)).sampled(10, seed=-1)


@pytest.mark.parametrize(
    ("default", "asked", "size"), [(None, None, 60), (20, None, 20), (20, 30, 30), (80, None, 60)]
)
def test_a_run_draws_what_is_asked_for_or_what_the_bench_says(
    default: int | None, asked: int | None, size: int
) -> None:
    bench = toy(rows(60), default_architectures=default)
    found = drawn(bench, asked)
    assert len(found.architectures) == size
    assert len(drawn(found).architectures) == size  # a sample is not sampled again


def test_a_run_keeps_its_number_of_architectures_when_it_goes_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"evaluations": 40, "population": 10, "proposals": 20}
    cache = tmp_path / "cache"
    run = evolve(TINY, architectures=22, out=tmp_path / "run", cache=cache, **options)
    assert len(list(cache.rglob("*.safetensors"))) == 22
    # 40 % of 11 perceptrons and of 11 convolutional networks.
    assert {each.architectures for each in run.held_out[0].columns} == {4}
    saved = json.loads((run.folder / "config.json").read_text())["settings"]
    assert saved["architectures"] == 22
    ground = lay(TINY, Settings.from_json(saved), cache)
    assert names(ground.bench) == names(load_bench(TINY).sampled(22))


def test_the_commands_take_a_number_of_architectures(tmp_path: Path) -> None:
    cache = ["--cache", str(tmp_path / "cache"), "--jobs", "1", "--quiet"]
    many = ["--architectures", "22"]
    built = CliRunner().invoke(main, ["bench", "build", TINY, *many, *cache])
    assert built.output.startswith("measured 22 architectures")
    budget = ["--evaluations", "30", "--population", "10", "--proposals", "10"]
    out = ["--out", str(tmp_path / "run")]
    run = CliRunner().invoke(main, ["evolve", "--bench", TINY, *many, *budget, *cache, *out])
    assert "22 architectures drawn" in run.output
    refused = CliRunner().invoke(main, ["bench", "build", TINY, "--architectures", "25", *cache])
    assert refused.exit_code != 0
    assert "10 to 24 architectures" in refused.output


@pytest.mark.parametrize("count", [20.5, True, "20", 0])
def test_what_is_drawn_is_a_whole_number(count: object) -> None:
    said = f"architectures is a whole number from 1; got {count!r}"
    with pytest.raises(BenchError, match=said):
        autoprox.rank(["params"], TINY, architectures=count)
    with pytest.raises(BenchError, match=said):
        autoprox.fit(TINY, architectures=count)
    with pytest.raises(RunError, match=said):
        Settings(TINY, architectures=count)
