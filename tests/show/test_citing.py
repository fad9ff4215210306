"""BibTeX: what is cited, from what the project states of its sources."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

import autoprox
from autoprox import proxies
from autoprox.benches import load_bench
from autoprox.cli import main
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.proxies import shipped
from autoprox.proxies.fitted import FittedProxy
from autoprox.show.citing import AUTHORS, PREDICTORS, _known, _of_bench, bibliography
from autoprox.statistics import STATISTICS
from tests.made_runs import found, judged

ROOT = Path(__file__).parents[2]


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def test_a_proxy_is_cited_as_its_file_says() -> None:
    text = bibliography([autoprox.load("grasp")])
    assert "title = {{Picking Winning Tickets Before Training by Preserving Gradient Flow}}" in text
    assert "author = {Chaoqi Wang and Guodong Zhang and Roger Grosse}" in text
    assert "booktitle = {ICLR 2020}" in text
    assert "eprint = {2002.07376}" in text
    assert keys(text) == ["autoprox", "lee2019snip", "wang2020picking"]  # it multiplies weights


def test_an_expression_cites_the_papers_of_its_statistics_under_their_full_titles() -> None:
    text = bibliography([autoprox.load("sum(sum(channel_spectrum))")])
    assert "MeCo: Zero-Shot NAS with One Data and Single Forward Pass" in text
    assert len(keys(text)) == 2


def test_a_run_cites_benches_algorithm_statistics_and_known_proxies() -> None:
    run = found(judged(("sum(norm(weight))", 0.7, None)))
    run = replace(run, settings=Settings("nb201,vit101", algorithm="emq"))
    assert keys(bibliography([run])) == [
        "autoprox",
        "fortin2012deap",
        "dong2020nas",
        "dong2023emq",
        "lee2019snip",
        "wei2024auto",
    ]


def test_a_discovered_proxy_cites_the_bench_that_it_was_found_on() -> None:
    assert "dong2020nas" in keys(bibliography([autoprox.load("nb201_best")]))


def test_a_fitted_proxy_cites_its_model_what_it_reads_and_the_benches_behind_it() -> None:
    inputs = (autoprox.load("grasp").graph, parse("norm(grad)"))
    labels = {"bench": "nb201", "targets": ["c10"], "architectures": []}
    provenance = {"labels": labels, "searches": [{"bench": "landmarks"}]}
    fitted = FittedProxy("mine", inputs, (0, 3), "robot", {}, {}, provenance=provenance)
    alone = keys(bibliography([autoprox.load("grasp")]))
    benches = [reference.key for name in ("nb201", "landmarks") for reference in _of_bench(name)]
    expected = {*alone, *benches, "he2024robustifying"}
    assert set(keys(bibliography([fitted]))) == expected
    others = {
        model: set(keys(bibliography([replace(fitted, model=model)]))) - expected
        for model in ("parzc_ranks", "gp")
    }
    assert others == {"parzc_ranks": {"dong2025parzc"}, "gp": set()}
    damaged = replace(fitted, inputs=(), provenance={"labels": 1, "searches": {"bench": "nb201"}})
    assert keys(bibliography([damaged])) == ["autoprox", "he2024robustifying"]


@pytest.mark.parametrize("home", PREDICTORS)
def test_the_papers_of_models_are_those_that_their_modules_name(home: str) -> None:
    stated = " ".join(import_module(f"autoprox.predictors.{home}").__doc__.split())
    paper = PREDICTORS[home]
    assert f"{paper.authors}, {paper.title}, {paper.venue}, {paper.url}" in stated


def test_every_proxy_and_statistic_that_names_a_paper_is_read_whole() -> None:
    text = bibliography(autoprox.load(name) for name in shipped.names())
    entries = text.split("\n\n")
    assert len({*keys(text)}) == len(entries)
    papers = [entry for entry in entries[1:] if "url = {https://github.com" not in entry]
    assert len(papers) > 40
    for entry in papers:
        assert re.search(r"  author = \{[A-Z]", entry), entry
        assert re.search(r"  year = \{\d{4}\}", entry), entry
    graphs = [proxies.get(name).graph for name in proxies.expressions()]
    used = {STATISTICS[name] for graph in graphs for name in graph.statistics}
    stated = [statistic.reference for statistic in used if statistic.reference]
    for reference in stated:
        graph = next(name for name, each in STATISTICS.items() if each.reference == reference)
        assert STATISTICS[graph].reference.partition("(")[2].split(" ")[0] in text


@pytest.mark.parametrize(
    ("bench", "authors"),
    [
        ("natssss", ["Dong et al."]),
        ("resnet64", ["Dong, Li and Wei"]),
        ("darts", ["", "Liu, Simonyan and Yang"]),
        ("autoformer_s", ["Ho et al.", "Chen et al."]),
        ("rnn", ["Klyuchnikov et al."]),
        ("mq101", ["Dong et al."]),
    ],
)
def test_the_citation_of_a_bench_is_read_paper_by_paper(bench: str, authors: list[str]) -> None:
    references = _of_bench(bench)
    assert [reference.authors for reference in references] == authors
    for reference in references:
        assert re.search(r"\d{4}", reference.venue) or "github" in reference.url
        assert "https" not in reference.title
        assert reference.title in " ".join(load_bench(bench).citation.split())


def test_every_entry_has_what_bibtex_sorts_by() -> None:
    entries = re.split(r"\n(?=@)", bibliography(proxies.get(name) for name in proxies.names()))
    assert len(entries) > 40
    missing = [entry for entry in entries if not re.search(r"^  (author|key) = ", entry, re.M)]
    assert missing == []


def test_the_authors_that_are_listed_begin_with_the_one_that_the_proxies_name() -> None:
    stated = {
        match[1]: reference.authors
        for reference in _known()
        if (match := re.search(r"arxiv.org/abs/([\d.]+)", reference.url))
    }
    for number, names in AUTHORS.items():
        first = names.split(", ")[0]
        assert stated[number].split(" ")[0] == first.rsplit(" ", 1)[1], number
    assert {"Lee et al.", "Tanaka et al."} <= {stated[number] for number in AUTHORS}


def test_autoprox_is_cited_as_its_own_file_says() -> None:
    cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    text = bibliography([])
    assert re.search(r'^title: "(.+)"$', cff, re.MULTILINE)[1] in text
    assert f"version: {autoprox.__version__}" in cff
    assert f"version {autoprox.__version__}" in text


def test_the_command_prints_it_and_says_what_it_does_not_know() -> None:
    done = CliRunner().invoke(main, ["cite", "snip", "params"])
    assert done.exit_code == 0
    assert keys(done.stdout) == ["autoprox", "lee2019snip"]
    failed = CliRunner().invoke(main, ["cite", "snipp"])
    assert failed.exit_code == 1
    assert "did you mean" in failed.output


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_is_cited_twice(count: int) -> None:
    text = bibliography([autoprox.load("snip")] * count)
    assert keys(text) == ["autoprox", "lee2019snip"]
