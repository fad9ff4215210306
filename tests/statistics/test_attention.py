"""Attention has the same maps however it is written, and nothing else is attention."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from autoprox.statistics import measure

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

QUERIES, KEYS = 6, 5


class Attends(nn.Module):
    """Attention of two heads of four entries, `way` of queries, keys and values."""

    def __init__(self, way):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.head, self.way = nn.Linear(8, 10), way

    def heads(self, x):
        given = ((self.q, x), (self.k, x[:, :KEYS]), (self.v, x[:, :KEYS]))
        return [layer(z).unflatten(-1, (2, -1)).transpose(1, 2) for layer, z in given]

    def forward(self, x):
        return self.head(self.way(*self.heads(x)).transpose(1, 2).flatten(2).mean(1))


def scores(q, k):
    return q @ k.mT / 2


def heads_last(*tensors):
    return [each.transpose(1, 2) for each in tensors]


def sdpa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def product_and_sum(q, k, v):
    return ((q[..., :, None, :] * k[..., None, :, :]).sum(-1) / 2).softmax(-1) @ v


def scaled_product_and_sum(q, k, v):
    products = (q / 2).unsqueeze(-2).mul(k.unsqueeze(-3))
    return products.sum(dim=-1).softmax(dim=-1) @ v


def products_of_vectors(q, k, v):
    return (torch.linalg.vecdot(q[..., :, None, :], k[..., None, :, :]) / 2).softmax(-1) @ v


def keys_before_queries(q, k, v):
    return (k @ q.mT / 2).softmax(-2).mT @ v


def flat_keys_before_queries(q, k, v):
    flat = torch.bmm(k.flatten(0, 1), q.flatten(0, 1).mT) / 2
    return flat.view(len(q), 2, KEYS, QUERIES).softmax(-2).mT @ v


def einsum_with_keys_first(q, k, v):
    maps = torch.einsum("bhqd,bhkd->bhkq", q, k).div(2).softmax(2)
    return torch.einsum("bhkq,bhkd->bhqd", maps, v)


def einsum_with_heads_last(q, k, v):
    q, k, v = heads_last(q, k, v)
    maps = (torch.einsum("bqhd,bkhd->bqkh", q, k) / 2).softmax(2)
    return torch.einsum("bqkh,bkhd->bhqd", maps, v)


def einsum_and_permute(q, k, v):
    a, b = heads_last(q, k)
    return (torch.einsum("bqhd,bkhd->bqkh", a, b) / 2).permute(0, 3, 1, 2).softmax(-1) @ v


def einsum_with_dots(q, k, v):
    return torch.einsum("...qd,...kd->...qk", q, k).mul(0.5).softmax(-1) @ v


def einsum_by_lists(q, k, v):
    found = torch.einsum(q, [0, 1, 2, 4], k, [0, 1, 3, 4], [0, 1, 2, 3])
    return found.mul(0.5).softmax(-1) @ v


def einsum_of_three(q, k, v):
    return torch.einsum("bhqd,de,bhke->bhqk", q, torch.eye(4) / 2, k).softmax(-1) @ v


def exponentials_over_their_sum(q, k, v):
    found = scores(q, k).exp()
    return found / found.sum(-1, keepdim=True) @ v


def exponentials_in_place(q, k, v):
    found = scores(q, k)
    found -= found.detach().max(-1, keepdim=True).values
    found.exp_()
    found /= found.sum(-1, keepdim=True) + 1e-9
    return found @ v


def exponentials_divided_last(q, k, v):
    found = torch.exp(scores(q, k) - scores(q, k).amax(-1, keepdim=True))
    return (found @ v) / found.sum(-1, keepdim=True)


def exponentials_times_reciprocals(q, k, v):
    found = scores(q, k).exp()
    return (found * found.sum(-1)[..., None].reciprocal()) @ v


def exponentials_with_heads_last(q, k, v):
    a, b = heads_last(q, k)
    found = ((a[:, :, None] * b[:, None]).sum(-1) / 2).exp()
    return (found / found.sum(2, keepdim=True)).permute(0, 3, 1, 2) @ v


def normalised_exponentials(q, k, v):
    return F.normalize(scores(q, k).exp(), p=1, dim=-1) @ v


def logarithms_of_sums(q, k, v):
    return (scores(q, k) - scores(q, k).logsumexp(-1, keepdim=True)).exp() @ v


def logarithms(q, k, v):
    return F.log_softmax(scores(q, k), -1).exp() @ v


def added_products(q, k, v):
    flat = [each.flatten(0, 1) for each in (q, k)]
    found = torch.baddbmm(torch.zeros(()), flat[0], flat[1].mT, beta=0, alpha=0.5)
    return (found.softmax(-1) @ v.flatten(0, 1)).unflatten(0, (-1, 2))


def mapped_over_samples(q, k, v):
    return torch.vmap(lambda a, b, c: scores(a, b).softmax(-1) @ c)(q, k, v)


def a_loop_over_heads(q, k, v):
    return torch.stack([scores(q[:, i], k[:, i]).softmax(-1) @ v[:, i] for i in range(2)], 1)


def checkpointed(q, k, v):
    again = lambda q, k, v: scores(q, k).softmax(-1) @ v  # noqa: E731  # a closure, as users have
    return checkpoint(again, q, k, v, use_reentrant=True)


WAYS = [
    sdpa, product_and_sum, scaled_product_and_sum, products_of_vectors, keys_before_queries,
    flat_keys_before_queries, einsum_with_keys_first, einsum_with_heads_last, einsum_and_permute,
    einsum_with_dots, einsum_by_lists, einsum_of_three, exponentials_over_their_sum,
    exponentials_in_place, exponentials_divided_last, exponentials_times_reciprocals,
    exponentials_with_heads_last, normalised_exponentials, logarithms_of_sums, logarithms,
    added_products, mapped_over_samples, a_loop_over_heads, checkpointed,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_maps_are_the_same_however_attention_is_written(way):
    network, x = Attends(way), torch.randn(8, QUERIES, 8)
    found = measure(network, x, None, ["attention", "heads"], sample="full")
    q, k, _ = network.heads(x)
    (maps,) = (each for each in found.values["attention"] if each is not None)
    torch.testing.assert_close(maps, scores(q, k).softmax(-1).flatten(), rtol=1e-4, atol=1e-6)
    assert found.values["heads"].max() == 2


SEEN = torch.ones(QUERIES, KEYS, dtype=torch.bool).tril(-1)
"""Which keys each query attends to: the first to none, the second to one."""


def masked(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=SEEN)


def masked_by_numbers(q, k, v):
    hidden = torch.zeros(QUERIES, KEYS).masked_fill(~SEEN, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=hidden)


def masked_exponentials(q, k, v):
    found = scores(q, k).exp() * SEEN
    return found @ v / found.sum(-1, keepdim=True).clamp(min=1e-6)


@pytest.mark.parametrize("way", [masked, masked_by_numbers, masked_exponentials])
def test_what_attends_to_nothing_has_a_map_of_zeros(way):
    network, x = Attends(way), torch.randn(8, QUERIES, 8)
    found = measure(network, x, None, ["attention"], sample="full")
    q, k, _ = network.heads(x)
    whole = way(q, k, torch.eye(KEYS).expand(8, 2, -1, -1))  # of which the maps are the outputs
    assert (whole[..., 0, :] == 0).all()
    assert (whole[..., 1:, :].sum(-1) > 0.99).all()
    (maps,) = (each for each in found.values["attention"] if each is not None)
    torch.testing.assert_close(maps, whole.flatten(), rtol=1e-4, atol=1e-6)


class PaddedAttention(nn.Module):
    """A module of torch that is not asked for its weights."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x, padding):
        out, _ = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)
        return self.head(out.mean(1))


