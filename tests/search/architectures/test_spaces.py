"""The spaces that ship, and spaces of one's own."""

import json
import math
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

import autoprox
from autoprox.benches.spaces import PIT, AutoFormerSpace, ChoiceSpace, pit_space
from autoprox.errors import SpaceError
from autoprox.search.architectures import SPACES, load_space
from autoprox.search.architectures.limits import cost_of, count_flops, range_of, ranges_of
from autoprox.search.architectures.space import bench_of, key_of, text_of
from autoprox.statistics import measure, noise

EXAMPLE = str(Path(__file__).parents[3] / "examples" / "cnn_space.py")
TOY = str(Path(__file__).with_name("toy_space.py"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=[*SPACES, EXAMPLE, TOY], ids=lambda source: Path(source).stem)
def space(request):
    return load_space(request.param)


def differences(first, second) -> int:
    """How many values of two configurations differ, those of lists one by one."""
    count = 0
    for name in first:
        a, b = first[name], second[name]
        if isinstance(a, list) and len(a) == len(b):
            count += sum(x != y for x, y in zip(a, b, strict=True))
        else:
            count += a != b
    return count


def test_draws_depend_on_the_generator_alone(space) -> None:
    for _ in range(3):
        first, second = (space.sample(Random(7)) for _ in range(2))
        assert first == second
        assert space.mutate(first, Random(8)) == space.mutate(second, Random(8))
    assert len({text_of(space, space.sample(Random(seed))) for seed in range(20)}) > 10


def test_configurations_are_json_and_stay_as_they_are(space) -> None:
    random = Random(0)
    config = space.sample(random)
    before = json.dumps(config)
    assert json.loads(before) == config
    for _ in range(50):
        space.mutate(config, random)
        space.crossover(config, space.sample(random), random)
    assert json.dumps(config) == before


def test_what_is_drawn_mutated_or_crossed_can_be_built(space) -> None:
    random = Random(1)
    first, second = space.sample(random), space.sample(random)
    for config in (first, space.mutate(first, random), space.crossover(first, second, random)):
        assert cost_of(space, config, "params") > 0


def test_costs_are_those_that_are_measured(space) -> None:
    config = space.sample(Random(3))
    shape = tuple(space.input_shape)
    inputs, targets = noise(shape, space.classes, batch=1)
    measured = measure(autoprox.build(space, config), inputs, targets, ["params", "flops"])
    sums = {name: round(measured.values[name].sum().item()) for name in ("params", "flops")}
    assert {name: cost_of(space, config, name) for name in sums} == sums


@pytest.mark.parametrize(
    ("layer", "flops"),
    [
        (nn.MultiheadAttention(8, 2, batch_first=True), 2 * (4 * 8 * 8 * 5 + 2 * 5 * 5 * 8)),
        (nn.GRU(8, 6), 2 * 5 * 3 * 6 * (8 + 6)),
        (nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2 * (5 * (4 * 64 + 2 * 96) + 400)),
    ],
)
def test_operations_of_attention_and_recurrent_layers_are_counted(layer, flops) -> None:
    x = torch.zeros(1, 5, 8)
    inputs = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else x
    assert count_flops(layer, inputs) == flops


@pytest.mark.parametrize("name", ["autoformer", "pit"])
def test_the_architectures_of_vit101_are_in_their_space(name) -> None:
    space, bench = load_space(name), autoprox.load_bench("vit101")
    random = Random(0)
    seen: dict[str, set[str]] = {}
    for _ in range(3000):
        for key, value in space.sample(random).items():
            parts = value if name == "autoformer" and isinstance(value, list) else [value]
            seen.setdefault(key, set()).update(map(str, parts))
    drawn: dict[str, set[str]] = {}
    for row in bench.in_space(name):
        for key, value in row.config.items():
            if key in seen:
                parts = value if name == "autoformer" and isinstance(value, list) else [value]
                drawn.setdefault(key, set()).update(map(str, parts))
    assert set(drawn) == set(seen)
    for key, values in drawn.items():
        assert values <= seen[key]
    if name == "autoformer":
        assert drawn == seen


def test_networks_are_those_of_the_bench() -> None:
    bench = autoprox.load_bench("vit101")
    for row in (bench.in_space("autoformer")[0], bench.in_space("pit")[0]):
        space = load_space(row.space)
        with torch.device("meta"):
            ours, theirs = space.build(row.config), bench.build(row)
        shapes = [p.shape for p in theirs.parameters()]
        assert [p.shape for p in ours.parameters()] == shapes


def test_a_mutation_changes_one_choice() -> None:
    random = Random(2)
    for name in ("nb201", "pit"):
        space = load_space(name)
        for _ in range(50):
            config = space.sample(random)
            mutant = space.mutate(config, random)
            assert mutant != config
            if name == "nb201":
                pairs = zip(config["cell"], mutant["cell"], strict=True)
                assert sum(a != b for a, b in pairs) == 1
            else:
                assert sum(config[key] != mutant[key] for key in config) == 1


def test_a_mutation_of_autoformer_changes_width_depth_or_one_block() -> None:
    space, random = AutoFormerSpace(), Random(3)
    kinds = set()
    for _ in range(200):
        config = space.sample(random)
        mutant = space.mutate(config, random)
        assert mutant["depth"] == len(mutant["num_heads"]) == len(mutant["mlp_ratio"])
        if mutant["depth"] == config["depth"]:
            assert differences(config, mutant) == 1
            kinds.update(key for key in config if config[key] != mutant[key])
        else:
            shared = min(mutant["depth"], config["depth"])
            for key in ("num_heads", "mlp_ratio"):
                assert mutant[key][:shared] == config[key][:shared]
            kinds.add("depth")
    assert kinds == {"hidden_dim", "depth", "num_heads", "mlp_ratio"}


def test_a_crossover_takes_every_choice_from_one_of_two() -> None:
    random = Random(4)
    space = AutoFormerSpace()
    for _ in range(50):
        pair = space.sample(random), space.sample(random)
        child = space.crossover(*pair, random)
        assert child["depth"] in {each["depth"] for each in pair}
        assert child["hidden_dim"] in {each["hidden_dim"] for each in pair}
        for place in range(child["depth"]):
            blocks = {
                (each["num_heads"][place], each["mlp_ratio"][place])
                for each in pair
                if place < each["depth"]
            }
            assert (child["num_heads"][place], child["mlp_ratio"][place]) in blocks


def test_pit_has_the_ten_rising_triples_of_heads() -> None:
    assert len(PIT["num_heads"]) == 10
    assert math.prod(map(len, PIT.values())) == 4320


def choices(**options) -> ChoiceSpace:
    """Perceptrons of three widths, and what else a `ChoiceSpace` takes."""

    def build(config):
        return nn.Sequential(nn.Linear(4, config["width"]), nn.Linear(config["width"], 3))

    usual = {"choices": {"width": (2, 3, 5)}, "input_shape": (4,), "classes": 3}
    return ChoiceSpace(name="wide", build=build, **usual | options)


def test_a_choice_with_one_option_is_left_as_it_is() -> None:
    space = load_space(choices(choices={"width": (2, 3, 5), "act": ("relu",)}))
    config, random = {"width": 3, "act": "relu"}, Random(0)
    mutants = [space.mutate(config, random) for _ in range(30)]
    assert {mutant["width"] for mutant in mutants} == {2, 5}
    assert {mutant["act"] for mutant in mutants} == {"relu"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "none has two"),
        ({"width": (2,)}, "none has two"),
        ({"width": (2, 3), "depth": ()}, "look at 'depth'"),
        ({"width": (2, 3, 2)}, "look at 'width'"),
        ({"width": ({1}, {2})}, "look at 'width'"),
        ({"width": "ab"}, "look at 'width'"),
        ({"width": 8}, "look at 'width'"),
    ],
)
def test_choices_without_a_choice_are_refused(options, told) -> None:
    with pytest.raises(SpaceError, match=rf"space 'wide': choices are names .*; {told}: got \{{"):
        choices(choices=options)


