"""The language: round trips, canonical forms, types, errors that point at the place."""

import copy
import json
import pickle

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprox.errors import LanguageError, UnknownNameError
from autoprox.language.graph import Graph, apply, atom, from_json, leaf, number
from autoprox.language.text import parse, parse_proxy
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.primitives.kinds import TENSOR_KINDS, Layer, Network, Relation
from autoprox.statistics import STATISTICS


@st.composite
def graphs(draw, kind, height):
    """Draw a graph of a kind, written without any code of the search."""
    leaves = [name for name, each in STATISTICS.items() if each.kind is kind]
    if leaves and (height <= 1 or draw(st.booleans())):
        return leaf(draw(st.sampled_from(leaves)))
    words = [
        (name, inner)
        for name, made in PRIMITIVES.items()
        for inner in made.kinds
        if made.result(inner) is kind and (inner is not Network or height > 2)
    ]
    word, inner = draw(st.sampled_from(words))
    return apply(word, *(draw(graphs(inner, height - 1)) for _ in range(PRIMITIVES[word].arity)))


PROXIES = graphs(Network, 6)


@settings(max_examples=150)
@given(PROXIES)
def test_the_text_of_a_graph_parses_to_the_same_object(graph):
    assert parse(str(graph)) is graph
    assert parse_proxy(f"\n  {str(graph).replace(',', ' ,').replace('(', ' ( ')}  ") is graph


@settings(max_examples=100)
@given(PROXIES)
def test_json_pickle_and_copies_give_the_same_object(graph):
    assert from_json(json.loads(json.dumps(graph.to_json()))) is graph
    assert pickle.loads(pickle.dumps(graph)) is graph
    assert copy.deepcopy(graph) is graph


@settings(max_examples=100)
@given(PROXIES)
def test_the_view_is_an_acyclic_graph_with_one_root_that_knows_every_node(graph):
    view = graph.to_networkx()
    assert networkx.is_directed_acyclic_graph(view)
    assert [node for node in view if view.out_degree(node) == 0] == [len(view) - 1]
    assert len(view) == graph.complexity
    assert view.nodes[len(view) - 1]["kind"] == "Network"


@settings(max_examples=100)
@given(PROXIES)
def test_nodes_come_after_their_arguments_and_only_once(graph):
    nodes = graph.nodes()
    assert len(set(nodes)) == len({node.text for node in nodes}) == len(nodes)
    assert all(nodes.index(arg) < i for i, node in enumerate(nodes) for arg in node.args)
    assert nodes[-1] is graph


@settings(max_examples=60)
@given(
    graphs(Layer, 3), graphs(Layer, 3), st.sampled_from(["add", "multiply", "subtract", "divide"])
)
def test_only_commutative_primitives_forget_the_order(first, second, word):
    forward, backward = apply(word, first, second), apply(word, second, first)
    assert (forward is backward) == (word in ("add", "multiply") or first is second)


@settings(max_examples=100)
@given(PROXIES)
def test_latex_has_balanced_braces(graph):
    formula = graph.latex()
    assert formula.count("{") == formula.count("}")


@pytest.mark.parametrize("statistic", STATISTICS)
def test_every_statistic_reduces_to_a_proxy(statistic):
    text = f"sum({statistic})" if STATISTICS[statistic].kind is Layer else f"sum(mean({statistic}))"
    assert parse_proxy(text).kind is Network


def test_shared_sub_expressions_are_one_node():
    graph = parse("add(sum(norm(grad)), mean(norm(grad)))")
    assert graph.complexity == 5
    assert graph.depth == 4
    assert graph.statistics == ("grad",)


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("", "expected a statistic", 0),
        ("sum(", "expected a statistic", 4),
        ("sum(params", "expected ',' or ')'", 10),
        ("sum(params))", "expected the end", 11),
        ("sum(,params)", "expected a statistic", 4),
        ("sum(weigth)", "did you mean 'weight'", 4),
        ("sun(params)", "did you mean 'sum'", 0),
        ("sum(mean)", "is a primitive", 4),
        ("weight(3)", "is a statistic", 0),
        ("sum(params, params)", "takes 1 argument", 0),
        ("sum(sum(multiply(weight, act)))", "act is Activation, but beside weight", 25),
        ("sum(sum(matmul(act_gram, weight)))", "weight is Weight, but matmul takes Relation", 25),
        ("sum(sum(sum(weight)))", "is Network, but sum takes", 4),
        ("only_mlp(weight)", "only_mlp takes Layer", 9),
        ("sum(add(2, 3))", "numbers alone", 4),
        ("sum($)", "expected a statistic", 4),
        ("sum(matmul(act_gram, 2))", "takes no numbers", 4),
    ],
)
def test_an_error_says_what_is_wrong_and_points_at_it(text, message, column):
    with pytest.raises(LanguageError) as caught:
        parse_proxy(text)
    first, *_, caret = str(caught.value).split("\n")
    assert message in first
    assert caret == "  " + " " * column + "^"


@pytest.mark.parametrize("text", ["weight", "sum(weight)", "params", "2.5"])
def test_a_proxy_is_one_number_a_network(text):
    with pytest.raises(LanguageError, match="a proxy is one number a network"):
        parse_proxy(text)


def test_a_very_deep_text_is_refused_and_not_a_crash():
    with pytest.raises(LanguageError, match="calls deep"):
        parse("absolute(" * 5000)


def test_numbers_stand_beside_every_kind():
    for name, each in STATISTICS.items():
        if each.kind in (*TENSOR_KINDS, Layer):
            assert parse(f"multiply({name}, 2)").kind is each.kind
    assert str(parse("multiply(2, params)")) == "multiply(2.0, params)"
    with pytest.raises(LanguageError, match="finite"):
        number(float("inf"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "keys"),
        ([], "keys"),
        ({"version": 2, "nodes": []}, "version 2"),
        ({"version": 1, "nodes": []}, "no nodes"),
        ({"version": 1, "nodes": [["sum", 0]]}, "not before it"),
        ({"version": 1, "nodes": [["params"], ["sum", True]]}, "not before it"),
        ({"version": 1, "nodes": [3]}, "a list"),
        ({"version": 1, "nodes": [["weight"], ["sum", 0], ["sum", 1], ["sum", 2]]}, "sum takes"),
    ],
)
def test_json_of_another_form_is_refused(data, message):
    with pytest.raises(LanguageError, match=message):
        from_json(data)


def test_unknown_words_of_json_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'params'"):
        from_json({"version": 1, "nodes": [["parms"]]})


def test_graphs_are_immutable_and_made_through_the_doors():
    graph = atom("params")
    assert isinstance(graph, Graph)
    with pytest.raises(AttributeError):
        graph.word = "flops"


def test_a_word_that_is_defined_anew_with_another_kind_makes_another_graph():
    def reduction(x, entries):
        """Sum of the entries."""
        return x.flatten(1).sum(1)

    def elementwise(x):
        """Absolute value."""
        return x.abs()

    def made(function):
        form, function.__name__ = function.__name__, "own"
        primitive(form, latex="{0}", kinds=(Relation,))(function)
        function.__name__ = form
        try:
            return parse("sqrt(own(act_gram))")
        finally:
            PRIMITIVES.unregister("own")

    reduced, again = made(reduction), made(elementwise)
    assert (reduced.kind, again.kind) == (Layer, Relation)
    assert made(elementwise) is again
