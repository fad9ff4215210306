"""Formulas in MathML: every word is understood, and what is not is shown as it is."""

import xml.etree.ElementTree as ElementTree

import pytest

from autoprox import proxies
from autoprox.language.mathml import from_latex, to_mathml
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES
from autoprox.proxies.proxy import Proxy
from autoprox.statistics import STATISTICS


def content(latex: str) -> str:
    """What is inside the math element."""
    whole = from_latex(latex)
    ElementTree.fromstring(whole)
    return whole.partition(">")[2].removesuffix("</math>")


def test_a_formula_is_written_as_in_latex() -> None:
    mathml = to_mathml(parse("sum(mean(absolute(grad)))"))
    assert mathml == (
        r'<math display="block" alttext="\sum_{\ell} \operatorname{mean}_{i} \left|G\right|">'
        "<mrow><munder><mo>∑</mo><mi>\N{SCRIPT SMALL L}</mi></munder>"
        '<msub><mi>mean</mi><mi>i</mi></msub><mspace width="0.17em"></mspace>'
        '<mrow><mo form="prefix" fence="true" stretchy="true">|</mo><mi>G</mi>'
        '<mo form="postfix" fence="true" stretchy="true">|</mo></mrow></mrow></math>'
    )


@pytest.mark.parametrize(
    ("latex", "mathml"),
    [
        (r"\frac{1}{x}", "<mfrac><mn>1</mn><mi>x</mi></mfrac>"),
        (r"x_{i}^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"x^2_i", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"d_\mathrm{in}", "<msub><mi>d</mi><mi>in</mi></msub>"),
        (r"2.5e-05", "<mn>2.5e-05</mn>"),
        (r"\text{a b < c}", "<mtext>a b &lt; c</mtext>"),
        (r"a\cdot b", "<mrow><mi>a</mi><mo>⋅</mo><mi>b</mi></mrow>"),
    ],
)
def test_each_part_of_latex_has_its_counterpart(latex: str, mathml: str) -> None:
    assert content(latex) == mathml


@pytest.mark.parametrize(
    "latex",
    [
        r"\frac{a}",
        "}{",
        "{a",
        "a_b_c",
        r"\left(x",
        "x^",
        r"\foo{x}",
        r"a \right)",
        r"\text{a",
        "a & b",
    ],
)
def test_what_is_not_understood_is_shown_as_it_is(latex: str) -> None:
    (shown,) = ElementTree.fromstring(from_latex(latex))
    assert (shown.tag, shown.text) == ("mtext", latex)


def test_every_word_is_understood() -> None:
    written = {name: each.latex for name, each in STATISTICS.items()}
    written |= {name: each.latex.format("x", "y", index="i") for name, each in PRIMITIVES.items()}
    for name, latex in written.items():
        assert f"<mtext>{latex}" not in content(latex).replace("&amp;", "&"), name
        assert "\\" not in content(latex), name


@pytest.mark.parametrize("name", proxies.names())
def test_every_shipped_formula_is_understood(name: str) -> None:
    proxy = proxies.get(name)
    if isinstance(proxy, Proxy):
        whole = to_mathml(proxy.graph)
        assert ElementTree.fromstring(whole).get("alttext") == proxy.latex()
        assert "\\" not in whole.partition(">")[2]
