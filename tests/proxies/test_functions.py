"""The proxies that are functions, against their formulas written out by hand."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprox import proxies
from autoprox.benches.transformer import EncoderBlock
from autoprox.errors import AutoproxError, LanguageError, ScoreError, StatisticError
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.functions import HOMES
from autoprox.proxies.functions.az_nas import sum_of_log_ranks
from autoprox.proxies.functions.knowledge import entropy_of_deciles
from autoprox.proxies.functions.patterns import regularised
from autoprox.proxies.loading import load
from tests.known_networks import Convolutions, Transformer, case, left, lines, random_states

pytestmark = pytest.mark.usefixtures("one_thread")

FUNCTIONS = [
    name
    for name in HOMES
    if isinstance(proxies.get(name), FunctionProxy) and not proxies.get(name).needs_teacher
]


class Block(nn.Module):
    def __init__(self, width, wider, stride):
        super().__init__()
        self.conv = nn.Conv2d(width, wider, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(wider)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Doubled(nn.Module):
    """A block that has modules inside, and no weight: cells of pooling and shortcuts are such."""

    def __init__(self):
        super().__init__()
        self.edge = nn.Identity()

    def forward(self, x):
        return self.edge(x) + x


class Blocks(nn.Module):
    """A stem, three blocks in a container of a container, and a head after a mean."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(nn.Sequential(Block(4, 4, 1), Block(4, 6, 2)), Block(6, 6, 1))
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def narrow():
    """A network so narrow that inputs share activation patterns."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 4), nn.GELU()
        )
        network.append(nn.Linear(4, 3))
        return network, torch.randn(32, 6)


# Formulas


@pytest.mark.parametrize("classes", [5, 100])
def test_epe_nas_correlates_the_input_gradients_of_each_class(classes):
    network, x, _ = case(Convolutions)
    network.head = nn.Linear(8, classes)
    y = torch.tensor([0, 0, 0, 1, 1, 2, 1, 4])
    inputs = x.clone().requires_grad_()
    copy.deepcopy(network)(inputs).sum().backward()
    rows = inputs.grad.flatten(1).double().numpy()
    expected = 0.0
    for number in range(5):
        members = rows[y.numpy() == number]
        if len(members):
            matrix = np.atleast_2d(np.corrcoef(members))
            expected += abs(sum(math.log(abs(r) + 1e-5) for row in matrix for r in row))
    assert proxies.get("epe_nas")(network, x, y) == pytest.approx(expected, rel=1e-4)


def test_epe_nas_shows_samples_without_another_of_their_class_only_where_they_matter():
    most = []
    for network_class in (Transformer, Convolutions):  # the latter with batch norm
        network, x, _ = case(network_class)
        y = torch.tensor([0, 0, 1, 1, 1, 2, 3, 4])
        inputs = x.clone().requires_grad_()
        copy.deepcopy(network)(inputs).sum().backward()
        rows = inputs.grad.flatten(1).double().numpy()
        same = [np.corrcoef(rows[y.numpy() == number]) for number in (0, 1)]
        expected = sum(abs(np.log(np.abs(each) + 1e-5).sum()) for each in same) + 3 * 1e-5
        shown = []
        network.register_forward_pre_hook(lambda _, args, shown=shown: shown.append(len(args[0])))
        assert proxies.get("epe_nas")(network, x, y) == pytest.approx(expected, rel=1e-4)
        most.append(max(shown))
    assert most == [2, 8]  # five samples in four parts, and all at once


def test_epe_nas_compares_the_classes_where_there_are_many():
    network, x, _ = case(Convolutions)
    network.head = nn.Linear(8, 101)
    y = torch.tensor([0, 0, 0, 100, 100, 7, 7, 3])  # one sample of 3, which does not count
    inputs = x.clone().requires_grad_()
    copy.deepcopy(network)(inputs).sum().backward()
    rows = inputs.grad.flatten(1).double().numpy()
    each = []
    for number in (0, 7, 100):
        matrix = np.corrcoef(rows[y.numpy() == number])
        each.append(np.log(np.abs(matrix) + 1e-5).sum() / len(matrix))
    expected = sum(abs(a - b) for a in each for b in each) / 3
    assert proxies.get("epe_nas")(network, x, y) == pytest.approx(expected, rel=1e-3)


def test_zen_score_is_the_change_of_the_feature_map_with_the_norms_undone():
    network, x, _ = case(Convolutions)
    expected = []
    for repeat in range(4):
        generator = torch.Generator().manual_seed(3_000_009 + repeat)
        first = torch.randn(network.first.weight.shape, generator=generator).double()
        second = torch.randn(network.second.weight.shape, generator=generator).double()
        torch.randn(network.head.weight.shape, generator=generator)
        image, step = (torch.randn(x.shape, generator=generator).double() for _ in range(2))
        norms = [nn.BatchNorm2d(len(weight), affine=False).double() for weight in (first, second)]

        def feature_map(x, first=first, second=second, norms=norms):
            x = F.relu(norms[0](F.conv2d(x, first, padding=1)))
            return F.relu(norms[1](F.conv2d(x, second, stride=2, groups=2)))

        change = (feature_map(image) - feature_map(image + 0.01 * step)).abs()
        score = math.log(change.sum((1, 2, 3)).mean())
        score += sum(0.5 * math.log(norm.running_var.mean()) for norm in norms)
        expected.append(score)
    assert proxies.get("zen_score")(network, x, seed=3) == pytest.approx(
        sum(expected) / 4, rel=1e-4
    )


def test_zen_score_hardly_counts_a_batch_norm_that_is_shown_zeros():
    network, x, _ = case(Convolutions)
    score = proxies.get("zen_score")(network, x)
    network.zeros = nn.BatchNorm2d(3)
    steps = network.steps
    network.steps = lambda x: steps(x + network.zeros(0 * x))
    assert proxies.get("zen_score")(network, x) == pytest.approx(score + 0.5 * math.log(0.81))


def test_zen_score_looks_before_the_pooling_however_it_is_written():
    network, x, _ = case(Convolutions)
    scores = []
    for pool in (
        lambda x: x.mean((2, 3)),
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: F.avg_pool2d(x, 3)[:, :, 0, 0],
        lambda x: (x + 0 * x.sum()).flatten(2).mean(2),
    ):
        network.steps = lambda x, pool=pool: [
            network.head(
                pool(
                    network.second_norm(
                        network.second(network.first_norm(network.first(x)).relu())
                    ).relu()
                )
            )
        ]
        scores.append(proxies.get("zen_score")(network, x))
    assert scores == pytest.approx([scores[0]] * 4)


def codes(network, x):
    first = network[:2](x) > 0
    second = network[:4](x) > 0
    return torch.cat([first, second], dim=1).tolist()


def test_linear_regions_counts_samples_with_different_patterns():
    network, x = narrow()
    different = {tuple(row) for row in codes(network, x)}
    assert 1 < len(different) < len(x)
    assert proxies.get("linear_regions")(network, x) == len(different)


def test_swap_counts_units_with_different_patterns():
    network, x = narrow()
    different = {tuple(unit) for unit in zip(*codes(network, x), strict=True)}
    assert 1 < len(different) < 7
    assert proxies.get("swap")(network, x) == len(different)


@pytest.mark.parametrize("batch", [8, 20, 70, 130])
def test_swap_counts_the_same_however_many_samples_there_are(batch):
    network, x, _ = case(Convolutions, batch=batch)
    with torch.no_grad():
        arguments = copy.deepcopy(network).steps(x)[2]
    units = torch.cat([each.flatten(1) for each in arguments], dim=1).T > 0
    different = {tuple(unit) for unit in units.tolist()}
    assert proxies.get("swap")(network, x) == len(different)


@pytest.mark.parametrize("name", ["epe_nas", "linear_regions", "swap", "wrcor"])
def test_in_evaluation_mode_nothing_is_dropped(name):
    torch.manual_seed(0)
    layers = nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 4)
    dropping = nn.Sequential(*layers[:2], nn.Dropout(0.5), *layers[2:])
    x, y = torch.randn(32, 6), torch.randint(0, 4, (32,))
    expected = proxies.get(name)(nn.Sequential(*layers), x, y)
    assert proxies.get(name)(dropping, x, y, mode="eval") == pytest.approx(expected, rel=1e-5)


def test_regularised_swap_prefers_networks_of_one_size():
    network, x = narrow()
    count = sum(parameter.numel() for parameter in network.parameters())
    plain = proxies.get("swap")(network, x)
    assert regularised(count, 10)(network, x) == plain
    expected = plain * math.exp(-9 / 10)
    assert regularised(count + 3, 10)(network, x) == pytest.approx(expected)
    with pytest.raises(AutoproxError, match="positive"):
        regularised(count, 0)


def test_wrcor_weighs_the_correlations_of_a_block_twice_those_of_the_one_before():
    network, x, y = case(Blocks)
    twin, arguments = copy.deepcopy(network), []

    def argument(block, x):
        arguments.append(block.norm(block.conv(x)))
        return F.relu(arguments[-1])

    features = twin.stem(x)
    for block in (*twin.blocks[0], twin.blocks[1]):
        features = argument(block, features)
    loss = F.cross_entropy(twin.head(features.mean((2, 3))), y)
    given = torch.autograd.grad(loss, arguments)
    total = sum(
        2**place * np.abs(np.corrcoef(each.detach().double().flatten(1)))
        for pair in (arguments, given)
        for place, each in enumerate(pair)
    )
    expected = np.linalg.slogdet(total)[1]
    assert proxies.get("wrcor")(network, x, y) == pytest.approx(expected, rel=1e-3)


class Written(nn.Module):
    """Activates a vector, or the first half of it, in several ways that compute the same."""

    def __init__(self, way):
        super().__init__()
        self.way, self.first, self.second = way, nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        half = x[:, :4]
        if self.way == "new":
            x = torch.cat([F.relu(half), x[:, 4:]], 1)
        elif self.way == "in place":
            F.relu_(half)
        else:
            F.relu(half, inplace=True)
        y = x * 1
        if self.way == "new":
            y = torch.tanh(y)
        elif self.way == "in place":
            y = y.tanh_()
        else:
            torch.tanh_(y)
        return self.second(y)


def test_wrcor_scores_the_network_that_runs_where_activations_write_into_their_input():
    x, y = torch.randn(6, 6), torch.randint(0, 3, (6,))
    outputs, scores = [], []
    for way in ("new", "in place", "without a result"):
        torch.manual_seed(0)
        network = Written(way)
        scores.append(proxies.get("wrcor")(network, x, y))
        outputs.append(network(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-5)


class Sequences(nn.Module):
    """Activates tokens with the samples first, the tokens first, or samples beside each other."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(0)
        self.way, self.first, self.second = way, nn.Linear(6, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x)
        if self.way == "tokens first":
            x = torch.relu(x.transpose(0, 1)).transpose(0, 1)
        elif self.way == "beside":
            x = torch.relu(x.transpose(0, 1).flatten(0, 1)).unflatten(0, (-1, len(x)))
            x = x.transpose(0, 1)
        else:
            x = torch.relu(x)
        return self.second(x.sum(1))