def test_a_sample_of_padding_alone_has_maps_of_zeros():
    network, x = PaddedAttention(), torch.randn(4, 5, 8)
    padding = torch.zeros(4, 5, dtype=torch.bool)
    padding[-1] = True
    found = measure(network, (x, padding), None, ["attention"], sample="full")
    (maps,) = (each for each in found.values["attention"] if each is not None)
    _, whole = network.attention(x[:3], x[:3], x[:3], average_attn_weights=False)
    torch.testing.assert_close(maps.view(4, 2, 5, 5)[:3], whole, rtol=1e-4, atol=1e-6)
    assert (maps.view(4, -1)[-1] == 0).all()


def over_features(q, k, v):
    return (q * 2).softmax(-1) * v.mean(2, keepdim=True)


def over_heads(q, k, v):
    q, k, v = heads_last(q, k, v)
    shares = torch.einsum("bqhd,bkhd->bqkh", q, k).softmax(-1)
    return torch.einsum("bqkh,bkhd->bhqd", shares, v)


def of_weights_of_heads(q, k, v):
    return torch.einsum("bhnd,hde->bhne", q, torch.ones(2, 4, KEYS)).softmax(-1) @ v


def of_a_weight_by_sums(q, k, v):
    return (q[..., None, :] * torch.ones(KEYS, 4)).sum(-1).softmax(-1) @ v


def of_gates(q, k, v):
    return (q * q.mean(2, keepdim=True).sigmoid()).softmax(-1)


def of_features_by_hand(q, k, v):
    return q.exp() / q.exp().sum(-1, keepdim=True)


def linear_attention(q, k, v):
    return q.softmax(-1) @ (k.softmax(-2).mT @ v)


def of_squeezed_gates(q, k, v):
    gates = k.mean((2, 3), keepdim=True).sigmoid()
    return q * (q * gates).sum(1, keepdim=True).softmax(-2)


