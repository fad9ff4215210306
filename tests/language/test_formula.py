"""Formulas in LaTeX: no other reading is possible, and no parentheses are in vain."""

import pytest

from autoprox.language.formula import number
from autoprox.language.text import parse


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("sum(multiply(mean(grad), sum(weight)))",
         r"\sum_{\ell} \left(\operatorname{mean}_{i} G\right) \cdot \sum_{i} W"),
        ("sum(sum(multiply(grad, weight)))", r"\sum_{\ell} \sum_{i} G \cdot W"),
        ("multiply(max(sum(grad)), norm(sum(weight)))",
         r"\left(\max_{\ell} \sum_{i} G\right) \cdot \left\|\sum_{i} W\right\|_{2,\ell}"),
        ("multiply(entropy(grad), mean(weight))",
         r"\operatorname{H}_{i}\left(G\right) \cdot \operatorname{mean}_{i} W"),
        ("multiply(grad, negative(weight))", r"\left(-W\right) \cdot G"),
        ("subtract(grad, negative(weight))", r"G - \left(-W\right)"),
        ("sqrt(add(grad, weight))", r"\sqrt{G + W}"),
        ("absolute(subtract(grad, weight))", r"\left|G - W\right|"),
        ("divide(add(grad, weight), subtract(grad, weight))", r"\frac{G + W}{G - W}"),
        ("divide(absolute(grad), absolute(weight))",
         r"\frac{\left|G\right|}{\left|W\right|}"),
        ("matmul(multiply(act_gram, code_gram), ntk)",
         r"\left(K_A \cdot K_H\right)\,\Theta"),
        ("matmul(ntk, multiply(act_gram, code_gram))",
         r"\Theta\,\left(K_A \cdot K_H\right)"),
        ("multiply(act_gram, matmul(code_gram, ntk))", r"K_A \cdot K_H\,\Theta"),
        ("matmul(sqrt(multiply(act_gram, code_gram)), ntk)",
         r"\sqrt{K_A \cdot K_H}\,\Theta"),
        ("log(multiply(add(grad, weight), subtract(grad, weight)))",
         r"\log\left(\left(G + W\right) \cdot \left(G - W\right)\right)"),
        ("sum(add(grad, weight))", r"\sum_{i} \left(G + W\right)"),
        ("mean(multiply(params, -2.0))",
         r"\operatorname{mean}_{\ell} \left(-2 \cdot n\right)"),
        ("sum(std(negative(grad)))",
         r"\sum_{\ell} \operatorname{std}_{i} \left(-G\right)"),
        ("square(weight)", "W^2"),
        ("square(absolute(weight))", r"\left(\left|W\right|\right)^2"),
        ("add(1e-05, square(add(grad, weight)))", r"10^{-5} + \left(G + W\right)^2"),
    ],
)  # fmt: skip
def test_a_formula_is_written_as_it_is_read(text, latex):
    written = parse(text).latex()
    if text == "multiply(grad, negative(weight))":  # factors are ordered by their texts
        assert written in (latex, r"G \cdot \left(-W\right)")
    else:
        assert written == latex


def test_numbers_have_powers_of_ten_and_no_zeros_in_vain():
    assert [number(text) for text in ("1e-05", "-1e-05", "2.5e+20", "1.0", "0.25", "inf")] == [
        "10^{-5}", "-10^{-5}", r"2.5 \cdot 10^{20}", "1", "0.25", "inf",
    ]  # fmt: skip
