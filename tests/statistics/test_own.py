"""Statistics of a user's own: they measure as those that ship do, and travel to other processes."""

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import autoprox
from autoprox.errors import AutoproxError, StatisticError
from autoprox.measuring.score_store import identity
from autoprox.runtime.registry import own_members, take_members
from autoprox.statistics import STATISTICS, Store, measure, statistic
from tests.known_networks import random_states

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")

pytestmark = pytest.mark.usefixtures("one_thread")


@contextmanager
def registered(function, kind="Weight", name="", **options):
    """Register a statistic for a while."""
    function.__name__ = name or function.__name__
    function.__module__ = "__main__"  # sent by value, as from a notebook: workers have no tests
    function.__doc__ = function.__doc__ or "Something."
    statistic(kind, latex="x", **options)(function)
    try:
        yield function.__name__
    finally:
        STATISTICS.unregister(function.__name__)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)
        )


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(6, 3, 8, 8, generator=generator)
    return inputs, torch.randint(0, 5, (6,), generator=generator)


def gradient(network, inputs, targets):
    """Gradient of the loss."""
    F.cross_entropy(network(inputs), targets).backward()
    return {name: each.grad for name, each in network.named_parameters()}


@pytest.mark.parametrize("sample", [32, "full"])
def test_a_gradient_of_ones_own_is_the_one_that_ships_entry_by_entry(network, batch, sample):
    with registered(gradient) as name:
        found = measure(network, *batch, [name, "grad"], sample=sample)
    for own, ours in zip(found.values[name], found.values["grad"], strict=True):
        torch.testing.assert_close(own, ours, rtol=1e-4, atol=1e-7)
    assert torch.equal(found.sizes[name], found.sizes["grad"])


@pytest.mark.parametrize("sample", [32, "full"])
def test_a_spectrum_and_a_relation_of_ones_own_are_those_that_ship(network, batch, sample):
    def spectrum(network, inputs, targets):
        weights = [(n, w) for n, w in network.named_parameters() if w.ndim > 1]
        return {name: torch.linalg.svdvals(w.flatten(1)).flip(0) for name, w in weights}

    def agreement(network, inputs, targets):
        outputs = network[0](inputs).flatten(1)
        return {"0.weight": outputs @ outputs.T}

    with registered(spectrum, "Spectrum") as one, registered(agreement, "Relation") as two:
        found = measure(network, *batch, [one, "weight_spectrum", two, "act_gram"], sample=sample)
    for own, ours in zip(found.values[one], found.values["weight_spectrum"], strict=True):
        torch.testing.assert_close(own, ours)
    torch.testing.assert_close(found.values[two][0], found.values["act_gram"][0])
    assert found.present[two].tolist() == [True, False]


def test_a_number_a_layer_is_absent_where_none_is_given_and_zero_where_it_is_zero(network, batch):
    def number(network, inputs, targets):
        return {"3.weight": 0, "3.bias": 7.0}

    with registered(number, "Layer", needs_labels=False) as name:
        found = measure(network, batch[0], None, [name])
        score = autoprox.load(f"sum({name})")(network, batch[0])
    assert found.present[name].tolist() == [False, True]
    assert found.values[name].tolist() == [0.0, 0.0]
    assert score == 0.0


