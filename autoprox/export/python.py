"""A proxy as a Python file that needs torch alone."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from autoprox import __version__
from autoprox.errors import AutoproxError
from autoprox.evaluation.evaluate import reduces_tensor
from autoprox.evaluation.program import are_spectra, sized_by
from autoprox.export import values
from autoprox.export.source import Copier
from autoprox.language.graph import Graph
from autoprox.primitives import PRIMITIVES, Form
from autoprox.primitives.kinds import TENSOR_KINDS, Kind, Layer
from autoprox.proxies.proxy import Proxy
from autoprox.statistics import STATISTICS, words
from autoprox.statistics.measuring import measure
from autoprox.statistics.recorder import REFERENCES
from autoprox.statistics.sampling import aligned

WIDTH = 80
"""How long an expression may be before its parts get names."""

TAKEN = ("network", "inputs", "targets", "bits", "measured", "score", *STATISTICS)
"""Names that no copied definition may have: variables of the written functions."""

Layers: TypeAlias = tuple[frozenset[str], frozenset[str]]
"""Which layers a value has numbers of: statistics that they show, selectors that keep them."""

TEMPLATE = '''\
{documentation}

{imports}


def score(
    network: nn.Module,
    inputs: Inputs,
    targets: Targets = None,
    *,{parameter}
    loss: Loss | None = None,
    outputs: Outputs | None = None,
) -> float:
    """Return the score of {scored}; a higher one predicts a higher accuracy.

    The network is measured in {mode} mode, and left as it was.

    Args:
        network: any module.
        inputs: what it is called with: a tensor ``(batch, ...)``, a tuple of positional or a dict
            of keyword arguments.
        targets: ``(batch,)``, class numbers, or what `loss` takes{unused}.
        loss: of what the network returns and the targets; by default the mean cross-entropy.
        outputs: what takes the logits from what the network returns; by default the usual.{bits}

    Raises:
        ValueError: the network cannot be measured, or the formula has no finite value on it.
    """
{body}


{definitions}
'''

UNTRAINED = {"parameter": "", "scored": "an untrained network", "mode": "train", "bits": ""}
"""What `TEMPLATE` says of proxies that rank networks."""

TRAINED = {
    "parameter": "\n    bits: Sequence[int],",
    "scored": "a network's bits",
    "mode": "eval",
    "bits": """
        bits: from 1 to 16, of the weight of each nn.Conv2d and nn.Linear, in the order in which
            they run.""",
}
"""What `TEMPLATE` says of proxies that rank bits."""


def to_python(proxy: Proxy) -> str:
    """Return the text of a file with a function ``score(network, inputs, targets)``.

    It needs torch alone, and gives what the proxy gives with ``sample="full"``. Where the proxy
    depends on bits, `score` takes them too: ``bits=[8, 4, ...]``.

    Raises:
        AutoproxError: a statistic says that it cannot be exported, or the source of one or of a
            primitive cannot be copied.
    """
    for word in (STATISTICS[name] for name in proxy.statistics):
        if word.unexportable:
            raise AutoproxError(
                f"{proxy} cannot be exported to python: {word.name!r} says that "
                f"{word.unexportable}; latex, json and svg can be had"
            )
    copier = _copier(proxy)
    for name in ("nn", "Inputs", "Targets", "Loss", "Outputs"):
        copier.named(measure.__module__, name)
    if proxy.needs_bits:
        copier.named(values.__name__, "Sequence")
    formula = _NetworkFormula(proxy.graph, copier)
    body = [*_measuring(proxy, copier), *formula.lines]
    copier.finish()
    unlabelled = not any(STATISTICS[name].needs_labels for name in proxy.statistics)
    return TEMPLATE.format(
        documentation=_documentation(proxy),
        imports=copier.imports,
        unused="; not used by this proxy" if unlabelled else "",
        **(TRAINED if proxy.needs_bits else UNTRAINED),
        body=textwrap.indent("\n".join(body), "    "),
        definitions="\n\n\n".join((*formula.reductions.values(), copier.text)),
    )


def _documentation(proxy: Proxy) -> str:
    """Return the text that says what the file is, and where the proxy comes from."""
    paragraphs = [
        f"The zero-cost proxy {proxy.name}." if proxy.name else "A zero-cost proxy.",
        textwrap.fill(str(proxy.graph), 92, initial_indent="    ", subsequent_indent="    "),
        *([textwrap.fill(proxy.description, 98)] if proxy.description else []),
    ]
    facts = [
        f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in proxy.provenance.items()
    ]
    if facts:
        filled = [textwrap.fill(fact, 94, subsequent_indent="    ") for fact in facts]
        paragraphs.append("Where it comes from:\n\n" + textwrap.indent("\n".join(filled), "    "))
    paragraphs.append(
        f"Written by autoprox {__version__}; it needs torch alone. `score` reads full tensors: it "
        'is what\nthe proxy gives in autoprox with sample="full". One check is not here: autoprox '
        "refuses a score that\nis 0 because a part of the formula is 0 in every layer, as it says "
        "nothing of the network. What\nfollows `score` is the source of autoprox, without what "
        "this proxy never runs."
    )
    text = "\n\n".join(paragraphs).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{text}\n"""'


