"""``autoprox draw``: every picture comes out, and what cannot be drawn has one clear message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoprox.cli import main
from autoprox.runs.evolve import evolve

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.usefixtures("one_thread")

TINY = str(Path(__file__).parents[2] / "tiny_bench.py")
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    evolve(TINY, out=folder / "run", cache=folder / "cache", evaluations=60, population=20,
           proposals=20)  # fmt: skip
    return folder / "run"


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["draw", *map(str, words)])


@pytest.mark.parametrize(
    "words",
    [("history",), ("pareto",), ("lineage", "--top", 3), ("words", "--top", 5)],
    ids=lambda words: words[0],
)
def test_a_run_is_drawn(run, tmp_path, words):
    name, *options = words
    result = call(name, run, *options, "-o", tmp_path / "new" / "picture.png")
    assert result.output == f"drawn into {tmp_path / 'new' / 'picture.png'}\n"
    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(PNG)


def test_the_lineage_of_any_candidate_is_drawn(run, tmp_path):
    lines = (run / "candidates.jsonl").read_text().splitlines()
    text = next(data["expression"] for data in map(json.loads, lines) if "expression" in data)
    assert call("lineage", run, "--proxy", text, "-o", tmp_path / "a.svg").exit_code == 0
    result = call("lineage", run, "--proxy", "sum(heads)", "-o", tmp_path / "b.svg")
    assert result.exit_code == 1
    assert "judged no candidate 'sum(heads)' with a fitness" in result.stderr


def test_a_proxy_is_taken_apart_on_a_bench(run, tmp_path):
    cache = ("--cache", run.parent / "cache", "--jobs", 1)
    for name, options in (("ablation", ("--space", "cnn", "--target", "fine", *cache)),
                          ("layers", ("--architecture", "cnn/8x3"))):  # fmt: skip
        out = tmp_path / f"{name}.png"
        result = call(name, "sum(norm(weight))", "--bench", TINY, *options, "-o", out)
        assert result.exit_code == 0, result.output
        assert out.read_bytes().startswith(PNG)


def test_pictures_of_one_thing_are_one_file(run, tmp_path):
    for name in ("a.svg", "b.svg"):
        assert call("pareto", run, "-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("history", "nowhere", "-o", "a.gif"),
            "a picture is an .svg, .png or .pdf file; got 'a.gif'",
        ),
        (("history", "nowhere", "-o", "a.svg"), "nowhere is no folder"),
        *[
            (
                ("history", "nowhere", "-o", "a.svg", "--width", width),
                f"a picture is 0.5 to 50 inches wide; got {width}",
            )
            for width in ("nan", "inf", "0.4", "5000")
        ],
        (("heatmap", "nowhere.json", "-o", "a.svg"), "cannot read nowhere.json"),
        (("layers", "zen_score", "--bench", TINY, "-o", "a.svg"), "zen_score is no expression"),
        (
            ("layers", "snip", "--bench", TINY, "--architecture", "cnn/9x3", "-o", "a.svg"),
            "bench tiny has no architecture 'cnn/9x3'",
        ),
        (
            ("ablation", "snip", "--bench", TINY, "--space", "vit", "-o", "a.svg"),
            "unknown space 'vit'",
        ),
    ],
)
def test_what_cannot_be_drawn_has_one_clear_message(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