def test_a_function_that_trains_its_network_leaves_ours_as_it_was(network, batch):
    def trained(network, inputs, targets):
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        F.cross_entropy(network(inputs + torch.randn(1)), targets).backward()
        optimiser.step()
        inputs.zero_()
        network.eval()
        return dict(network.named_parameters())

    network[0].weight.requires_grad_(False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    inputs, state = batch[0].clone(), random_states()
    with registered(trained) as name:
        found = measure(network, *batch, [name, "weight"], sample="full")
        again = measure(network, *batch, [name], sample="full")
    assert not torch.equal(found.values[name][0], found.values["weight"][0])
    assert torch.equal(found.values[name][0], again.values[name][0])
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert torch.equal(inputs, batch[0])
    assert network.training
    assert not network[0].weight.requires_grad
    assert all(each.grad is None for each in network.parameters())
    assert random_states() == state


def test_a_network_whose_forward_was_replaced_is_copied_with_it(network, batch):
    with registered(gradient) as name:
        expected = measure(network, *batch, [name], sample="full").values[name]
        layers = [*network]
        network.forward = lambda x: layers[3](layers[2](layers[1](layers[0](x))))
        found = measure(network, *batch, [name], sample="full").values[name]
    for own, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(own, plain)


def test_what_a_function_writes_into_a_replaced_forward_is_not_there_for_others(batch):
    norm, head = nn.BatchNorm2d(3), nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    network = nn.Sequential(norm, head)
    network.forward = lambda x: head(norm(x))

    def a_run(network, inputs, targets):
        return {"1.1.weight": network(inputs).sum() * 0}

    def b_look(network, inputs, targets):
        return {"1.1.weight": network[0].running_mean.norm()}

    with registered(a_run, "Layer") as runs, registered(b_look, "Layer") as looks:
        found = measure(network, *batch, [runs, looks])
    assert found.values[looks].tolist() == [0.0]


def test_a_network_with_parameters_that_are_integers_has_gradients_of_the_others(network, batch):
    network.order = nn.Parameter(torch.arange(5), requires_grad=False)
    with registered(gradient) as name:
        found = measure(network, *batch, [name, "grad"], sample="full")
    for own, ours in zip(found.values[name], found.values["grad"], strict=True):
        torch.testing.assert_close(own, ours, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("Weight", {"0.weight": torch.ones(3)}, r"weight's shape \(8, 3, 3, 3\); got shape \(3,\)"),
        ("Layer", {"0.weight": torch.ones(3)}, "expected a number; got shape"),
        ("Layer", {"0.weight": "much"}, "expected a number; got str"),
        ("Layer", {"0.weight": float("nan")}, "finite"),
        ("Layer", {"0.weight": 1e39}, "finite"),
        ("Relation", {"0.weight": torch.ones(2, 2)}, r"tensor \(6, 6\); got shape \(2, 2\)"),
        ("Spectrum", {"0.weight": torch.ones(2, 2)}, "got shape"),
        ("Layer", {"weight": 1.0}, "names of parameters, such as '0.weight'; got 'weight'"),
        ("Layer", [1.0], "got list"),
    ],
)
def test_what_does_not_fit_its_kind_is_refused(network, batch, kind, given, said):
    with (
        registered(lambda network, inputs, targets: given, kind, "wrong") as name,
        pytest.raises(StatisticError, match=said),
    ):
        measure(network, *batch, [name])


def test_a_function_that_fails_says_how(network, batch):
    with (
        registered(lambda network, inputs, targets: network.head, name="wrong") as name,
        pytest.raises(StatisticError, match="'wrong' failed: AttributeError"),
    ):
        measure(network, *batch, [name])
    with (
        registered(gradient) as name,
        pytest.raises(StatisticError, match="without targets"),
    ):
        measure(network, batch[0], None, [name])


def test_a_bad_declaration_is_refused():
    def documented(network, inputs, targets):
        """Something."""

    def taken(network, inputs, targets):
        """Something."""

    def short(network):
        """Something."""

    with pytest.raises(StatisticError, match="of kind Weight, Spectrum, Relation, Layer; got 'Ac"):
        statistic("Activation", latex="x")
    with pytest.raises(StatisticError, match="docstring"):
        statistic("Layer", latex="x")(lambda network, inputs, targets: {})
    with pytest.raises(StatisticError, match="network, inputs, targets"):
        statistic("Layer", latex="x")(short)
    for name in ("weight", "absolute"):
        taken.__name__ = name
        with pytest.raises(AutoproxError, match="choose another name"):
            statistic("Layer", latex="x")(taken)
    assert documented.__name__ not in STATISTICS


def ones(network, inputs, targets):
    return {name: 1.0 for name, _ in network.named_parameters()}


def twos(network, inputs, targets):
    return {name: 2.0 for name, _ in network.named_parameters()}