class _Formula:
    """Writes the nodes of a graph as lines of Python; what is long, or used twice, has a name."""

    def __init__(self, nodes: Iterable[Graph], copier: Copier) -> None:
        self.copier = copier
        self.lines: list[str] = []
        self._users = Counter(arg for node in nodes for arg in dict.fromkeys(node.args))
        self._variables: dict[Graph, str] = {}
        self._taken = {*TAKEN, *PRIMITIVES}

    def named(self, stem: str) -> str:
        """Return a name that nothing has."""
        name, number = stem, 1
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name

    def assigned(self, stem: str, text: str) -> str:
        """Write an assignment, and return the variable."""
        name = self.named(stem)
        self.lines.append(f"{name} = {text}")
        return name

    def text(self, node: Graph, *, variable: bool = False) -> str:
        """Return what stands for the value of a node: an expression, or only a variable."""
        if _is_selector(node):  # it changes which layers there are, not their numbers
            return self.text(node.args[0], variable=variable)
        if node not in self._variables:
            text = self.written(node)
            if not (variable or self._users[node] > 1 or text.isidentifier()):
                return text
            known = text.isidentifier()
            self._variables[node] = text if known else self.assigned(node.word, text)
        return self._variables[node]

    def written(self, node: Graph) -> str:
        """Return the expression of a node."""
        word = self.copier.copied(PRIMITIVES[node.word].function)
        text = f"{word}({', '.join(self.arguments(node))})"
        if len(text) > WIDTH:
            text = f"{word}({', '.join(self.arguments(node, variables=True))})"
        return text

    def arguments(self, node: Graph, *, variables: bool = False) -> list[str]:
        """Return what a primitive is called with, its values as variables if so asked."""
        if PRIMITIVES[node.word].form is not Form.ELEMENTWISE:
            (arg,) = node.args
            return [self.text(arg, variable=variables), self.entries(arg)]
        variables = variables or any(arg.kind is None for arg in node.args)
        texts = {arg: self.text(arg, variable=variables) for arg in node.args if arg.kind}
        like = next(iter(texts.values()))
        return [texts.get(arg, f"torch.full_like({like}, {arg.word})") for arg in node.args]

    def entries(self, node: Graph) -> str:
        """Return the variable that says which entries the value of a node has."""
        raise NotImplementedError


class _LayerFormula(_Formula):
    """The formula of one number a layer, from the layer's tensors.

    Attributes:
        sizes: lines that say how many entries there are, before spectra that meet are aligned.
    """

    def __init__(self, reduction: Graph, copier: Copier) -> None:
        super().__init__(reduction, copier)
        self.sizes: list[str] = []
        self._entries: dict[tuple[str, ...], str] = {}

    def written(self, node: Graph) -> str:
        """Return the expression of a node; a statistic is an argument."""
        return super().written(node) if node.args else node.word

    def entries(self, node: Graph) -> str:
        """Return the variable of the entries of a value: of spectra those of its own longest."""
        names = sized_by(node.statistics)
        if names not in self._entries:
            text = f"{self.copier.copied(values.all_entries)}({', '.join(names)})"
            self._entries[names] = self.named("entries")
            self.sizes.append(f"{self._entries[names]} = {text}")
        return self._entries[names]


