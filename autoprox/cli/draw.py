"""``autoprox draw``: pictures of runs, of rankings, and of the parts of a proxy."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.options import (
    OUTPUT,
    PATH,
    CommandGroup,
    architectures_option,
    given_only,
    hired,
    listing,
    load_words,
    machine_options,
    option,
    probe_options,
    teacher_options,
    together,
    words_option,
)
from autoprox.errors import BenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from autoprox.benches import Architecture, Bench
    from autoprox.measuring.probe import Probe
    from autoprox.proxies.proxy import Proxy

AT_LEAST_ONE = click.IntRange(min=1)
WIDTH = "How wide it is, in inches, to 50; a column of a paper has about 3.3."
out_option = together(
    option("-o --out", "The picture, .svg, .png or .pdf.", "", "FILE", required=True, type=OUTPUT),
    option("--width", WIDTH, "as it fits", "INCHES", type=float),
)
run_argument = click.argument("run", type=PATH)
proxy_argument = click.argument("source", metavar="PROXY")
bench_option = option(
    "--bench", "The bench, or a file that defines one.", "", "NAME|FILE.py", required=True
)


@click.group(
    cls=CommandGroup,
    epilog="\b\nExample:\n  autoprox draw history runs/vit101-default-0 -o history.svg",
)
def draw() -> None:
    """Draw runs, rankings, and the parts of a proxy.

    RUN is the folder of a run, finished, stopped or still going; PROXY is a name, a file, a run's
    folder, or an expression. Other commands draw what they show: autoprox show PROXY --draw FILE
    the graph of a proxy, autoprox rank --draw FILE a leaderboard.
    """


def _write(
    picture: Callable[[ModuleType], Axes | Figure],
    out: str,
    width: float | None,
    bench: str | None = None,
) -> None:
    """Call `picture` with `autoprox.show.draw`, and write what it draws; `width` is inches.

    `bench` is what the option of `words_option` names: its words are known to `picture`.
    """
    from autoprox.show import draw as pictures
    from autoprox.show.draw.style import check_path, check_width, matplotlib

    check_path(out)  # before anything is computed
    if width is not None:
        check_width(width)
    matplotlib()
    load_words(bench)
    pictures.write(picture(pictures), out, "--out", width)
    click.echo(f"drawn into {out}")


@draw.command()
@run_argument
@out_option
@words_option
def history(run: str, out: str, width: float | None, bench: str | None) -> None:
    """Draw the joint correlation of the best and the median, generation by generation."""
    _write(lambda pictures: pictures.history(run), out, width, bench)


@draw.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…", type=PATH)
@out_option
@words_option
def pareto(runs: tuple[str, ...], out: str, width: float | None, bench: str | None) -> None:
    """Draw complexity against joint correlation, with the front and held-out figures.

    Of more than one run, or of several in one folder, the fronts.
    """
    _write(lambda pictures: pictures.pareto(*runs), out, width, bench)


@draw.command()
@run_argument
@option("--proxy", "A candidate of the run.", "the best one", "EXPRESSION")
@option("--top most", "How many candidates are shown.", "20", type=AT_LEAST_ONE)
@out_option
@words_option
def lineage(run: str, out: str, width: float | None, bench: str | None, **options: Any) -> None:
    """Draw which candidates the best proxy was bred from."""
    _write(lambda pictures: pictures.lineage(run, **given_only(options)), out, width, bench)


@draw.command()
@run_argument
@option("--top best", "How many candidates are the best ones.", "100", type=AT_LEAST_ONE)
@out_option
@words_option
def words(run: str, out: str, width: float | None, bench: str | None, **options: Any) -> None:
    """Draw which statistics and primitives the best candidates use."""
    _write(lambda pictures: pictures.words(run, **given_only(options)), out, width, bench)


@draw.command()
@click.argument("ranking", type=PATH)
@out_option
def heatmap(ranking: str, out: str, width: float | None) -> None:
    """Draw Somers' D of proxies with every target.

    RANKING is a file that autoprox rank wrote with --json or --csv.
    """
    _write(lambda pictures: pictures.heat_map(ranking), out, width)


@draw.command(epilog="\b\nExample:\n  autoprox draw ablation zico --bench vit101 -o zico.svg")
@proxy_argument
@bench_option
@listing("--space spaces", "Only these spaces.", "all")
@listing("--target targets", "Rank by these.", "the bench's")
@architectures_option
@probe_options
@teacher_options
@machine_options
@out_option
def ablation(source: str, bench: str, out: str, width: float | None, **options: Any) -> None:
    """Draw what is lost when a part of a proxy says nothing.

    Each sub-expression is replaced by its mean over the networks of the bench, and the loss of the
    joint correlation stands in its place in the graph. The networks are measured once and kept.
    """
    from autoprox.benches import load_bench

    load_bench(bench)  # first of all: its file may define words of the proxy
    proxy = _expression(source)
    settings = given_only(options, "spaces", "targets", "architectures", "cache")
    arguments = {"probe": _probe(options), **settings, **hired(options)}
    _write(lambda pictures: pictures.ablation(proxy, bench, **arguments), out, width)


@draw.command(epilog="\b\nExample:\n  autoprox draw layers zico --bench vit101 -o layers.svg")
@proxy_argument
@bench_option
@option("--architecture", "One of the bench.", "its first", "NAME")
@probe_options
@out_option
def layers(
    source: str, bench: str, architecture: str | None, out: str, width: float | None, **options: Any
) -> None:
    """Draw what the layers of one network contribute to a proxy."""
    from autoprox.benches import load_bench

    loaded = load_bench(bench)  # first of all: its file may define words of the proxy
    proxy, probe = _expression(source), _probe(options)
    described = _named(loaded, architecture)
    title = f"{proxy.name}{' on ' if proxy.name else ''}{described.name}"
    bits = None if loaded.bits is None else loaded.bits(described)
    _write(
        lambda pictures: pictures.layers(
            proxy,
            loaded.network(described, probe.seed),
            *probe.inputs(loaded),
            sample=probe.sample,
            seed=probe.seed,
            bits=bits,
            **loaded.how,
            title=title,
        ),
        out,
        width,
    )


def _named(bench: Bench, name: str | None) -> Architecture:
    """Return an architecture of a bench, the first one if none is named."""
    by_name = {architecture.name: architecture for architecture in bench.architectures}
    if name is not None and name not in by_name:
        near = difflib.get_close_matches(name, by_name, n=3)
        raise BenchError(
            f"bench {bench.name} has no architecture {name!r}; there are "
            f"{', '.join(near or list(by_name)[:3])} and others"
        )
    return by_name[name] if name else bench.architectures[0]


def _expression(source: str) -> Proxy:
    """Return a proxy that has parts; one that is no expression is refused."""
    from autoprox.proxies.loading import load
    from autoprox.proxies.proxy import Proxy

    proxy = load(source)
    return proxy if isinstance(proxy, Proxy) else Proxy(proxy.graph)


def _probe(options: dict[str, Any]) -> Probe:
    """Return what the networks are shown, out of what the options gave."""
    from autoprox.measuring.probe import Probe

    settings = {"seed": options["probe_seed"]}
    for name in ("batch", "sample", "images", "teacher", "teacher_weights"):
        settings[name] = options.get(name)
    return Probe(**given_only(settings))