@pytest.mark.parametrize("tokens", [2, 6, 12])
@pytest.mark.parametrize("name", ["swap", "wrcor"])
def test_samples_are_told_apart_wherever_they_lie(name, tokens):
    x, y = torch.randn(6, tokens, 6), torch.randint(0, 3, (6,))
    expected = proxies.get(name)(Sequences("samples first"), x, y)
    for way in ("tokens first", "beside"):
        assert proxies.get(name)(Sequences(way), x, y) == pytest.approx(expected, rel=1e-5)


class Scalar(nn.Module):
    """Activates one number a sample, and a vector of as many numbers as `width` says."""

    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        self.wide, self.one, self.head = nn.Linear(6, width), nn.Linear(width, 1), nn.Linear(1, 3)

    def forward(self, x):
        x = self.wide(x)
        x = torch.tanh(x) if x.shape[1] > 1 else x
        return self.head(torch.tanh(self.one(x)[:, 0])[:, None])


def test_wrcor_leaves_out_what_is_one_number_a_sample():
    network, x, y = Scalar(5), torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    found = proxies.get("wrcor")(network, x, y)
    argument = network.wide(x)
    single = network.head(torch.tanh(network.one(torch.tanh(argument))))
    gradient = torch.autograd.grad(F.cross_entropy(single, y), argument)[0]
    both = [np.corrcoef(each.detach().double()) for each in (argument, gradient)]
    expected = np.linalg.slogdet(sum(map(abs, both)))[1]
    assert found == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ScoreError, match="wrcor: no response correlates"):
        proxies.get("wrcor")(Scalar(1), x, y)


