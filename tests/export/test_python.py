"""The exported Python file: what it scores, what it needs, what it says, and what is refused."""

from __future__ import annotations

import ast
import importlib.util
import json
import linecache
import random
import sys
from pathlib import Path

import pytest
import torch

from autoprox import proxies
from autoprox.errors import AutoproxError, ScoreError
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.export import exported
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.statistics import STATISTICS, statistic
from tests import any_networks
from tests.export import scoring
from tests.known_networks import left, random_states
from tests.processes import run_python

pytestmark = pytest.mark.usefixtures("one_thread")

MEASURABLE = tuple(name for name, word in STATISTICS.items() if not word.unexportable)


def bred(statistics: tuple[str, ...], count: int, name: str) -> dict[str, Proxy]:
    variation = Variation(Vocabulary(statistics))
    with drawing_from(random.Random(4)):
        return {f"{name}_{i}": Proxy(variation.random()) for i in range(count)}


PROXIES: dict[str, Proxy] = {
    **{
        name: load(name)
        for name in proxies.expressions()
        if set(load(name).statistics) <= set(MEASURABLE)
    },
    **bred(DEFAULT_STATISTICS, 5, "default"),
    **bred(MEASURABLE, 5, "any"),
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float | str]]:
    """What the exported files score, in a process of their own."""
    folder = tmp_path_factory.mktemp("exported")
    for name, proxy in PROXIES.items():
        (folder / f"{name}.py").write_text(exported(proxy, "python"), encoding="utf-8")
    done = run_python(scoring.__file__, folder, folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def scored(proxy: Proxy, kind: type) -> float | None:
    try:
        bits = kind.bits if proxy.needs_bits else None
        return proxy(*scoring.case(kind), sample="full", bits=bits)
    except AutoproxError:
        return None


@pytest.mark.parametrize("kind", scoring.KINDS)
def test_exports_score_as_their_proxies_do_without_autoprox(kind, scores) -> None:
    compared = 0
    for name, proxy in PROXIES.items():
        expected, found = scored(proxy, kind), scores[name][kind.__name__]
        if expected is None:
            refused = isinstance(found, str) or found == 0  # a 0 that says nothing is 0 there
            assert refused, f"{name}, {proxy.graph}: {found}, but the proxy fails"
        else:
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-30), f"{name}, {proxy.graph}"
            compared += 1
    assert compared > 0.8 * len(PROXIES)


def test_every_known_expression_can_be_exported() -> None:
    taught = {name for name in proxies.expressions() if load(name).needs_teacher}
    assert set(proxies.expressions()) - taught <= set(PROXIES)
    for name in taught:
        with pytest.raises(AutoproxError, match="teacher"):
            exported(load(name), "python")


def imported(text: str) -> set[str]:
    """The packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("name", ["zico", "dss", "naswot", "flops", "nb201_best", "hawq", "any_3"])
def test_a_file_imports_torch_and_the_standard_library_alone(name: str) -> None:
    packages = imported(exported(PROXIES[name], "python"))
    assert "torch" in packages
    assert packages - {"torch"} <= sys.stdlib_module_names


def test_a_file_holds_only_what_its_proxy_needs() -> None:
    text = exported(load("l2_norm"), "python")
    assert 'self.keep("weight", ' in text
    for absent in ("autograd", "softmax", "AttentionMaps", "Recorder", "def entropy"):
        assert absent not in text
    assert "def root_mean_square(" in text
    assert "def min(" not in text


def module_of(proxy: Proxy, folder: Path):
    path = folder / "exported_file.py"
    path.write_text(exported(proxy, "python"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["exported_file"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow", "dss", "naswot"])
def test_a_network_and_the_random_state_are_left_as_they_were(name: str, tmp_path: Path) -> None:
    score = module_of(load(name), tmp_path).score
    network, x, y = scoring.case(scoring.SmallTransformer)
    network.eval()
    next(network.parameters()).requires_grad_(False)
    before, states = left(network), random_states()
    tensors = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.inference_mode():
        first = score(network, x, y)
    assert left(network) == before
    assert random_states() == states
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())
    assert score(network, x, y) == first


def test_the_documentation_says_what_it_is_and_where_it_comes_from(tmp_path: Path) -> None:
    said = module_of(load("nb201_best"), tmp_path).__doc__
    assert said.startswith("The zero-cost proxy nb201_best.")
    assert f" {load('nb201_best').graph} " in " ".join(said.split())
    assert "found_by: autoprox evolve" in said
    assert "autoprox 0." in said
    assert '"population": 100' in " ".join(said.split())


def test_any_text_can_be_documentation(tmp_path: Path) -> None:
    odd = 'a \\N "quote", three """ and a \\'
    proxy = Proxy(load("l2_norm").graph, odd, odd, {"paper": odd, "nested": {"x": [odd]}})
    said = module_of(proxy, tmp_path).__doc__
    assert said.count(odd) == 3


