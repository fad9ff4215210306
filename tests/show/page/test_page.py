"""The page of a run: its figures are those of the run's files, and its markup is sound."""

from __future__ import annotations

import csv
import html
import itertools
import json
import re
import shlex
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from click.testing import CliRunner, Result

import autoprox
from autoprox.assessment.wording import summary
from autoprox.benches import load_bench
from autoprox.cli import main
from autoprox.cli.evolve import evolve as evolve_command
from autoprox.cli.rank import rank as rank_command
from autoprox.errors import RunError
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.runs.evolve import evolve
from autoprox.runs.record import read_run
from autoprox.runtime.schema import sealed
from autoprox.show.page import page, write_page
from autoprox.show.page.charts import ticks
from autoprox.show.page.command import (
    page_commands,
    rank_commands,
    resume_command,
    settings_options,
)
from autoprox.show.page.scatters import WORST, places
from autoprox.show.page.tables import others_table
from autoprox.show.picks import picks
from tests import quantised_tiny_bench as bench_of_bits

TINY, OTHER, BITS, TOKENS = (
    str(Path(__file__).parents[2] / f"{name}_bench.py")
    for name in ("tiny", "other_tiny", "quantised_tiny", "token")
)
SMALL = {"population": 20, "proposals": 40}
VOID = {"meta", "link", "wbr"}


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory) -> Path:
    """A finished run that leaves a space for transfer."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    evolve(TINY, out=folder, cache=cache, spaces=("cnn",), evaluations=160, **SMALL)
    return folder


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of that run, to change."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, words)])


def change(path: Path, **fields: object) -> None:
    """Change fields of a JSON file, which then has the checksum of what it says."""
    path.write_text(sealed(json.loads(path.read_text()) | fields))


class Page(HTMLParser):
    """What a page consists of; fails on tags that do not match.

    `tables` maps each caption to its rows, each a list of the texts of its cells; the text of a
    formula is what its cell says when it is pointed at.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: dict[str, list[str]] = {}
        self._rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._formula = dict(attrs).get("title")
            self._rows[-1].append(self._formula or "")
        if tag == "table":
            self._rows = []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self.texts["caption"][-1]] = self._rows

    def handle_data(self, data):
        for tag in ("td", "th"):
            if tag in self.open and not self._formula:
                self._rows[-1][-1] += data
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def values(self, name: str) -> list[str]:
        """The values of an attribute."""
        return [value or "" for _, each, value in self.attributes if each == name]


def three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def in_order(rows: list[dict]) -> list[dict]:
    """The search's own as they are, then the known proxies, the best first."""
    known = [each for each in rows if each["known"]]
    scored = [each for each in known if each["joint"] is not None]
    scored.sort(key=lambda each: each["joint"], reverse=True)
    failed = [each for each in known if each["joint"] is None]
    return [each for each in rows if not each["known"]] + scored + failed


# Content


def test_the_held_out_table_has_the_figures_of_the_report(finished):
    report = json.loads((finished / "report.json").read_text())
    (caption,) = (each for each in Page(page(finished)).tables if each.startswith("Held out"))
    assert "(5 of cnn)" in caption
    head, *rows = Page(page(finished)).tables[caption]
    assert head == [
        "proxy",
        "nodes",
        "joint D",
        "over the best known",
        "joint D, search",
        "joint \N{GREEK SMALL LETTER TAU}",
        "joint \N{GREEK SMALL LETTER RHO}",
        "lost, top 1",
        "lost, of 5",
        "top 10 %",
        "formula",
    ]
    assert len(rows) == len(report["held_out"])
    search = {each["name"]: each["joint"] for each in report["search"]}
    for row, each in zip(rows, in_order(report["held_out"]), strict=True):
        low, high = each["joint_interval"]
        assert row[:2] == [each["name"], str(each["complexity"])]
        assert row[2] == f"{three(each['joint'])}{low:.3f} to {high:.3f}"
        assert row[3].replace("\N{MINUS SIGN}", "-").startswith(f"{each['difference']:+.3f}")
        means = [
            sum(column[name] for column in each["columns"]) / len(each["columns"])
            for name in ("kendall", "spearman", "top1_regret", "top5_regret", "top_share")
        ]
        assert row[4] == three(search[each["name"]])
        assert [float(cell.replace("\N{MINUS SIGN}", "-")) for cell in row[5:10]] == pytest.approx(
            means, abs=5e-4
        )
        assert row[10] == each["expression"]


