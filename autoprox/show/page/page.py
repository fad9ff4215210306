"""The page as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from string import Template

from autoprox import __version__
from autoprox.assessment.wording import (
    EXPLAINED_USE,
    code,
    counted,
    difference_in_words,
    figure,
    interval_text,
    luck_in_words,
    readable_seconds,
    reservations_in_words,
    sizes,
    sizes_in_words,
)
from autoprox.benches import several
from autoprox.errors import RunError
from autoprox.evolution.settings import Settings
from autoprox.language.glossary import glossary
from autoprox.language.graph import Graph
from autoprox.language.mathml import to_mathml
from autoprox.language.svg import to_svg
from autoprox.leaderboard.board import WrittenBoard, read_board
from autoprox.runs.contents import holds_several
from autoprox.runs.fitness import fitness_name, is_joint
from autoprox.runs.lineage import lineage
from autoprox.runs.record import Run, read_run
from autoprox.runs.several_record import read_runs
from autoprox.runs.word_use import word_use
from autoprox.runtime.files import write_text
from autoprox.runtime.markup import Markup, join, tag
from autoprox.runtime.progress import Progress, silent
from autoprox.show import plots
from autoprox.show.page import charts, scatters, tables
from autoprox.show.page.command import evolve_command, number_drawn, page_commands, resume_command
from autoprox.show.page.several import several_page
from autoprox.show.picks import Pick, picks

MEMBERS = 20
"""How many candidates the lineage of the best one shows."""
NAME = "report.html"
"""The page's name in the folder of its run."""


