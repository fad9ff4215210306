"""Several runs on the command line: seeds, going on, comparing."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoprox.cli import main
from autoprox.cli.options import console
from autoprox.cli.several import print_runs
from autoprox.runs.several_record import read_runs
from autoprox.show.page.several import several_page
from tests.processes import run_python

TINY = str(Path(__file__).parents[1].joinpath("tiny_bench.py"))
SMALL = ("--evaluations", "80", "--population", "20", "--proposals", "40",
         "--held-out-share", "0.6")  # fmt: skip


def call(*words: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture(scope="module")
def seeds(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Two seeds, with what was printed."""
    folder = tmp_path_factory.mktemp("runs") / "seeds"
    result = call("evolve", "--bench", TINY, "--seed", 3, "--seeds", 2, *SMALL, "--jobs", 1,
                  "--cache", cache, "--out", folder)  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, result


def test_seeds_give_one_report_of_all_runs(seeds: tuple[Path, Result]) -> None:
    folder, result = seeds
    assert sorted(path.name for path in folder.glob("seed-*")) == ["seed-3", "seed-4"]
    for part in ("seed-3 ", "seed-4 ", "median", "params", "Picked", str(folder), "of 2"):
        assert part in result.stdout
    told = json.loads((folder / "report.json").read_text())
    assert told["pick"]["expression"] in result.stdout
    assert "2 runs in" in result.stderr
    assert "160/160 candidates" in result.stderr
    for words in (["report", folder], ["compare", folder, "RUN"]):
        assert shlex.join(["autoprox", *map(str, words), "--bench", TINY]) in result.stdout


def test_a_run_whose_best_proxy_is_a_known_one_is_not_below_it(
    seeds: tuple[Path, Result],
) -> None:
    runs = read_runs(seeds[0])
    tied = {}
    for name, run in runs.runs.items():
        known = next(row for row in run.held_out if row.name == "params")
        best = dataclasses.replace(known, name="top 1", known=False)
        tied[name] = dataclasses.replace(run, held_out=(best, *run.held_out[1:]))
    for some, equal in ((tied, 2), ({**runs.runs, "seed-3": tied["seed-3"]}, 1)):
        found = dataclasses.replace(runs, runs=some)
        rival = next(each for each in found.rivals if each.name == "params")
        assert rival.below + rival.above == 2 - equal
        shown = console()
        with shown.capture() as captured:
            print_runs(found, "after 1 s", shown)
        (printed,) = [line for line in captured.get().splitlines() if " params " in line]
        assert f" {rival.above} of 2" in printed
        row = several_page(found, "report.html").partition(">params<")[2].partition("</tr>")[0]
        assert f">{rival.above} of 2<" in row


def test_each_run_has_a_page_and_all_of_them_one(seeds: tuple[Path, Result]) -> None:
    folder, _ = seeds
    assert call("report", folder).exit_code == 0
    text = (folder / "report.html").read_text()
    told = json.loads((folder / "report.json").read_text())
    assert f">{told['runs'][0]['held_out']:.3f}<" in text
    for name in ("seed-3", "seed-4"):
        assert f'href="{name}/report.html"' in text
        assert (folder / name / "report.html").is_file()
    assert "$" not in text.partition("<body")[2]
    assert "params" in text
    refused = call("report", folder, "--out", folder / "other.html")
    assert refused.exit_code == 1
    assert "holds several runs" in refused.stderr


def test_they_are_extended_and_printed_as_json(seeds: tuple[Path, Result], cache: Path) -> None:
    folder, _ = seeds
    refused = call("evolve", "--resume", folder, "--bench", TINY, "--cache", cache)
    assert refused.exit_code == 1
    assert "are finished" in refused.stderr
    result = call("evolve", "--resume", folder, "--bench", TINY, "--evaluations", 90, "--quiet",
                  "--cache", cache, "--jobs", 1, "--json", "-")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [row["evaluations"] for row in json.loads(result.stdout)["runs"]] == [90, 90]


def test_a_run_starts_from_another_and_is_compared_with_it(
    seeds: tuple[Path, Result], cache: Path, tmp_path: Path
) -> None:
    folder, _ = seeds
    begun = call("evolve", "--from", folder / "seed-3", "--bench", TINY, "--seed", 9, "--quiet",
                 "--jobs", 1, "--out", tmp_path / "run", "--cache", cache, "--json",
                 "-")  # fmt: skip
    assert begun.exit_code == 0, begun.output
    assert json.loads(begun.stdout)["settings"]["started_from"]["seed"] == 3
    words = ("compare", folder / "seed-3", tmp_path / "run", "--bench", TINY, "--cache", cache)
    result = call(*words)
    assert result.exit_code == 0, result.output
    for part in ("Settings that differ", "seed_proxies", "held out", "paired", "draw pareto"):
        assert part in result.stdout
    data = json.loads(call(*words, "--json", "-").stdout)
    assert len(data["differences"]) == 1
    drawn = call("draw", "pareto", folder, tmp_path / "run", "-o", tmp_path / "fronts.svg")
    assert drawn.exit_code == 0, drawn.output
    svg = (tmp_path / "fronts.svg").read_text()
    assert "fronts on the search split" in svg or "<svg" in svg
    assert call("draw", "pareto", folder, "-o", tmp_path / "all.svg").exit_code == 0


