"""The published operations and trees have a counterpart in the language."""

import itertools

import numpy as np
import pytest
import torch

from autoprox.errors import LanguageError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.graph import check_root
from autoprox.primitives import PRIMITIVES
from autoprox.statistics import measure, noise
from tests.language.genotype import BINARY, CONSTANT, UNARY, tree
from tests.tiny_bench import bench

PUBLISHED = {
    0: lambda a: np.log(np.where(a <= 0, 1, a)),
    1: lambda a: np.log(np.abs(np.where(a == 0, 1, a))),
    2: np.abs,
    3: np.square,
    4: np.exp,
    5: lambda a: (a - a.mean()) / a.std(),
    6: lambda a: np.maximum(a, 0),
    7: lambda a: 1 / a,
    8: lambda a: np.sqrt(np.square(a).sum()),
    9: lambda a: a.sum() / a.size,
    10: lambda a: np.abs(a).sum() / a.size,
    11: lambda a: np.exp(a) / np.exp(a).sum(),
    12: lambda a: 1 / (1 + np.exp(-a)),
    13: lambda a: a - np.log(np.exp(a).sum()),
    14: lambda a: np.sqrt(np.maximum(a, 0)),
    15: lambda a: -a,
    16: lambda a: (a - a.min()) / (a.max() - a.min()),
    17: np.mean,
    18: np.std,
    19: lambda a: a,
}


def test_all_twenty_unary_and_four_binary_operations_have_a_word():
    assert len(UNARY) == 20
    assert len(BINARY) == 4
    words = [word for _, text in (*UNARY, *BINARY) for word in text.split()]
    assert set(words) <= set(PRIMITIVES)


@pytest.fixture(scope="module")
def measured():
    torch.manual_seed(0)
    batch = noise(bench.input_shape, bench.classes, batch=4, seed=0)
    network = bench.network(bench.architectures[3])
    return measure(network, *batch, ("weight", "grad"), sample="full")


@pytest.mark.parametrize("number", range(20))
def test_a_unary_operation_gives_what_the_published_formula_gives(number, measured):
    graph = tree(("weight", "grad"), ((number, 19), (2, 19)), 0)
    truth = [
        np.mean(PUBLISHED[number](w.double().numpy())) + np.abs(g.double().numpy()).mean()
        for w, g in zip(measured.values["weight"], measured.values["grad"], strict=True)
    ]
    score = Evaluator(Table((measured,)))(graph)
    np.testing.assert_allclose(score.values[0], np.mean(truth), rtol=2e-4)


def test_every_tree_is_in_the_language_or_says_nothing():
    reductions = (8, 9, 10, 17, 18)
    constant = [number for number, (_, word) in enumerate(UNARY) if word in CONSTANT]
    for first, second, binary in itertools.product(range(20), range(20), range(3)):
        chosen = (("weight", "act"), ((first, second), (19, 2)), binary)
        if first in reductions and second in constant:
            with pytest.raises(LanguageError, match="same for every layer"):
                tree(*chosen)
        else:
            assert check_root(tree(*chosen))


@pytest.mark.parametrize(
    ("unary", "binary", "message"),
    [(((0, 20), (0, 0)), 0, "0 to 19"), (((0, 0), (0, 0)), 3, "0, 1 or 2")],
)
def test_numbers_out_of_range_are_refused(unary, binary, message):
    with pytest.raises(LanguageError, match=message):
        tree(("weight", "grad"), unary, binary)