FACTOR = 3.0
"""A constant beside a primitive."""


def helped(x):
    """A function beside a primitive."""
    return x * FACTOR


@pytest.fixture
def registered():
    names = []

    def register(function, form="elementwise"):
        primitive(form, latex="{0}")(function)
        names.append(function.__name__)
        return function

    yield register
    for name in names:
        PRIMITIVES.unregister(name)


def kept(x):
    """Has the name of a function that the file has too."""
    return helped(x) + 1


def test_a_primitive_of_ones_own_is_copied_with_what_it_needs(registered, tmp_path: Path) -> None:
    registered(kept)

    def nested(x):
        """Third power, of a function inside of another."""
        return torch.pow(x, 3)

    registered(nested)
    proxy = load("sum(sum(nested(kept(weight))))")
    given = scoring.case(scoring.SmallCNN)
    module = module_of(proxy, tmp_path)
    assert module.score(*given) == pytest.approx(proxy(*given, sample="full"), rel=1e-6)
    assert module.FACTOR == 3.0
    assert "@primitive" not in Path(module.__file__).read_text(encoding="utf-8")


def drawn_limit(x):
    """Uses the standard library."""
    return x.clamp_min(random.Random(0).random())


def with_foreign(x):
    """Uses another package."""
    return x * pytest.approx(1.0).expected


def test_what_needs_more_than_torch_is_refused(registered) -> None:
    registered(with_foreign)
    with pytest.raises(AutoproxError, match=r"'pytest', .* from pytest; an export needs torch al"):
        exported(load("sum(sum(with_foreign(weight)))"), "python")
    factor = 2.0

    def enclosed(x):
        """Uses a variable of the function around it."""
        return x * factor

    registered(enclosed)
    with pytest.raises(AutoproxError, match="'enclosed' cannot be exported: it is no function th"):
        exported(load("sum(sum(enclosed(weight)))"), "python")
    space: dict[str, object] = {}
    exec("def sourceless(x):\n    '''None.'''\n    return x * 2.0\n", space)
    registered(space["sourceless"])
    with pytest.raises(AutoproxError, match="'sourceless' cannot be exported: its source"):
        exported(load("sum(sum(sourceless(weight)))"), "python")


FIRST, SECOND = 1.0, 2.0


def with_a_pair(x):
    """Uses one of two constants of one statement."""
    return x * SECOND


def with_an_import(x):
    """Imports another package."""
    import numpy

    return x * float(numpy.sqrt(4.0))


def test_what_cannot_be_copied_is_named(registered) -> None:
    for function, message in (
        (with_a_pair, "'with_a_pair' cannot be exported: 'SECOND', which it uses, is not defined"),
        (with_an_import, "'with_an_import' cannot be exported: it imports numpy, but"),
    ):
        registered(function)
        with pytest.raises(AutoproxError, match=message):
            exported(load(f"sum(sum({function.__name__}(weight)))"), "python")


CHANGED = {
    "augmented": "FACTOR = 1.0\nFACTOR += 2.0",
    "entry": "FACTOR = [1.0]\nFACTOR[0] = 3.0",
    "branch": "FACTOR = 1.0\nif FACTOR < 2:\n    FACTOR = 3.0",
    "method": "FACTOR = [1.0]\nFACTOR.insert(0, 3.0)",
    "computed": "FACTOR = float('2')\nfor more in range(1):\n    FACTOR = FACTOR + 1",
    "attribute": "FACTOR = torch.nn.Module()\nFACTOR.value = 3.0",
    "global": "FACTOR = float('1')\ndef change():\n    global FACTOR\n    FACTOR = 3.0\nchange()",
    "function": "def FACTOR(x): return 1.0\nFACTOR = lambda x, before=FACTOR: before(x) + 2.0",
    "import": "from math import pi as FACTOR\nFACTOR -= 0.14",
    "builtin": "max = min\nmax = sum\nFACTOR = lambda x: max([x, 2.0])",
    "outside": "FACTOR = 1.0",
}
"""Modules whose FACTOR is changed after the statement that defines it."""