def of_features_of_a_product(q, k, v):
    return (scores(q, k) @ k).softmax(-1)


NONE = [
    of_squeezed_gates, of_features_of_a_product, over_features, over_heads, of_weights_of_heads,
    of_a_weight_by_sums, of_gates, of_features_by_hand, linear_attention,
]  # fmt: skip


@pytest.mark.parametrize("way", NONE)
def test_shares_of_something_else_are_no_attention(way):
    found = measure(Attends(way), torch.randn(8, QUERIES, 8), None, ["attention", "heads"])
    assert not found.present["attention"].any()
    assert not found.values["heads"].any()


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_windows_that_are_attended_one_by_one_are_no_further_heads(windows):
    def way(q, k, v):
        return torch.cat([sdpa(part, k, v) for part in q.chunk(windows, 2)], 2)

    found = measure(Attends(way), torch.randn(8, QUERIES, 8), None, ["heads"])
    assert found.values["heads"].max() == 2


def in_windows(x, heads_at):
    """Lay tokens out in three windows of two, and the two heads before, behind or beside them."""
    parts = x.unflatten(2, (3, -1))  # (batch, heads, windows, tokens, entries)
    if heads_at == "before":
        return parts
    parts = parts.transpose(1, 2)
    return parts if heads_at == "behind" else parts.flatten(0, 2)


@pytest.mark.parametrize("heads_at", ["before", "behind", "beside"])
@pytest.mark.parametrize("attend", [sdpa, lambda q, k, v: scores(q, k).softmax(-1) @ v])
@pytest.mark.parametrize("heads", [1, 2])
def test_windows_are_no_heads_wherever_they_stand(heads_at, attend, heads):
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 10)

        def forward(self, x):
            parts = self.qkv(x).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            out = attend(*(in_windows(part, heads_at) for part in parts))
            return self.head(out.reshape(len(x), -1, 8).mean(1))

    found = measure(Windows(), torch.randn(8, QUERIES, 8), None, ["heads", "attention"])
    assert found.values["heads"].tolist() == [heads, 0]
    assert found.sizes["attention"][0] == 8 * heads * 3 * 2 * 2


class OfChannels(nn.Module):
    """Four heads of maps of channels with channels, as XCiT has."""

    def __init__(self):
        super().__init__()
        self.qkv, self.head = nn.Linear(64, 192), nn.Linear(64, 10)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 4, 1)
        return self.head(sdpa(q, k, v).flatten(1, 2).mean(-1))


@pytest.mark.parametrize("positions", [4, 16, 64])
def test_channels_that_attend_are_no_windows(positions):
    found = measure(OfChannels(), torch.randn(4, positions, 64), None, ["heads"])
    assert found.values["heads"].tolist() == [4, 0]


class PooledByHead(nn.Module):
    """Four heads, each of whose queries, keys and values go through a convolution, as in MViT."""

    def __init__(self):
        super().__init__()
        self.qkv, self.pool, self.head = nn.Linear(16, 48), nn.Conv1d(4, 4, 1), nn.Linear(16, 10)

    def forward(self, x):
        parts = self.qkv(x).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 4, 1)
        q, k, v = (self.pool(part.flatten(0, 1)).view_as(part).mT for part in parts)
        return self.head(sdpa(q, k, v).transpose(1, 2).flatten(2).mean(1))


class BiasedWindows(nn.Module):
    """Nine windows of four positions, with a bias for each offset and head, as in SwinV2."""

    def __init__(self):
        super().__init__()
        self.qkv, self.bias, self.head = nn.Linear(16, 48), nn.Linear(2, 4), nn.Linear(16, 10)

    def forward(self, x):
        parts = self.qkv(x.unflatten(1, (9, 4)).flatten(0, 1)).unflatten(-1, (3, 4, 4))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        bias = self.bias(torch.cartesian_prod(*[torch.arange(-1.0, 2)] * 2)).mean(0)
        out = (scores(q, k) + bias[:, None, None]).softmax(-1) @ v
        return self.head(out.transpose(1, 2).reshape(len(x), -1, 16).mean(1))


@pytest.mark.parametrize("network", [PooledByHead, BiasedWindows])
def test_layers_whose_positions_are_others_than_those_of_the_maps(network):
    found = measure(network(), torch.randn(4, 36, 16), None, ["heads"])
    assert found.values["heads"].max() == 4


def test_windows_of_one_head_that_are_attended_one_by_one_are_no_heads():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 10)

        def forward(self, x):
            parts = zip(
                *(part.chunk(3, 2) for part in self.qkv(x)[:, None].chunk(3, -1)), strict=True
            )
            return self.head(torch.cat([sdpa(*part) for part in parts], 2).mean((1, 2)))

    found = measure(Windows(), torch.randn(8, QUERIES, 8), None, ["heads"])
    assert found.values["heads"].tolist() == [1, 0]
