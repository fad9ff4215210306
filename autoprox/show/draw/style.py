"""What all pictures share: colours, figures without pyplot, and files.

Figures are matplotlib's, made without pyplot: they need no display and leave no global state. The
colours are of Okabe and Ito's palette, which colour-blind readers tell apart
(https://jfly.uni-koeln.de/color/); where two of them stand for two things, so do two shapes.
"""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from autoprox.errors import AutoproxError
from autoprox.runtime.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")
DOTS_PER_INCH = 160
BLUE, VERMILION, GREEN, LIGHT_BLUE = "#0072b2", "#d55e00", "#009e73", "#56b4e9"
INK, GREY, PALE, GRID = "#333333", "#5f5f5f", "#bdbdbd", "#e5e5e5"
SMALL, NORMAL, TITLE = 8, 9, 10
"""Points: of what stands beside marks, of the names of axes, of titles."""
MONOSPACE = "DejaVu Sans Mono"
"""The font of formulas; it comes with matplotlib."""


def matplotlib() -> ModuleType:
    """Return matplotlib.

    Raises:
        AutoproxError: it is not installed.
    """
    try:
        import matplotlib as module
    except ImportError:
        raise AutoproxError("drawing needs matplotlib: pip install matplotlib") from None
    return module


def blank_figure(width: float, height: float) -> Figure:
    """Return an empty figure that needs no display; width and height are inches."""
    matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    return figure


def blank_axes(axes: Axes | None, width: float, height: float) -> Axes:
    """Return the axes given, or the only ones of a new figure."""
    return blank_figure(width, height).add_subplot() if axes is None else axes


def dress(axes: Axes, across: str, up: str, title: str = "", grid: str = "both") -> None:
    """Name the axes, and give them the looks of all pictures.

    Args:
        axes: those of a picture whose marks are drawn.
        across: the name of the horizontal axis.
        up: that of the vertical axis.
        title: above the picture; none if empty.
        grid: the axis whose numbers have lines, or both; names have none, and no line beside them.
    """
    axes.set_xlabel(across, fontsize=NORMAL)
    axes.set_ylabel(up, fontsize=NORMAL)
    if title:
        axes.set_title(title, fontsize=TITLE)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=GRID, linewidth=0.6)  # type: ignore[arg-type]
    if grid == "x":
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def mixed(colour: str, share: float) -> tuple[float, float, float]:
    """Return so much of a colour in white: all of it for 1, white for 0."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 + share * (part - 1) for part in to_rgb(colour))
    return red, green, blue


def diverging(value: float, most: float = 1.0) -> tuple[float, float, float]:
    """Return the colour of a number: white for 0, blue for `most`, vermilion for ``-most``."""
    return mixed(BLUE if value >= 0 else VERMILION, min(abs(value) / most, 1.0))


def ink_on(fill: tuple[float, float, float]) -> str:
    """Return the colour of text that can be read on another colour."""
    red, green, blue = fill
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK


def shortened(text: str, most: int) -> str:
    """Return a text with its middle left out if it is longer than `most` letters.

    >>> shortened("sum(mean(absolute(act)))", 15)
    'sum(mea…(act)))'
    """
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes belong to."""
    from matplotlib.figure import Figure

    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure


LEAST_WIDTH, MOST_WIDTH = 0.5, 50.0
"""Inches that a picture may be asked to have; a poster of A0 has 47 at most."""

MARGIN = 0.1
"""Inches: around a picture in its file."""

_NO_DATE = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def rendered(figure: Figure, suffix: str) -> bytes:
    """Return a figure as a file's content; equal figures have equal content.

    A .pdf has its fonts embedded as TrueType, which publishers ask for.
    """
    out = io.BytesIO()
    how = {"svg.hashsalt": "autoprox", "svg.fonttype": "path", "pdf.fonttype": 42}
    with matplotlib().rc_context(how):
        figure.savefig(
            out,
            format=suffix[1:],
            metadata=_NO_DATE.get(suffix),
            bbox_inches="tight",
            pad_inches=MARGIN,
        )
    return out.getvalue()


def set_width(figure: Figure, inches: float) -> None:
    """Make a figure so wide in its file; its letters keep their size.

    Raises:
        AutoproxError: it is no such width, or names and numbers alone are wider.
    """
    check_width(inches)
    width, height = figure.get_size_inches()
    ratio = height / width
    for _ in range(12):  # what stands outside of the axes may be set anew each time
        taken = figure.get_tightbbox().width + 2 * MARGIN
        width += inches - taken
        if width <= 0:
            break
        figure.set_size_inches(width, max(ratio * width, 0.6 * height))
    if width <= 0 or abs(figure.get_tightbbox().width + 2 * MARGIN - inches) > 0.05 * inches:
        raise AutoproxError(
            f"the picture cannot be {inches:g} inches wide: its names and numbers take more"
        )


def check_width(inches: float) -> None:
    """Refuse a width that no picture has.

    Raises:
        AutoproxError: it is too small or too large, or no number.
    """
    if not LEAST_WIDTH <= inches <= MOST_WIDTH:
        raise AutoproxError(
            f"a picture is {LEAST_WIDTH:g} to {MOST_WIDTH:g} inches wide; got {inches:g}"
        )


def check_path(path: str | Path) -> str:
    """Return the suffix of a picture's name: .svg, .png or .pdf.

    Raises:
        AutoproxError: it is none of these.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise AutoproxError(f"a picture is an .svg, .png or .pdf file; got {str(path)!r}")
    return suffix


def write(
    picture: Axes | Figure, path: str | Path, other: str = "name", width: float | None = None
) -> None:
    """Write a picture into a file, whole or not at all; its folder is made.

    Args:
        picture: the figure, or any of its axes.
        path: the file.
        other: what the message of a failure says to choose another one of.
        width: inches, of the file; as wide as the picture usually is if None.

    Raises:
        AutoproxError: the name has another ending, or the picture cannot have that width.
        RunError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    suffix = check_path(path)
    figure = picture if isinstance(picture, Figure) else figure_of(picture)
    if width is not None:
        set_width(figure, width)
    write_bytes(Path(path), rendered(figure, suffix), other)
