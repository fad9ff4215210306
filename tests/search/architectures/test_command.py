"""``autoprox search --space``."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import autoprox
from autoprox.cli import main
from autoprox.errors import AutoproxError
from autoprox.search.architectures.search import ArchitectureSearch

FILE = str(Path(__file__).with_name("toy_space.py"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def command(tmp_path, cache):
    """Runs ``autoprox search`` on a small space, in this process."""
    given = ["--space", FILE, "--out", str(tmp_path / "run"), "--evaluations", "20"]

    def run(*more, given=given):
        machine = ["--jobs", "1", "--cache", cache]
        return CliRunner().invoke(main, ["search", *given, *machine, *more])

    return run


def test_the_best_architectures_are_printed(command, tmp_path) -> None:
    result = command("--proxy", "params", "--params", "60:140", "--top", "3")
    assert result.exit_code == 0, result.output
    top = json.loads((tmp_path / "run" / "top.json").read_text())["top"]
    assert len(top) == 3
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for place, each in enumerate(top, start=1):
        widths = ",".join(map(str, each["config"]["widths"]))
        assert f"{place} {each['params']} {each['params']} {each['flops']}" in lines
        assert f"{place} widths={widths}" in lines
    assert "samples fit" in result.stdout
    assert f"build the best: {top[0]['build']}" in result.stdout
    assert "scoring architectures (" in result.stderr
    network = eval(top[0]["build"], {"autoprox": autoprox})
    assert sum(p.numel() for p in network.parameters()) == top[0]["params"]


def test_several_proxies_show_their_mean_rank(command) -> None:
    result = command("--proxy", "params", "--proxy", "flops", "--quiet")
    assert result.exit_code == 0, result.output
    assert "mean rank" in result.stdout
    assert result.stderr == ""


def test_json_goes_to_standard_output_or_into_a_file(command, tmp_path) -> None:
    result = command("--proxy", "params", "--json", "-", "--quiet")
    facts = json.loads(result.stdout)
    assert facts["format"] == "autoprox architectures"
    assert facts == json.loads((tmp_path / "run" / "top.json").read_text())
    path = tmp_path / "facts.json"
    again = [*("--space", FILE, "--out", str(tmp_path / "again"), "--evaluations", "20")]
    assert command("--proxy", "params", "--json", str(path), given=again).exit_code == 0
    assert json.loads(path.read_text()) == facts


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_front_is_drawn(command, tmp_path, suffix) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"front{suffix}"
    options = ["--algorithm", "pareto", "--cost", "flops", "--latency"]
    result = command("--proxy", "params", "--draw", str(path), *options)
    assert result.exit_code == 0, result.output
    assert path.stat().st_size > 5000
    assert "latency" in result.stdout


def test_a_picture_that_cannot_be_drawn_does_not_hide_what_was_found(
    command, tmp_path, monkeypatch
) -> None:
    def refused(found):
        raise AutoproxError("there is nothing to draw")

    monkeypatch.setattr("autoprox.show.draw.fronts.front_figure", refused)
    facts = tmp_path / "facts.json"
    words = ("--draw", str(tmp_path / "front.svg"), "--json", str(facts))
    result = command("--proxy", "params", *words)
    assert result.exit_code == 1
    assert "error: there is nothing to draw" in result.stderr
    assert "20 architectures scored" in result.stdout
    assert json.loads(facts.read_text())["scored"] == 20


def test_a_picture_of_another_kind_is_refused_before_the_search(command, tmp_path) -> None:
    result = command("--proxy", "params", "--draw", "front.gif")
    assert result.exit_code == 1
    assert ".svg" in result.output
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_go_on(command, tmp_path, monkeypatch, cache) -> None:
    step = ArchitectureSearch.step

    def interrupted(self, progress=None):
        if self.scored:
            raise KeyboardInterrupt
        return step(self, progress)

    monkeypatch.setattr(ArchitectureSearch, "step", interrupted)
    result = command("--proxy", "params")
    assert result.exit_code == 130
    assert "16 architectures scored of 20" in result.stdout
    last = result.stderr.splitlines()[-1]
    folder = str(tmp_path / "run")
    again = ["--resume", folder, "--space", FILE]
    assert last == f"interrupted; go on with: autoprox search {' '.join(again)} --cache {cache}"
    monkeypatch.undo()
    resumed = command(given=again)
    assert resumed.exit_code == 0, resumed.output
    assert "20 architectures scored in" in resumed.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--proxy", "zico"], "got none of them"),
        (["--space", "pit", "--bench", "mq101", "--proxy", "zico"], "got --space, --bench"),
        (["--space", "pit"], "give --proxy"),
        (["--space", "pit", "--proxy", "zico", "--size", "1KB"], "does not go with --size"),
        (["--bench", "mq101", "--proxy", "hawq", "--params", ":1M"], "does not go with --params"),
        (["--bench", "mq101", "--proxy", "hawq"], "goes with one --network"),
        (["--resume", "runs/x", "--proxy", "zico"], "--resume does not go with --proxy"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, message) -> None:
    result = CliRunner().invoke(main, ["search", *words])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--proxy", "zicoo"], "did you mean 'zico'"),
        (["--proxy", "zico", "--params", "5M:"], "LEAST:MOST"),
        (["--proxy", "zico", "--algorithm", "luck"], "unknown algorithm 'luck'"),
        (["--proxy", "zico", "--params", "1:2"], "none of 1000"),
    ],
)
def test_bad_values_are_one_line_each(command, words, message) -> None:
    result = command(*words, "--quiet")
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1