@pytest.mark.parametrize(
    ("caption", "part", "space"),
    [
        ("D with its 95 % interval, and the other correlations.", "held_out", "cnn"),
        ("Transfer, column by column", "transfer", "mlp"),
    ],
)
def test_the_columns_have_the_figures_of_the_report(finished, caption, part, space):
    report = json.loads((finished / "report.json").read_text())
    head, *rows = Page(page(finished)).tables[caption]
    assert head == ["proxy", f"{space}/coarse", f"{space}/fine"]
    for row, each in zip(rows, in_order(report[part]), strict=True):
        for cell, found in zip(row[1:], each["columns"], strict=True):
            low, high = found["interval"]
            tau = f"\N{GREEK SMALL LETTER TAU} {found['kendall']:.2f}"
            rho = f"\N{GREEK SMALL LETTER RHO} {found['spearman']:.2f}"
            assert cell == f"{found['somers']:.3f}{low:.2f} to {high:.2f}, {tau}, {rho}"


def test_failures_and_generations_are_those_of_the_files(finished):
    lines = [json.loads(each) for each in (finished / "candidates.jsonl").read_text().splitlines()]
    reasons = Counter(summary(each["failure"]) for each in lines if "failure" in each)
    tables = Page(page(finished)).tables
    assert reasons
    shown = {row[0]: int(row[1]) for row in tables["Failed candidates by reason"][1:]}
    assert shown == dict(reasons)
    with (finished / "generations.csv").open() as file:
        expected = [
            [each["generation"], each["evaluations"], each["expression"]]
            for each in csv.DictReader(file)
        ]
    assert [
        [*row[:2], row[-1]] for row in tables["Generation by generation: joint D"][1:]
    ] == expected


def test_the_lineage_of_the_best_leads_from_candidates_without_parents_to_it(finished):
    lines = [json.loads(each) for each in (finished / "candidates.jsonl").read_text().splitlines()]
    numbers: dict[str, int] = {}
    for number, each in enumerate(lines, start=1):
        if "expression" in each:
            numbers.setdefault(each["expression"], number)
    *_, best = rows = Page(page(finished)).tables["The best candidate and its nearest ancestors"][
        1:
    ]
    assert best[-1] == read_run(finished).best_text
    shown = {row[0] for row in rows}
    for row in rows:
        number, parents = int(row[0]), row[1]
        told = dict.fromkeys(str(numbers[text]) for text in lines[number - 1]["parents"])
        expected = [each for each in told if each in shown]
        expected += ["an earlier one"] * (len(told) - len(expected))
        assert parents == (", ".join(expected) or "-")


def test_a_run_without_parents_says_so(copy):
    path = copy / "candidates.jsonl"
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    text = "".join(
        sealed({key: value for key, value in each.items() if key != "parents"}) + "\n"
        for each in lines
    )
    path.write_text(text)
    checkpoint = json.loads((copy / "checkpoint.json").read_text())
    change(copy / "checkpoint.json", **(checkpoint | {"bytes": len(text.encode())}))
    assert "It is not known: the run in" in page(copy)


def test_the_words_have_the_shares_of_the_candidates_that_use_them(finished):
    tables = Page(page(finished)).tables
    (caption,) = (each for each in tables if each.startswith("Which words"))
    rows = {row[0]: row for row in tables[caption][1:]}
    texts = {each.text for each in read_run(finished).judged}
    for word in ("sum", "weight"):
        share = sum(re.search(rf"\b{word}\b", each) is not None for each in texts) / len(texts)
        assert rows[word][4] == f"{share:.0%}"