def test_the_report_of_runs_on_one_split_says_how_to_rank_by_all_of_them(
    cache: Path, tmp_path: Path
) -> None:
    result = call("evolve", "--bench", TINY, "--seeds", 2, "--split-seed", 5, "--evaluations", 40,
                  "--population", 10, "--proposals", 20, "--jobs", 1, "--cache", cache, "--out",
                  tmp_path / "runs")  # fmt: skip
    assert "they share one split" in result.stdout
    (line,) = [line.strip() for line in result.stdout.splitlines() if "--together" in line]
    assert "--split-seed 5" in line
    ranked = call(*shlex.split(line)[1:], "--cache", cache, "--csv", "-", "--jobs", 1)
    assert ranked.exit_code == 0, ranked.output
    rows = {row["proxy"]: row for row in csv.DictReader(io.StringIO(ranked.stdout))}
    assert len(rows) == 4
    assert rows["runs, 2 together"]["searched_on"] == "0"


def test_runs_with_words_of_the_bench_s_file_rank_together_in_another_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "with words.py").write_text(
        "import autoprox\n"
        "@autoprox.statistic('Layer', latex='z', needs_labels=False)\n"
        "def filled(network, inputs, targets):\n"
        "    'How many entries each parameter has, and one.'\n"
        "    return {name: part.numel() + 1.0 for name, part in network.named_parameters()}\n"
        f"bench = autoprox.load_bench({TINY!r})\n"
    )
    begins = "evolve --seeds 2 --split-seed 0 --evaluations 20 --population 5 --proposals 10"
    ranks = "rank --sample 512 --csv - params"
    begun, ranked = (
        run_python("-m", "autoprox", *command.split(), "--bench", "with words.py", "--cache",
                   "cache", "--jobs", "1", "--quiet", *own, folder=tmp_path)
        for command, own in (
            (begins, ("--statistics", "filled", "--out", "of mine")),
            (ranks, ("--together", "of mine", "--together", "of mine")),
        )
    )  # fmt: skip
    assert begun.returncode == 0, begun.stderr
    assert "autoprox report 'of mine'" in begun.stdout
    assert ranked.returncode == 0, ranked.stderr
    names = [row["proxy"] for row in csv.DictReader(io.StringIO(ranked.stdout))]
    assert sorted(names)[:2] == ["of mine, 2 together", "params"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bench", TINY, "--leave-one-out", "--split-seed", 1), "leave out --split-seed"),
        (("--from", "somewhere", "--leave-one-out"), "leave out --from"),
        (("--resume", "somewhere", "--seeds", 2), "leave out --seeds"),
        (("--resume", "somewhere", "--from", "x"), "leave out --from"),
        (("--bench", TINY, "--seeds", 0), "--seeds"),
    ],
)
def test_options_that_do_not_go_together_are_named(words: tuple[object, ...], message: str) -> None:
    result = call("evolve", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_what_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    for words in (
        ("compare", tmp_path, tmp_path),
        ("compare", tmp_path / "a"),
        ("evolve", "--from", tmp_path),
        ("rank", "--bench", TINY, "--together", tmp_path),
        ("draw", "pareto", tmp_path, tmp_path, "-o", tmp_path / "x.svg"),
    ):
        result = call(*words)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_stops_all_and_resuming_gives_what_there_would_have_been(
    cache: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "autoprox", "evolve", "--cache", str(cache), "--jobs", "2"]
    new = ["--bench", TINY, "--seeds", "3", *SMALL, "--evaluations", "200"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = subprocess.run(
        [*command, *new, "--out", "whole"], cwd=tmp_path, env=environment, timeout=300
    )
    assert whole.returncode == 0
    process = subprocess.Popen(
        [*command, *new, "--out", "cut"], cwd=tmp_path, env=environment,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "cut" / "seed-0" / "generations.csv").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "go on with: autoprox evolve --resume cut" in told
    assert "Traceback" not in told
    resumed = subprocess.run(
        [*command, "--resume", "cut", "--bench", TINY], cwd=tmp_path, env=environment, timeout=300
    )
    assert resumed.returncode == 0
    for name in ("seed-0", "seed-1", "seed-2"):
        for file in ("candidates.jsonl", "report.json"):
            one, other = (tmp_path / run / name / file for run in ("whole", "cut"))
            assert one.read_bytes() == other.read_bytes()
