"""The tiny bench with two architectures a network, and intervals that draw both or none of them."""

import dataclasses
import zlib

import numpy as np
from scipy.stats import somersd

from autoprox.benches import load_bench
from autoprox.ranking.figures import RESAMPLES
from autoprox.ranking.resampling import resample
from tests import tiny_bench


def copied():
    """Return the bench: what differs in depth alone is taken for one network."""
    rows = (
        dataclasses.replace(row, isomorph=f"{row.space}/{row.config['width']}")
        for row in load_bench(tiny_bench.__file__).architectures
    )
    return dataclasses.replace(tiny_bench.bench, name="copied", architectures=tuple(rows))


def interval_of_networks(rows, target, scores):
    """Return the 95 % interval of SciPy's D over draws of the networks of a space's rows."""
    members = {}
    for place, row in enumerate(rows):
        members.setdefault(row.isomorph, []).append(place)
    counts = resample(len(members), RESAMPLES, [0, zlib.crc32(rows[0].space.encode())])
    accuracies = np.array([row.accuracies[target] for row in rows])
    drawn = []
    for times in counts.astype(int):
        places = np.concatenate([own * k for own, k in zip(members.values(), times, strict=True)])
        places = places.astype(int)
        drawn.append(somersd(accuracies[places], np.asarray(scores)[places]).statistic)
    return tuple(np.quantile(np.nan_to_num(drawn), [0.025, 0.975]))
