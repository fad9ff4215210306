"""The primitives: the words that turn statistics into a proxy, one file a family.

* `elementwise`: one number in, one number out, on every kind;
* `normalisations`: rescale the entries of a layer, or the layers of a network, by what they have in
  common;
* `reductions`: entries to a layer's number, layers to the network's number;
* `matrices`: on relations only;
* `selectors`: keep some layers of a network.

A primitive of one's own is a function with the decorator `primitive`; see `Primitive`.
"""

from __future__ import annotations

if __name__ != "autoprox.primitives":
    raise ImportError("import autoprox.primitives, not primitives")

from autoprox.primitives import elementwise, matrices, normalisations, reductions, selectors
from autoprox.primitives.entries import Entries
from autoprox.primitives.facts import Facts
from autoprox.primitives.primitive import PRIMITIVES, Form, Primitive
from autoprox.primitives.registering import primitive

__all__ = [
    "PRIMITIVES",
    "Entries",
    "Facts",
    "Form",
    "Primitive",
    "elementwise",
    "matrices",
    "normalisations",
    "primitive",
    "reductions",
    "selectors",
]