def test_a_changed_function_is_measured_anew_and_an_unchanged_one_is_not(network, batch, tmp_path):
    store, key = Store(tmp_path), {"architecture": "a"}
    for function in (ones, twos):
        with registered(function, "Layer", "mine"):
            assert store.missing(key, ["mine", "params"])[0] == "mine"
            store.save(key, measure(network, *batch, ["mine", "params"]))
    for function, value in ((ones, 1.0), (twos, 2.0)):
        with registered(function, "Layer", "mine"):
            assert store.missing(key, ["mine", "params"]) == ()
            assert store.load(key, ["params", "mine"]).names == ("params", "mine")
            assert store.load(key, ["mine"]).values["mine"].tolist() == [value] * 2


def test_what_a_digest_cannot_tell_is_never_taken_for_what_was_measured_before():
    state = SimpleNamespace(value=1.0)  # an object, of which nobody knows what it does

    def hidden(network, inputs, targets):
        return {name: state.value for name, _ in network.named_parameters()}

    names = set()
    for _ in range(2):
        with registered(hidden, "Layer") as name:
            names.add(STATISTICS[name].stored_name)
    assert len(names) == 2


def test_scores_of_other_code_are_others():
    found = set()
    for function in (ones, twos):
        with registered(function, "Layer", "mine"):
            found.add(identity(autoprox.load("sum(mine)")))
    assert len(found) == 2


def test_evolution_uses_it_and_gives_the_same_in_two_processes(tmp_path):
    options = {"evaluations": 60, "population": 10, "proposals": 20}
    with registered(gradient, name="my_grad") as name:
        runs = [
            autoprox.evolve(
                TINY,
                out=tmp_path / f"run{jobs}",
                cache=tmp_path / f"cache{jobs}",
                jobs=jobs,
                statistics=("weight", name),
                **options,
            )
            for jobs in (1, 2)
        ]
        board = autoprox.rank([runs[0].best, f"sum(norm({name}))"], TINY, cache=tmp_path, jobs=2)
    one, two = ((run.folder / "candidates.jsonl").read_text() for run in runs)
    assert one == two
    used = [line for line in one.splitlines() if name in json.loads(line)["proposed"]]
    assert len(used) > 10
    assert all(row.failures == 0 for row in board)


def test_two_processes_use_a_changed_function_anew(tmp_path):
    options = {"evaluations": 40, "population": 10, "proposals": 20, "cache": tmp_path / "cache"}
    for number, function in enumerate((gradient, weights)):
        with registered(function, name="mine") as name:
            one, two = (
                autoprox.evolve(
                    TINY,
                    out=tmp_path / f"{number}-{jobs}",
                    jobs=jobs,
                    statistics=("act", name),
                    **options,
                )
                for jobs in (1, 2)
            )
            texts = [(run.folder / "candidates.jsonl").read_text() for run in (one, two)]
        assert texts[0] == texts[1]


def weights(network, inputs, targets):
    return dict(network.named_parameters())


def test_what_another_process_sent_holds_over_what_a_file_registers_here():
    with registered(ones, "Layer", "mine"):
        (sent,) = (member for member in own_members() if member[1] == "mine")
    take_members([sent])
    take_members([sent])
    statistic("Layer", latex="x")(twos_named("mine"))
    assert STATISTICS["mine"] is sent[2]
    STATISTICS.unregister("mine")
    with registered(twos, "Layer", "mine"):
        assert STATISTICS["mine"] is not sent[2]


def twos_named(name):
    def function(network, inputs, targets):
        """Two."""
        return twos(network, inputs, targets)

    function.__name__ = name
    return function


def test_a_statistic_declared_nonnegative_may_not_be_negative(network, batch):
    def lowest(network, inputs, targets):
        return {name: w.min() for name, w in network.named_parameters()}

    with registered(lowest, "Layer", needs_labels=False, nonnegative=True) as name:
        assert STATISTICS[name].nonnegative
        with pytest.raises(StatisticError, match=r"'0.weight': is declared nonnegative; got -0"):
            measure(network, *batch, [name])


def test_a_declaration_counts_as_another_version_so_that_it_is_held_against_new_numbers():
    def size(network, inputs, targets):
        return {name: float(w.numel()) for name, w in network.named_parameters()}

    with registered(size, "Layer") as name:
        plain = STATISTICS[name].stored_name
    with registered(size, "Layer", nonnegative=True) as name:
        assert STATISTICS[name].stored_name != plain
