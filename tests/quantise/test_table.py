import json

import numpy as np
import pytest
import torch

from autoprox.errors import QuantisationError, RunError, UnknownNameError
from autoprox.quantise import logits
from autoprox.quantise.drawing import drawn_evenly, drawn_spread
from autoprox.quantise.table import Builder, Images, TableSettings, configurations, read_rows
from tests.quantise.small_networks import images, residual

pytestmark = pytest.mark.usefixtures("one_thread")

TEST = Images(images(64, seed=2), logits(residual(), images(64, seed=2)).argmax(1))
WANTED = configurations("2-8", 5, 12, seed=0)


def builder(folder, recorded=None, **settings) -> Builder:
    settings = TableSettings("small", **{"calibration": 64, **settings})
    return Builder(residual(), images(100, seed=3), TEST, settings, folder, recorded)


def quiet(done, total):
    pass


@pytest.mark.parametrize("draw", [drawn_spread, drawn_evenly])
def test_drawn_configurations_are_distinct_and_seeded_and_more_begin_with_the_fewer(draw):
    found = draw(20, (2, 3, 4), 425, seed=0)
    assert len(set(found)) == 425
    assert found[:100] == draw(20, (2, 3, 4), 100, seed=0)
    assert found != draw(20, (2, 3, 4), 425, seed=1)
    assert all(bits[0] == bits[-1] == 8 and set(bits[1:-1]) <= {2, 3, 4} for bits in found)


@pytest.mark.parametrize("widths", [(2, 3, 4), tuple(range(2, 9))])
def test_the_averages_of_drawn_bits_spread_over_the_whole_range(widths):
    averages = np.array([np.mean(bits[1:-1]) for bits in drawn_spread(20, widths, 2000, seed=0)])
    span = max(widths) - min(widths)
    shares = np.histogram(averages, 4, (min(widths), max(widths)))[0] / 2000
    assert (abs(shares - 0.25) < 0.05).all()
    assert averages.mean() == pytest.approx(min(widths) + span / 2, abs=0.03 * span)


def test_evenly_drawn_layers_have_each_width_as_often_and_averages_are_nearly_the_same():
    bits = np.array(drawn_evenly(20, (2, 3, 4), 2000, seed=0))[:, 1:-1]
    for width in (2, 3, 4):
        assert abs((bits == width).mean(0) - 1 / 3).max() < 0.04
    assert abs(np.corrcoef(bits.T) - np.eye(18)).max() < 0.1
    assert bits.mean(1).std() == pytest.approx((2 / 3 / 18) ** 0.5, rel=0.1)
    assert configurations("234-even", 20, 5, 0)["234-even/0004"] == (8, *bits[4], 8)


def test_more_configurations_than_there_are_are_refused():
    with pytest.raises(QuantisationError, match=r"have 27 configurations of 3 widths.*for 14"):
        drawn_spread(5, (2, 3, 4), 14, seed=0)


def test_sets_have_names_and_uniform_ones_are_not_drawn():
    assert configurations("uniform", 4, 1, 0)["uniform/3"] == (8, 3, 3, 8)
    assert list(WANTED)[:2] == ["2-8/0000", "2-8/0001"]
    with pytest.raises(UnknownNameError, match="unknown set '235'; did you mean '234'"):
        configurations("235", 4, 1, 0)