class _NetworkFormula(_Formula):
    """The formula of one number a network, from the layers' numbers.

    Attributes:
        reductions: nodes that take a layer's tensors to its number, to the functions that do so.
    """

    def __init__(self, graph: Graph, copier: Copier) -> None:
        super().__init__((node for node in graph if not _within_layer(node)), copier)
        self.reductions: dict[Graph, str] = {}
        self._layers: dict[Layers, str] = {}
        self.lines.append(f"return {copier.copied(values.finite)}({self.written(graph)})")

    def written(self, node: Graph) -> str:
        """Return the expression of a node; statistics and tensors are arranged by layer."""
        if not node.args:
            return node.word
        if not reduces_tensor(node):
            return super().written(node)
        name = self.named(f"{node.word}_of_layer")
        self.reductions[node] = _layer_function(name, node, self.copier)
        function = self.copier.copied(values.reduced)
        return self.assigned(node.word, f"{function}({name}, {', '.join(node.statistics)})")

    def entries(self, node: Graph) -> str:
        """Return the variable of the layers that a node's value has numbers of."""
        selectors = {below.word for below in node if _is_selector(below)}
        return self._having(frozenset(node.statistics), frozenset(selectors))

    def _having(self, statistics: frozenset[str], selectors: frozenset[str]) -> str:
        if (statistics, selectors) not in self._layers:
            if selectors:
                *others, last = sorted(selectors)
                among = self._having(statistics, frozenset(others))
                selector = self.copier.copied(PRIMITIVES[last].function)
                text = f"{self.copier.copied(values.selected)}({among}, {selector}, measured.roles)"
                stem = last
            else:
                function = self.copier.copied(values.having)
                text = f"{function}(measured, {_listed(sorted(statistics))})"
                stem = "all_layers" if not self._layers else "some_layers"
            self._layers[statistics, selectors] = self.assigned(stem, text)
        return self._layers[statistics, selectors]


def _is_selector(node: Graph) -> bool:
    return bool(node.args) and PRIMITIVES[node.word].form is Form.SELECTOR


def _within_layer(node: Graph) -> bool:
    """Say whether a node is of a formula of one layer, whose arguments no other one shares."""
    return node.kind in TENSOR_KINDS or reduces_tensor(node)


def _layer_function(name: str, reduction: Graph, copier: Copier) -> str:
    """Return the text of a function that takes a layer's tensors to the layer's number."""
    formula = _LayerFormula(reduction, copier)
    result = formula.written(reduction)
    statistics = reduction.statistics
    listed = ", ".join(statistics)
    meet = len(statistics) > 1 and are_spectra(statistics)
    along = [f"{listed} = {copier.copied(aligned)}({listed})"] if meet else []
    body = [*formula.sizes, *along, *formula.lines, f"return {result}"]
    arguments = ", ".join(f"{name}: Tensor" for name in statistics)
    documentation = f'"""Return {reduction} of a layer."""'
    if len(documentation) > 96:
        documentation = (
            f'"""Return a number of a layer:\n\n{textwrap.fill(str(reduction), 92)}\n"""'
        )
    lines = "\n".join((documentation, *body))
    return f"def {name}({arguments}) -> Tensor:\n{textwrap.indent(lines, '    ')}"


def _copier(proxy: Proxy) -> Copier:
    """Return what copies the definitions that a proxy needs."""
    statistics = {
        name: STATISTICS[name]
        for asked in proxy.statistics
        for name in (asked, REFERENCES.get(asked, asked))
    }
    for name, word in statistics.items():
        if word.own:  # the version is that of the cache, and not the same in every process
            statistics[name] = replace(word, own=replace(word.own, version=""))
    groups = {word.group: words.GROUPS[word.group] for word in statistics.values() if not word.own}
    selects = any(map(_is_selector, proxy.graph))
    asked = frozenset([*proxy.statistics, *(["roles"] if selects else [])])
    facts = {
        "asked": asked,
        ".asked": asked,
        "groups": {word.group for word in statistics.values()},
        "sample": "full",
        ".sample": "full",
        **({} if proxy.needs_bits else {"bits": None}),
    }
    return Copier(
        TAKEN,
        facts,
        values={
            (words.__name__, "STATISTICS"): statistics,
            (words.__name__, "GROUPS"): groups,
        },
        replaced={(Kind.__module__, "Kind"): values.Kind},
    )


def _measuring(proxy: Proxy, copier: Copier) -> list[str]:
    """Return the lines that measure the statistics of a proxy."""
    arguments = f'network, inputs, targets, [{_listed(proxy.statistics)}], sample="full"'
    arguments += ", loss=loss, outputs=outputs"
    arguments += ", bits=bits" if proxy.needs_bits else ""
    return [
        f"measured = {copier.copied(measure)}({arguments})",
        *(
            f"{name} = measured.values[{_listed([name])}]"
            + ("[None]" if STATISTICS[name].kind is Layer else "")
            for name in proxy.statistics
        ),
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
