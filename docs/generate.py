"""Writes the parts of the pages in this folder that say what the code has.

    python docs/generate.py            writes them
    python docs/generate.py --check    writes nothing; fails if a page is not what the code says

A page marks such a part with ``<!-- generated: NAME -->`` and ``<!-- end -->``; `PARTS` has the
names. All other text is written by hand.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from autoprox import proxies
from autoprox.primitives import PRIMITIVES, Form, Primitive
from autoprox.primitives.kinds import KINDS, Kind, Network, reduced
from autoprox.primitives.primitive import KINDS_OF_FORM
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import AnyProxy
from autoprox.proxies.proxy import Proxy
from autoprox.statistics import STATISTICS
from autoprox.statistics.words import GROUPS

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # the networks of the table are those of the tests
PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def code(text: str) -> str:
    """Return a word of the language, or text of it."""
    return f"`{text}`"


def maths(latex: str) -> str:
    r"""Return a formula as it is written inside a cell, where a bar would end the cell.

    >>> maths(r"\left|x\right|")
    '$`\\left\\vert x\\right\\vert `$'
    """
    written = latex.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return f"$`{written}`$"


def sentence(text: str) -> str:
    """Return a definition as a sentence."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def kinds() -> str:
    """Return the table of the kinds."""
    return table(
        ("kind", "one value holds", "reduces to"),
        (
            (
                code(kind.__name__),
                first_line(kind),
                "" if kind is Network else named([reduced(kind)]),
            )
            for kind in KINDS
        ),
    )


def first_line(documented: object) -> str:
    """Return the first line of a docstring, with its code as Markdown has it."""
    return (inspect.getdoc(documented) or "").partition("\n")[0].replace("``", "`")


def named(some: Iterable[type[Kind]]) -> str:
    """Return the names of kinds."""
    return ", ".join(code(kind.__name__) for kind in some)


def passes() -> str:
    """Return the table of the passes that measure statistics."""
    return table(
        ("pass", "what is run", "labels"),
        (
            (code(name), sentence(group.passes), "yes" if group.needs_labels else "")
            for name, group in GROUPS.items()
        ),
    )


def statistics() -> str:
    """Return the table of the statistics."""
    return table(
        ("statistic", "kind", "written", "meaning", "pass", "introduced by"),
        (
            (
                code(each.name),
                named([each.kind]),
                maths(each.latex),
                sentence(each.description),
                code(each.group),
                each.reference,
            )
            for each in STATISTICS.values()
        ),
    )


def primitives() -> str:
    """Return a table of the primitives of each form."""
    return "\n".join(
        f"### {form.value.capitalize()}\n\n{_takes(form)}\n\n"
        + table(
            ("primitive", "formula", "meaning", "outside its domain"),
            (_primitive(each) for each in PRIMITIVES.values() if each.form is form),
        )
        for form in Form
    )


def _takes(form: Form) -> str:
    """Return what primitives of a form take and give."""
    results = {
        Form.ELEMENTWISE: "The result is of the same kind.",
        Form.NORMALISATION: "The result is of the same kind.",
        Form.REDUCTION: "`Layer` becomes `Network`, every other kind becomes `Layer`.",
        Form.SELECTOR: "The result is of the same kind, with fewer layers.",
    }
    return f"On {named(KINDS_OF_FORM[form])}. {results[form]}"


def _primitive(each: Primitive) -> tuple[str, ...]:
    written = each.latex.format("x", "y", index="i")
    formula = f"{written} = {each.formula}" if each.formula else written
    only = "" if each.kinds == KINDS_OF_FORM[each.form] else f" On {named(each.kinds)} only."
    signature = f"{each.name}({'x, y' if each.arity == 2 else 'x'})"
    summary = each.summary.replace("``", "`")
    return code(signature), maths(formula), summary + only, each.guard