def write_page(
    run: str | Path,
    out: str | Path | None = None,
    ranking: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write the page of a run, whole or not at all, and return where it is.

    Of several runs in one folder each gets its page, and the folder one of what they say together.

    Args:
        run: the run's folder, or that of several runs.
        out: the page's file; ``report.html`` in the run's folder if None.
        ranking: a leaderboard to show beside, as ``autoprox rank --json`` writes it.
        progress: is told how many pages are written, of how many.

    Raises:
        RunError: there is no run, its files are damaged, or the page cannot be written.
        AutoproxError: the leaderboard cannot be read, or is of another bench.
    """
    path = Path(run) / NAME if out is None else Path(out)
    if not holds_several(run):
        progress("reading the run and drawing its page", 0, 0)
        write_text(path, page(run, ranking))
        return path
    if out is not None or ranking is not None:
        raise RunError(f"{run} holds several runs: their pages go into their folders, without more")
    progress("reading the runs", 0, 0)
    runs = read_runs(run)
    for place, name in enumerate(runs.runs):
        progress("writing pages", place, len(runs.runs))
        write_page(path.parent / name)
    write_text(path, several_page(runs, NAME))
    return path


def page(run: str | Path, ranking: str | Path | None = None) -> str:
    """Return the page of a run as text; see `write_page`."""
    record = read_run(run)
    chosen = picks(record)
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=join([record.title]),
        version=__version__,
        lead=_lead(record),
        best=_best(record, chosen),
        proxies=_proxies(record, chosen),
        picked=join(_article(pick, record.settings) for pick in chosen),
        parts=_parts(record, chosen, None if ranking is None else Path(ranking)),
        architectures=scatters.section(record),
        history=_history(record, chosen),
        lineage=_lineage(record, chosen),
        failures=_failures(record),
        reproduce=_reproduce(record),
        use=tables.words_table(word_use(record)) if record.judged else "",
        words=glossary(pick.graph for pick in chosen if isinstance(pick.graph, Graph)),
    )


def _lead(run: Run) -> Markup:
    """Return what a reader has to know first."""
    sentences = []
    if run.held_out:
        sentences.append(difference_in_words(run.held_out, run.settings.joint))
        sentences.append(luck_in_words(run.luck, run.null, run.settings.joint, run.no_luck))
        sentences += reservations_in_words(run.held_out)
    state = "The search is finished" if run.finished else "The search stopped before its end"
    sentences.append(
        f"{state}: {counted(run.evaluations, 'distinct candidate')}, of {run.proposals:,} "
        f"proposed, in {counted(len(run.generations), 'generation')} "
        f"and {readable_seconds(run.seconds)}, without measuring."
    )
    if run.settings.leave_out:
        left_out = ", ".join(run.settings.leave_out)
        on = f"It evolved on {', '.join(run.benches)}, and" if run.benches else "It"
        sentences.append(f"{on} left out {left_out}.")
    if run.held_out and run.settings.seed_proxies:
        best = f"the seed proxy {run.best_seed}" if run.best_seed else "none of the seed proxies"
        sentences.append(f"{run.held_out[0].name} is {best}.")
    if run.reported is None:
        sentences.append("It was stopped before it could assess anything: there are no intervals.")
    elif run.reported != run.evaluations:
        sentences.append(f"The assessments are of its first {counted(run.reported, 'candidate')}.")
    parts = [tag("p", *sentences[:1], class_="lead"), *(tag("p", text) for text in sentences[1:])]
    if not run.finished:
        parts.append(tag("p", "Go on with ", tag("code", resume_command(run)), "."))
    return join(parts)


def _by_text(chosen: Sequence[Pick]) -> dict[str, Pick]:
    return {pick.text: pick for pick in chosen}


def _best(run: Run, chosen: Sequence[Pick]) -> Markup:
    """Return the table of the proxies."""
    if not run.held_out:
        return Markup("")
    caption = f"Held out: architectures that the search never saw{sizes_in_words(run.held_out)}"
    table = tables.joint_table(caption, run, run.held_out, _by_text(chosen))
    return join([table, tag("p", f"{EXPLAINED_USE}.")])


def _proxies(run: Run, chosen: Sequence[Pick]) -> Markup:
    """Return what complexity buys, and the proxies that are in no other table."""
    assessed = {row.expression for row in run.held_out}
    others = [pick for pick in chosen if pick.text not in assessed]
    parts = []
    note = "Each point is a proxy; pick one to see its formula. The line is the best of each size."
    parts.append(tag("figure", charts.pareto(run, chosen), tag("figcaption", note)))
    if others:
        parts.append(tables.others_table(run, others))
    return join(parts)


def _article(pick: Pick, settings: Settings) -> Markup:
    """Return one proxy: figures, formula, graph, and the code to use it."""
    joint, facts = settings.joint, {"nodes": str(pick.complexity or "unknown")}
    if not is_joint(settings):
        facts[f"{fitness_name(settings)}, search split"] = figure(pick.fitness)
    facts |= {
        f"{joint}, search split": figure(pick.search),
        f"{joint}, held out": figure(pick.held_out),
    }
    if pick.held_out_interval is not None:
        facts["95 % interval"] = interval_text(pick.held_out_interval)
    parts = [tag("h3", pick.name), tables.definitions(facts)]
    if isinstance(pick.graph, Graph):
        hint = "Point at a node, or move to it with the tab key, to read what it means."
        parts += [
            tag("div", to_mathml(pick.graph), class_="formula wide", tabindex=0, role="region",
                aria_label="Formula"),
            tag("div", to_svg(pick.graph), class_="wide"),
            tag("p", hint, class_="meaning"),
        ]  # fmt: skip
    else:
        parts.append(tag("p", f"It cannot be drawn here: {pick.graph}."))
    parts.append(tag("pre", code(pick.text, pick.needs_bits, settings.bench)))
    if isinstance(pick.graph, Graph):
        latex = tag("pre", pick.graph.latex())
        parts.append(tag("details", tag("summary", "Text and LaTeX"), tag("pre", pick.text), latex))
    return tag("article", *parts, id=pick.anchor, class_="proxy", aria_label=pick.name)


def _parts(run: Run, chosen: Sequence[Pick], ranking: Path | None) -> Markup:
    """Return the assessments column by column, the transfer, and the known proxies."""
    by_text, sections = _by_text(chosen), []
    if run.held_out:
        caption = f"{run.settings.symbol} with its 95 % interval, and the other correlations."
        columns = tables.column_table(caption, run.held_out, by_text, run.settings.measure)
        sections.append(_section("Held out, column by column", columns))
    if run.transfer:
        caption = "Transfer: spaces that the search never saw"
        joint = tables.joint_table(caption, run, run.transfer, by_text)
        columns = tables.column_table(
            "Transfer, column by column", run.transfer, by_text, run.settings.measure
        )
        sentence = difference_in_words(run.transfer, run.settings.joint)
        sections.append(_section("Transfer", tag("p", sentence), joint, columns))
    sections.append(_known(run) if ranking is None else _ranked(run, ranking))
    return join(sections)


def _known(run: Run) -> Markup:
    """Return how to rank the known proxies."""
    commands = page_commands(run)
    intro = "These commands rank them with full tensors, and put them here:"
    if len(commands) > 2:
        intro = (
            "These commands rank them with full tensors, a bench each, and put the first of the "
            "rankings here:"
        )
    if run.elsewhere:
        needed = ", ".join(run.elsewhere)
        intro = f"Not above, for they need other statistics or full tensors: {needed}. {intro}"
    return _section("Further known proxies", tag("p", intro), tag("pre", "\n".join(commands)))


def _ranked(run: Run, path: Path) -> Markup:
    """Return the known proxies as a leaderboard has them; one of another bench is refused."""
    board, sources = read_board(path), several(run.settings.bench)
    if board.bench not in sources and not any(name.endswith(".py") for name in sources):
        names = " and ".join(sources)
        raise RunError(f"{path} ranks on the bench {board.bench!r}; the run was on {names}")
    table, starred = tables.ranking_table(asdict(board)), any(row.searched_on for row in board.rows)
    notes = ["Measured as the settings of that ranking say, not those of this run."]
    if not _same_held_out(run, board):
        notes.append("This ranking may include architectures that the search saw.")
    if starred:
        notes.append("* discovered on some of these architectures, which flatters it.")
    return _section("Known proxies", table, *(tag("p", note) for note in notes))


def _same_held_out(run: Run, board: WrittenBoard) -> bool:
    """Say whether a ranking drew and held out of a run's spaces what the run did."""
    settings, asked = run.settings, board.settings
    prefix = f"{board.bench}/" if run.benches else ""
    spaces = {space for space in sizes(run.held_out) if space.startswith(prefix)}
    return (
        (asked.get("held_out"), asked.get("split_seed")) == (True, settings.split_seed)
        and settings.held_out_share == Settings(settings.bench).held_out_share
        and asked.get("architectures") in (settings.architectures, number_drawn(run, prefix))
        and spaces <= {prefix + column.rpartition("/")[0] for column in board.columns}
    )


def _section(heading: str, *content: str) -> Markup:
    return tag("section", tag("h2", heading), *content)


def _history(run: Run, chosen: Sequence[Pick]) -> Markup:
    table = tables.generations_table(run, _by_text(chosen))
    note = (
        f"The best so far is {plots.CHOSEN}. Held-out figures are shown only; the search "
        "never reads them."
    )
    if not is_joint(run.settings):
        note = f"What is held out is {run.settings.joint}, and no fitness: see the table. {note}"
    drawn = tag("figure", charts.history(run), tag("figcaption", note))
    return join([drawn, tag("details", tag("summary", "Generation by generation"), table)])


def _lineage(run: Run, chosen: Sequence[Pick]) -> Markup:
    try:
        ancestry = lineage(run, most=MEMBERS)
    except RunError as error:
        return tag("p", f"It is not known: {error}.")
    note = "Each was bred from those above it that it names; those without were random, or given."
    if ancestry.earlier:
        note += f" {counted(ancestry.earlier, 'earlier ancestor')} of it are left out."
    unit = fitness_name(run.settings)
    return join([tag("p", note), tables.lineage_table(ancestry, _by_text(chosen), unit)])


def _failures(run: Run) -> Markup:
    total = run.failures.total()
    if not total:
        return tag("p", "None of the candidates failed.")
    summary = f"{counted(total, 'candidate')} of {run.evaluations:,} failed, and got no fitness."
    return join([tag("p", summary), tables.failures_table(run)])


def _reproduce(run: Run) -> Markup:
    note = "The same settings give the same run on any machine and for any number of jobs:"
    return join([tag("p", note), tag("pre", evolve_command(run)), tables.settings_table(run)])
