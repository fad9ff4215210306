"""``autoprox search``, from the bench to the true accuracies."""

import json
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner

from autoprox.cli import main
from autoprox.errors import QuantisationError
from tests.quantised_tiny_bench import bench

BENCH = """
import dataclasses
from tests.quantised_tiny_bench import bench as small
bench = dataclasses.replace(small, input_shape=(3, 32, 32))
"""
TEXT = "negative(sum(sum(square(weight_error))))"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def command(tmp_path):
    """Runs ``autoprox search`` on a small network that takes images of CIFAR-10's shape."""
    (tmp_path / "bench.py").write_text(BENCH)
    for part in ("train", "test"):
        generator = np.random.default_rng(len(part))
        pictures = generator.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{part}.npz", x=pictures, y=generator.integers(0, 5, 16))
    given = ["--bench", str(tmp_path / "bench.py"), "--network", "deep"]

    def run(*more, loud=False):
        return CliRunner().invoke(main, ["search", *given, *more, *([] if loud else ["--quiet"])])

    return run


@pytest.fixture
def truth(tmp_path):
    """The options that name true images."""
    paths = {"--data": "train.npz", "--test": "test.npz"}
    return [word for flag, name in paths.items() for word in (flag, str(tmp_path / name))]


def test_the_bits_of_every_layer_are_printed(command):
    result = command("--proxy", TEXT, "--average-bits", "3.4", "--widths", "2,3,4")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    bits = {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[1].isdecimal()}
    assert list(bits) == ["0", "3", "6", "9", "14"]
    assert bits["0"] == bits["14"] == 8
    assert sum(bits[name] for name in ("3", "6", "9")) == 10  # of equal layers
    assert "the best there is within the limit, by integer programming" in result.output


def test_true_accuracies_stand_beside_the_choice(command, truth, tmp_path):
    limit = ["--size", "0.9KB", "--widths", "2,3,4"]
    result = command("--proxy", TEXT, *limit, *truth, "--calibration", "16", "--json", "-")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    compared = {row["name"]: row for row in facts["compared"]}
    (table_best,) = compared.keys() - {"chosen", "uniform 3", "most bits"}
    assert table_best.startswith("best of the table: deep/")
    assert compared["chosen"]["bits"] == list(facts["bits"].values())
    assert all(row["size_bytes"] <= 900 for row in facts["compared"])
    assert all(0 <= row["accuracy"] <= 100 for row in facts["compared"])
    best = next(row for row in bench.architectures if row.name == table_best.split(": ")[1])
    within = [
        row.accuracies["accuracy"]
        for row in bench.in_space("deep")
        if sum(map(int, row.config["bits"].split("-")[1:-1]))
        <= sum(facts["compared"][2]["bits"][1:-1])
    ]
    assert best.accuracies["accuracy"] == max(within)


def test_trials_say_from_what_they_began(command, truth):
    limit = ["--average-bits", "3.4", "--widths", "2,3,4"]
    given = ["--proxy", TEXT, *limit, *truth, "--calibration", "9", "--trials", "7"]
    result = command(*given)
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    facts = json.loads(command(*given, "--json", "-").output)
    assert (facts["found_by"], facts["evaluated"]) == ("trials", 7)
    names = [row["name"] for row in facts["compared"]]
    if facts["bits"] == facts["untried"]["bits"]:
        assert "by integer programming; none of 7 tried is closer to the network" in words
        assert names[:2] == ["chosen", "uniform 3"]
    else:
        assert "the closest to the network of 7 tried, divergence " in words
        assert "nats; the first of them was the best there is within the limit" in words
        assert names[:3] == ["chosen", "chosen before trials", "uniform 3"]
        assert facts["compared"][1]["bits"] == list(facts["untried"]["bits"].values())


def test_the_number_that_calibrates_reaches_the_trials(command, truth):
    given = ["--proxy", TEXT, "--average-bits", "3.4", *truth, "--trials", "3", "--json", "-"]
    few, many = (
        json.loads(command(*given, "--calibration", count).output) for count in ("2", "14")
    )
    assert few["divergence"] != many["divergence"]


@pytest.mark.parametrize(("last", "measured"), [(3, 0), (9, 2)])
def test_ctrl_c_keeps_what_is_found_by_then(command, truth, monkeypatch, last, measured):
    from autoprox.quantise.quantiser import Quantiser

    calls, quantised = [], Quantiser.__call__

    def interrupting(self, bits):
        calls.append(bits)
        if len(calls) == last:
            raise KeyboardInterrupt
        return quantised(self, bits)

    monkeypatch.setattr(Quantiser, "__call__", interrupting)
    given = ["--proxy", TEXT, "--average-bits", "3.4", *truth, "--calibration", "9"]
    result = command(*given, "--trials", "6", "--json", "-")
    assert result.exit_code == 130
    assert "interrupted; this is the best by then" in result.stderr
    facts = json.loads(result.stdout)
    assert facts["found_by"] == "trials"
    assert facts["finished"] == (last == 9)
    assert len(facts["compared"]) == measured


