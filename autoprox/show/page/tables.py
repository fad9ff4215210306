"""The tables of the page. Each can be sorted by any of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import MINUS, best_first, figure, interval_text, mean_correlation
from autoprox.language.graph import Graph
from autoprox.language.mathml import from_latex
from autoprox.ranking import SYMBOLS, RankCorrelation
from autoprox.ranking.figures import ColumnFigures
from autoprox.runs.fitness import fitness_name, is_joint
from autoprox.runs.lineage import Lineage
from autoprox.runs.record import Run, known_graph
from autoprox.runs.word_use import BEST, WordUse
from autoprox.runtime.arguments import printable
from autoprox.runtime.markup import Markup, tag
from autoprox.show.picks import Pick

WORDS = {
    "architecture",
    "description",
    "target",
    "form",
    "formula",
    "formula of the best",
    "parents",
    "proxy",
    "reason",
    "setting",
    "share",
    "value",
    "word",
}
"""The headings of columns that hold no numbers."""


USE = ("top1_regret", "top5_regret", "top_share")
"""The figures of use, in the order of their columns."""


def table(caption: str, headings: Sequence[str], rows: Iterable[Markup]) -> Markup:
    """Return a table that a script makes sortable; it scrolls sideways where it does not fit."""
    heads = [
        tag("th", heading, scope="col", class_=None if heading in WORDS else "number")
        for heading in headings
    ]
    whole = tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)),
                tag("tbody", *rows), class_="sortable")  # fmt: skip
    return tag("div", whole, class_="wide", tabindex=0, role="region", aria_label=caption)


def cell(text: str, value: float | None = None) -> Markup:
    """Return a cell; `value` is what it is sorted by if that is not its text."""
    return tag("td", text, data_value=None if value is None else repr(value), class_="number")


def _figure(value: float | None) -> Markup:
    return cell(figure(value), value)


def _with_details(shown: str, value: float | None, details: str) -> Markup:
    """Return a cell with a number and, small beneath it, what goes with it."""
    if value is None:
        return cell("-")
    return tag("td", shown, tag("small", details), data_value=repr(value), class_="number")


def _name(pick: Pick | None, name: str) -> Markup:
    """Return a name as the head of its row, with a link to the proxy."""
    content = name if pick is None else tag("a", name, href=f"#{pick.anchor}")
    return tag("th", content, scope="row")


def _formula(text: str, failure: str | None = None) -> Markup:
    """Return a cell with a formula set as one, or as text where its words are not known here."""
    if failure is not None:
        return tag("td", f"no score: {failure}")
    graph = known_graph(text)
    if isinstance(graph, Graph):
        return tag("td", tag("div", from_latex(graph.latex())), title=text, class_="formula")
    return tag("td", tag("code", Markup("(<wbr>").join(printable(text).split("("))))


def signed(value: float | None) -> str:
    """Return a difference with its sign, or a dash."""
    return figure(value, "+.3f", MINUS)


def signed_interval(interval: tuple[float, float] | None) -> str:
    """Return the interval of a difference, or a dash."""
    return " to ".join(map(signed, interval)) if interval else "-"


def joint_table(
    caption: str, run: Run, rows: Sequence[Assessment], by_text: Mapping[str, Pick]
) -> Markup:
    """Return the joint correlations on one part, beside those of the search split."""
    search = {row.name: row.joint for row in run.search}
    joint, correlation = run.settings.joint, run.settings.measure
    headings = ["proxy", "nodes", joint, "over the best known"]
    benches = [
        name
        for name in run.benches
        if any(mean_correlation(row, name, correlation) is not None for row in rows)
    ]
    headings += [f"mean {run.settings.symbol}, {name}" for name in benches]
    others = [name for name in SYMBOLS if name != correlation]
    headings += [f"{joint}, search", *(f"joint {SYMBOLS[name]}" for name in others)]
    headings += ["lost, top 1", "lost, of 5", "top 10 %", "formula"]
    lines = [
        tag(
            "tr",
            _name(by_text.get(row.expression), row.name),
            cell(str(row.complexity)),
            _with_details(figure(row.joint), row.joint, interval_text(row.joint_interval)),
            _with_details(
                signed(row.difference), row.difference, signed_interval(row.difference_interval)
            ),
            *(_figure(mean_correlation(row, name, correlation)) for name in benches),
            _figure(search.get(row.name)),
            *(_figure(row.mean(name, by_bench=bool(run.benches))) for name in (*others, *USE)),
            _formula(row.expression, row.failure),
            class_="known" if row.known else None,
        )
        for row in best_first(rows)
    ]
    return table(caption, headings, lines)


def column_table(
    caption: str,
    rows: Sequence[Assessment],
    by_text: Mapping[str, Pick],
    correlation: RankCorrelation,
) -> Markup:
    """Return the run's correlation with its interval, and the others, for every column."""
    names = next(([column.column for column in row.columns] for row in rows if row.columns), [])
    lines = []
    for row in best_first(rows):
        by_column = {figures.column: figures for figures in row.columns}
        cells = [_correlation(by_column.get(name), correlation) for name in names]
        name = _name(by_text.get(row.expression), row.name)
        lines.append(tag("tr", name, *cells, class_="known" if row.known else None))
    return table(caption, ["proxy", *names], lines)


def _correlation(figures: ColumnFigures | None, correlation: RankCorrelation) -> Markup:
    if figures is None:
        return cell("-")
    ends = " to ".join(figure(end, ".2f") for end in figures.interval)
    others = [
        f"{symbol} {figure(figures.correlation(name), '.2f')}"
        for name, symbol in SYMBOLS.items()
        if name != correlation
    ]
    value = figures.correlation(correlation)
    return _with_details(figure(value), value, ", ".join([ends, *others]))