UNCHANGED = {
    "declared": "FACTOR: float\nFACTOR: float = 3.0",
    "other names": "FACTOR = 3.0\nothers = [FACTOR for FACTOR in range(2)]\nothers[0] = FACTOR",
    "in functions": "FACTOR = 3.0\ndef f():\n    FACTOR = 1.0\n    FACTOR += 1.0",
    "defined twice": "def FACTOR(x): return 1.0\ndef FACTOR(x): return 3.0",
    "imported twice": "from math import e as FACTOR\nfrom math import pi as FACTOR",
    "not a number": "FACTOR = float('3.0')",
}
"""Modules whose FACTOR is what one statement says."""


def module_with(statements, name, folder, monkeypatch):
    """Import a module with a primitive that multiplies by its FACTOR."""
    used = "(FACTOR(1.0) if callable(FACTOR) else FACTOR[0] if type(FACTOR) is list else FACTOR)"
    used = "FACTOR.value" if "FACTOR.value" in statements else used
    path = folder / f"{name.replace(' ', '_')}_factor.py"
    path.write_text(
        f'import torch\n{statements}\n\n\ndef times(x):\n    """Multiply."""\n'
        f"    return x * {used}\n"
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_changed_after_its_definition_is_refused(
    name, registered, tmp_path, monkeypatch
) -> None:
    module = module_with(CHANGED[name], name, tmp_path, monkeypatch)
    module.FACTOR = 3.0 if name == "outside" else module.FACTOR
    registered(module.times)
    with pytest.raises(AutoproxError, match=r"'(FACTOR|max)', which \w+ uses, is not what one st"):
        exported(load("sum(sum(times(weight)))"), "python")


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_one_statement_says_is_copied(name, registered, tmp_path, monkeypatch) -> None:
    registered(module_with(UNCHANGED[name], name, tmp_path, monkeypatch).times)
    proxy = load("sum(sum(times(weight)))")
    given = scoring.case(scoring.SmallCNN)
    module = module_of(proxy, tmp_path)
    assert module.score(*given) == pytest.approx(proxy(*given, sample="full"), rel=1e-6)


def cell(text: str) -> dict[str, object]:
    """Run the text of a notebook's cell, whose module has no file."""
    linecache.cache["<a cell>"] = (len(text), None, text.splitlines(keepends=True), "<a cell>")
    space: dict[str, object] = {"__name__": "a_notebook"}
    exec(compile(text, "<a cell>", "exec"), space)
    return space


def test_a_primitive_of_a_notebook_is_copied(registered, tmp_path: Path) -> None:
    space = cell(
        "import torch\nfrom torch import Tensor\nfrom math import pi\n\n"
        "def doubled(x: Tensor) -> Tensor:\n    '''Twice.'''\n    return torch.mul(x, 2.0)\n\n"
        "def turned(x):\n    '''Uses a number of the notebook.'''\n    return x * pi\n"
    )
    registered(space["doubled"])
    proxy = load("sum(sum(doubled(weight)))")
    given = scoring.case(scoring.SmallCNN)
    assert module_of(proxy, tmp_path).score(*given) == pytest.approx(
        proxy(*given, sample="full"), rel=1e-6
    )
    registered(space["turned"])
    with pytest.raises(AutoproxError, match="'pi', which a_notebook uses, is from the notebook"):
        exported(load("sum(sum(turned(weight)))"), "python")


def test_the_standard_library_is_no_obstacle(registered, tmp_path: Path) -> None:
    registered(drawn_limit)
    proxy = load("sum(sum(drawn_limit(weight)))")
    given = scoring.case(scoring.SmallCNN)
    assert module_of(proxy, tmp_path).score(*given) == pytest.approx(
        proxy(*given, sample="full"), rel=1e-6
    )


def gains(network, inputs, targets):
    """A number a layer, of nobody but this test."""
    return {name: 1.0 for name, _ in network.named_parameters()}


def moments(network, inputs, targets):
    """The third power of the weights, with a helper beside it."""
    return {name: helped(weight**3) for name, weight in network.named_parameters()}


def logit_gram(network, inputs, targets):
    """Inner products of the logits, in whatever mode the network is measured."""
    logits = network(inputs)
    first = next(name for name, weight in network.named_parameters() if weight.ndim > 1)
    return {first: logits @ logits.T + len(targets)}


def edges(network, inputs, targets):
    """Numbers in no order."""
    return {name: torch.tensor([1.0, 3.0, 2.0]) for name, _ in network.named_parameters()}


@pytest.fixture
def own():
    names = []

    def register(function, kind, **options):
        statistic(kind, latex="g", **options)(function)
        names.append(function.__name__)

    yield register
    for name in names:
        STATISTICS.unregister(name)


@pytest.mark.parametrize(
    ("function", "kind", "expression"),
    [
        (gains, "Layer", "sum(multiply(gains, only_attention(fan_in)))"),
        (moments, "Weight", "sum(norm(multiply(grad, moments)))"),
        (logit_gram, "Relation", "sum(norm(logit_gram))"),
        (edges, "Spectrum", "sum(max(edges))"),
        (edges, "Spectrum", "sum(sum(multiply(weight_spectrum, share(edges))))"),
    ],
)
def test_a_statistic_of_ones_own_is_copied(own, function, kind, expression, tmp_path) -> None:
    own(function, kind)
    proxy = load(expression)
    module = module_of(proxy, tmp_path)
    given = scoring.case(scoring.SmallTransformer)
    assert module.score(*given) == pytest.approx(proxy(*given, sample="full"), rel=1e-6)
    assert "@statistic" not in Path(module.__file__).read_text(encoding="utf-8")


def drawn_by_numpy(network, inputs, targets):
    """Uses another package."""
    import numpy

    return {name: float(numpy.sqrt(4.0)) for name, _ in network.named_parameters()}


def test_a_statistic_that_cannot_be_exported_says_why(own) -> None:
    own(drawn_by_numpy, "Layer")
    with pytest.raises(AutoproxError, match="'drawn_by_numpy' cannot be exported: it imports nump"):
        exported(load("sum(drawn_by_numpy)"), "python")
    own(gains, "Layer", unexportable="it reads a table of this laboratory")
    with pytest.raises(AutoproxError, match="'gains' says that it reads a table of this laborato"):
        exported(load("sum(gains)"), "python")


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ([8, 3], "has 3 layers to quantise, from 'stem' to 'head'; got bits for 2"),
        ([8, 17, 8], "integer from 1 to 16; got 17"),
    ],
)
def test_bits_that_do_not_fit_are_refused(bits, message, tmp_path: Path) -> None:
    score = module_of(load("hawq_v2"), tmp_path).score
    with pytest.raises(ValueError, match=message):
        score(*scoring.case(scoring.SmallCNN), bits=bits)