def test_a_table_that_was_interrupted_goes_on_and_ends_as_one_that_was_not(tmp_path):
    builder(tmp_path / "whole").build(WANTED, quiet)

    def interrupt(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder(tmp_path / "cut").build(WANTED, interrupt)
    assert len(read_rows(tmp_path / "cut" / "small.csv")) == 5
    told = []
    builder(tmp_path / "cut").build(WANTED, lambda *now: told.append(now))
    assert told[0] == (0, 7)
    assert told[-1] == (7, 7)
    for name in ("small.csv", "small.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


def test_rows_read_as_written_and_measure_the_same_again(tmp_path):
    made = builder(tmp_path)
    made.build(WANTED, quiet)
    assert {row.name: row for row in read_rows(made.path)} == made.rows
    again = builder(tmp_path)
    assert again.measured("2-8/0007", WANTED["2-8/0007"]) == made.rows["2-8/0007"]
    row = made.rows["2-8/0003"]
    labels = TEST.labels
    outputs = logits(again._quantiser(row.bits), TEST.images)
    assert row.accuracy == pytest.approx(100 * float((outputs.argmax(1) == labels).float().mean()))
    facts = json.loads((tmp_path / "small.json").read_text())
    assert facts["full_precision_accuracy"] == 100
    assert facts["settings"]["method"]["rounding"] == "fitted"


def test_a_second_set_joins_the_table(tmp_path):
    builder(tmp_path).build(WANTED, quiet)
    builder(tmp_path).build(configurations("uniform", 5, 0, 0), quiet)
    rows = read_rows(tmp_path / "small.csv")
    assert {row.set for row in rows} == {"2-8", "uniform"}
    assert len(rows) == 19


def test_two_that_add_to_a_table_keep_the_rows_of_each_other(tmp_path):
    first, second = builder(tmp_path), builder(tmp_path)
    uniform, measured = configurations("uniform", 5, 0, 0), []

    def meanwhile(done, total):
        if done == 3:
            second.build({**uniform, "2-8/0005": WANTED["2-8/0005"]}, quiet)

    count = Builder.measured

    def counted(self, name, bits):
        measured.append(name)
        return count(self, name, bits)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Builder, "measured", counted)
        first.build(WANTED, meanwhile)
    rows = {row.name: row for row in read_rows(first.path)}
    assert rows.keys() == {*WANTED, *uniform} == set(measured)
    assert rows == first.rows
    assert len(measured) == len(rows)


def test_what_another_process_began_otherwise_meanwhile_is_not_mixed_into_a_table(tmp_path):
    first, second = builder(tmp_path), builder(tmp_path, seed=1)
    second.build(dict(list(WANTED.items())[:1]), quiet)
    before = first.path.read_text()
    with pytest.raises(QuantisationError, match=r"made with another settings"):
        first.build(dict(list(WANTED.items())[1:3]), quiet)
    assert first.path.read_text() == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*small\.csv: Not a directory; choose"):
        builder(tmp_path / "file" / "out").build(dict(list(WANTED.items())[:1]), quiet)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_whose_outputs_are_not_finite_is_refused_and_not_written(
    tmp_path, monkeypatch, value
):
    made, outputs = builder(tmp_path), Builder.outputs

    def broken(self, bits):
        found = outputs(self, bits).clone()
        if bits == WANTED["2-8/0002"]:
            found[0, 0] = value
        return found

    monkeypatch.setattr(Builder, "outputs", broken)
    with pytest.raises(QuantisationError, match=r"row '2-8/0002': at bits 8-.* not all finite"):
        made.build(WANTED, quiet)
    assert [row.name for row in read_rows(made.path)] == ["2-8/0000", "2-8/0001"]
    builder(tmp_path)


def test_a_file_without_its_json_is_left_as_it_is(tmp_path):
    made = builder(tmp_path)
    made.path.write_text("somebody else's")
    expected = r"small\.csv lies there without its small\.json.*move it away or choose another"
    for refused in (lambda: builder(tmp_path), lambda: made.build(WANTED, quiet)):
        with pytest.raises(QuantisationError, match=expected):
            refused()
    assert made.path.read_text() == "somebody else's"
    assert not (tmp_path / "small.json").exists()


def test_another_seed_or_network_is_not_mixed_into_a_table(tmp_path):
    builder(tmp_path).build(dict(list(WANTED.items())[:1]), quiet)
    with pytest.raises(
        QuantisationError, match=r"made with another settings.*choose another --out"
    ):
        builder(tmp_path, seed=1)
    settings = TableSettings("small", calibration=64)
    with pytest.raises(QuantisationError, match="made with another weights"):
        Builder(residual(seed=5), images(100, seed=3), TEST, settings, tmp_path)


def test_a_network_that_misses_its_recorded_accuracy_is_refused(tmp_path):
    builder(tmp_path, recorded=98.0)
    with pytest.raises(QuantisationError, match=r"reaches 100.00 % .* but 40.00 % is recorded"):
        builder(tmp_path, recorded=40.0)


def test_too_few_training_images_and_damaged_tables_are_refused(tmp_path):
    with pytest.raises(QuantisationError, match=r"calibration takes 2 to 100 .* got 101"):
        builder(tmp_path, calibration=101)
    builder(tmp_path).build(dict(list(WANTED.items())[:2]), quiet)
    path = tmp_path / "small.csv"
    path.write_text(path.read_text().replace("2-8/0001,2-8,8-", "2-8/0001,2-8,eight-"))
    with pytest.raises(QuantisationError, match="is damaged or no table of quantised networks"):
        builder(tmp_path)


def test_a_global_seed_changes_nothing_and_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    builder(tmp_path).build(dict(list(WANTED.items())[:1]), quiet)
    assert torch.equal(torch.random.get_rng_state(), before)