def test_ctrl_c_while_accuracies_are_prepared_keeps_the_choice(command, truth, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("autoprox.search.bits.comparison.builder_of", interrupted)
    result = command("--proxy", TEXT, "--average-bits", "3.4", *truth, "--json", "-")
    assert result.exit_code == 130
    facts = json.loads(result.stdout)
    assert facts["found_by"] == "integer programme"
    assert facts["compared"] == []


@pytest.mark.parametrize("json_file", [False, True])
def test_a_comparison_that_fails_keeps_the_choice(command, truth, tmp_path, monkeypatch, json_file):
    def failing(*_):
        raise QuantisationError("there is no room for it")

    monkeypatch.setattr("autoprox.search.bits.comparison.builder_of", failing)
    path = tmp_path / "choice.json"
    words = ["--json", str(path)] if json_file else []
    result = command("--proxy", TEXT, "--average-bits", "3.4", *truth, *words)
    assert result.exit_code == 1
    assert result.stderr.endswith("error: there is no room for it\n")
    assert result.stdout.count("the best there is within the limit, by integer programming") == 1
    if json_file:
        facts = json.loads(path.read_text())
        assert (facts["found_by"], facts["compared"]) == ("integer programme", [])


def test_the_choice_is_printed_before_accuracies_are_measured(command, truth, monkeypatch):
    order, module = [], import_module("autoprox.cli.search")
    monkeypatch.setattr(module, "_print_choice", lambda *_: order.append("choice"))
    monkeypatch.setattr(module, "_compared", lambda *_: order.append("rows") or [])
    command("--proxy", TEXT, "--average-bits", "3.4", *truth)
    assert order == ["choice", "rows"]


def test_half_of_few_training_images_calibrate(command, truth):
    given = ["--proxy", TEXT, "--average-bits", "3.4", *truth, "--trials", "3", "--json", "-"]
    usual, half = json.loads(command(*given).output), command(*given, "--calibration", "8")
    assert usual == json.loads(half.output)
    assert [row["name"] for row in usual["compared"]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--calibration", "17"], "calibration takes 2 to 16 of the training images; got 17"),
        (["--test", "none.npz"], "none.npz"),
    ],
)
def test_what_accuracies_need_is_checked_before_the_search(
    command, truth, monkeypatch, more, message
):
    monkeypatch.setattr(import_module("autoprox.cli.search"), "_chosen", None)
    result = command("--proxy", TEXT, "--average-bits", "3.4", *truth, *more)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(command, truth, monkeypatch):
    monkeypatch.setattr("autoprox.cli.counting.LINE_SECONDS", 0.0)
    given = ["--proxy", TEXT, "--average-bits", "3.4", *truth, "--calibration", "9", "--trials"]
    result = command(*given, "5", loud=True)
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert "measuring the network at each width  0/7" in lines
    assert "trying configurations on the network  5/5" in lines
    assert any(line.startswith("measuring the accuracy of: chosen  0/") for line in lines)
    assert lines[-1].startswith("accuracies measured  ")


def test_evolution_says_how_much_it_scored_and_a_file_holds_the_same(command, tmp_path):
    text = "negative(std(multiply(bits, norm(weight_error))))"
    path = tmp_path / "choice.json"
    result = command("--proxy", text, "--bops", "40M", "--evaluations", "50", "--json", str(path))
    assert "the best of 50 configurations that evolution scored" in result.output
    facts = json.loads(path.read_text())
    assert (facts["network"], facts["found_by"], facts["evaluated"]) == ("deep", "evolution", 50)
    assert f"score {facts['score']:.6g}" in result.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--size", "10"], "the smallest possible is 743"),
        ([], "expected one limit"),
        (["--size", "1KB", "--bops", "1G"], "got size, bops"),
        (["--size", "1KB", "--network", "wade"], "unknown network 'wade'; did you mean 'wide'"),
        (["--size", "1KB", "--bench", "nb201", "--network", "nb201"], "have no bits"),
        (["--size", "1KB", "--data", "none.tgz"], "no CIFAR-10 at none.tgz"),
    ],
)
def test_bad_options_are_one_line_each(command, more, message):
    result = command("--proxy", "bit_sum", *more)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1


def test_options_that_do_not_go_together_are_refused(command):
    for more in (["--test", "x"], ["--trials", "5"], ["--data", "x.npz"], ["--widths", "2;3"]):
        assert command("--proxy", "bit_sum", "--size", "1KB", *more).exit_code == 2
