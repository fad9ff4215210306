"""``autoprox rank``, as a user meets it."""

from __future__ import annotations

import csv
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import autoprox
from autoprox.assessment.assess import costly, shipped
from autoprox.cli import main
from autoprox.cli.rank import _somers_pair
from autoprox.cli.rank import rank as rank_command
from autoprox.errors import BenchError
from autoprox.ranking.figures import ColumnFigures

TINY = str(Path(__file__).parents[1].joinpath("tiny_bench.py"))
SOME = ("snip", "params", "sum(norm(grad))", "zen_score")


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def ranked(cache: str, *words: str) -> Result:
    return call("rank", "--bench", TINY, *SOME, "--cache", cache, "--jobs", "1", *words)


def test_help_has_an_example() -> None:
    result = call("rank", "--help")
    assert result.exit_code == 0
    assert re.search(r"Example:\n +autoprox rank --bench vit101", result.output)


def test_every_argument_of_the_function_is_an_option() -> None:
    options = {str(param.name) for param in rank_command.params}
    arguments = set(inspect.signature(autoprox.rank).parameters)
    assert arguments - options == {"timed", "progress", "outlook"}
    beside = {"top", "json_file", "csv_file", "latex", "picture", "quiet", "together"}
    assert options - arguments == beside  # "together" becomes one of the proxies


def test_the_table_has_a_row_a_proxy_and_those_without_a_rank_at_the_end(cache: str) -> None:
    result = ranked(cache)
    assert result.exit_code == 0, result.output
    assert "tiny: 24 architectures, 4 proxies" in result.stdout
    assert "mlp" in result.stdout
    lines = result.stdout.splitlines()
    order = [line.split()[1] for line in lines if line.strip()[:2] in ("1 ", "2 ", "3 ")]
    board = autoprox.rank(SOME, TINY, cache=cache)
    names = [row.name.split("(")[0] for row in board if row.place]
    assert [word.split("(")[0] for word in order[: len(names)]] == names
    last = result.stdout.partition(
        "No rank, for want of a score on more than 5 %, or of 3 in a column:"
    )[2]
    assert "zen_score" in last
    assert "it undoes the scales of batch norms" in last


def test_what_takes_minutes_a_network_is_ranked_only_where_it_is_named() -> None:
    bench = autoprox.load_bench("vit101")
    assert costly(bench) == ["vkdnw", "vkdnw_aggregate"]
    assert not {*costly(bench)} & shipped(bench).keys()
    assert "zen_score" in shipped(bench)
    told = "left out, as they take minutes a network, unless named: vkdnw, vkdnw_aggregate"
    for words, said in (((), True), (("vkdnw",), False)):
        refused = call("rank", "--bench", TINY, *words, "--space", "nowhere")
        assert refused.exit_code == 1
        assert (told in refused.stderr) is said


def test_the_seed_of_a_split_goes_with_what_is_held_out(cache: str) -> None:
    refused = ranked(cache, "--split-seed", "7")
    assert refused.exit_code == 2
    assert "--split-seed goes with --held-out" in refused.stderr
    with pytest.raises(BenchError, match="split_seed 7 is of a split: it goes with held_out alone"):
        autoprox.rank(SOME, TINY, split_seed=7)


def test_files_are_written_and_a_second_call_measures_nothing(cache: str, tmp_path: Path) -> None:
    ranked(cache)
    paths = [tmp_path / name for name in ("board.json", "board.csv", "board.svg")]
    result = ranked(cache, "--json", str(paths[0]), "--csv", str(paths[1]), "--draw", str(paths[2]))
    assert result.exit_code == 0, result.output
    first, *said = result.stderr.splitlines()
    assert first == "the cache has all scores: nothing is measured"
    assert said == [f"{verb} {path}" for verb, path in zip(("written to",) * 2 + ("drawn into",),
                                                           paths, strict=True)]  # fmt: skip
    data = json.loads(paths[0].read_text(encoding="utf-8"))
    lines = list(csv.DictReader(paths[1].read_text(encoding="utf-8").splitlines()))
    assert [row["name"] for row in data["rows"]] == [line["proxy"] for line in lines]
    assert paths[2].stat().st_size > 1000


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_standard_output_holds_the_data_alone(cache: str, option: str) -> None:
    result = ranked(cache, option, "-", "--quiet")
    assert result.exit_code == 0
    if option == "--json":
        assert json.loads(result.stdout)["bench"] == "tiny"
    else:
        assert len(list(csv.DictReader(result.stdout.splitlines()))) == 4


