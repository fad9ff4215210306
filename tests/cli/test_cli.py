"""The command line, as a user meets it: what is printed where, and with which exit status."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import autoprox
from autoprox import proxies
from autoprox.assessment.assess import Assessment, costly
from autoprox.assessment.wording import difference_in_words
from autoprox.cli import main
from autoprox.cli.architectures import SPACES as TOLD_SPACES
from autoprox.cli.evolve import ALGORITHMS as TOLD_ALGORITHMS
from autoprox.cli.evolve import BESIDE_RESUME, MORE
from autoprox.cli.evolve import evolve as evolve_command
from autoprox.cli.live import Lines, Watcher, failures_in_words, watcher
from autoprox.cli.options import outer_parts
from autoprox.cli.search import search as search_command
from autoprox.evolution.algorithms import ALGORITHMS
from autoprox.evolution.search import Generation
from autoprox.evolution.settings import Settings
from autoprox.primitives import PRIMITIVES
from autoprox.runs.record import read_run
from autoprox.search.architectures.space import SPACES
from autoprox.show.page.command import page_commands
from autoprox.statistics import noise
from tests import tiny_bench
from tests.own_words import NAME, OWN, own_words
from tests.processes import Python, run_python

TINY = str(Path(__file__).parents[1].joinpath("tiny_bench.py"))
SMALL = ("--population", "20", "--proposals", "40", "--jobs", "1")


def call(*words: str, **environment: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, words, env=environment or None)


def call_elsewhere(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return run_python("-m", "autoprox", *words, folder=folder)


@pytest.fixture(scope="module")
def cache(cache: Path) -> str:
    """The folder in which the tiny bench is measured."""
    return str(cache)


@pytest.fixture(scope="module")
def finished(cache: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run on one space, with what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = call(
        "evolve", "--bench", TINY, "--space", "cnn", "--evaluations", "150", *SMALL,
        "--cache", cache, "--out", str(folder),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, result


def refused(result: Result, *parts: str) -> None:
    """Assert that a command failed with a message of ours, and no traceback."""
    assert result.exit_code == 1, result.output
    assert (
        result.stderr.splitlines()[-1].startswith("error: ") or "\nerror: " in "\n" + result.stderr
    )
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr


def test_a_report_says_how_to_search_several_times_on_its_split(
    finished: tuple[Path, Result], cache: str, tmp_path: Path
) -> None:
    (line,) = [line for line in finished[1].stdout.splitlines() if "--seeds 5" in line]
    words = shlex.split(line, comments=True)[1:]
    words[words.index("5")] = "2"
    again = call(*words, "--cache", cache, "--jobs", "1", "--out", str(tmp_path / "runs"))
    assert again.exit_code == 0, again.output
    first, one = read_run(finished[0]), read_run(tmp_path / "runs" / "seed-0")
    assert first.settings == one.settings
    assert first.best.graph is one.best.graph


# Help, versions, imports


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = "torch deap networkx joblib scipy rich numpy matplotlib".split()
    code = f"import sys, autoprox.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["evolve"],
        ["show"],
        ["bench", "list"],
        ["bench", "info"],
        ["bench", "build"],
        ["words"],
        ["rank"],
        ["report"],
        ["compare"],
    ],
)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    result = call(*words, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Example:\n  .*autoprox {' '.join(words)}", result.output)


def test_the_help_names_all_that_is_registered() -> None:
    assert set(ALGORITHMS) <= set(re.findall(r"\w+", TOLD_ALGORITHMS))
    assert set(SPACES) <= set(re.findall(r"\w+", TOLD_SPACES))


def test_the_version_names_what_results_depend_on() -> None:
    lines = call("--version").stdout.splitlines()
    assert lines[0] == f"autoprox {autoprox.__version__}"
    assert [line.split()[0] for line in lines] == ["autoprox", "torch", "deap", "numpy"]


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "autoprox", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == call("--version").stdout


def test_the_defaults_in_the_help_are_those_of_the_settings() -> None:
    defaults = {field.name: field.default for field in fields(Settings)}
    said = {
        str(param.name): found[1]
        for param in evolve_command.params
        if (
            found := re.search(
                r"\[default: (?:AUTOPROX_EVALUATIONS, or )?(.*)\]$", param.help or ""
            )
        )  # type: ignore[attr-defined]
    }
    compared = {name for name, value in defaults.items() if name in said and value is not None}
    assert {name: said[name] for name in compared} == {
        name: str(defaults[name]) for name in compared
    }
    assert len(compared) >= 10


def test_every_setting_is_an_option() -> None:
    options = {param.name for param in evolve_command.params}
    found = {"searches"}  # of the seed proxies, which are an option
    assert {field.name for field in fields(Settings)} - found <= options
    beside = {*BESIDE_RESUME, "out", "seeds", "leave_one_out"} - {*MORE}
    assert options - {field.name for field in fields(Settings)} == beside


# Usage


def test_a_run_of_nothing_is_a_usage_error() -> None:
    result = call("evolve")
    assert result.exit_code == 2
    assert "--bench NAME" in result.stderr
    assert "--resume RUN" in result.stderr


@pytest.mark.parametrize(
    "extra", [("--seed", "1"), ("--bench", "vit101"), ("--out", "x"), ("--space", "a")]
)
def test_resume_refuses_settings_and_names_them(extra: tuple[str, str]) -> None:
    result = call("evolve", "--resume", "somewhere", *extra)
    assert result.exit_code == 2
    assert f"leave out {extra[0]}" in result.stderr


def test_the_environment_sets_the_default_budget_and_does_not_hinder_resuming(
    cache: str, tmp_path: Path
) -> None:
    result = call(
        "evolve", "--bench", TINY, *SMALL, "--cache", cache, "--out", str(tmp_path / "run"),
        "--json", "-", AUTOPROX_EVALUATIONS="41",
    )  # fmt: skip
    assert json.loads(result.stdout)["settings"]["evaluations"] == 41
    refused(
        call("evolve", "--resume", str(tmp_path / "no"), AUTOPROX_EVALUATIONS="41"),
        "no run to resume",
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("--sample", "0"), ("--sample", "some"), ("--statistics", "a,,b"), ("--jobs", "0")],
)
def test_malformed_options_are_usage_errors_that_quote_the_value(option: str, value: str) -> None:
    result = call("evolve", "--bench", TINY, option, value)
    assert result.exit_code == 2
    assert option in result.stderr
    assert value in result.stderr


def test_commas_inside_an_expression_do_not_cut_it() -> None:
    assert outer_parts("zico,sum(divide(a, b)),c") == ["zico", "sum(divide(a, b))", "c"]


@pytest.mark.parametrize("words", [("--widths", "2,4,8"), ("--widths", "2", "--widths", "4,8")])
def test_a_list_is_written_between_commas_or_by_repeating_the_option(
    words: tuple[str, ...],
) -> None:
    context = search_command.make_context("search", list(words))
    assert context.params["widths"] == (2, 4, 8)


def test_json_goes_into_a_file_beside_what_is_printed(tmp_path: Path) -> None:
    result = call("show", "snip", "--json", str(tmp_path / "snip.json"))
    assert result.exit_code == 0
    assert "formula" in result.stdout
    assert json.loads((tmp_path / "snip.json").read_text())["name"] == "snip"


def test_what_is_written_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "snip.json")
    assert call("show", "snip", "--json", path).stderr == f"written to {path}\n"


def test_show_alone_lists_the_proxies_that_ship() -> None:
    result = call("show")
    assert result.exit_code == 0
    words = {line.partition(" ")[0] for line in result.stdout.splitlines()}
    assert {*proxies.names()} <= words
    refused = call("show", "--latex")
    assert refused.exit_code == 2
    assert "name the PROXY" in refused.stderr


# Names that nobody knows


def test_of_many_names_the_nearest_are_told() -> None:
    told = call("show", "zicco").stderr
    assert f"(known: zico, cc, zico_paper and {len(proxies.names()) - 3} others)" in told
    told = call("show", "qqqqqq").stderr
    assert all(name in told for name in proxies.names()), "none is near"


@pytest.mark.parametrize(
    ("option", "typed", "meant"),
    [
        ("--bench", "vit11", "vit101"),
        ("--algorithm", "defalt", "default"),
        ("--target", "corse", "coarse"),
        ("--space", "ccn", "cnn"),
        ("--statistics", "wieght", "weight"),
        ("--seed-proxies", "zicco", "zico"),
    ],
)
def test_an_unknown_name_is_quoted_and_the_nearest_suggested(
    option: str, typed: str, meant: str, cache: str, tmp_path: Path
) -> None:
    bench = () if option == "--bench" else ("--bench", TINY)
    out = ("--cache", cache, "--out", str(tmp_path / "run"))
    refused(call("evolve", *bench, option, typed, *out), f"{typed!r}; did you mean {meant!r}?")


def test_a_bench_file_that_is_not_there_is_named() -> None:
    refused(call("evolve", "--bench", "nowhere.py"), "nowhere.py")


def test_a_number_out_of_range_is_refused() -> None:
    refused(call("evolve", "--bench", TINY, "--population", "1"), "population is at least 2; got 1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["evolv", "--bench", "vit101"], "unknown command 'evolv'; did you mean 'evolve'?"),
        (["bench", "vit101"], "unknown command 'vit101' (known: build, info, list, "),
        (["draw", "graph", "zico"], "unknown command 'graph'"),
    ],
)
def test_a_command_that_is_none_leads_to_those_that_are(words: list[str], told: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


# show


def test_show_tells_everything_about_a_known_proxy() -> None:
    shown = call("show", "zico").stdout
    for part in (
        "sum(log(sum(divide(grad_abs_mean, grad_std))))",
        autoprox.load("zico").latex(),
        "6 nodes, 5 deep",
        "mean over micro-batches of the absolute gradient",
        "Zero-shot NAS via Inverse Coefficient",
    ):
        assert part in shown


def test_show_tells_by_what_settings_a_discovered_proxy_was_found(tmp_path: Path) -> None:
    shown = call_elsewhere(
        "show", "nb201_best", folder=tmp_path
    )  # nothing else has loaded anything
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "seed 9" in shown.stdout
    assert "held_out 0.4" not in shown.stdout
    assert "the others are the usual ones" in " ".join(shown.stdout.split())


def test_show_writes_a_shared_node_out_once() -> None:
    shown = call(
        "show", "divide(sum(norm(multiply(weight, grad))), max(norm(multiply(weight, grad))))"
    ).stdout
    tree = shown[shown.index("tree:") : shown.index("statistics to measure")]
    assert tree.count("multiply  Weight") == 1
    assert re.search(r"norm  Layer  #1 *\n", tree)
    assert "norm  Layer  #1 (as above)" in tree


def test_show_prints_json_that_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "proxy.json"
    path.write_text(call("show", "snip", "--json", "-").stdout, encoding="utf-8")
    assert autoprox.load(path).graph is autoprox.load("snip").graph
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert facts["statistics"] == ["grad", "weight"]
    assert facts["complexity"] == 6


def test_show_prints_latex_alone() -> None:
    assert call("show", "snip", "--latex").stdout == autoprox.load("snip").latex() + "\n"


TOLD = "a word of your own is known once the file that defines it is loaded, as by --bench"


@pytest.fixture(scope="module")
def of_own_words(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A run whose best proxies have a word that is not known here any more; and what it printed."""
    folder = tmp_path_factory.mktemp("own")
    with own_words(folder / "bench.py") as bench:
        result = call(
            "evolve", "--bench", bench, "--seed-proxies", OWN, "--evaluations", "20", *SMALL,
            "--cache", str(folder / "cache"), "--out", str(folder / "run"),
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    return str(folder / "run"), result.stdout


def test_a_proxy_of_ones_own_words_is_read_with_the_file_that_defines_them(
    words_file: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    facts = {"format": "autoprox proxy", "version": 1, "name": "mine"}
    file.write_text(json.dumps(facts | {"expression": OWN}))
    unread = call("show", str(file))
    refused(unread, "unknown primitive 'cubed_here'")
    assert TOLD in unread.stderr.splitlines()[0]
    shown = call("show", str(file), "--bench", words_file)
    assert OWN in shown.output
    exported = call("export", str(file), "--to", "latex", "--bench", words_file)
    assert "^3" in exported.output


def test_a_run_of_ones_own_words_is_reported_and_cited_with_the_file_that_defines_them(
    of_own_words: tuple[str, str], words_file: str, tmp_path: Path
) -> None:
    run, page = of_own_words[0], tmp_path / "page.html"
    for words in (("cite", run), ("report", run, "--latex", "-")):
        unread = call(*words)
        refused(unread, "unknown primitive 'cubed_here'")
        assert f"{run}: " in unread.stderr
        assert TOLD in unread.stderr.splitlines()[0]
    assert call("report", run, "--out", str(page)).exit_code == 0
    assert TOLD in page.read_text(encoding="utf-8")
    assert "@misc{autoprox" in call("cite", run, "--bench", words_file).stdout
    formulas = call("report", run, "--latex", "-", "--bench", words_file).stdout
    own = [row.expression for row in read_run(run).held_out if not row.known]
    assert formulas.rpartition("toprule")[2].count("displaystyle") == len(own)
    assert "^3" in formulas
    assert call("report", run, "--out", str(page), "--bench", words_file).exit_code == 0
    assert "cannot be drawn here" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["history", "pareto", "lineage", "words"])
def test_a_run_of_ones_own_words_is_drawn_with_the_file_that_defines_them(
    of_own_words: tuple[str, str], words_file: str, tmp_path: Path, name: str
) -> None:
    pytest.importorskip("matplotlib")
    run, out = of_own_words[0], tmp_path / "picture.svg"
    words = ("draw", name, run, "-o", str(out))
    unread = call(*words)
    refused(unread, f"{run}: unknown primitive 'cubed_here'")
    assert TOLD in unread.stderr.splitlines()[0]
    assert not out.exists()
    assert call(*words, "--bench", words_file).exit_code == 0
    if name in ("lineage", "words"):
        assert NAME in out.read_text(encoding="utf-8")  # the SVG says beside letters what they are


def test_a_proxy_of_ones_own_words_is_taken_apart_on_the_bench_that_defines_them(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    few = ("--space", "cnn", "--target", "fine", "--jobs", "1")
    for name, options in (("ablation", few), ("layers", ())):
        with own_words(tmp_path / "words.py") as bench:
            out = tmp_path / f"{name}.svg"
            result = call("draw", name, OWN, "--bench", bench, *options, "-o", str(out))
        assert result.exit_code == 0, result.output
        assert out.is_file()


def test_runs_of_ones_own_words_are_compared_and_the_picture_names_their_file(
    of_own_words: tuple[str, str],
) -> None:
    run = of_own_words[0]
    cache = str(Path(run).with_name("cache"))
    with own_words(Path(run).with_name("bench.py")) as bench:
        printed = call("compare", run, run, "--bench", bench, "--cache", cache).stdout
    line = next(line for line in printed.splitlines() if "draw pareto" in line)
    assert shlex.split(line)[1:] == [
        "draw", "pareto", run, run, "--bench", bench, "-o", "fronts.svg",
    ]  # fmt: skip


def test_the_commands_after_a_run_on_a_bench_in_a_file_name_the_file(
    of_own_words: tuple[str, str],
) -> None:
    run, printed = of_own_words
    bench = str(Path(run).with_name("bench.py"))
    lines = printed.partition("\nNext:\n")[2].splitlines()
    report, show = ([*shlex.split(line, comments=True)[1:]] for line in lines[:2])
    assert (report, show) == (["report", run, "--bench", bench], ["show", run, "--bench", bench])
    assert f"report {run} --bench {bench} --ranking" in "\n".join(page_commands(read_run(run)))


def test_the_lines_to_use_a_proxy_of_ones_own_words_run_as_they_are_printed(
    of_own_words: tuple[str, str], tmp_path: Path
) -> None:
    run, printed = of_own_words
    page = tmp_path / "page.html"
    with own_words(Path(run).with_name("bench.py")) as bench:
        assert call("report", run, "--out", str(page), "--bench", bench).exit_code == 0
    shown = re.findall("<pre>(import.*?)</pre>", page.read_text(encoding="utf-8"), re.DOTALL)
    (of_page,) = (text for text in map(html.unescape, shown) if f"load({OWN!r})" in text)
    tiny = tiny_bench.bench
    inputs, targets = noise(tiny.input_shape, tiny.classes, batch=4, seed=0)
    network = tiny.network(tiny.architectures[0])
    for lines in (textwrap.dedent(printed.partition("To use the best proxy:\n")[2]), of_page):
        names = {"network": network, "inputs": inputs, "targets": targets}
        with own_words(Path(run).with_name("bench.py")):
            exec(lines, names)
            assert str(names["proxy"]) == OWN
            assert names["score"] > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("show zico --latex --json zico.json", "--latex prints the formula and nothing else"),
        ("evolve --from run --seed-proxies params", "--from begins with the front of a run"),
    ],
)
def test_options_that_do_not_go_together_are_told(words: str, told: str) -> None:
    result = call(*words.split())
    assert result.exit_code == 2
    assert told in result.stderr


