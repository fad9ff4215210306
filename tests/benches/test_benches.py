"""The bench, its split, and how a bench is found."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import autoprox
from autoprox.benches import BENCHES, Architecture, Bench, load_bench, split
from autoprox.errors import AutoproxError, BenchError, UnknownNameError
from tests.processes import run_python


def build(architecture: Architecture) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, architecture.config["width"]))


def rows(count: int, space: str = "toy", classes: int = 0) -> tuple[Architecture, ...]:
    """Architectures of one space; if `classes` is given, that many isomorphism classes."""
    return tuple(
        Architecture(
            name=f"{space}/{index}",
            space=space,
            config={"width": 3},
            accuracies={"a": 50.0 + index, "b": None if index % 2 else 60.0 + index},
            isomorph=f"class {index % classes}" if classes else None,
        )
        for index in range(count)
    )


def toy(**changes: Any) -> Bench:
    bench: dict[str, Any] = {
        "name": "toy",
        "architectures": rows(20),
        "targets": ("a", "b"),
        "default_targets": ("a",),
        "build": build,
        "input_shape": (3, 2, 2),
        "classes": 3,
    }
    return Bench(**{**bench, **changes})


def with_figure(figure: Any) -> tuple[Architecture, ...]:
    first, *others = rows(20)
    return (dataclasses.replace(first, accuracies={"a": figure, "b": 1.0}), *others)


# The table


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(BenchError, match="'toy' has no architecture"):
        toy(architectures=())


def test_two_architectures_of_one_name_are_refused() -> None:
    with pytest.raises(BenchError, match="2 architectures are named 'toy/0'"):
        toy(architectures=rows(20) + rows(1))


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf, "71.5", True])
def test_a_figure_that_is_no_finite_number_is_refused_by_name(figure: Any) -> None:
    with pytest.raises(BenchError, match=r"'toy/0', target 'a': expected a finite.*write null"):
        toy(architectures=with_figure(figure))


def test_a_target_without_a_column_is_refused() -> None:
    with pytest.raises(BenchError, match="'toy/0' has no target 'c'"):
        toy(targets=("a", "b", "c"))


def test_a_target_without_any_figure_is_refused() -> None:
    with pytest.raises(BenchError, match="target 'a' has no figure at all"):
        toy(architectures=with_figure(None)[:1])


def test_default_targets_and_losses_must_be_targets() -> None:
    with pytest.raises(BenchError, match="default target 'z' is not among its targets"):
        toy(default_targets=("z",))
    with pytest.raises(BenchError, match="lower-is-better target 'z' is not among its targets"):
        toy(lower_is_better="z")


def test_a_bench_needs_a_target() -> None:
    first, *others = rows(20)
    with pytest.raises(BenchError, match="'toy' has no target: its first architecture has no figu"):
        toy(architectures=(dataclasses.replace(first, accuracies={}), *others), targets=())


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ({"z/b": 0.3}, "noise names 'z/b', which is no space/target of it; there are toy/a, toy/b"),
        ({"b": 0.3}, "noise names 'b'"),
        ({"toy/b": 0}, "a standard deviation above 0; got 0 of 'toy/b'"),
        ({"toy/b": "0.3"}, "a standard deviation above 0; got '0.3'"),
        (0.3, "noise is to be a mapping such as {'toy/a': 0.3}; got 0.3"),
    ],
)
def test_noise_is_of_a_column_and_above_0(noise: Any, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        toy(noise=noise)


@pytest.mark.parametrize("accuracies", [None, 71.5, [71.5]])
def test_accuracies_are_figures_by_target(accuracies: Any) -> None:
    row = Architecture("x", "toy", {"width": 3}, accuracies)
    with pytest.raises(BenchError, match=r"are to be those of read_table, or Architecture\(name"):
        toy(architectures=(row, *rows(20)), targets=())


def test_a_space_without_a_figure_of_a_default_target_is_no_bench() -> None:
    other = [
        dataclasses.replace(row, accuracies={"a": None, "b": 1.0 * place})
        for place, row in enumerate(rows(20, "other"))
    ]
    bench = toy(architectures=(*rows(20), *other))
    words = r"none of its default targets \(a\) has a figure in other"
    with pytest.raises(BenchError, match=words):
        bench.restricted(["other"])


def test_the_noise_of_a_target_goes_with_it() -> None:
    known, other = rows(20), rows(20, "other")
    unknown = [dataclasses.replace(row, accuracies={"a": 1.0, "b": None}) for row in other]
    bench = toy(architectures=(*known, *unknown), noise={"toy/a": 0.1, "toy/b": 0.3})
    assert bench.restricted(["other"]).noise == {}
    assert bench.restricted(["toy"]).noise == bench.noise


def test_targets_that_are_not_given_are_those_of_the_table_and_a_fitness_is_over_all() -> None:
    assert toy(targets=(), default_targets=()).default_targets == ("a", "b")
    assert toy(targets=("b",), default_targets=()).default_targets == ("b",)


@pytest.mark.parametrize("shape", [(), (3, 0, 2), (3, 2.0)])
def test_an_impossible_input_shape_is_refused(shape: Any) -> None:
    with pytest.raises(BenchError, match="shape of one input without the batch"):
        toy(input_shape=shape)


def test_one_class_is_refused() -> None:
    with pytest.raises(BenchError, match="at least 2 classes, got 1"):
        toy(classes=1)


def test_accuracies_are_in_the_order_asked_for_with_nan_for_none() -> None:
    bench = toy()
    np.testing.assert_array_equal(bench.accuracies("b")[:3], [60.0, np.nan, 62.0])
    np.testing.assert_array_equal(
        bench.accuracies("a", bench.architectures[4:2:-1]), np.array([54.0, 53.0])
    )
    with pytest.raises(UnknownNameError, match="unknown target 'c'"):
        bench.accuracies("c")


def test_spaces_are_in_the_order_of_the_table() -> None:
    bench = toy(architectures=rows(10, "wide") + rows(11, "deep"))
    assert bench.spaces == ("wide", "deep")
    assert [len(bench.in_space(space)) for space in bench.spaces] == [10, 11]
    with pytest.raises(UnknownNameError, match="did you mean 'deep'"):
        bench.in_space("deap")


def test_restriction_keeps_the_named_spaces_and_their_targets() -> None:
    figureless = tuple(
        dataclasses.replace(one, accuracies={"a": 1.0, "b": None}) for one in rows(12, "deep")
    )
    bench = toy(architectures=rows(10, "wide") + figureless)
    assert bench.restricted() is bench
    deep = bench.restricted(["deep"])
    assert (deep.spaces, deep.targets, len(deep.architectures)) == (("deep",), ("a",), 12)
    assert bench.restricted(["deep", "wide"]).targets == ("a", "b")
    with pytest.raises(UnknownNameError, match="unknown space 'shallow'"):
        bench.restricted(["deep", "shallow"])
    with pytest.raises(BenchError, match="no architecture"):
        bench.restricted([])


# Networks


def test_weights_depend_on_architecture_and_seed_only() -> None:
    bench = toy()
    one, two = bench.architectures[:2]
    weight = bench.network(one).state_dict()["1.weight"]
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(bench.network(one).state_dict()["1.weight"], weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(bench.network(one, seed=1).state_dict()["1.weight"], weight)
    assert not torch.equal(bench.network(two).state_dict()["1.weight"], weight)


def test_another_process_builds_the_same_weights() -> None:
    script = (
        "from autoprox.benches import load_bench\n"
        "bench = load_bench('vit101')\n"
        "network = bench.network(bench.in_space('pit')[0], seed=5)\n"
        "print(network.head.weight.double().sum().item().hex())"
    )
    answer = run_python("-c", script)
    bench = load_bench("vit101")
    head: Any = bench.network(bench.in_space("pit")[0], seed=5).head
    assert float.fromhex(answer.stdout.strip()) == pytest.approx(
        head.weight.double().sum().item(), rel=1e-12
    )


# The split


def test_a_split_holds_out_the_asked_share_of_every_space() -> None:
    bench = toy(architectures=rows(20, "wide") + rows(10, "deep"))
    parts = split(bench, seed=0, held_out_share=0.3)
    assert len([index for index in parts.held_out if index < 20]) == 6
    assert len([index for index in parts.held_out if index >= 20]) == 3


def test_the_split_of_a_space_does_not_depend_on_the_other_spaces() -> None:
    both = toy(architectures=rows(20, "wide") + rows(30, "deep"))
    alone = both.restricted(["deep"])
    names = [
        {bench.architectures[index].name for index in split(bench, seed=7).held_out}
        for bench in (both, alone)
    ]
    assert {name for name in names[0] if name.startswith("deep")} == names[1]


@pytest.mark.parametrize("seed", range(5))
def test_isomorphic_architectures_stay_together(seed: int) -> None:
    bench = toy(architectures=rows(40, classes=7))
    parts = split(bench, seed)
    classes = [
        {bench.architectures[index].isomorph for index in part}
        for part in (parts.search, parts.held_out)
    ]
    assert not classes[0] & classes[1]
    assert sorted(parts.search + parts.held_out) == list(range(40))


@pytest.mark.parametrize("seed", range(5))
def test_what_a_space_holds_out_and_another_searches_on_is_in_neither_part(seed: int) -> None:
    bench = toy(architectures=rows(40, "wide", classes=25) + rows(30, "deep", classes=20))
    parts = split(bench, seed)
    names, classes = (
        [{getattr(bench.architectures[index], of) for index in part}
         for part in (parts.search, parts.held_out)]
        for of in ("name", "isomorph")
    )  # fmt: skip
    assert not classes[0] & classes[1]
    for space in bench.spaces:
        alone = bench.restricted([space])
        own = split(alone, seed)
        assert {alone.architectures[index].name for index in own.search} <= names[0]
        for index in own.held_out:
            row = alone.architectures[index]
            assert (row.name in names[1]) == (row.isomorph not in classes[0])
    assert len(names[0]) + len(names[1]) < 70


def test_a_space_that_holds_out_only_what_another_searches_on_is_refused() -> None:
    bench = toy(architectures=rows(10, "wide", classes=10) + rows(10, "deep", classes=10))
    with pytest.raises(BenchError, match="all that space 'wide' would hold out is"):
        split(bench, seed=0, held_out_share=0.1)


SPLITS = {
    "vit101": "0d6de2d75f722d61",
    "nb201": "df758b2e878b70dd",
    "mq101": "7eb1606f15492bb7",
    "mq101wide": "7eb1606f15492bb7",
    "natssss": "1496a9cb5b007176",
    "transnas": "07916d9cd609774d",
    "nb101": "7fb28cc423a23b67",
    "macro": "232223fb24a07328",
    "darts": "9705744f06961c9b",
    "autoformer_s": "728bd5eaab15b17f",
    "landmarks": "d350dc7f63842176",
    "rnn": "718143b12c897c08",
    "resnet64": "1e080381e5d379a6",
}
"""What a split of each bench that ships was, with seed 0, before spaces knew of each other."""


@pytest.mark.parametrize("name", SPLITS)
def test_benches_whose_classes_are_each_of_one_space_split_as_ever(name: str) -> None:
    parts = split(load_bench(name), seed=0)
    told = repr((parts.search, parts.held_out)).encode()
    assert hashlib.sha256(told).hexdigest()[:16] == SPLITS[name]


def test_all_benches_that_ship_have_a_known_split() -> None:
    assert {*SPLITS, "mpnb201"} == set(BENCHES)


def test_a_space_of_nine_cannot_be_split() -> None:
    bench = toy(architectures=rows(20, "wide") + rows(9, "deep"))
    with pytest.raises(BenchError, match=r"space 'deep' has 9 architectures.*at least 10"):
        split(bench, seed=0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_share_outside_zero_and_one_is_refused(share: float) -> None:
    with pytest.raises(BenchError, match="between 0 and 1"):
        split(toy(), seed=0, held_out_share=share)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(BenchError, match="leaves a part empty"):
        split(toy(), seed=0, held_out_share=share)


def test_one_isomorphism_class_cannot_be_split() -> None:
    with pytest.raises(BenchError, match="in 1 isomorphism classes"):
        split(toy(architectures=rows(20, classes=1)), seed=0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(BenchError, match="non-negative integer; got -1"):
        split(toy(), seed=-1)


# Finding a bench


def test_an_unknown_name_suggests_a_bench_and_a_path() -> None:
    with pytest.raises(AutoproxError, match=r"did you mean 'vit101'.*a path to a \.py") as caught:
        load_bench("vit11")
    assert isinstance(caught.value, UnknownNameError)


def test_a_set_of_benches_is_not_one_bench() -> None:
    with pytest.raises(BenchError, match=r"'general' is 10 benches.*evolve.*: vit101, nb201"):
        load_bench("general")
    with pytest.raises(BenchError, match=r"'rnn, nb21' is 2 benches.*evolve.*one of .*: rnn, nb21"):
        autoprox.rank(["params"], "rnn, nb21")


def test_a_table_is_no_file_of_a_bench(tmp_path: Path) -> None:
    (tmp_path / "cnn.csv").write_text("name,accuracy\na,41\n")
    with pytest.raises(BenchError, match=r"ends in \.py; got '.*cnn\.csv': .*read_table reads"):
        load_bench(tmp_path / "cnn.csv")


def test_the_package_refuses_to_be_imported_under_another_name() -> None:
    import autoprox

    root = Path(autoprox.__file__).resolve().parent.parent
    if not (root / "benches").is_dir():
        pytest.skip("autoprox is installed: there is no top-level folder benches")
    answer = subprocess.run(
        [sys.executable, "-c", "import benches"], cwd=root, capture_output=True, text=True
    )
    assert "import autoprox.benches, not benches" in answer.stderr


FILE = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn
from autoprox.benches import Architecture, Bench

@dataclass
class Width:
    value: int

class Net(nn.Module):
    def __init__(self, width: Width) -> None:
        super().__init__()
        self.layer = nn.Linear(4, width.value)

    def forward(self, x):
        return self.layer(x)

def build(architecture):
    return Net(Width(architecture.config["width"]))

def make():
    rows = tuple(Architecture(str(i), "all", {"width": 2}, {"a": 1.0 * i}) for i in range(10))
    return Bench(name="mine", architectures=rows, build=build, input_shape=(4,), classes=2)

"""