def test_the_first_lines_say_what_the_command_line_says(finished):
    text = page(finished)
    assert "top 1 is 0." in text
    assert "The search is finished: 160 distinct candidates, of" in text
    assert "tiny_bench, default, seed 0 - autoprox</title>" in text


def test_each_formula_is_one_pick_and_the_best_of_each_size_is_among_them(finished):
    found = read_run(finished)
    chosen = picks(found)
    texts = [each.text for each in chosen]
    assert len(set(texts)) == len(texts)
    assert len({each.anchor for each in chosen}) == len(chosen)
    assert [each.name for each in chosen][: len(found.held_out)] == [
        each.name for each in found.held_out
    ]
    sizes = [each.complexity for each in found.front]
    assert sizes == sorted(set(sizes))
    for each in found.front:
        assert each.text in texts
        rivals = [one.fitness for one in found.judged if one.complexity <= each.complexity]
        assert each.fitness == max(rivals)
    for row in found.generations:
        (pick,) = (each for each in chosen if each.text == row.expression)
        assert pick.held_out == pytest.approx(row.held_out)


def test_each_proxy_has_formula_graph_and_code(finished):
    text = page(finished)
    articles = re.findall(r"<article.*?</article>", text, re.DOTALL)
    assert len(articles) == len(picks(read_run(finished)))
    for article in articles:
        (code,) = re.findall(r"<pre>(import.*?)</pre>", article, re.DOTALL)
        (expression,) = re.findall(r"autoprox.load\(&#39;(.*?)&#39;\)", code)
        graph = parse(expression)
        assert article.count('class="node') == graph.complexity
        assert article.count("<math ") == 1
        assert len(re.findall('class="node root"', article)) == 1


@pytest.fixture(scope="module")
def of_bits(cache, tmp_path_factory) -> Path:
    """A finished run on bits of one of two trained networks."""
    folder = tmp_path_factory.mktemp("runs") / "bits"
    evolve(BITS, out=folder, cache=cache, spaces=("wide",), evaluations=60, **SMALL)
    return folder


def test_the_code_of_a_proxy_of_bits_runs_as_it_stands(of_bits):
    (code, *_) = re.findall(r"<pre>(import.*?)</pre>", page(of_bits), re.DOTALL)
    given = {"network": bench_of_bits.build(bench_of_bits.bench.in_space("deep")[0])}
    given |= {"inputs": torch.randn(8, 3, 8, 8), "targets": torch.arange(8) % 5}
    exec(html.unescape(code), given)
    proxy = autoprox.load(of_bits)
    three = [given[name] for name in ("network", "inputs", "targets")]
    assert given["score"] == proxy(*three, bits=4) == proxy(*three, bits=[8, 4, 4, 4, 8])


def test_transfer_to_another_network_is_shown_column_by_column(of_bits):
    report = in_order(json.loads((of_bits / "report.json").read_text())["transfer"])
    rows = Page(page(of_bits)).tables["Transfer, column by column"]
    assert rows[0] == ["proxy", "deep/accuracy"]
    assert [row[0] for row in rows[1:]] == [each["name"] for each in report]
    for row, each in zip(rows[1:], report, strict=True):
        (column,) = each["columns"]
        assert column["architectures"] == 14
        assert row[1].startswith(f"{column['somers']:.3f}")
    assert {"bit_sum", "model_size", "bops"} <= {row[0] for row in rows[1:]}


def test_ticks_are_round_and_inside():
    assert ticks(0, 10_000) == [0, 2000, 4000, 6000, 8000, 10_000]
    assert ticks(-0.13, 0.42) == [-0.1, 0.0, 0.1, 0.2, 0.3, 0.4]
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]


# Markup