def test_vkdnw_is_the_entropy_of_the_fisher_informations_deciles_and_the_tensors():
    network, x, _ = case(Convolutions)
    twin = copy.deepcopy(network).double()
    logits = twin(x.double())
    chances = 0.95 * logits.softmax(-1) + 0.05 / 5
    fisher = 0.0
    for sample, chance in zip(logits, chances.detach(), strict=True):
        rows = []
        for logit in sample:
            given = torch.autograd.grad(logit, list(twin.parameters()), retain_graph=True)
            rows.append([each.flatten()[0].item() for each in given])
        jacobian, p = np.array(rows), chance.numpy()
        fisher = fisher + jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian / len(x)
    deciles = np.quantile(np.linalg.eigvalsh(fisher), np.arange(1, 10) / 10).clip(0)
    shares = deciles / deciles.sum()
    expected = len(rows[0]) - sum(p * math.log(p) for p in shares if p > 0)
    assert proxies.get("vkdnw")(network, x) == pytest.approx(expected, rel=1e-3)


def test_vkdnw_is_the_same_however_weights_lie_in_memory():
    network, x, _ = case(Convolutions)
    expected = proxies.get("vkdnw")(network, x)
    network.to(memory_format=torch.channels_last)
    assert proxies.get("vkdnw")(network, x) == pytest.approx(expected, rel=1e-4)