def known_proxies() -> str:
    """Return the proxies of each sort: a table, and below it what is to be said of each."""
    sorts: dict[str, list[AnyProxy]] = {
        "Discovered": [],
        "Of networks": [],
        "Beside a teacher": [],
        "Of bits": [],
        "Counts that need no proxy": [],
    }
    for name in proxies.names():
        proxy = proxies.get(name)
        sorts[_sort(proxy)].append(proxy)
    return "\n".join(
        f"## {heading}\n\n"
        + table(("proxy", "formula", "paper", "equation", "year", "needs"), map(_summary, members))
        + "\n"
        + "\n".join(map(_details, members))
        for heading, members in sorts.items()
    )


def _sort(proxy: AnyProxy) -> str:
    """Return the heading that a proxy stands under."""
    if "found_by" in proxy.provenance:
        return "Discovered"
    if "baseline" in proxy.provenance:
        return "Counts that need no proxy"
    if proxy.needs_teacher:
        return "Beside a teacher"
    return "Of bits" if proxy.needs_bits else "Of networks"


def _summary(proxy: AnyProxy) -> tuple[str, ...]:
    """Return the row of a proxy."""
    facts = proxy.provenance
    paper = facts.get("paper", "")
    return (
        f"[`{proxy.name}`](#{proxy.name})",
        _formula(proxy),
        f"[{paper}]({facts['url']})" if paper else "",
        str(facts.get("equation", "")),
        str(facts.get("year", "")),
        _needs(proxy),
    )


def _formula(proxy: AnyProxy) -> str:
    """Return the formula of a proxy; of a function, that it is one."""
    if isinstance(proxy, Proxy):
        return maths(proxy.latex())
    return "ensemble" if isinstance(proxy, Ensemble) else "function"


def _needs(proxy: AnyProxy) -> str:
    """Return the passes that a proxy needs, and whether it needs labels and bits."""
    if isinstance(proxy, Ensemble):
        return "its parts"
    if isinstance(proxy, FunctionProxy):
        needs = ["passes of its own"]
        labels = proxy.needs_labels
        if proxy.batch > 1:
            needs.append(f"{proxy.batch} inputs")
    else:
        groups = dict.fromkeys(STATISTICS[name].group for name in proxy.statistics)
        needs = [code(name) for name in groups]
        labels = any(GROUPS[name].needs_labels for name in groups)
    more = {"labels": labels, "bits": proxy.needs_bits, "a teacher": proxy.needs_teacher}
    return ", ".join([*needs, *(name for name, needed in more.items() if needed)])


def _details(proxy: AnyProxy) -> str:
    """Return what is to be said of a proxy beside the row."""
    facts = proxy.provenance
    parts = [f"### {proxy.name}", proxy.description]
    if isinstance(proxy, Proxy):
        parts.append(code(proxy.graph.text))
    elif isinstance(proxy, Ensemble):
        parts.append(f"Of {', '.join(f'[`{part}`](#{part})' for part in proxy.parts)}.")
    else:
        parts.append(_in_words(proxy))
    if "deviations" in facts:
        parts.append(f"*Deviations.* {facts['deviations']}")
    if "released_code" in facts:
        parts.append(f"*Released code.* {code(facts['released_code'])}")
    if "command" in facts:
        parts.append(f"*Found by* {code(facts['command'])}, with autoprox {facts['version']}.")
    return "\n\n".join(parts) + "\n"


def _in_words(proxy: FunctionProxy) -> str:
    """Return what the docstring of a proxy's function gives as the formula, or its first line."""
    text = inspect.getdoc(proxy.function) or ""
    indented = text.partition(".. code-block:: text\n\n")[2].partition("\n\n")[0]
    if not indented:
        return text.partition("\n")[0]
    return f"```text\n{inspect.cleandoc(indented)}\n```"


