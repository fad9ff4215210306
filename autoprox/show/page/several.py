"""The page of several runs in one folder: what they say together, with links to their own pages."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from autoprox.assessment.wording import figure
from autoprox.benches.counts import COUNTS
from autoprox.runs.html import median_text, runs_html
from autoprox.runs.several_record import Runs
from autoprox.runtime.markup import Markup, join, table, tag
from autoprox.show.page.tables import signed, signed_interval


def several_page(runs: Runs, name: str) -> str:
    """Return the page of several runs.

    Args:
        runs: the runs.
        name: the file's name of the page of each, in its own folder.
    """
    whole = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    head = Template(whole.partition("<body")[0]).safe_substitute(title=join([runs.title]))
    links = [tag("li", tag("a", folder, href=f"{folder}/{name}")) for folder in runs.runs]
    sections = [
        tag("h1", runs.title),
        _scrolling(Markup(runs_html(runs)), "Runs"),
        tag("h2", "Known proxies"),
        _scrolling(_known(runs), "Known proxies"),
        *_left_out(runs),
        tag("h2", "Formulas among the best of more than one run"),
        _recurring(runs),
        tag("h2", "Each run"),
        tag("ul", *links),
    ]
    return f"{head}{tag('body', tag('main', *sections))}\n</html>\n"


def _scrolling(content: str, label: str) -> Markup:
    return tag("div", content, class_="wide", tabindex=0, role="region", aria_label=label)


def _known(runs: Runs) -> Markup:
    """Return the medians of the known proxies, and of what the runs' best ones are above them."""
    headings = ["proxy", "held out", "the runs' over it", "interval", "runs below it"]
    rows = [
        [
            rival.name,
            median_text(rival.joint),
            signed(rival.difference.middle),
            signed_interval((rival.difference.low, rival.difference.high)),
            f"{rival.above} of {rival.difference.runs}",
        ]
        for rival in runs.rivals
    ]
    return table("Medians over the runs, on what each held out", headings, rows)


def _left_out(runs: Runs) -> list[Markup]:
    """Return what was found on the families that were left out, and means over them; or nothing."""
    if (elsewhere := runs.left_out) is None:
        return []
    rows = []
    for family, median in elsewhere.found.items():
        name, best = elsewhere.best_counts[family]
        counts = [figure(elsewhere.known[count][family]) for count in COUNTS]
        rows.append([family, median_text(median), f"{figure(best)} ({name})", *counts])
    means = [
        [
            known.name,
            figure(known.joint),
            signed(known.difference),
            signed_interval(known.difference_interval),
            f"{known.below} of {len(rows)}",
        ]
        for known in elsewhere.beside
    ]
    families = table(
        f"On the family that each search never saw ({runs.joint})",
        ["left out", "found", "best count, picked afterwards", *COUNTS],
        rows,
    )
    beside = table(
        f"Means over the families; found: {figure(elsewhere.joint)}",
        ["known", "mean", "found over it", "95 % over families", "families below"],
        means,
    )
    label = "Families left out"
    return [tag("h2", label), _scrolling(families, label), _scrolling(beside, f"{label}, means")]


def _recurring(runs: Runs) -> Markup:
    """Return the formulas that are among the best of more than one run, with the runs."""
    if not runs.recurring:
        return tag("p", "There is none.")
    items = [
        tag("li", tag("code", text), f" in {', '.join(names)}")
        for text, names in runs.recurring.items()
    ]
    return tag("ul", *items)