def test_options_are_what_a_folder_gives_back() -> None:
    space = choices(choices={"width": (2, 3), "sides": ((1, 2), (3, 4))})
    config = json.loads(json.dumps(space.sample(Random(0))))
    mutants = [space.mutate(config, Random(seed)) for seed in range(20)]
    assert all(mutant != config for mutant in mutants)
    assert {str(mutant["sides"]) for mutant in mutants} == {"[1, 2]", "[3, 4]"}


def test_inputs_take_the_place_of_shape_and_classes(tmp_path) -> None:
    space = choices(
        input_shape=(), classes=0, inputs=lambda batch, seed: noise((4,), 3, batch, seed)
    )
    found = autoprox.search_architectures(space, "synflow", evaluations=3, out=tmp_path / "found")
    assert {scored.config["width"] for scored in found.top(3)} == {2, 3, 5}


def test_equal_cells_are_one_architecture() -> None:
    space = load_space("nb201")
    for first, second, equal in (("000000", "010000", True), ("333333", "333332", False)):
        keys = {key_of(space, {"cell": cell}) for cell in (first, second)}
        assert (len(keys) == 1) == equal


def test_other_classes_and_sizes_are_arguments_of_the_space() -> None:
    space = pit_space(classes=7, image_size=64)
    config = space.sample(Random(0))
    assert autoprox.build(space, config)(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_the_weights_of_a_network_are_those_of_its_seed() -> None:
    space = load_space(TOY)
    config = {"widths": [2, 3, 4, 5]}
    first, again, other = (autoprox.build(space, config, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    bench = bench_of(space, [config])
    assert torch.equal(bench.network(bench.architectures[0]).get_parameter("0.weight"),
                       first[0].weight)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("space = 3", "lacks sample, mutate, build, name, input_shape, classes"),
        ("x = 1", "defines no `space`"),
        ("def f(:", "SyntaxError"),
        ("raise ValueError('no')", "line 1: ValueError: no"),
        ("class space:\n    def __init__(self):\n        raise OSError('gone')", "OSError: gone"),
    ],
)
def test_a_file_that_defines_no_space_says_what_lacks(tmp_path, text, message) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(SpaceError, match=message):
        load_space(path)


def test_a_space_without_mutate_is_refused_by_name(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(Path(TOY).read_text().replace("def mutate", "def change"))
    with pytest.raises(SpaceError, match=r"mine\.py: .* this one lacks mutate$"):
        load_space(path)
    with pytest.raises(SpaceError, match="there is no file"):
        load_space(tmp_path / "nowhere.py")


class Odd:
    name, input_shape, classes = "odd", (5,), 3

    def sample(self, random):
        return {"what": object()}

    def mutate(self, config, random):
        return config

    def build(self, config):
        return None


def test_what_is_no_json_and_what_fails_is_named(tmp_path) -> None:
    with pytest.raises(SpaceError, match="mapping of names to JSON values"):
        autoprox.search_architectures(Odd(), "zico", out=tmp_path / "a")
    odd = Odd()
    odd.sample = lambda random: 1 / 0
    with pytest.raises(SpaceError, match="sample of space 'odd' failed: ZeroDivisionError"):
        autoprox.search_architectures(odd, "zico", out=tmp_path / "b")


def test_ranges_are_closed_and_read_suffixes() -> None:
    found = range_of("params", "5M:7M")
    assert 5e6 in found
    assert 7e6 in found
    assert 7_000_001 not in found
    assert 0 in range_of("flops", " : 1.3G")
    assert 1.3e9 in range_of("flops", ":1.3g")


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_limits_of_a_device_the_strictest_holds(order) -> None:
    texts = ["latency:here.json:10ms", "latency:here.json:30", "energy:here.json:40 mJ"][::order]
    ranges = ranges_of(None, None, texts)
    most = {name: limit.most for name, limit in ranges.items()}
    assert most == {"latency:here.json": 10, "energy:here.json": 40}


@pytest.mark.parametrize("most", ["30M", "30Mms", "30s", "0ms", "-1", "ms", ""])
def test_a_limit_of_time_has_no_suffix_but_its_unit(most) -> None:
    with pytest.raises(SpaceError, match="a limit of latency is a number above 0 of ms") as told:
        ranges_of(None, None, [f"latency:raspi4:{most}"])
    assert str(told.value).endswith(f"as in latency:raspi4:30ms; got {most!r}")
