"""The counts that ship are those of the networks, and rank the benches as `bench list` says."""

from __future__ import annotations

import numpy as np
import pytest

from autoprox.assessment.assess import best_count
from autoprox.benches import BENCHES, drawn, load_bench
from autoprox.benches.counts import COUNTS, counted
from autoprox.measuring.probe import Probe
from autoprox.proxies.frame import score

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = [name for name in BENCHES if name not in ("mq101", "mq101wide", "mpnb201")]


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_the_scores_of_their_proxies_for_what_a_run_draws(name: str) -> None:
    bench = load_bench(name)
    rows, counts = counted(bench)
    assert [one.name for one in rows] == [one.name for one in drawn(bench).architectures]
    place = len(rows) // 2
    networks = {"it": bench.network(rows[place])}
    frame = score(networks, COUNTS, *Probe(batch=1).inputs(bench), loss=bench.loss)
    for count, found in zip(COUNTS, counts[place], strict=True):
        assert found == pytest.approx(frame[count]["it"], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "target", "turn", "sign"), [("landmarks", "error", -1, 1), ("darts", "c10_50", 1, -1)]
)
def test_the_best_count_keeps_its_sign_and_a_loss_is_turned(
    name: str, target: str, turn: int, sign: int
) -> None:
    bench = load_bench(name)
    rows, counts = counted(bench)
    signs = np.sign(np.subtract.outer(*2 * [np.array([one.accuracies[target] for one in rows])]))
    ds = {
        name: turn * np.sum(np.sign(np.subtract.outer(column, column)) * signs) / np.sum(signs != 0)
        for name, column in zip(COUNTS, counts.T, strict=True)
    }
    best = max(ds, key=lambda name: abs(ds[name]))
    found = best_count(bench)
    assert found is not None
    assert found == (best, pytest.approx(ds[best]))
    assert np.sign(ds[best]) == sign


def test_benches_of_bits_have_no_counts() -> None:
    bench = load_bench("mq101")
    assert best_count(bench) is None
