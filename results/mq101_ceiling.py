"""How well bits can be ranked at all on mq101 and mq101wide. Writes results/mq101_ceiling.csv.

    python results/mq101_ceiling.py cifar-10-binary.tar.gz

Two limits beside the plain counts, for every network and set of bits, all in Spearman's rho:

- ``fitted``: an effect of each layer at each width, fitted by ridge regression to nine tenths of
  the table, on the other tenth. No proxy sees accuracies: one that reaches it is very good. The
  penalty is the one of five that is good on all columns; the others change rho by up to .02.
- ``noise``: what a proxy would reach that knew the accuracies on infinitely many images. Some rows
  are tested again and their images parted at random: accuracies on one half rank like those on the
  other by some rho r, those on all images rank like the true ones by sqrt(2 r / (1 + r))
  (Spearman-Brown); 0 where the halves agree no better than by chance. All rows are tested on the
  same images: what is fitted or selected on some of them may exceed it on others.

About five minutes a network and set on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.benches import Bench, mq101
from autoprox.quantise import costs
from autoprox.quantise.table import FACTS, Builder, Images
from autoprox.ranking import spearman
from autoprox.search.bits.comparison import builder_of, cifar_images, trained_network

FOLDER = Path(__file__).parent
FOLDS, RIDGE = 10, 3e-2
REPEATED, HALVINGS = 48, 200


def effects(bits: NDArray[np.int64], accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Effects of the inner layers, ``(2, inner layers)``, fitted by ridge regression.

    An effect changes with the bits as ``a 2**-bits + b 4**-bits``: a row of a, a row of b.
    """
    falls = _falls(bits[:, 1:-1])
    scale = falls.std(0)
    known = (falls - falls.mean(0)) / scale
    penalty = RIDGE * len(known) * np.eye(known.shape[1])
    effects = np.linalg.solve(known.T @ known + penalty, known.T @ (accuracies - accuracies.mean()))
    return (effects / scale).reshape(2, -1)


def terms(effects: NDArray[np.float64], widths: Sequence[int]) -> NDArray[np.float64]:
    """What each inner layer adds at each width, ``(inner layers, widths)``, but for a constant."""
    inner = np.array(widths)[:, None].repeat(effects.shape[1], 1)
    return (_falls(inner) * effects.ravel()).reshape(len(widths), 2, -1).sum(1).T


def _falls(inner: NDArray[np.int64]) -> NDArray[np.float64]:
    """The two powers of the inner layers' bits, ``(rows, 2 * inner layers)``."""
    return np.concatenate([2.0**-inner, 4.0**-inner], axis=1)


def fitted(bits: NDArray[np.int64], accuracies: NDArray[np.float64]) -> float:
    """Spearman's rho of effects of layers and widths with accuracies that they were not fitted to.

    Each tenth is predicted from the other nine.
    """
    fold = np.random.default_rng(0).permutation(len(bits)) % FOLDS
    predicted, falls = np.zeros(len(bits)), _falls(bits[:, 1:-1])
    for number in range(FOLDS):
        seen = fold != number
        own = effects(bits[seen], accuracies[seen]).ravel()
        predicted[~seen] = (falls[~seen] - falls[seen].mean(0)) @ own + accuracies[seen].mean()
    return spearman(predicted, accuracies)


def noise(builder: Builder, test: Images, bits: NDArray[np.int64]) -> float:
    """The rho of true accuracies with those on the test images, from halves of the images."""
    right = np.array(
        [
            (builder.outputs(tuple(row)).argmax(1) == test.labels).numpy()
            for row in bits[:REPEATED].tolist()
        ],
        dtype=np.float64,
    )
    generator = np.random.default_rng(0)
    correlations = []
    for _ in range(HALVINGS):
        order = generator.permutation(right.shape[1])
        halves = (right[:, part].mean(1) for part in np.array_split(order, 2))
        correlations.append(spearman(*halves))
    half = max(0.0, float(np.mean(correlations)))
    return float(np.sqrt(2 * half / (1 + half)))


def tested(name: str, test: Images) -> Images:
    """The images that the table of a network is made with."""
    count = FACTS.read(mq101.FOLDER / f"{name}.json")["test_count"]
    return Images(test.images[:count], test.labels[:count])


def row(bench: Bench, name: str, target: str, train: Images, test: Images) -> dict[str, object]:
    """The limits of one column."""
    architectures = bench.in_space(name)
    accuracies = bench.accuracies(target, architectures)
    there = ~np.isnan(accuracies)
    bits = np.array([bench.bits(row) for row in architectures])[there]
    accuracies = accuracies[there]
    cost = costs(trained_network(bench, name), test.images[:1])
    sizes = np.array([cost.size_bytes(widths) for widths in bits.tolist()], np.float64)
    return {
        "network": name,
        "target": target,
        "rows": len(bits),
        "lowest": accuracies.min(),
        "highest": accuracies.max(),
        "deviation": round(float(accuracies.std()), 3),
        "model_size": round(spearman(sizes, accuracies), 4),
        "bit_sum": round(spearman(bits.sum(1).astype(np.float64), accuracies), 4),
        "fitted": round(fitted(bits, accuracies), 4),
        "noise": round(noise(builder_of(bench, name, train, test), test, bits), 4),
    }


def main(data: str) -> None:
    """Fit, test again, write."""
    benches = [autoprox.load_bench(name) for name in mq101.SETS]
    train, test = (cifar_images(benches[0], data, part) for part in ("train", "test"))
    columns = [
        (bench, name, target)
        for bench in benches
        for name in bench.spaces
        for target in bench.targets
        if np.isfinite(bench.accuracies(target, bench.in_space(name))).any()
    ]
    rows = []
    for bench, name, target in columns:
        rows.append(row(bench, name, target, train, tested(name, test)))
        print(*rows[-1].values(), flush=True)
    write_csv(FOLDER / "mq101_ceiling.csv", rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
