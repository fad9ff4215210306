"""The best configuration where a score is a sum over layers: an integer programme."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoprox.search.bits.limits import BitSpace, Places

SECONDS = 60.0
"""The time limit of the solver; networks of a hundred layers take less than a second."""

GAP = 1e-6
"""HiGHS treats sums that are closer than this as equal."""


def solved(space: BitSpace, terms: NDArray[np.float64]) -> Places | None:
    """The configuration, ``(1, inner layers)``, with the largest sum of terms that fits.

    There is a variable a layer and width, 0 or 1; those of a layer add up to 1. Solved by
    `scipy.optimize.milp`, to the optimum; None if that did not come to an end. `terms` are
    ``(inner layers, widths)``, finite.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, kron

    layers, widths = terms.shape
    gains = terms - terms.min(1, keepdims=True)  # from 0, so that no layer hides the others
    one_each = kron(np.eye(layers), np.ones((1, widths)))
    step = np.gcd.reduce(space.prices, axis=None) or 1  # small whole numbers are added exactly
    prices = csr_array(space.prices.reshape(1, -1) // step)
    result = milp(
        -gains.ravel() / (gains.max() or 1.0) / GAP,
        integrality=np.ones(terms.size),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(prices, -np.inf, space.most // step),
        ],
        # Presolving saves no time here, and HiGHS prints what it thinks of some programmes.
        options={"mip_rel_gap": 0.0, "time_limit": SECONDS, "presolve": False},
    )
    if result.status != 0:
        return None
    places: Places = result.x.reshape(layers, widths).argmax(1)[None]
    return places if space.fits(places).all() else None
