"""What every primitive promises, whoever adds it."""

import dataclasses
import doctest
import inspect

import pytest
import torch

from autoprox.errors import PrimitiveError
from autoprox.primitives import PRIMITIVES, Entries, Facts, Form
from autoprox.primitives.checks import check, probe
from autoprox.primitives.fact_checks import CHECKS, FITTING, Trial, declared
from autoprox.primitives.kinds import Layer, Network, Relation
from autoprox.primitives.primitive import call

VALUED = [name for name, made in PRIMITIVES.items() if made.form is not Form.SELECTOR]
CASES = [(name, kind) for name in VALUED for kind in PRIMITIVES[name].kinds]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_primitive_passes_its_registration_again(name):
    check(PRIMITIVES[name])


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_primitive_is_named_after_its_function_and_says_what_it_does(name):
    made = PRIMITIVES[name]
    assert made.function.__name__ == name
    assert made.summary.endswith(".")


@pytest.mark.parametrize("name", VALUED)
def test_a_primitive_has_an_example_that_holds(name):
    function = PRIMITIVES[name].function
    examples = doctest.DocTestFinder().find(
        function, name, globs=dict(inspect.getmodule(function).__dict__)
    )
    assert examples[0].examples
    assert all(doctest.DocTestRunner().run(example).failed == 0 for example in examples)


def random_value(kind, generator):
    """Return a random value of a kind, with its entries."""
    x, entries = probe(kind)
    shape = (4, 5, 5) if kind is Relation else (20,) if kind is Network else (4, 6)
    x = torch.randn(shape, generator=generator, dtype=x.dtype) * 3
    present = torch.rand(x.shape, generator=generator) > 0.3 if kind is Layer else None
    if present is not None:
        present[:, 0] = True
    size = (
        entries.size[:1].expand(len(x)) if present is None else present.sum(1, dtype=torch.float64)
    )
    return x, Entries(size, present)


class Elsewhere(Trial):
    """A probe with other values."""

    def __init__(self, made, kind, seed):
        super().__init__(made, kind)
        random = super().random
        noise = torch.randn(random.shape, generator=torch.Generator().manual_seed(seed))
        self.__dict__["random"] = (random * 10 ** (seed - 3) + noise).to(random.dtype)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_primitive_is_pure_and_closed_and_keeps_shape_and_type(name, kind):
    made = PRIMITIVES[name]
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1.0, 1e3):
        x, entries = random_value(kind, generator)
        values = tuple(value.clone() for value in (x * scale, x.flip(0) * scale)[: made.arity])
        before = [value.clone() for value in values]
        versions = [value._version for value in values]
        result = call(made, values, entries)
        assert [value._version for value in values] == versions
        assert all(torch.equal(*pair) for pair in zip(values, before, strict=True))
        assert result.shape == ((len(x),) if made.form is Form.REDUCTION else x.shape)
        if made.form is not Form.REDUCTION:
            assert result.dtype == x.dtype
            result = result if entries.present is None else result[entries.present]
        assert torch.isfinite(result).all()
        again = call(made, tuple(before), entries)
        assert torch.equal(
            again
            if entries.present is None or made.form is Form.REDUCTION
            else again[entries.present],
            result,
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n, k in CASES if k is Layer and PRIMITIVES[n].form is not Form.ELEMENTWISE],
)
def test_layers_that_are_absent_do_not_count(name, kind):
    made = PRIMITIVES[name]
    x, entries = random_value(Layer, torch.Generator().manual_seed(1))
    other = torch.where(entries.present, x, 1e6)
    result, changed = call(made, (x,), entries), call(made, (other,), entries)
    if made.form is not Form.REDUCTION:
        result, changed = result[entries.present], changed[entries.present]
    assert torch.equal(result, changed)


@pytest.mark.parametrize("name", [n for n in VALUED if PRIMITIVES[n].form is Form.REDUCTION])
def test_reductions_scale_a_sample_to_the_true_number_of_entries(name):
    made = PRIMITIVES[name]
    if Layer not in made.kinds or name in ("max", "min"):
        pytest.skip("takes matrices, or is that of the sample")
    x = torch.rand(2, 50) + 0.1
    whole = x.repeat(1, 7)
    sampled = call(made, (x,), Entries(torch.full((2,), 350.0)))
    full = call(made, (whole,), Entries(torch.full((2,), 350.0)))
    torch.testing.assert_close(sampled, full, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", [n for n, made in PRIMITIVES.items() if made.form is Form.SELECTOR]
)
def test_a_selector_returns_one_bool_a_layer(name):
    roles = ("embedding", "attention", "mlp", "conv", "head")
    chosen = PRIMITIVES[name].function(roles, torch.linspace(0, 1, 5))
    assert chosen.dtype == torch.bool
    assert chosen.shape == (5,)
    assert 0 < chosen.sum() < 5


FACTS = [(name, fact) for name, made in PRIMITIVES.items() for fact, _ in declared(made.facts)]
UNTRUE = {
    "even": ("sum", "entry"),
    "nonnegative": ("tanh", True),
    "fixes_nonnegative": ("square", True),
    "negates": ("absolute", True),
    "rising": ("log", True),
    "flattening": ("negative", True),
    "anticommutative": ("add", True),
    "diagonal": ("add", PRIMITIVES["square"].function),
    "counts": ("sum", True),
    "sums": ("max", "entries"),
    "constant_of": ("max", (PRIMITIVES["standardise"].function,)),
    "constant_under": ("softmax", (PRIMITIVES["max"].function,)),
}
"""For each fact a primitive that may declare it, and of which it is not true."""


def test_every_fact_is_checked_and_fits_some_form():
    fields = {each.name for each in dataclasses.fields(Facts)}
    assert fields == set(CHECKS) == set(UNTRUE) == set().union(*FITTING.values())


@pytest.mark.parametrize("fact", UNTRUE)
def test_a_fact_that_does_not_hold_is_refused(fact):
    name, value = UNTRUE[fact]
    made = dataclasses.replace(PRIMITIVES[name], facts=Facts(**{fact: value}))
    with pytest.raises(PrimitiveError, match=f"{name!r} on .*{fact}=.*does not hold"):
        check(made)


@pytest.mark.parametrize(("name", "fact"), FACTS)
def test_a_declared_fact_is_no_accident_of_the_probes(name, fact):
    """Hold each fact against values that registration does not try, as other cases of `Trial`."""
    made = PRIMITIVES[name]
    for kind in made.kinds:
        for seed in range(1, 6):
            assert CHECKS[fact](Elsewhere(made, kind, seed), getattr(made.facts, fact))


def test_a_fact_that_says_nothing_of_a_form_is_refused():
    made = dataclasses.replace(PRIMITIVES["add"], facts=Facts(rising=True))
    with pytest.raises(PrimitiveError, match="rising says nothing of elementwise primitives of 2"):
        check(made)


def test_a_fact_names_registered_primitives_only():
    made = dataclasses.replace(PRIMITIVES["multiply"], facts=Facts(diagonal=torch.square))
    with pytest.raises(PrimitiveError, match="diagonal names functions of registered primitives"):
        check(made)