@pytest.mark.parametrize(
    ("name", "batch", "labels", "message"),
    [
        ("snip", 9, False, "'grad' cannot be measured without targets"),
        ("gradsign", 9, False, "'grad_sign' cannot be measured without targets"),
        ("zico", 3, True, "'grad_abs_mean', 'grad_std' need 4 samples"),
    ],
)
def test_a_file_says_what_is_missing(name, batch, labels, message, tmp_path: Path) -> None:
    network, x, y = scoring.case(scoring.SmallCNN)
    with pytest.raises(ValueError, match=message):
        module_of(load(name), tmp_path).score(network, x[:batch], y[:batch] if labels else None)


def test_a_score_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    network, x, y = scoring.case(scoring.SmallCNN)
    score = module_of(load("mean(only_attention(sum(weight)))"), tmp_path).score
    with pytest.raises(ValueError, match="no score on this network: it gives nan"):
        score(network, x, y)


def test_a_file_gives_0_where_autoprox_refuses_it_and_says_so(tmp_path: Path) -> None:
    network, x, y = scoring.case(scoring.SmallCNN)
    proxy = load("sum(norm(subtract(grad, grad)))")
    with pytest.raises(ScoreError, match="it says nothing: "):
        proxy(network, x, y)
    module = module_of(proxy, tmp_path)
    assert module.score(network, x, y) == 0
    assert "refuses a score that is 0 because a part" in " ".join(module.__doc__.split())


def test_a_file_takes_any_inputs_and_loss(tmp_path: Path) -> None:
    network, inputs, targets = any_networks.two_inputs()
    how = {"loss": any_networks.square_loss}
    module = module_of(load("snip"), tmp_path)
    expected = load("snip")(network, inputs, targets, sample="full", **how)
    assert module.score(network, inputs, targets, **how) == pytest.approx(expected, rel=1e-6)
    network, ids, following = any_networks.language()
    assert module.score(network, ids, following) > 0