def networks() -> str:
    """Return the table of what is measured on small networks of many kinds."""
    import torch

    from tests import any_networks
    from tests.statistics.zoo import built

    torch.manual_seed(0)
    own = {
        "tokens to tokens": (*any_networks.language(), {}),
        "images to pixels": (*any_networks.dense(), {}),
        "two inputs, regression": (*any_networks.two_inputs(), {"loss": any_networks.square_loss}),
        "detection, a list of images": (*any_networks.detector(), {"loss": any_networks.box_loss}),
    }
    zoo = {label: (*built(kind), {}) for label, kind in MODULES.items()}
    groups = [name for name in GROUPS if name != "bits"]
    return table(
        ("network", *map(code, groups), "named as not measured"),
        (_measured_row(label, groups, *each) for label, each in {**zoo, **own}.items()),
    )


MODULES = {
    "linear": "mlp",
    "convolution, batch norm, checkpointing": "checkpointed",
    "grouped convolution": "grouped",
    "transposed convolution, U-Net": "dense",
    "layer norm over channels": "layer norm",
    "weight norm": "weight norm",
    "pruning mask": "pruned",
    "attention by hand": "attention",
    "`nn.TransformerEncoderLayer`": "encoder",
    "experts in one parameter": "experts",
    "`nn.Bilinear`": "bilinear",
    "`nn.LSTM`": "lstm",
    "`nn.GRUCell` in a loop": "cells",
    "tables of positions": "positions",
    "tied weights, `nn.EmbeddingBag`": "tied",
    "complex weights": "complex",
}
"""What the networks of the table are, to their names in the zoo of the tests."""


def _measured_row(
    label: str, groups: Sequence[str], network: Any, inputs: Any, targets: Any, how: dict[str, Any]
) -> tuple[str, ...]:
    """Return how many of the statistics of each pass a network shows."""
    from autoprox.errors import StatisticError
    from autoprox.statistics import measure

    def shown(names: Sequence[str]) -> int:
        try:
            found = measure(network, inputs, targets, names, **how)
            return sum(bool(found.present[name].any()) for name in names)
        except StatisticError:
            return 0 if len(names) == 1 else sum(shown([name]) for name in names)

    cells = []
    for group in groups:
        names = [name for name, word in STATISTICS.items() if word.group == group]
        count = shown(names)
        cells.append("all" if count == len(names) else f"{count} of {len(names)}" if count else "-")
    unseen = measure(network, inputs, None, "params").unseen or ()
    parameters = dict(network.named_parameters())
    matrices = [code(name) for name in unseen if parameters[name].ndim > 1]
    return label, *cells, ", ".join(matrices)


PARTS: dict[str, Callable[[], str]] = {
    "kinds": kinds,
    "passes": passes,
    "statistics": statistics,
    "primitives": primitives,
    "proxies": known_proxies,
    "networks": networks,
}
"""What each generated part says, by its name."""


def rewritten(text: str) -> str:
    """Return the text of a page with its generated parts as the code has them."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n{part[3]}", text)


def stale(folder: Path = FOLDER) -> dict[Path, str]:
    """Return the pages that are not what the code says, with what they should be."""
    found = {}
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (now := rewritten(text)) != text:
            found[page] = now
    return found


def difference(page: Path, now: str) -> str:
    """Return what is to be changed in a page."""
    lines = difflib.unified_diff(
        page.read_text(encoding="utf-8").splitlines(),
        now.splitlines(),
        f"{page.name} as it is",
        f"{page.name} as the code says",
        lineterm="",
        n=1,
    )
    return "\n".join(lines)


def main() -> int:
    """Write or check the pages; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the pages.")
    parser.add_argument("--check", action="store_true", help="fail if a page would change")
    check = parser.parse_args().check
    warnings.filterwarnings("ignore", "complex parameters are not measured")
    found = stale()
    for page, now in found.items():
        if check:
            print(difference(page, now))
        else:
            page.write_text(now, encoding="utf-8")
            print(f"written: {page.name}")
    if check and found:
        print("these pages are not what the code says; run: python docs/generate.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