def test_vkdnw_is_highest_where_no_direction_is_known_better():
    assert entropy_of_deciles(torch.ones(20)) == pytest.approx(math.log(9))
    assert entropy_of_deciles(torch.zeros(3)) == 0


def block_outputs(network, x):
    """Return the blocks, and what stem and blocks give, in training mode, float64."""
    network = copy.deepcopy(network).double().train()
    blocks = [*network.blocks[0], network.blocks[1]]
    outputs = [network.stem(x.double())]
    for block in blocks:
        outputs.append(block(outputs[-1]))
    return blocks, outputs


def entropy(output):
    if output.ndim == 4:
        output = output.permute(0, 2, 3, 1)
    rows = output.detach().reshape(-1, output.shape[-1]).numpy()
    variances = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
    shares = variances / variances.sum()
    return -sum(p * math.log(p + 1e-8) for p in shares)


def test_az_expressivity_and_progressivity_are_entropies_of_the_blocks():
    network, x, _ = case(Blocks)
    each = [entropy(output) for output in block_outputs(network, x)[1]]
    assert proxies.get("az_expressivity")(network, x) == pytest.approx(sum(each), rel=1e-4)
    least = min(b - a for a, b in pairwise(each))
    assert proxies.get("az_progressivity")(network, x) == pytest.approx(least, rel=1e-3)


def test_az_trainability_is_that_of_the_blocks_jacobians():
    network, x, _ = case(Blocks)
    blocks, outputs = block_outputs(network, x)
    generator = torch.Generator().manual_seed(0)
    scores = []
    for place in (3, 2, 1):
        signs = torch.randint(0, 2, outputs[place].shape, generator=generator).double() * 2 - 1
        given = outputs[place - 1].detach()
        back = torch.autograd.functional.vjp(copy.deepcopy(blocks[place - 1]), given, signs)[1]
        if place == 2:
            back = F.pixel_unshuffle(back, 2)
        matrix, count = 0.0, 0
        for sample in range(len(x)):
            for i in range(signs.shape[2]):
                for j in range(signs.shape[3]):
                    matrix = matrix + np.outer(back[sample, :, i, j], signs[sample, :, i, j])
                    count += 1
        norm = np.linalg.svd(matrix / count)[1][0]
        scores.append(2 - norm - 1 / (norm + 1e-6))
    expected = sum(scores) / 3
    assert proxies.get("az_trainability")(network, x) == pytest.approx(expected, rel=1e-3)


