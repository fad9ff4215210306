"""Bits that proxies choose, beside others of the same limit. Writes results/mq101_search.csv.

    python results/mq101_search.py cifar-10-binary.tar.gz
    python results/mq101_search.py cifar-10-binary.tar.gz hawq_v2 mq101_best \
        runs/mq101wide/{network}-0

For every network of mq101wide, the size of three uniform bit widths is the limit. Each row is the
choice of a proxy (hawq_v2 unless others are named; {network} stands for the network's name), the
uniform bits, the most bits of weights, the best row of the table within that limit, or the best by
effects of layers and widths that are fitted to the accuracies of the table: what there is to gain
for one who knows these. Two more are found by 64 trials on the network itself, from the choice of
the first proxy and from uniform bits alone, on 2,048 training images without labels. Proxies are
shown 32 training images; each choice is tested on the 10,000 test images. Forty minutes on two
cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from csv_tables import write_csv
from mq101_ceiling import effects, terms
from torch import Tensor, nn

from autoprox import load_bench, search_bits
from autoprox.benches import Bench
from autoprox.quantise import costs
from autoprox.quantise.layers import Costs
from autoprox.quantise.table import Images
from autoprox.search.bits.bits import WIDTHS
from autoprox.search.bits.comparison import (
    builder_of,
    cifar_images,
    drawn_batch,
    others,
    trained_network,
)
from autoprox.search.bits.limits import Limit, limit_of, space_of
from autoprox.search.bits.programme import solved
from autoprox.search.bits.trials import PLENTY, divergence_of, tried

FOLDER = Path(__file__).parent
UNIFORM = (3, 4, 5)
BATCH = 32
TRIALS = 64


def by_accuracies(bench: Bench, name: str, cost: Costs, limit: Limit) -> tuple[int, ...]:
    """The bits that effects fitted to the accuracies of a table like best within a limit."""
    rows = bench.in_space(name)
    bits = np.array([bench.bits(row) for row in rows])
    fitted = effects(bits, bench.accuracies(bench.targets[0], rows))
    space = space_of(cost, WIDTHS, limit)
    places = solved(space, terms(fitted, WIDTHS))
    assert places is not None  # uniform bits are within the limit
    return tuple(space.bits(places)[0].tolist())


def from_uniform(network: nn.Module, cost: Costs, limit: Limit, images: Tensor) -> tuple[int, ...]:
    """The bits that trials find without a proxy."""
    space = space_of(cost, WIDTHS, limit)
    generator = np.random.default_rng(0)
    divergence = divergence_of(network, images)
    start = space.uniform()[-1:]
    best = tried(space, start, divergence, generator, TRIALS, lambda done, total: None)
    return tuple(space.bits(best.places)[0].tolist())


def choices(
    bench: Bench, name: str, size: int, proxies: list[str], train: Images
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """What is chosen for a network within a size: a label, how it was found, and the bits."""
    network, shown = trained_network(bench, name), drawn_batch(train, BATCH, seed=0)
    cost, limit = costs(network, shown[0]), limit_of({"size": size})
    images, _ = drawn_batch(train, PLENTY, seed=0)
    for trials, proxy in [*((0, text) for text in proxies), (TRIALS, proxies[0])]:
        label = proxy.format(network=name)
        choice = search_bits(network, *shown, label, size=size, trials=trials, images=images)
        label += f", {trials} trials" if trials else ""
        yield label, choice.found_by, tuple(choice.bits.values())
    yield f"uniform, {TRIALS} trials", "trials", from_uniform(network, cost, limit, images)
    for label, bits in others(bench, name, cost, limit).items():
        yield label, "", bits
    yield "effects fitted to the table", "", by_accuracies(bench, name, cost, limit)


def main(data: str, proxies: list[str]) -> None:
    """Search and measure, network by network."""
    bench = load_bench("mq101wide")
    train, test = (cifar_images(bench, data, part) for part in ("train", "test"))
    rows = []
    for name in bench.spaces:
        builder = builder_of(bench, name, train, test)
        cost = costs(trained_network(bench, name), train.images[:BATCH])
        for size in map(cost.size_bytes, UNIFORM):
            for label, found_by, bits in choices(bench, name, size, proxies, train):
                measured = builder.measured(label, bits)
                rows.append(
                    {
                        "network": name,
                        "limit_bytes": size,
                        "choice": label,
                        "found_by": found_by,
                        "accuracy": measured.accuracy,
                        "loss": measured.loss,
                        "size_bytes": measured.size_bytes,
                        "bops": measured.bops,
                        "bits": "-".join(map(str, bits)),
                    }
                )
                print(*rows[-1].values(), flush=True)
    write_csv(FOLDER / "mq101_search.csv", rows)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] or ["hawq_v2"])
