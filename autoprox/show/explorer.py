"""An explorer of a run for notebooks: pick a proxy, and see its graph and what it is worth.

The proxies to pick from are the best of each size, the best at the end and those on the way there:
those that ``autoprox report`` shows. What is shown of one is measured on the architectures that the
search never saw.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.assessment.wording import figure, interval_text
from autoprox.errors import AutoproxError
from autoprox.language.graph import Graph
from autoprox.language.svg import to_svg
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.markup import Markup, join, tag
from autoprox.runtime.threads import one_thread

if TYPE_CHECKING:
    from matplotlib.collections import PathCollection

    from autoprox.assessment.assess import Assessment
    from autoprox.benches import Bench
    from autoprox.evolution.settings import Settings
    from autoprox.runs.ground import Ground
    from autoprox.runs.record import Run

NARROW, WIDE = "420px", "480px"


@one_thread()
def explore(
    run: str | Path | Run,
    bench: str | Path | Bench = "",
    *,
    teacher: str | None = None,
    cache: str | Path | None = None,
) -> Explorer:
    """Show a run in a notebook: pick a proxy with the slider or by its name.

    Statistics that the cache lacks are measured first, as for a run.

    Args:
        run: a run, or its folder.
        bench: the bench, if the run began with a `Bench` object or a file.
        teacher: ``FILE.py:FUNCTION``, if that makes the run's teacher.
        cache: the folder of the measured statistics; the user's cache folder if None.

    Raises:
        RunError: there is no such run, none of its candidates has a fitness, or the bench is not
            the one that it began with.
        AutoproxError: ipywidgets or matplotlib is not installed, or the bench cannot be measured.
    """
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        raise AutoproxError("exploring a run needs ipywidgets: pip install ipywidgets") from None
    from autoprox.benches.registry import load_named
    from autoprox.runs.folder import RunFolder
    from autoprox.runs.record import Run, read_run
    from autoprox.runs.running import ground_of, source_of
    from autoprox.runtime.parallel import HERE
    from autoprox.statistics.store import default_folder

    load_named(bench)  # before the run is read, as its file may define words of it
    record = run if isinstance(run, Run) else read_run(run)
    files = RunFolder(record.folder)
    source = source_of(bench, record.settings, files, teacher)
    folder = Path(cache) if cache is not None else default_folder()
    ground = ground_of(files, source, record.settings, folder)
    ground.measure(HERE, lambda done, total: None)
    return Explorer(record, ground)


class Explorer:
    """What `explore` returns; a notebook shows it.

    Args:
        found: what the run's files say.
        ground: its benches, measured.

    Attributes:
        picker: the slider; its ``index`` says which proxy is picked.
        names: the same as a list of names.
        column: the space and target of the scatter plot.
        plane: the picture of complexity against correlation, with the picked proxy marked.
        facts: the formula and figures of the picked proxy.
        graph: its drawn graph.
        scatter: the picture of its scores against the figures of the column.
    """

    def __init__(self, run: Run, ground: Ground) -> None:
        """Build the widgets, and pick the best proxy."""
        import ipywidgets as widgets

        from autoprox.show.draw import pareto
        from autoprox.show.picks import picks

        self.axes = pareto(run)
        self._limits = self.axes.get_ylim()
        self._marks: list[PathCollection] = []
        self.settings = run.settings
        self.bench, self._held_out = ground.bench, ground.held_out
        self.assessor = ground.assessor(ground.held_out)
        self._assessed: dict[Graph, Assessment] = {}
        offered = [pick for pick in picks(run) if isinstance(pick.graph, Graph) and not pick.known]
        self.picks = sorted(offered, key=lambda pick: (pick.complexity or 0, pick.fitness or 0.0))
        names = [f"{pick.name} ({pick.complexity} nodes)" for pick in self.picks]
        start = self.picks.index(offered[0])
        look = {"readout": False, "layout": widgets.Layout(width=NARROW)}
        self.picker = widgets.SelectionSlider(options=names, index=start, **look)
        self.names = widgets.Dropdown(options=names, index=start)
        columns = [column.name for column in self.assessor.columns]
        self.column = widgets.Dropdown(options=columns, description="target")
        self.plane = widgets.Image(format="png", width=WIDE)
        self.scatter = widgets.Image(format="png", width=NARROW)
        self.facts, self.graph = widgets.HTML(), widgets.HTML()
        widgets.link((self.picker, "index"), (self.names, "index"))
        self.picker.observe(lambda _: self._show(), names="index")
        self.column.observe(lambda _: self._show_scatter(), names="index")
        pictures = widgets.HBox([self.plane, widgets.VBox([self.column, self.scatter])])
        controls = widgets.HBox([self.picker, self.names])
        self.widget = widgets.VBox([controls, pictures, self.facts, self.graph])
        self._show()

    @property
    def proxy(self) -> Proxy:
        """The proxy that is picked."""
        return Proxy(self._graph)

    @property
    def _graph(self) -> Graph:
        graph = self.picks[self.picker.index].graph
        assert isinstance(graph, Graph)  # the others are not offered
        return graph

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the widgets in a notebook."""
        return self.widget._repr_mimebundle_(**options)

    @one_thread()
    def _show(self) -> None:
        """Show what is picked."""
        from autoprox.runs.fitness import is_joint

        graph, fitness = self._graph, self.picks[self.picker.index].fitness
        if graph not in self._assessed:
            self._assessed[graph] = self.assessor(str(graph), graph)
        row = self._assessed[graph]
        self._mark(graph.complexity, fitness, row.joint if is_joint(self.settings) else None)
        self.facts.value = _facts(row, fitness, self.assessor.best_known, self.settings)
        self.graph.value = to_svg(graph)
        self._show_scatter()

    def _mark(self, complexity: int, fitness: float | None, held_out: float | None) -> None:
        """Ring the points of the picked proxy in the picture, and render it."""
        from autoprox.show.draw.style import BLUE, INK, VERMILION, figure_of, rendered

        while self._marks:
            self._marks.pop().remove()
        looks: dict[str, Any] = {"s": 90, "edgecolors": INK, "linewidths": 1.6, "zorder": 5}
        (low, high), room = self._limits, 0.03 * (self._limits[1] - self._limits[0])
        for level, shape, colour in ((fitness, "o", BLUE), (held_out, "D", VERMILION)):
            if level is not None:
                mark = self.axes.scatter(complexity, level, marker=shape, color=colour, **looks)
                self._marks.append(mark)
                low, high = min(low, level - room), max(high, level + room)
        self.axes.set_ylim(low, high)
        self.plane.value = rendered(figure_of(self.axes), ".png")

    @one_thread()
    def _show_scatter(self) -> None:
        """Show the scores of the picked proxy against the figures of a column."""
        from autoprox.show.draw import scatter
        from autoprox.show.draw.style import figure_of, rendered

        column = self.assessor.columns[self.column.index]
        values = self.assessor.evaluator(self._graph).values[column.places]
        rows = [self.bench.architectures[self._held_out[place]] for place in column.places]
        lower = column.target in self.bench.lower_is_better
        figures = self.bench.figures(column.target, rows).tolist()
        axes = scatter(values, figures, target=column.name, lower_is_better=lower)
        self.scatter.value = rendered(figure_of(axes), ".png")


def _facts(row: Assessment, fitness: float | None, known: str | None, settings: Settings) -> Markup:
    """Return formula and figures of a proxy as a few lines."""
    from autoprox.runs.fitness import fitness_name, is_joint

    parts: list[Markup | str] = [tag("code", row.expression), Markup("<br>")]
    if row.failure is not None:
        parts.append(f"no score on an architecture that the search did not see: {row.failure}")
        return tag("div", *parts)
    held_out = "" if is_joint(settings) else f"{settings.joint} "
    parts.append(
        f"{fitness_name(settings)} {figure(fitness)} on the search split, "
        f"{held_out}{figure(row.joint)} held out "
        f"(95 % interval {interval_text(row.joint_interval)})"
    )
    if row.difference is not None:
        parts.append(f", {figure(row.difference, '+.3f')} to {known}, the best known proxy")
    return tag("div", join(parts))