def test_the_markup_is_sound_and_needs_nothing_from_elsewhere(finished):
    text = page(finished)
    found = Page(text)
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    links = [each for each in found.values("href") if each != "data:,"]
    assert links
    assert {each.removeprefix("#") for each in links} <= set(ids)
    assert found.values("src") == []
    assert "http://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")  # a mere name
    assert "https://" not in text
    assert "url(" not in text
    assert text == page(finished)


def test_pictures_and_formulas_are_well_formed(finished):
    text = page(finished)
    for name in ("svg", "math"):
        parts = re.findall(rf"<{name}.*?</{name}>", text, re.DOTALL)
        assert parts
        for part in parts:
            ElementTree.fromstring(part)


def test_readers_of_the_markup_are_told_everything(finished):
    text = page(finished)
    levels = [int(each) for each in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert text.count("<table") == text.count("<caption")
    for drawn in re.findall(r"<svg.*?>", text):
        assert "aria-label=" in drawn or "aria-hidden=" in drawn
    assert '<html lang="en">' in text


def test_text_of_the_files_is_never_markup(copy):
    report = json.loads((copy / "report.json").read_text())
    report["held_out"][1]["expression"] = "<script>alert('x')</script>"
    report["held_out"][1]["name"] = '"><b>'
    change(copy / "report.json", **report)
    text = page(copy)
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert" in text
    Page(text)


def test_a_formula_of_unknown_words_is_shown_as_text(copy):
    report = json.loads((copy / "report.json").read_text())
    report["held_out"][0]["expression"] = "sum(cube(params))"
    change(copy / "report.json", **report)
    text = page(copy)
    assert "It cannot be drawn here: unknown primitive &#39;cube&#39;" in text
    assert "sum(<wbr>cube(<wbr>params))" in text


# Reproducing


@pytest.mark.parametrize(
    "settings",
    [
        Settings("vit101"),
        Settings("a,b", spaces=("a/x y", "b/z"), targets=("t",), architectures=9, algorithm="emq"),
        Settings(
            "vit101", seed=3, split_seed=4, held_out_share=0.25, statistics=("weight", "grad")
        ),
        Settings("vit101", seed_proxies=("zico", "sum(divide(params, flops))"), sample="full"),
        Settings("vit101", batch=4, probe_seed=2, sample=64, images="/a b/c.npz"),
        Settings("vit101", evaluations=5, population=4, proposals=6, complexity=7),
        Settings("vit101", algorithm="emq", parameters={"top": 0.1, "crossover": 1.0}),
        Settings("vit101", teacher="resnet56", comparing=True),
    ],
)
def test_the_command_has_the_settings_of_the_run(settings):
    context = evolve_command.make_context("evolve", settings_options(settings))
    given = {
        name: value
        for name, value in context.params.items()
        if name in Settings.__dataclass_fields__ and value not in (None, ())
    }
    assert Settings(**given) == settings


def test_known_proxies_are_ranked_on_what_the_run_was_shown(finished):
    settings = Settings("vit101", ("pit",), images="/a b/c.npz", batch=64, split_seed=3)
    ranking, _ = page_commands(replace(read_run(finished), settings=settings))
    given = rank_command.make_context("rank", shlex.split(ranking)[2:]).params
    assert (given["held_out"], given["split_seed"]) == (True, 3)
    assert (given["images"], given["batch"]) == ("/a b/c.npz", 64)
    usual, _ = page_commands(replace(read_run(finished), settings=Settings("vit101")))
    assert "--images" not in usual
    assert "--batch" not in usual


def test_known_proxies_are_ranked_beside_the_teacher_of_the_run(finished):
    settings = Settings("vit101", teacher="resnet56", teacher_weights="/a b/c.pt")
    ranking, _ = page_commands(replace(read_run(finished), settings=settings))
    given = rank_command.make_context("rank", shlex.split(ranking)[2:]).params
    assert (given["teacher"], given["teacher_weights"]) == ("resnet56", "/a b/c.pt")


@pytest.mark.parametrize(
    "options",
    [
        {"split_seed": 3},
        {"architectures": 22, "targets": ("fine", "top1")},
        {"spaces": ("tiny/cnn", "other/mlp")},
    ],
    ids="all drawn spaces".split(),
)
def test_known_proxies_are_ranked_on_what_was_held_out_of_each_bench(options, cache, tmp_path):
    whole = {"evaluations": 20, "cache": cache, **SMALL, **options}
    run = evolve(f"{TINY},{OTHER}", out=tmp_path / "run", **whole)
    (known,) = (row for row in run.held_out if row.name == "params")
    shown = {}
    for bench, command in zip(run.benches, rank_commands(run, ["params"]), strict=True):
        words = [*shlex.split(command)[1:], "--cache", str(cache), "--jobs", "1", "--json", "-"]
        told = CliRunner().invoke(main, [*words, "--quiet"])
        assert told.exit_code == 0, told.output
        (row,) = json.loads(told.stdout)["rows"]
        shown |= {f"{bench}/{each['column']}": each["somers"] for each in row["columns"]}
    assert shown == pytest.approx({each.column: each.somers for each in known.columns})
    *rankings, last = page_commands(run)
    assert "--json ranking-tiny.json" in rankings[0]
    assert "--json ranking-other.json" in rankings[1]
    assert last.endswith("--ranking ranking-tiny.json")
    assert "a bench each" in page(run.folder)


def test_a_bench_that_takes_no_images_is_ranked_without_those_of_others(cache, tmp_path):
    images = tmp_path / "images.npz"
    np.savez(images, x=np.zeros((10, 8, 8, 3), np.uint8), y=np.arange(10) % 5)
    asked = {"images": str(images), "statistics": ("params", "grad"), "evaluations": 20, **SMALL}
    run = evolve(f"{TINY},{TOKENS}", out=tmp_path / "run", cache=cache, **asked)
    commands = rank_commands(run, ["params"])
    assert ["--images" in command for command in commands] == [True, False]
    for command in commands:
        told = CliRunner().invoke(main, [*shlex.split(command)[1:], "--cache", str(cache)])
        assert told.exit_code == 0, told.output


def test_a_bench_that_is_left_out_is_ranked_by_no_command(of_wins):
    settings = Settings("nb201,tiny,macro", leave_out=("nb201", "macro"), split_seed=2)
    run = read_run(of_wins)
    columns = tuple(c for c in run.held_out[0].columns if c.column.startswith("tiny/"))
    run = replace(run, settings=settings, held_out=(replace(run.held_out[0], columns=columns),))
    (command,) = rank_commands(run, ["zico"])
    assert shlex.split(command)[2:] == "--bench tiny zico --held-out --split-seed 2".split()
    (first, second) = rank_commands(replace(run, held_out=(), settings=Settings("a,b")), ["zico"])
    assert "--bench a zico" in first
    assert "--bench b zico" in second


@pytest.mark.parametrize("teacher", ["/a b/mine.py:build", "resnet56"])
def test_a_teacher_in_a_file_has_to_be_named_again(finished, teacher):
    run = replace(read_run(finished), settings=Settings("vit101", teacher=teacher))
    given = evolve_command.make_context("evolve", shlex.split(resume_command(run))[2:]).params
    assert given["teacher"] == (teacher if ".py" in teacher else None)


# Runs that are not as usual


def test_a_killed_run_has_a_page_without_assessments(copy):
    (copy / "report.json").unlink()
    text = page(copy)
    assert "It was stopped before it could assess anything" in text
    assert f"autoprox evolve --resume {copy}" in text
    assert "Held out, column by column" not in text
    last = read_run(copy).generations[-1]
    first = picks(read_run(copy))[0]
    assert (first.text, first.search) == (last.expression, last.best)
    assert text.index(f'id="{first.anchor}"') == text.index('id="proxy-')
    Page(text)


def test_an_interrupted_run_says_so_and_how_to_go_on(copy):
    change(copy / "report.json", finished=False)
    text = page(copy)
    assert "The search stopped before its end" in text
    assert f"autoprox evolve --resume {copy}" in text


def test_a_run_that_went_on_says_what_its_assessments_are_of(copy):
    change(copy / "report.json", finished=False, evaluations=100)
    assert "The assessments are of its first 100 candidates." in page(copy)


def test_what_was_written_after_the_checkpoint_does_not_count(copy):
    before = read_run(copy)
    with (copy / "candidates.jsonl").open("a") as file:
        file.write('{"proposed": "sum(par')
    assert read_run(copy) == before


def test_a_run_on_several_benches_shows_the_mean_of_each(cache, tmp_path):
    evolve(f"{TINY},{OTHER}", out=tmp_path / "run", cache=cache, evaluations=60, **SMALL)
    text = page(tmp_path / "run")
    (caption,) = (each for each in Page(text).tables if each.startswith("Held out"))
    head, first, *_ = Page(text).tables[caption]
    assert head[4:6] == ["mean D, tiny", "mean D, other"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    *tiny, other = (each["somers"] for each in report["held_out"][0]["columns"])
    assert first[4:6] == [three(sum(tiny) / 4), three(other)]
    assert "tiny_bench and other_tiny_bench, default" in text


@pytest.fixture(scope="module")
def of_wins(cache, tmp_path_factory) -> Path:
    """A finished run on two benches, whose fitness is no mean over them."""
    folder = tmp_path_factory.mktemp("runs") / "wins"
    options = {"cache": cache, "evaluations": 80, **SMALL}
    evolve(f"{TINY},{OTHER}", out=folder, over="wins", **options)
    return folder


def test_a_fitness_that_is_no_mean_is_called_by_its_name(of_wins):
    found, text = read_run(of_wins), page(of_wins)
    tables = Page(text).tables
    fitness = {each.text: three(each.fitness) for each in found.judged}
    joint = {each.expression: three(each.joint) for each in found.search}
    _, *generations = tables["Generation by generation: fitness (wins); held out: joint D"]
    for row, step in zip(generations, found.generations, strict=True):
        assert row[2:4] == [fitness[row[-1]], three(step.held_out)]
    ancestry = tables["The best candidate and its nearest ancestors"]
    assert ancestry[0][3] == "fitness (wins), search"
    assert ancestry[-1][3] == fitness[found.best_text] != joint[found.best_text]
    (others,) = Page(others_table(found, picks(found))).tables.values()
    assert others[0][2:4] == ["fitness (wins), search", "joint D, held out"]
    assert all(row[2] == fitness.get(row[-1], "-") for row in others[1:])
    for pick in picks(found):
        assert three(pick.search) == joint.get(pick.text, "-")
    first = text[text.index('id="proxy-top-1"') :]
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", first[: first.index("</dl>")]))
    assert facts["fitness (wins), search split"] == fitness[found.best_text]
    assert facts["joint D, search split"] == joint[found.best_text]


def test_no_held_out_figure_is_drawn_on_the_axis_of_such_a_fitness(of_wins, finished):
    wins, mean = (charts_of(page(run)) for run in (of_wins, finished))
    for chart in wins:
        assert "fitness (wins)" in chart
        assert "joint" not in chart
        assert "held" not in chart
    assert ["joint D" in chart for chart in mean] == ["held out" in chart for chart in mean]


def charts_of(text: str) -> list[str]:
    """What a page draws of its search: the front and the history."""
    drawn = re.findall("<svg[^>]*chart.*?</svg>", text, re.DOTALL)
    charts = [chart for chart in drawn if "rank by score" not in chart]
    assert len(charts) == 2
    return charts


def test_a_run_of_one_candidate_has_a_page(cache, tmp_path):
    evolve(TINY, out=tmp_path / "run", cache=cache, evaluations=1, seed_proxies=("snip",), **SMALL)
    text = page(tmp_path / "run")
    assert "1 distinct candidate, of" in text
    assert "None of the candidates failed" in text
    assert "top 1 is the seed proxy snip." in text
    Page(text)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: shutil.rmtree(run), "is no folder; give the folder of a run"),
        (lambda run: (run / "config.json").unlink(), "holds no run: it has no config.json"),
        (lambda run: (run / "config.json").write_text("{"), "config.json is damaged: input data"),
        (lambda run: (run / "checkpoint.json").unlink(), "has judged nothing yet"),
        (lambda run: (run / "checkpoint.json").write_text('{"format": "x"}'), "is no"),
        (lambda run: change(run / "checkpoint.json", rows=[{}]), "rows[0].generation is missing"),
        (lambda run: (run / "candidates.jsonl").write_text(""), "was truncated: 0 of"),
        (lambda run: (run / "candidates.jsonl").unlink(), "candidates.jsonl: No such file"),
        (lambda run: change(run / "report.json", version=99), "upgrade autoprox"),
        (lambda run: change(run / "report.json", held_out=[{"name": 1}]), "held_out[0].name"),
        (lambda run: (run / "report.json").write_text("no"), "report.json is damaged"),
    ],
)
def test_damage_has_one_clear_message(copy, damage, said):
    damage(copy)
    result = call(copy)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not (copy / "report.html").exists()


