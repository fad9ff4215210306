"""The bench of bits of trained networks, on tables made here; and the shipped ones."""

import dataclasses
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from autoprox.benches import load_bench, mq101
from autoprox.benches.cifar import DEVIATION, MEAN, NETWORKS
from autoprox.cli import main
from autoprox.errors import BenchError, MissingTableError
from autoprox.leaderboard.run import rank
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan
from autoprox.proxies.loading import load
from autoprox.quantise.layers import costs, quantisable_layers
from autoprox.quantise.table import FACTS, Images, _digest, read_rows
from autoprox.runs.evolve import evolve
from autoprox.search.bits.comparison import builder_of, cifar_images
from autoprox.statistics import measure
from autoprox.training.checkpoint import half, write_weights

LAYERS = {"resnet20": 20, "vit": 26}
DATA = os.environ.get("AUTOPROX_DATA")
SHIPPED = [name for name in mq101.NETWORKS if (mq101.FOLDER / f"{name}.csv").is_file()]

pytestmark = pytest.mark.usefixtures("one_thread")


def table(network, seed=0):
    """Rows of both sets with accuracies that follow the bits of the first half."""
    draw = random.Random(f"{network} {seed}")
    lines = ["name,set,bits,accuracy,loss,size_bytes,bops"]
    inner = LAYERS[network] - 2
    for name, widths in (("2-8", range(2, 9)), ("234", (2, 3, 4)), ("234-even", (2, 3, 4))):
        for number in range(12):
            bits = [8, *(draw.choice(widths) for _ in range(inner)), 8]
            figure = 50 + sum(bits[: len(bits) // 2]) / 8 + draw.gauss(0, 0.02)
            text = "-".join(map(str, bits))
            lines.append(f"{name}/{number:04},{name},{text},{figure:.2f},0.5,1000,2000")
    lines.append(f"uniform/4,uniform,{'-'.join('4' * (inner + 2))},70.1,0.5,1000,2000")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two networks that were never trained, and their tables."""
    folder = tmp_path_factory.mktemp("mq101")
    for number, name in enumerate(LAYERS):
        with torch.random.fork_rng():
            torch.manual_seed(number)
            network = NETWORKS[name]()
        write_weights(folder / f"{name}.safetensors", half(network), {})
        (folder / f"{name}.csv").write_text(table(name))
    return folder


@pytest.fixture(scope="module")
def bench(folder):
    return mq101.mq101(folder)


def test_a_network_with_a_table_is_a_space_and_a_set_of_bits_a_target(bench):
    assert bench.spaces == ("resnet20", "vit")
    assert bench.targets == bench.default_targets == ("accuracy_234", "accuracy_234-even")
    assert len(bench.architectures) == 2 * 24  # the uniform rows are none
    for each in bench.architectures:
        set_name = each.name.split("/")[1]
        known = {name for name, figure in each.accuracies.items() if figure is not None}
        assert known == {f"accuracy_{set_name}"}
        assert len(bench.bits(each)) == LAYERS[each.space]
        assert each.name.startswith(f"{each.space}/{set_name}/")


def test_a_set_that_no_table_has_is_no_target(folder, tmp_path):
    lines = table("vit").splitlines(True)
    text = "".join(line for line in lines if not line.startswith("234-even"))
    (tmp_path / "vit.csv").write_text(text)
    (tmp_path / "vit.safetensors").write_bytes((folder / "vit.safetensors").read_bytes())
    assert mq101.mq101(tmp_path).targets == ("accuracy_234",)


def test_the_wide_bench_has_the_rows_of_2_to_8_bits_and_the_other_has_not(folder, bench, tmp_path):
    wide = mq101.mq101wide(folder)
    assert (wide.name, wide.targets) == ("mq101wide", ("accuracy_2-8",))
    assert {len(wide.in_space(space)) for space in wide.spaces} == {12}
    assert {width for each in wide.architectures for width in wide.bits(each)} == set(range(2, 9))
    assert {width for each in bench.architectures for width in bench.bits(each)} == {2, 3, 4, 8}
    lines = table("vit").splitlines(True)
    (tmp_path / "vit.csv").write_text("".join(x for x in lines if not x.startswith("2-8")))
    with pytest.raises(MissingTableError, match=r"'mq101wide' has no tables in .* --set 2-8 "):
        mq101.mq101wide(tmp_path)


def test_bits_are_in_the_order_in_which_the_layers_run(bench):
    inputs, _ = Probe(batch=2).inputs(bench)
    for space in bench.spaces:
        row = bench.in_space(space)[0]
        network = bench.network(row)
        names = quantisable_layers(network, inputs)
        shown = measure(network, inputs, None, ("bits",), bits=bench.bits(row))
        assert shown.layers == tuple(f"{name}.weight" for name in names)
        assert shown.values["bits"].tolist() == list(bench.bits(row))


def test_the_networks_are_those_in_the_folder_in_the_mode_of_use(bench, folder):
    assert bench.mode == "eval"
    first, *_, last = bench.in_space("vit")
    states = [bench.network(each, seed).state_dict() for each, seed in ((first, 0), (last, 7))]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key])


def test_other_weights_are_another_version(bench, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert mq101.mq101(tmp_path).version == bench.version
    torch.manual_seed(5)
    other = tmp_path / "other"
    other.mkdir()
    (other / "vit.csv").write_text(table("vit"))
    write_weights(other / "vit.safetensors", half(NETWORKS["vit"]()), {})
    assert mq101.mq101(other).version != bench.version


def test_images_are_normalised_as_the_networks_were_trained(bench, tmp_path):
    pixels = np.full((12, 32, 32, 3), 51, np.uint8)
    np.savez(tmp_path / "images.npz", x=pixels, y=np.zeros(12, np.int64))
    inputs, _ = Probe(batch=4, images=str(tmp_path / "images.npz")).inputs(bench)
    for channel in range(3):
        expected = (0.2 - MEAN[channel]) / DEVIATION[channel]
        assert inputs[:, channel].numpy() == pytest.approx(expected, rel=1e-5)


def test_a_network_is_measured_once_for_each_number_of_bits(bench, folder, tmp_path):
    for each, widths in ((bench, 4), (mq101.mq101wide(folder), 7)):
        plan = Plan(each, each, ("weight", "weight_error"), Probe(), tmp_path)
        assert len({row.key for row in plan.rows}) == 2
        assert len(plan.works) == 2 * (1 + widths)


def test_a_bench_of_trained_networks_needs_bits(bench):
    with pytest.raises(BenchError, match="give the bench bits"):
        dataclasses.replace(bench, bits=None)


def test_without_tables_the_message_says_how_to_make_them(tmp_path):
    with pytest.raises(MissingTableError, match="autoprox bench quantise resnet20"):
        mq101.mq101(tmp_path)


def test_a_table_without_weights_is_refused(tmp_path):
    (tmp_path / "vit.csv").write_text(table("vit"))
    with pytest.raises(MissingTableError, match=r"no weights at .*vit\.safetensors"):
        mq101.mq101(tmp_path)


def test_the_list_of_benches_names_those_whose_tables_are_missing(monkeypatch):
    monkeypatch.delenv("AUTOPROX_MPNB201", raising=False)
    result = CliRunner().invoke(main, ["bench", "list"])
    assert result.exit_code == 0
    assert "mpnb201" in result.output
    assert "AUTOPROX_MPNB201" in result.output


def test_evolving_on_one_network_reports_the_other_as_transfer(bench, tmp_path):
    run = evolve(
        bench,
        out=tmp_path / "run",
        cache=tmp_path,
        spaces=("resnet20",),
        statistics=("bits", "position", "params", "weight_error"),
        evaluations=60,
        population=10,
        proposals=20,
    )
    assert {each.column.split("/")[0] for each in run.held_out[0].columns} == {"resnet20"}
    assert {each.column.split("/")[0] for each in run.transfer[0].columns} == {"vit"}
    known = [each.name for each in run.held_out if each.known]
    assert known == ["bit_sum", "model_size", "bops", "emq"]  # what these statistics express
    assert [each.name for each in run.held_out][-4:] == known
    assert {"hawq", "bit_snip", "ompq", "qe_score"} <= set(run.elsewhere)
    assert not {*known, *run.elsewhere} & {"params", "mq101_best"}
    assert run.best.needs_bits
    for line in (run.folder / "candidates.jsonl").read_text().splitlines():
        formula = load(json.loads(line)["proposed"])
        assert formula.needs_bits  # others are constant within a network


def test_the_leaderboard_ranks_each_set_and_the_best_of_it(bench, tmp_path):
    board = rank(["bit_sum", "sum(only_early(bits))"], bench, cache=tmp_path)
    assert board.columns == (
        "resnet20/accuracy_234",
        "resnet20/accuracy_234-even",
        "vit/accuracy_234",
        "vit/accuracy_234-even",
    )
    best, other = board.rows
    assert best.name == "sum(only_early(bits))"
    assert best.joint > 0.8 > other.joint
    assert list(best.best) == [0.2, 0.5, 1.0]
    for column in best.columns:
        assert [each.share for each in column.best] == [0.2, 0.5, 1.0]
        low, high = column.best[1].spearman_interval
        assert low <= column.best[1].spearman <= high
        assert column.best[2].spearman == pytest.approx(column.spearman)
    record = board.records()[0]
    assert record["joint_spearman@50%"] == pytest.approx(best.best[0.5])
    assert record["vit/accuracy_234 spearman@20%"] == best.columns[2].best[0].spearman
    assert "vit/accuracy_234 spearman@50%_low" in board.to_csv().splitlines()[0]
    assert board.to_json()["rows"][0]["columns"][0]["best"][0]["share"] == 0.2


def test_all_that_ship_and_use_bits_are_ranked_unless_proxies_are_named(tmp_path):
    from tests.quantised_tiny_bench import bench as tiny

    board = rank(None, tiny, cache=tmp_path, timed=False)
    names = {row.name for row in board}
    assert {"bit_sum", "hawq_v2", "emq", "ompq", "qe_score"} <= names
    assert not names & {"params", "snip", "az_nas"}
    assert all(row.place for row in board)


def test_bits_of_trained_networks_are_not_joined_with_other_benches(tmp_path):
    with pytest.raises(BenchError, match="compares bits of trained networks"):
        evolve("tests/quantised_tiny_bench.py,tests/tiny_bench.py", out=tmp_path / "run")


@pytest.mark.parametrize("network", SHIPPED)
@pytest.mark.parametrize("name", list(mq101.SETS))
def test_a_shipped_table_is_that_of_the_shipped_network(name, network):
    bench = load_bench(name)
    rows = bench.in_space(network)
    facts = FACTS.read(mq101.FOLDER / f"{network}.json")
    built = bench.network(rows[0])
    assert facts["weights"] == _digest(*built.state_dict().values())
    assert facts["test_count"] >= 2_500
    layers = quantisable_layers(built, torch.zeros(1, 3, 32, 32))
    assert all(len(bench.bits(each)) == len(layers) for each in rows)
    cost = costs(built, torch.zeros(1, 3, 32, 32))
    for row in read_rows(mq101.FOLDER / f"{network}.csv"):
        assert (cost.size_bytes(row.bits), cost.bops(row.bits)) == (row.size_bytes, row.bops)
    counts = [np.isfinite(bench.accuracies(target, rows)).sum() for target in bench.targets]
    assert sum(counts) >= 425
    assert all(count >= 425 for count in counts if count)


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="AUTOPROX_DATA names no folder of real data")
@pytest.mark.parametrize("network", SHIPPED)
def test_a_row_of_a_shipped_table_is_what_is_measured(network):
    bench = load_bench("mq101")
    images = Path(DATA) / "images"
    train, test = (
        cifar_images(bench, str(images / f"cifar10_{part}_10000.npz"), part)
        for part in ("train", "test")
    )
    few = Images(test.images[:2000], test.labels[:2000])
    for row in read_rows(mq101.FOLDER / f"{network}.csv")[:2]:
        again = builder_of(bench, network, train, few).measured(row.name, row.bits)
        assert (again.size_bytes, again.bops) == (row.size_bytes, row.bops)
        assert again.accuracy == pytest.approx(row.accuracy, abs=2.5)  # other and fewer images