def test_show_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = call("show", "snip", "--draw", str(tmp_path / "snip.svg"))
    assert result.exit_code == 0
    assert "<svg" in (tmp_path / "snip.svg").read_text(encoding="utf-8")
    refused(call("show", "snip", "--draw", str(tmp_path / "snip.gif")), ".svg", ".png", "snip.gif")


def test_a_malformed_expression_is_shown_with_the_place() -> None:
    result = call("show", "sum(mean(absolut(grad)))")
    refused(result, "unknown primitive 'absolut'; did you mean 'absolute'?")
    line, pointer = result.stderr.splitlines()[-2:]
    assert line[pointer.index("^") :].startswith("absolut(grad)")


@pytest.mark.parametrize(
    ("source", "part"),
    [("zicco", "did you mean 'zico'?"), ("no/run", "'no/run'"), ("sum(", "expected")],
)
def test_show_says_what_is_no_proxy(source: str, part: str) -> None:
    refused(call("show", source), part)


# bench and words


def test_bench_list_names_every_bench_and_its_best_count() -> None:
    shown = call("bench", "list").stdout
    assert re.search(r"vit101\s+300 transformers: autoformer, pit", shown)
    assert "best trivial count: params, Somers' D 0.616" in shown
    assert re.search(r"landmarks\s+224 mobile networks: landmarks\s+targets error \(lower", shown)
    assert "evolve takes general for 10 of them: vit101, nb201" in shown