def test_a_part_is_ranked_by_some_targets_and_the_best_shown(cache: str) -> None:
    result = ranked(
        cache,
        "--space",
        "cnn",
        "--target",
        "fine",
        "--top",
        "1",
        "--held-out",
        "--split-seed",
        "2",
    )
    assert result.exit_code == 0, result.output
    assert "5 held-out architectures" in result.stdout
    assert "coarse" not in result.stdout
    assert "\n 2 " not in result.stdout


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("--bench", "vit11"), 1, "did you mean 'vit101'"),
        (("--bench", TINY, "snipp"), 1, "did you mean 'snip'"),
        (("--bench", TINY, "sum(grad"), 1, "sum(grad"),
        (("--bench", TINY, "--target", "corse"), 1, "did you mean 'coarse'"),
        (("--bench", TINY, "--space", "cnm"), 1, "unknown space"),
        (("--bench", TINY, "--architectures", "3"), 1, "3"),
        (("--bench", TINY, "--plain", "--held-out"), 1, "do not go together"),
        (("--bench", TINY, "--draw", "board.gif"), 1, ".svg, .png or .pdf"),
        (("--bench", TINY, "params", "--cache", f"{TINY}/x"), 1, "--cache"),
        (("--bench", TINY, "--json", "-", "--csv", "-"), 2, "standard output"),
        (("--bench", TINY, "--sample", "none"), 2, "or full"),
        (("--bench", TINY, "--probe-seed", "9" * 20), 1, "from 0 to 4294967295"),
        (("--bench", TINY, "~nosuchuser/x.json"), 1, "no proxy file '~nosuchuser/x.json'"),
        (("--bench", TINY, "--csv", "a.svg", "--draw", "./a.svg"), 2, "--csv and --draw are one"),
        (("--bench", TINY, "--json", "a", "--csv", "a"), 2, "--json and --csv are one file: a"),
        ((), 2, "--bench"),
    ],
)
def test_bad_input_is_one_message(
    words: tuple[str, ...], status: int, reason: str, cache: str
) -> None:
    given = () if "--cache" in words else ("--cache", cache)
    result = call("rank", *words, *given, "--jobs", "1")
    assert result.exit_code == status, result.output
    assert reason in result.stderr
    assert "Traceback" not in result.output


def test_a_picture_that_cannot_be_drawn_does_not_hide_the_table(cache: str, tmp_path: Path) -> None:
    words = ("rank", "--bench", TINY, "zen_score", "--cache", cache, "--jobs", "1")
    result = call(*words, "--draw", str(tmp_path / "board.svg"))
    assert result.exit_code == 1
    assert "tiny: 24 architectures, 1 proxies" in result.stdout
    assert "no proxy has a rank: there is nothing to draw" in result.stderr
    result = call(*words, "--csv", "-", "--draw", str(tmp_path / "board.svg"))
    assert result.stdout.startswith("rank,proxy,")


def test_the_folders_of_what_is_written_are_made(cache: str, tmp_path: Path) -> None:
    paths = [tmp_path / name / f"board.{name}" for name in ("json", "csv", "svg")]
    words = (f"--{name}={path}" for name, path in zip(("json", "csv", "draw"), paths, strict=True))
    result = ranked(cache, *words)
    assert result.exit_code == 0, result.output
    assert all(path.stat().st_size > 100 for path in paths)