def others_table(run: Run, chosen: Iterable[Pick]) -> Markup:
    """Return the proxies that no assessment of the end is about."""
    lines = [
        tag("tr", _name(pick, pick.name), cell(str(pick.complexity or "-")),
            _figure(pick.fitness), _figure(pick.held_out), _formula(pick.text))
        for pick in chosen
    ]  # fmt: skip
    caption = "The best of each size and of the generations, where they are not above"
    search, held_out = fitness_name(run.settings), run.settings.joint
    headings = ("proxy", "nodes", f"{search}, search", f"{held_out}, held out", "formula")
    return table(caption, headings, lines)


BAR = 200
"""Pixels: the longest bar."""


def failures_table(run: Run) -> Markup:
    """Return how often candidates failed, by reason, with bars."""
    most = max(run.failures.values())
    lines = [
        tag("tr", tag("th", reason, scope="row"), cell(str(count)), _bar(count / most))
        for reason, count in run.failures.most_common()
    ]
    return table("Failed candidates by reason", ("reason", "candidates", "share"), lines)


def _bar(share: float) -> Markup:
    """Return a cell with a bar; a share of 1 is the longest."""
    bar = tag("rect", width=max(1.0, BAR * share), height=10, class_="bar")
    drawn = tag("svg", bar, viewBox=f"0 0 {BAR} 10", width=BAR, height=10, aria_hidden="true")
    return tag("td", drawn, data_value=repr(share))


def words_table(uses: Iterable[WordUse]) -> Markup:
    """Return how many of the best candidates use each word, with bars, and how many of all."""
    lines = [
        tag("tr", tag("th", use.word, scope="row"), tag("td", use.form),
            cell(f"{use.best:.0%}", use.best), _bar(use.best),
            cell(f"{use.all:.0%}", use.all))
        for use in uses
    ]  # fmt: skip
    caption = f"Which words the best candidates use, up to {BEST} by fitness on the search split"
    return table(caption, ("word", "form", "of the best", "share", "of all"), lines)


def lineage_table(shown: Lineage, by_text: Mapping[str, Pick], fitness: str) -> Markup:
    """Return the ancestors of a candidate, and last itself; parents are told by their numbers."""
    numbers = {member.candidate.text: str(member.candidate.number) for member in shown.members}
    lines = []
    for ancestor in (member.candidate for member in reversed(shown.members)):
        known = [numbers[text] for text in ancestor.parents or () if text in numbers]
        missing = len(ancestor.parents or ()) - len(known)
        parents = ", ".join([*known, *["an earlier one"] * missing])
        lines.append(
            tag("tr", _name(by_text.get(ancestor.text), str(ancestor.number)),
                tag("td", parents or "-"), cell(str(ancestor.complexity)),
                _figure(ancestor.fitness), _formula(ancestor.text))
        )  # fmt: skip
    headings = ("candidate", "parents", "nodes", f"{fitness}, search", "formula")
    return table("The best candidate and its nearest ancestors", headings, lines)


GENERATION = {
    "generation": "generation",
    "evaluations": "judged",
    "best": "best, search",
    "held_out": "the same, held out",
    "median": "median",
    "complexity": "nodes of the best",
    "failures": "failed",
    "seconds": "seconds",
    "expression": "formula of the best",
}


def generations_table(run: Run, by_text: Mapping[str, Pick]) -> Markup:
    """Return a line a generation; what is held out is joint, whatever was evolved for."""
    lines = []
    for row in run.generations:
        cells = [
            _generation_cell(key, getattr(row, key)) for key in GENERATION if key != "generation"
        ]
        name = _name(by_text.get(row.expression), str(row.generation))
        lines.append(tag("tr", name, *cells))
    unit = fitness_name(run.settings)
    unit += "" if is_joint(run.settings) else f"; held out: {run.settings.joint}"
    return table(f"Generation by generation: {unit}", list(GENERATION.values()), lines)


def _generation_cell(key: str, value: Any) -> Markup:
    if key == "expression":
        return _formula(value)
    if key in ("best", "held_out", "median"):
        return _figure(value)
    return cell(f"{value:g}" if key == "seconds" else str(value), value)


def settings_table(run: Run) -> Markup:
    """Return all settings of the run."""
    lines = [
        tag("tr", tag("th", name, scope="row"), tag("td", _setting(value)))
        for name, value in asdict(run.settings).items()
    ]
    return table("Settings", ("setting", "value"), lines)


def _setting(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "not given" if value is None else str(value)


def ranking_table(ranking: Mapping[str, Any]) -> Markup:
    """Return a leaderboard of proxies, as ``autoprox rank --json`` writes it."""
    columns = list(ranking["columns"])
    lines = []
    for row in ranking["rows"]:
        by_column = {figures["column"]: figures["somers"] for figures in row["columns"]}
        star = " *" if row.get("searched_on") else ""
        lines.append(
            tag("tr", tag("th", row["name"] + star, scope="row"),
                _with_details(figure(row["joint"]), row["joint"],
                              interval_text(row["joint_interval"])),
                _figure(row["joint_kendall"]),
                _figure(row["joint_spearman"]),
                *(_figure(by_column.get(name)) for name in columns),
                _formula(row["formula"], row["reason"] if row["joint"] is None else None))
        )  # fmt: skip
    part = "held-out architectures" if ranking["settings"].get("held_out") else "architectures"
    caption = f"Known proxies on {ranking['architectures']} {part} of {ranking['bench']}"
    headings = ["proxy", "joint D", "joint τ", "joint ρ", *columns, "formula"]  # noqa: RUF001
    return table(caption, headings, lines)


def definitions(facts: Mapping[str, str]) -> Markup:
    """Return names with what they stand for."""
    return tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in facts.items()))