class Tokens(nn.Module):
    """An embedding, two pre-norm transformer blocks of other widths inside, and a head."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.blocks = nn.Sequential(EncoderBlock(8, 2, 2.0), EncoderBlock(8, 4, 1.0))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def halves(self, x):
        """Return the logits, and what each half of each block gives."""
        x, given = self.patches(x).flatten(2).transpose(1, 2), []
        for block in self.blocks:
            x = x + block.attention(block.attention_norm(x))
            given.append(x)
            x = x + block.mlp(block.mlp_norm(x))
            given.append(x)
        return self.head(self.norm(x).mean(1)), given

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.patches(x).flatten(2).transpose(1, 2))).mean(1))


def test_az_scores_take_both_halves_of_a_pre_norm_transformer_block():
    network, x, _ = case(Tokens)
    halves = copy.deepcopy(network).double().halves(x.double())[1]
    expected = sum(entropy(half) for half in halves)
    assert proxies.get("az_expressivity")(network, x) == pytest.approx(expected, rel=1e-4)
    generator = torch.Generator().manual_seed(0)
    scores = []
    for before, after in reversed(list(pairwise(halves))):
        signs = torch.randint(0, 2, after.shape, generator=generator).double() * 2 - 1
        back = torch.autograd.grad(after, before, signs, retain_graph=True)[0]
        matrix = np.einsum("bti,btj->ij", back.numpy(), signs.numpy()) / (8 * 4)
        norm = np.linalg.svd(matrix)[1][0]
        scores.append(2 - norm - 1 / (norm + 1e-6))
    expected = sum(scores) / 3
    assert proxies.get("az_trainability")(network, x) == pytest.approx(expected, rel=1e-3)


def test_az_scores_count_blocks_without_weights():
    network, x, _ = case(Blocks)
    few = proxies.get("az_expressivity")(network, x)
    network.blocks.append(nn.Sequential(Doubled()))
    each = [entropy(output) for output in block_outputs(network, x)[1]]
    many = proxies.get("az_expressivity")(network, x)
    assert many == pytest.approx(few + each[-1], rel=1e-4)


class Activated(nn.Module):
    """A block that activates what it is given before it does anything else."""

    def __init__(self, inplace):
        super().__init__()
        self.act, self.conv = nn.ReLU(inplace=inplace), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(self.act(x))


@pytest.mark.parametrize("name", ["az_expressivity", "az_progressivity", "az_trainability"])
def test_az_scores_are_the_same_where_activations_write_into_their_input(name):
    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        blocks = [Activated(inplace) for _ in range(3)]
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), *blocks)
        found.append(proxies.get(name)(network, torch.randn(4, 3, 6, 6)))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["az_expressivity", "az_progressivity", "az_trainability"])
def test_az_scores_of_a_map_of_one_dimension_are_those_of_its_twin_of_two(name):
    found = [proxies.get(name)(*case) for case in lines()]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


class Turned(nn.Module):
    """Tokens that a convolution of one dimension makes, or a linear layer, which is the same."""

    def __init__(self, convolution):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.stem = convolution, nn.Conv1d(3, 8, 1)
        self.blocks = nn.Sequential(EncoderBlock(8, 2, 2.0), EncoderBlock(8, 4, 1.0))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        if self.convolution:
            x = self.stem(x).transpose(1, 2)
        else:
            x = F.linear(x.transpose(1, 2), self.stem.weight[:, :, 0], self.stem.bias)
        return self.head(self.blocks(x).mean(1))


@pytest.mark.parametrize("name", ["az_expressivity", "az_trainability"])
def test_az_scores_take_what_is_turned_into_tokens_for_tokens(name):
    x = torch.randn(4, 3, 8)
    found = [proxies.get(name)(Turned(convolution), x) for convolution in (True, False)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_az_nas_adds_the_logarithms_of_ranks():
    scores = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 4.0]])
    expected = np.log([1 / 3 * 2.5 / 3, 2 / 3 * 2.5 / 3, 1.0 / 3])
    np.testing.assert_allclose(sum_of_log_ranks(scores), expected)


# What every one of them promises


def case_of(kind):
    network, x, _ = case(kind)
    return network, x, torch.tensor([0, 0, 0, 1, 1, 2, 1, 4])


SCORED = [
    (name, kind)
    for name in FUNCTIONS
    for kind in (Blocks, Convolutions, Transformer)
    if (name, kind) not in (("zen_score", Transformer), ("az_trainability", Convolutions))
]


@pytest.mark.parametrize(("name", "kind"), SCORED)
def test_a_network_is_left_as_it_was_and_scores_the_same_again(name, kind):
    network, x, y = case_of(kind)
    bits = 4 if proxies.get(name).needs_bits else None
    fresh = proxies.get(name)(network, x, y, bits=bits)
    network.eval()
    next(network.children()).train()
    next(network.parameters()).requires_grad_(False)
    network.register_forward_hook(lambda *_: None)
    tensors = copy.deepcopy(network.state_dict())
    inputs, before, states = x.clone(), left(network), random_states()

    with torch.no_grad():
        score = proxies.get(name)(network, x, y, sample=7, bits=bits)

    assert isinstance(score, float)
    assert math.isfinite(score)
    assert score == pytest.approx(fresh, rel=1e-6)
    assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())
    assert left(network) == before
    assert random_states() == states
    assert torch.equal(x, inputs)
    assert not x.requires_grad


@pytest.mark.parametrize("name", HOMES)
def test_it_says_where_it_comes_from_and_has_no_graph(name):
    proxy = load(name)
    assert proxy is proxies.get(name)
    assert proxy.name == str(proxy) == name
    assert name in repr(proxy)
    assert proxy.description.endswith(".")
    assert proxy.provenance["deviations"].endswith(".")
    assert str(proxy.provenance["year"]) in proxy.provenance["paper"]
    function = proxy.function if isinstance(proxy, FunctionProxy) else proxy.rule
    assert function.__doc__
    assert not hasattr(proxy, "graph")
    with pytest.raises(LanguageError, match="no expression"):
        proxy.latex()
    assert pickle.loads(pickle.dumps(proxy)).name == name


def test_both_sorts_of_proxy_are_listed():
    assert set(proxies.names()) == {*proxies.expressions(), *HOMES}
    assert set(proxies.names()) <= set(dir(proxies))
    from autoprox.proxies import zen_score

    assert zen_score is load("zen_score")


# Failures


@pytest.mark.parametrize(
    ("name", "kind", "batch", "reason"),
    [
        ("zen_score", Transformer, 8, "zen_score: it undoes .* Transformer has none"),
        ("az_trainability", Convolutions, 8, "no block feeds the next one"),
        ("epe_nas", Blocks, 1, "2 or more; got a batch of 1"),
        ("linear_regions", Blocks, 1, "2 or more; got a batch of 1"),
        ("swap", Blocks, 1, "needs 2 or more; got 1"),
        ("wrcor", Blocks, 1, "needs 2 or more; got 1"),
    ],
)
def test_what_does_not_fit_is_one_reasoned_error(name, kind, batch, reason):
    network, x, y = case(kind, batch=batch)
    with pytest.raises((StatisticError, ScoreError), match=reason):
        proxies.get(name)(network, x, y)


@pytest.mark.parametrize("name", ["linear_regions", "swap"])
def test_a_network_without_activation_functions_has_no_patterns(name):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Sigmoid(), nn.Linear(4, 3))
    with pytest.raises(StatisticError, match="activation functions that keep the sign"):
        proxies.get(name)(network, torch.randn(4, 3, 2, 2))


@pytest.mark.parametrize("name", ["az_expressivity", "az_progressivity", "az_trainability"])
def test_a_network_without_blocks_has_no_az_scores(name):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))
    with pytest.raises(StatisticError, match="2 or more; Sequential runs 0"):
        proxies.get(name)(network, torch.randn(4, 3, 2, 2))


def test_a_block_that_is_the_identity_has_no_trainability():
    network, x, _ = case(Blocks)

    class Same(Block):
        def forward(self, x):
            return x * 1.0

    network.blocks.append(Same(6, 6, 1))
    with pytest.raises(ScoreError, match="unchanged"):
        proxies.get("az_trainability")(network, x)


def test_epe_nas_needs_labels_and_a_class_that_occurs_twice():
    network, x, _ = case(Convolutions, batch=4)
    with pytest.raises(StatisticError, match="cannot be measured without targets"):
        proxies.get("epe_nas")(network, x)
    with pytest.raises(StatisticError, match=r"expected targets of shape \(4,\)"):
        proxies.get("epe_nas")(network, x, torch.zeros(4))
    with pytest.raises(ScoreError, match="4 labels are all different; show"):
        proxies.get("epe_nas")(network, x, torch.arange(4))


def test_zen_score_says_that_the_change_does_not_arrive():
    network, x, _ = case(Convolutions)
    network.second.forward = lambda x: F.conv2d(x, network.second.weight, stride=2, groups=2) * 0
    with pytest.raises(ScoreError, match="does not reach the feature map"):
        proxies.get("zen_score")(network, x)


def test_zen_score_says_that_there_is_no_feature_map():
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    with pytest.raises(StatisticError, match="no feature map"):
        proxies.get("zen_score")(network, torch.randn(4, 6))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_is_finite(value):
    network, x, _ = case(Convolutions)
    with pytest.raises(ScoreError, match="mine has no score on this network: not finite"):
        FunctionProxy("mine", lambda _: value)(network, x)


def test_what_a_function_draws_depends_on_the_seed_alone():
    drawn = FunctionProxy("drawn", lambda _: float(torch.rand(1)) + random.random())
    network, x, _ = case(Convolutions)
    scores = []
    for seed in (0, 0, 1):
        torch.rand(1), random.random()
        scores.append(drawn(network, x, seed=seed))
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize(
    ("said", "told"),
    [(None, "NoneType"), (torch.ones(3), r"Tensor of shape \(3,\)"), ((1.0, 2.0), "tuple")],
)
def test_what_is_no_number_is_told(said, told):
    network, x, _ = case(Convolutions)
    with pytest.raises(
        ScoreError, match=f"mine: expected one number; its function returned {told}"
    ):
        FunctionProxy("mine", lambda _: said)(network, x)
    assert FunctionProxy("mine", lambda _: torch.ones(1, requires_grad=True))(network, x) == 1


def test_whatever_a_function_raises_is_a_reason():
    network, x, _ = case(Convolutions)
    with pytest.raises(ScoreError, match="mine failed: ZeroDivisionError"):
        FunctionProxy("mine", lambda _: 1 / 0)(network, x)
    with pytest.raises(StatisticError, match="at least one sample"):
        FunctionProxy("mine", lambda _: 1.0)(network, x[:0])


def test_an_error_of_autoprox_within_a_function_is_a_reason():
    network, x, _ = case(Convolutions)

    def unknown(subject):
        return load("snipp")(subject.network, subject.inputs)

    with pytest.raises(ScoreError, match="mine: unknown proxy 'snipp'; did you mean 'snip'"):
        FunctionProxy("mine", unknown)(network, x)


def test_the_cause_of_a_networks_failure_is_kept():
    network, x, _ = case(Convolutions)
    network.head = nn.Linear(3, 5)
    with pytest.raises(StatisticError, match="linear_regions: the network failed") as caught:
        proxies.get("linear_regions")(network, x)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_object_or_a_partial_function_has_the_name_of_what_it_calls():
    class Constant:
        def __call__(self, *_):
            return 1.0

    here = f"{__name__}.test_an_object_or_a_partial_function_has_the_name_of_what_it_calls.<locals>"
    assert FunctionProxy("mine", Constant()).to_json()["function"] == f"{here}.Constant"
    power = FunctionProxy("mine", functools.partial(functools.partial(math.pow, 2), 3))
    assert power.to_json()["function"] == "math.pow"
    assert Ensemble("both", (), functools.partial(math.pow)).to_json()["function"] == "math.pow"


def test_an_ensemble_has_no_score_for_one_network():
    network, x, _ = case(Convolutions)
    assert isinstance(proxies.get("az_nas"), Ensemble)
    with pytest.raises(ScoreError, match=r"use autoprox\.score or autoprox\.rank"):
        proxies.get("az_nas")(network, x)