def test_a_discovered_proxy_has_a_star_and_a_footnote(cache: str, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    proxy = autoprox.load("params").to_json()
    settings = {"bench": TINY, "split_seed": 1}
    file.write_text(json.dumps({**proxy, "name": "found", "provenance": {"settings": settings}}))
    result = call("rank", "--bench", TINY, str(file), "snip", "--cache", cache, "--jobs", "1")
    assert "found *" in result.stdout
    assert "* found: searched on 14 of 24 of these architectures" in result.stdout
    words = ("--held-out", "--split-seed", "1")
    result = call("rank", "--bench", TINY, str(file), "--cache", cache, "--jobs", "1", *words)
    assert "*" not in result.stdout


def test_a_correlation_that_is_nearly_none_is_zero_without_a_minus() -> None:
    figures = ColumnFigures(
        "space/target", 9, -0.001, -0.001, -0.001, (-0.045, 0.035), 0.0, 0.0, 0.0, 9
    )
    assert _somers_pair(figures) == ("0.00 ±.04", "0.00")


def test_help_says_what_is_held_out_and_kept() -> None:
    text = " ".join(call("rank", "--help").output.split())
    assert "Only the part that a search with the same --architectures, --split-seed" in text
    assert "Where statistics and scores are kept." in text


def test_a_file_that_cannot_be_written_is_one_message(cache: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = ranked(cache, "--csv", str(tmp_path / "file" / "board.csv"))
    assert result.exit_code == 1
    assert "choose another --csv" in result.stderr


HELD_UP_BENCH = """
import dataclasses, os, time
from autoprox.benches import load_bench

tiny = load_bench({tiny!r})

def build(architecture):
    while architecture.config["width"] > 8 and not os.path.exists({gate!r}):
        time.sleep(0.1)
    return tiny.build(architecture)

bench = dataclasses.replace(tiny, build=build)
"""


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c_keeps_what_is_done_and_the_next_call_goes_on(tmp_path: Path, jobs: str) -> None:
    bench, gate = tmp_path / "held_up.py", tmp_path / "gate"
    bench.write_text(HELD_UP_BENCH.format(tiny=TINY, gate=str(gate)), encoding="utf-8")
    words = ["rank", "--bench", str(bench), "params", "snip", "--cache", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "autoprox", *words, "--jobs", jobs]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    begun = time.monotonic()
    while len(list(tmp_path.glob("cache/scores/??/*.json"))) < 2:
        assert time.monotonic() - begun < 200
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    kept = len(list(tmp_path.glob("cache/scores/??/*.json")))
    assert 2 <= kept < 24
    gate.touch()
    again = call(*words, "--jobs", "1")
    assert again.exit_code == 0, again.output
    assert f"measured {24 - kept}/{24 - kept} architectures" in again.stderr


# autoprox show


def test_a_function_is_shown_with_its_formula_and_origin() -> None:
    result = call("show", "zen_score")
    assert result.exit_code == 0, result.output
    for part in (
        "Zen-Score: how much",
        "score = log mean over samples",
        "provenance",
        "2102.01063",
    ):
        assert part in result.stdout
    assert "Raises" not in result.stdout
    assert "code-block" not in result.stdout


def test_an_ensemble_is_shown_with_its_parts() -> None:
    result = call("show", "az_nas")
    assert "az_expressivity, az_progressivity, az_trainability, flops" in result.stdout
    data = json.loads(call("show", "az_nas", "--json", "-").stdout)
    assert data["parts"][-1] == "flops"
    assert json.loads(call("show", "swap", "--json", "-").stdout)["batch"] == 32


@pytest.mark.parametrize("words", [("--latex",), ("--draw", "x.svg")])
def test_a_function_is_not_drawn(words: tuple[str, ...]) -> None:
    result = call("show", "swap", *words)
    assert result.exit_code == 1
    assert "swap is no expression and has no graph" in result.stderr