# The command


def test_the_command_writes_the_page_into_the_folder_or_elsewhere(copy, tmp_path):
    result = call(copy)
    assert result.output == f"written to {copy / 'report.html'}\n"
    other = tmp_path / "new" / "page.html"
    assert call(copy, "--out", other).exit_code == 0
    assert other.read_text() == (copy / "report.html").read_text() == page(copy)
    assert [each.name for each in other.parent.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_an_error(finished, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another --out"):
        write_page(finished, tmp_path / "file" / "page.html")


def test_a_ranking_stands_beside_the_run(copy, cache):
    board = autoprox.rank(["snip", "params"], TINY, spaces=["cnn"], cache=cache, timed=False)
    path = copy / "ranking.json"
    path.write_text(json.dumps(board.to_json()))
    assert call(copy, "--ranking", path).exit_code == 0
    text = (copy / "report.html").read_text()
    head, *rows = Page(text).tables["Known proxies on 12 architectures of tiny"]
    assert head == [
        "proxy",
        "joint D",
        "joint \N{GREEK SMALL LETTER TAU}",
        "joint \N{GREEK SMALL LETTER RHO}",
        *board.columns,
        "formula",
    ]
    assert [row[0] for row in rows] == [each.name for each in board]
    assert [row[1][:5] for row in rows] == [three(each.joint) for each in board]
    assert [row[2:4] for row in rows] == [
        [three(each.joint_kendall), three(each.joint_spearman)] for each in board
    ]
    assert [row[4:6] for row in rows] == [[three(c.somers) for c in each.columns] for each in board]
    assert "may include architectures that the search saw" in text


def test_a_ranking_is_said_to_include_what_the_search_saw_unless_it_drew_and_split_alike(
    copy, of_wins, cache
):
    board = autoprox.rank(["params"], TINY, held_out=True, cache=cache, timed=False)
    path = copy / "ranking.json"
    for other, said in (
        ({}, False),
        ({"settings": {**board.settings, "split_seed": 1}}, True),
        ({"settings": {**board.settings, "architectures": 20}}, True),
        ({"columns": ["mlp/coarse", "mlp/fine"]}, True),
    ):
        path.write_text(json.dumps(board.to_json() | other))
        for run in (copy, of_wins):
            assert ("may include architectures that the search saw" in page(run, path)) == said


@pytest.mark.parametrize(
    ("ranking", "said"),
    [
        ({"bench": "nb201"}, "ranks on the bench 'nb201'; the run was on vit101"),
        ({"bench": "vit101", "settings": None}, "is damaged: settings: expected an object"),
        ({"bench": "vit101", "version": 99}, "upgrade autoprox"),
        ({"format": "other"}, "is no 'autoprox leaderboard' file"),
    ],
)
def test_a_ranking_that_does_not_fit_is_refused(copy, ranking, said):
    change(copy / "config.json", settings=Settings("vit101").to_json())
    path = copy / "ranking.json"
    empty = {"settings": {}, "architectures": 0, "columns": [], "rows": []}
    path.write_text(json.dumps({"format": "autoprox leaderboard", "version": 2} | empty | ranking))
    result = call(copy, "--ranking", path)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_formulas_are_set_as_formulas_and_told_as_text(finished):
    text = page(finished)
    shown = Page(text)
    best = read_run(finished).held_out[0]
    row = shown.tables["Held out: architectures that the search never saw (5 of cnn)"][1]
    assert row[-1] == best.expression
    assert text.count("<math") > len(read_run(finished).held_out)


def test_every_held_out_architecture_is_a_point_and_the_worst_placed_are_named(finished):
    run = read_run(finished)
    columns = places(run)
    assert {*columns} == {each.column for each in run.held_out[0].columns}
    shown = Page(page(finished))
    names = {each.name for each in run.placed}
    assert len(names) == run.held_out[0].columns[0].architectures
    for name, rows in columns.items():
        target = name.partition("/")[2]
        assert {row.architecture.name for row in rows} == names
        best = max(run.placed, key=lambda each: each.accuracies[target])
        assert next(row for row in rows if row.architecture is best).by_figure == 1
        assert [abs(row.off) for row in rows] == sorted((abs(r.off) for r in rows), reverse=True)
        assert sum(row.off for row in rows) == 0  # places are but given in another order
    (table,) = (rows for caption, rows in shown.tables.items() if "places worst" in caption)
    named = [(row[0], row[1]) for row in table[1:]]
    expected = [(r.architecture.name, name) for name, rows in columns.items() for r in rows[:WORST]]
    assert named == expected
    assert all(row[-1] for row in table[1:])  # with their description


def test_the_lowest_loss_has_the_first_place(cache, tmp_path):
    bench = replace(load_bench(TINY), name="losing", lower_is_better="coarse")
    run = evolve(bench, out=tmp_path, cache=cache, spaces=("cnn",), evaluations=20, **SMALL)
    assert run.lower_is_better == ("coarse",)
    for column, best in (("cnn/coarse", min), ("cnn/fine", max)):
        rows = places(run)[column]
        assert min(rows, key=lambda row: row.by_figure).figure == best(row.figure for row in rows)
    text = page(tmp_path)
    assert "cnn/coarse (lower is better) of 5 architectures over their rank by score" in text
    assert "cnn/fine (lower is better)" not in text


def test_a_space_is_as_large_as_its_target_that_has_most_figures(copy):
    run = read_run(copy)
    first, last = run.held_out[0].columns
    rows = [
        replace(row, columns=(first, replace(last, architectures=3))).to_json()
        for row in run.held_out
    ]
    change(copy / "report.json", held_out=rows)
    assert "Held out: architectures that the search never saw (5 of cnn)" in Page(page(copy)).tables


def test_scores_of_the_best_are_those_that_the_report_correlates(finished):
    run = read_run(finished)
    column = run.held_out[0].columns[0]
    target = column.column.partition("/")[2]
    told = [(each.accuracies[target], each.score) for each in run.placed]
    d = scipy.stats.somersd(*zip(*told, strict=True)).statistic
    assert d == pytest.approx(column.somers)


def test_a_run_of_an_earlier_version_has_a_page_without_them(copy):
    report = json.loads((copy / "report.json").read_text())
    del report["placed"], report["lower_is_better"]
    (copy / "report.json").write_text(sealed(report))
    assert "does not say how its best proxy scores" in page(copy)
