"""The reader of MP-NAS-Bench201, on a table made here; and on the published ones if they are."""

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprox.benches import mpnb201, split
from autoprox.errors import MissingTableError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.text import parse_proxy
from autoprox.leaderboard.run import rank
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench
from autoprox.proxies.loading import load
from autoprox.statistics import Store

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = os.environ.get("AUTOPROX_DATA")
CELLS = ("320000", "020310", "103002", "200003")
WIDTHS = list(product("248", repeat=2))


def lines():
    yield "nb201_index,op0,op1,op2,op3,op4,op5,w0,w1,w2,w3,w4,w5,test_acc_raw,test_acc"
    for number in range(16):
        cell = CELLS[number % 4]
        given = iter(WIDTHS[number // 4 + number % 4])
        widths = [next(given) if digit in "23" else "0" for digit in cell]
        yield ",".join([str(number), *cell, *widths, "0.5", f"{0.6 + number / 100:.3f}"])
    yield ",".join(["99", *"320000", *"880000", "0.1", "0.1"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpnb201")
    (folder / mpnb201.FILES["50ep"]).write_text("\n".join(lines()) + "\n")
    return folder


@pytest.fixture(scope="module")
def bench(folder):
    return mpnb201.mpnb201(folder)


def test_networks_at_chance_are_left_out_and_counted(bench):
    assert len(bench.architectures) == 16
    assert bench.spaces == ("50ep",)
    assert bench.caveats[-1].startswith("1 of 17 networks are left out")
    assert bench.accuracies("accuracy").tolist() == pytest.approx(range(60, 76))


def test_networks_without_an_accuracy_are_not_said_to_be_at_chance(folder, tmp_path):
    text = (folder / mpnb201.FILES["50ep"]).read_text()
    empty = ",".join(["100", *"320000", *"840000", "", ""])
    (tmp_path / mpnb201.FILES["50ep"]).write_text(f"{text}{empty}\n")
    assert mpnb201.mpnb201(tmp_path).caveats[-1] == (
        "2 of 18 networks are left out: 1 that stayed at chance, at 12 % or below, and 1 without "
        "an accuracy."
    )


def test_every_convolution_of_a_cell_has_the_bits_of_its_edge_and_all_else_8(bench):
    row = next(each for each in bench.architectures if each.config["cell"] == "020310")
    network, (inputs, _) = bench.network(row), Probe(batch=2).inputs(bench)
    widths = row.config["widths"]
    bits = dict(zip((name for name, _ in in_order(network, inputs)), bench.bits(row), strict=True))
    inside = {name for name in bits if ".edges." in name}
    assert len(inside) == 30
    assert all(bits[name] == int(widths[int(name.split(".")[4])]) for name in inside)
    assert {bits[name] for name in set(bits) - inside} == {8}


def in_order(network, inputs):
    """Return the weight layers in the order in which they run."""
    seen, hooks = [], []
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            hooks.append(module.register_forward_hook(lambda m, *_, n=name: seen.append((n, m))))
    network(inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_rows_of_one_cell_are_never_split(bench):
    parts = split(bench, 0)
    cells = [{bench.architectures[i].config["cell"] for i in part}
             for part in (parts.search, parts.held_out)]  # fmt: skip
    assert not cells[0] & cells[1]


EQUAL = (("313341", "334131"), ("112112", "121112"), ("402414", "412014"), ("104112", "140112"),
         ("301033", "330033"), ("124224", "142224"))  # fmt: skip
"""Pairs of cells that NAS-Bench-201 calls isomorphic: their branches, or sums, are exchanged."""

HEADER = "op0,op1,op2,op3,op4,op5,w0,w1,w2,w3,w4,w5,test_acc"


def row_of(cell, bits, accuracy):
    """The row of a cell with the same bits for all convolutions."""
    return ",".join([*cell, *(bits if digit in "23" else "0" for digit in cell), accuracy])


def test_cells_that_compute_the_same_are_never_split(tmp_path):
    rows = [row_of(cell, bits, "0.5") for pair in EQUAL for cell in pair for bits in "248"]
    (tmp_path / mpnb201.FILES["50ep"]).write_text("\n".join([HEADER, *rows, ""]))
    bench = mpnb201.mpnb201(tmp_path)
    first = {cell: pair[0] for pair in EQUAL for cell in pair}
    for seed in range(3):
        parts = split(bench, seed)
        pairs = [{first[bench.architectures[i].config["cell"]] for i in part}
                 for part in (parts.search, parts.held_out)]  # fmt: skip
        assert not pairs[0] & pairs[1]


def test_a_cell_that_one_space_searches_on_is_held_out_in_none(tmp_path):
    cells = [f"3{number:05}" for number in range(11111) if set(str(number)) <= set("1234")][::12]
    rows = [row_of(cell, bits, "0.5") for cell in cells for bits in "28"]
    for name in mpnb201.FILES.values():
        (tmp_path / name).write_text("\n".join([HEADER, *rows, ""]))
    bench = mpnb201.mpnb201(tmp_path)
    parts = split(bench, 0)
    classes = [{bench.architectures[i].isomorph for i in part}
               for part in (parts.search, parts.held_out)]  # fmt: skip
    assert classes[1]
    assert not classes[0] & classes[1]


@pytest.mark.slow
def test_each_network_is_measured_by_itself_in_training_mode_at_its_own_bits(bench, tmp_path):
    bench, text = bench.sampled(10), "sum(multiply(bits, norm(weight_error)))"
    names = load(text).statistics
    plan = Plan(bench, bench, names, Probe(batch=4), tmp_path)
    assert len(plan.works) == 10
    rows = measure_bench(plan, Store(tmp_path))
    cached = Evaluator(load_table(Store(tmp_path), rows, names))(parse_proxy(text)).values
    row = bench.architectures[3]
    inputs, targets = Probe(batch=4).inputs(bench)
    given = {"bits": bench.bits(row), "mode": "train", "sample": 512}
    live = load(text)(bench.network(row), inputs, targets, **given)
    assert live == pytest.approx(cached[3], rel=1e-9)
    proxies = [text, "params", "qe_score"]
    board = rank(proxies, bench, sample=512, batch=4, cache=tmp_path, timed=False)
    np.testing.assert_allclose(board.scores[text], cached, rtol=1e-9)
    assert not board.rows[0].best
    network = bench.network(row)
    params = load("params")(network, inputs)
    assert board.scores["params"][3] == params
    entropy = load("qe_score")(network, inputs, bits=bench.bits(row))
    assert board.scores["qe_score"][3] == pytest.approx(entropy)


def test_without_the_tables_the_message_says_which_variable_names_them(monkeypatch, tmp_path):
    monkeypatch.delenv(mpnb201.VARIABLE, raising=False)
    for _ in ("not set", "empty"):
        with pytest.raises(MissingTableError, match="set AUTOPROX_MPNB201 to a folder with"):
            mpnb201.mpnb201()
        monkeypatch.setenv(mpnb201.VARIABLE, "")
    monkeypatch.setenv(mpnb201.VARIABLE, str(tmp_path))
    with pytest.raises(MissingTableError, match="there is neither mp_nasbench201_150ep"):
        mpnb201.mpnb201()


@pytest.mark.skipif(not DATA, reason="AUTOPROX_DATA names no folder of real data")
def test_the_published_tables_are_read_whole():
    bench = mpnb201.mpnb201(Path(DATA) / "mixed_precision")
    assert bench.spaces == ("150ep", "50ep")
    assert bench.caveats[-1].startswith("932 of 16826 networks are left out")
    from autoprox.benches.nb201 import nb201

    cells = {each.config["cell"] for each in nb201().architectures}
    assert {each.config["cell"] for each in bench.architectures} <= cells