def test_bench_info_describes_a_bench_and_its_cache(cache: str) -> None:
    shown = call("bench", "info", TINY, "--cache", cache).stdout
    assert re.search(r"coarse \*\s+12\s+51.23\s+66.9", shown)
    assert "24 of 24 architectures" in shown
    assert "made up" in shown
    assert re.search(r"files\s+24 ", shown)


def test_bench_info_counts_what_is_not_measured(tmp_path: Path) -> None:
    shown = call("bench", "info", TINY, "--cache", str(tmp_path)).stdout
    assert "0 of 24 architectures" in shown
    assert "damaged" not in shown


def test_bench_info_names_damaged_files_and_build_mends_them(tmp_path: Path) -> None:
    build = (
        "bench",
        "build",
        TINY,
        "--statistics",
        "weight,params",
        "--cache",
        str(tmp_path),
        "--jobs",
        "1",
    )
    assert "measured 24 architectures" in call(*build, "--quiet").stdout
    victim = next(tmp_path.glob("*/*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-5])
    shown = call("bench", "info", TINY, "--cache", str(tmp_path)).stdout
    assert "1 damaged files" in shown
    assert f"{victim}: its checksum does not match" in shown
    assert "measured 1 architectures" in call(*build, "--quiet").stdout


def test_bench_build_shows_how_far_it_is(tmp_path: Path) -> None:
    result = call(
        "bench", "build", TINY, "--statistics", "params", "--cache", str(tmp_path), "--jobs", "1"
    )
    assert "measured 0/24 architectures" in result.stderr
    assert "measured 24/24 architectures" in result.stderr


def test_words_lists_the_whole_language() -> None:
    from autoprox.primitives.kinds import KINDS
    from autoprox.statistics import STATISTICS

    shown = call("words").stdout
    for word in (*PRIMITIVES, *STATISTICS, *(kind.__name__ for kind in KINDS)):
        assert re.search(rf"\b{word}\b", shown), word


def test_words_lists_those_of_a_file_that_is_named(words_file: str) -> None:
    assert NAME not in call("words", "primitives").stdout
    listed = call("words", "primitives", "--bench", words_file).stdout
    assert re.search(rf"{NAME}\(x\) +Third power", listed)


def test_words_lists_one_family() -> None:
    shown = call("words", "statistics").stdout
    assert "grad_abs_mean" in shown
    assert "log_softmax" not in shown


# evolve


def test_the_report_has_held_out_figures_beside_the_known_proxies(
    finished: tuple[Path, Result],
) -> None:
    folder, result = finished
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    best = report["held_out"][0]
    lines = result.stdout.partition("Transfer:")[0].splitlines()
    row = " ".join(line for line in lines if line.strip().startswith("top 1 "))
    assert f"{best['joint']:.3f}" in row
    assert f"{best['joint_interval'][0]:.2f} … {best['joint_interval'][1]:.2f}" in row
    for figure, form in (
        ("kendall", ".2f"), ("spearman", ".2f"), ("top1_regret", ".2f"), ("top5_regret", ".2f"),
        ("top_share", ".0%"),
    ):  # fmt: skip
        assert f"{sum(c[figure] for c in best['columns']) / 2:{form}}" in row
    assert f"{report['search'][0]['joint']:.3f}" in row
    held_out, _, transfer = result.stdout.partition("Transfer:")
    for part in (held_out, transfer):
        for known in ("params", "flops", "depth", "width", "snip", "zico", "grad_norm"):
            assert re.search(rf"^ *{known} +\d", part, re.MULTILINE)
    known = [row["name"] for row in report["held_out"] if row["known"]]
    loaded = map(autoprox.load, proxies.names())
    of_networks = {
        each.name
        for each in loaded
        if not (each.needs_bits or each.needs_teacher or "found_by" in each.provenance)
        and each.name not in costly(autoprox.load_bench(TINY))
    }
    assert sorted([*known, *report["elsewhere"]]) == sorted(of_networks)
    assert {"swap", "zen_score"} <= set(report["elsewhere"])
    assert "(5 of cnn)" in held_out
    assert "(12 of mlp)" in transfer


def test_the_report_fits_a_hundred_columns_and_says_how_to_go_on(
    finished: tuple[Path, Result],
) -> None:
    folder, result = finished
    tables = result.stdout[: result.stdout.index("Not in the tables")]
    assert max(map(len, tables.splitlines())) <= 100
    assert f"autoprox.load({str(folder)!r})" in result.stdout
    assert str(autoprox.load(folder).graph) in result.stdout
    assert "Traceback" not in result.output


def test_progress_goes_to_stderr_and_not_when_quiet(
    finished: tuple[Path, Result], cache: str, tmp_path: Path
) -> None:
    _, result = finished
    assert "150/150 candidates" in result.stderr
    quiet = call(
        "evolve", "--bench", TINY, "--evaluations", "45", *SMALL, "--cache", cache,
        "--out", str(tmp_path / "run"), "--quiet", "--json", "-",
    )  # fmt: skip
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["finished"] is True
    assert quiet.stdout == (tmp_path / "run" / "report.json").read_text(encoding="utf-8")


def test_a_second_run_into_one_folder_is_refused(finished: tuple[Path, Result], cache: str) -> None:
    folder, _ = finished
    before = (folder / "report.json").read_bytes()
    result = call("evolve", "--bench", TINY, "--cache", cache, "--out", str(folder))
    refused(result, f"{folder} already holds a run", "--resume")
    assert (folder / "report.json").read_bytes() == before


def test_a_finished_run_is_not_resumed(finished: tuple[Path, Result], cache: str) -> None:
    refused(call("evolve", "--resume", str(finished[0]), "--cache", cache), "is finished")


def test_an_absent_or_foreign_folder_is_not_resumed(tmp_path: Path) -> None:
    refused(
        call("evolve", "--resume", str(tmp_path / "no")), "no run to resume", str(tmp_path / "no")
    )
    refused(call("evolve", "--resume", str(tmp_path)), "holds no run to resume")


def test_a_damaged_run_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": "autoprox run", "ver', encoding="utf-8")
    refused(call("evolve", "--resume", str(tmp_path)), "config.json is damaged")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    refused(call("evolve", "--bench", TINY, "--out", str(tmp_path / "run")), "choose another --out")


def test_a_run_inside_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    refused(
        call("evolve", "--bench", TINY, "--out", str(tmp_path / "file" / "run")),
        "choose another --out",
    )


# Ctrl-C


def test_ctrl_c_reports_and_the_resumed_run_finds_what_an_uninterrupted_one_finds(
    cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ("--bench", TINY, "--evaluations", "300", *SMALL, "--statistics",
                "weight,grad,act,act_gram")  # fmt: skip
    common = ("--cache", cache)
    shown = Lines.generation

    def interrupting(watch: Lines, generation: Generation, held_out: float | None) -> None:
        shown(watch, generation, held_out)
        if generation.number == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Lines, "generation", interrupting)
        result = call("evolve", *settings, *common, "--out", "stopped")
    assert result.exit_code == 130, result.output
    out, err = result.stdout, result.stderr
    assert "top 1" in out
    assert "stopped before its end" in out
    assert f"autoprox evolve --resume stopped --bench {TINY} --cache {cache}" in err
    assert "Traceback" not in err
    judged = (tmp_path / "stopped" / "candidates.jsonl").read_text(encoding="utf-8").count("\n")
    assert 0 < judged < 300
    # In a process of its own: this one has been told of the file.
    unnamed = call_elsewhere("evolve", "--resume", "stopped", *common, folder=tmp_path)
    assert (unnamed.returncode, unnamed.stderr.count("\n")) == (1, 1)
    assert "no file is executed because a folder says so" in unnamed.stderr
    resumed = call("evolve", "--resume", "stopped", "--bench", TINY, *common)
    assert resumed.exit_code == 0, resumed.stderr
    assert re.search(r"^finished .+ after it was resumed$", resumed.stdout, re.MULTILINE)
    candidates = (tmp_path / "stopped" / "candidates.jsonl").read_text(encoding="utf-8")
    failed = candidates.count('"failure": ')
    assert failed
    last = [line for line in resumed.stderr.splitlines() if line.startswith("generation")][-1]
    assert f"failed {failed} " in f"{last} "  # of the whole run
    whole = call("evolve", *settings, *common, "--out", "whole", "--quiet")
    assert whole.exit_code == 0, whole.stderr
    for name in ("candidates.jsonl", "report.json", "best.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes()


def test_ctrl_c_while_measuring_says_what_the_cache_keeps(tmp_path: Path) -> None:
    slow = tmp_path / "slow_bench.py"
    slow.write_text(
        "import dataclasses, importlib.util, time\n"
        f"spec = importlib.util.spec_from_file_location('tiny', {TINY!r})\n"
        "tiny = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(tiny)\n"
        "def build(architecture):\n"
        "    time.sleep(1)\n"
        "    return tiny.build(architecture)\n"
        "bench = dataclasses.replace(tiny.bench, name='slow', build=build)\n",
        encoding="utf-8",
    )
    words = ("evolve", "--bench", str(slow), "--out", "run", "--cache", "cache", *SMALL)
    running = Python("-m", "autoprox", *words, folder=tmp_path)
    running.until(lambda: "measured 0/24" in running.stderr)
    time.sleep(0.3)
    running.kill(signal.SIGINT)
    done = running.ended()
    code, err = done.returncode, done.stderr
    assert code == 130, err
    assert done.stdout == ""
    found = re.search(r"interrupted: (\d+) of 24 architectures were measured", err)
    assert found is not None, err
    # What the workers had in work may be kept besides.
    assert len(list((tmp_path / "cache").glob("*/*.safetensors"))) >= int(found[1])
    assert f"autoprox evolve --resume run --bench {slow} --cache cache" in err
    assert "Traceback" not in err


# The pieces


def assessment(name: str, joint: float, interval: tuple[float, float] | None = None) -> Assessment:
    known = not name.startswith("top")
    return Assessment(
        name, "sum(params)", 2, known, joint, (0.0, 1.0), joint - 0.5, interval, (), None
    )


def test_the_difference_is_said_in_words() -> None:
    rival = assessment("params", 0.5)
    weaker = assessment("flops", 0.4)
    better = [assessment("top 1", 0.6, (-0.1, 0.3)), weaker, rival]
    unsure = difference_in_words(better, "joint ρ")  # noqa: RUF001
    assert "top 1 is 0.100 above params, the best of the 2 known proxies measured here" in unsure
    assert "includes 0" in unsure
    assert "(joint ρ, 95 % interval" in unsure  # noqa: RUF001
    sure = difference_in_words([assessment("top 1", 0.3, (-0.3, -0.1)), rival], "joint D")
    assert "0.200 below params, the only known proxy measured here" in sure
    assert "does not include 0" in sure


def test_failures_are_summed_and_the_rest_counted() -> None:
    reasons = {"a": 5, "b": 3, "c": 2, "d": 1}
    assert failures_in_words(reasons) == "11: a 5, b 3, c 2, 1 more reasons"
    assert failures_in_words({}) == "none"


def test_plain_lines_are_shown_where_there_is_no_terminal() -> None:
    assert type(watcher(quiet=True)) is Watcher
    assert type(watcher(quiet=False)) is Lines


def test_a_shell_that_completes_a_command_that_is_none_gets_nothing(monkeypatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "autoprox foo ba")
    monkeypatch.setenv("COMP_CWORD", "2")
    environment = {"_AUTOPROX_COMPLETE": "bash_complete"}
    done = CliRunner().invoke(main, [], prog_name="autoprox", env=environment)
    assert (done.exit_code, done.output.strip()) == (0, "")