@pytest.mark.parametrize("last", ["bench = make()", "bench = make", "bench = lambda: make()"])
def test_a_file_defines_a_bench_or_a_function(tmp_path: Path, last: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE + last)
    before = set(sys.modules)
    for given in (path, str(path)):
        bench = load_bench(given)
        assert bench.name == "mine"
        assert bench.network(bench.architectures[0])(torch.ones(5, 4)).shape == (5, 2)
    assert not {name for name in set(sys.modules) - before if "mine" in name}
    assert "mine" not in BENCHES


def test_a_file_is_executed_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one second and one size, Python takes files for the same, and their compiled code, too."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for name in ("mine", "mint"):
        path.write_text(FILE.replace('"mine"', f'"{name}"') + "bench = make()")
        os.utime(path, (0, 0))
        assert load_bench(str(path)).name == name
    assert [*tmp_path.iterdir()] == [path]


def test_a_bench_of_a_file_reaches_another_process(tmp_path: Path) -> None:
    # What joblib sends its work with; older versions of joblib bundle it.
    cloudpickle = pytest.importorskip("cloudpickle")
    path = tmp_path / "mine.py"
    path.write_text(FILE + "bench = make()")
    (tmp_path / "sent").write_bytes(cloudpickle.dumps(load_bench(path)))
    path.unlink()
    script = (
        "import sys, cloudpickle\n"
        "bench = cloudpickle.loads(open(sys.argv[1], 'rb').read())\n"
        "print(bench.network(bench.architectures[0]).layer)"
    )
    answer = run_python("-c", script, tmp_path / "sent")
    assert answer.stdout.startswith("Linear(in_features=4, out_features=2"), answer.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines no `bench`"),
        ("bench = 5\n", "got int"),
        ("def bench():\n    return 'vit101'\n", "got str"),
        ("x = 1\ny = x / 0\nbench = 1\n", r"mine\.py, line 2: ZeroDivisionError: division by zero"),
        ("x = 1\nbench = = 1\n", r"mine\.py, line 2: SyntaxError"),
        ("def bench():\n\n    return {}['a']\n", r"mine\.py, line 3: KeyError: 'a'"),
        ("import nowhere_at_all\n", r"line 1: ModuleNotFoundError: .*nowhere_at_all"),
        (
            "from autoprox.benches import read_table\ntable = read_table('no.csv')\n",
            r"mine\.py, line 2: BenchError: cannot read no\.csv: ",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BenchError, match=message):
        load_bench(path)
    assert not [name for name in sys.modules if name.startswith("autoprox_file_mine")]


def test_a_relative_path_is_named_with_its_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def bench():\n    raise ValueError('no')\n")
    with pytest.raises(BenchError, match=r"mine\.py, line 2: ValueError: no"):
        load_bench("mine.py")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"there is no file .*absent\.py"):
        load_bench(tmp_path / "absent.py")
