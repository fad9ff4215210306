"""Numbers as people write them: ``80KB``, ``1.3G``, ``5e6``."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from fractions import Fraction

COUNTS: Mapping[str, int] = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
"""The suffixes of counts, in lower case, and what they multiply by."""

_NUMBER = re.compile(r"([0-9.]+(?:e[+-]?\d{1,2})?)\s*([a-z]*)")
_BITS = {str(bits): bits for bits in range(1, 17)}


def read_quantity(value: float | str, suffixes: Mapping[str, int] = COUNTS) -> Fraction:
    """Return the positive number that a text of a number and a suffix, or a number, stands for.

    Raises:
        ValueError: it is neither, or not positive.

    >>> read_quantity("1.5K"), read_quantity(3)
    (Fraction(1500, 1), Fraction(3, 1))
    """
    match = _NUMBER.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in suffixes or isinstance(value, bool):
        raise ValueError(value)
    quantity = Fraction(match[1]) * suffixes[match[2]]
    if quantity <= 0:
        raise ValueError(value)
    return quantity


def read_bits(text: object) -> tuple[int, ...]:
    """Return the bits of each layer out of a text of numbers with hyphens between them.

    Raises:
        ValueError: it is none, or a number is not from 1 to 16.

    >>> read_bits("8-3-8")
    (8, 3, 8)
    """
    try:
        return tuple(map(_BITS.__getitem__, str(text).split("-")))
    except KeyError:
        raise ValueError(
            f"expected bits from 1 to 16, such as 8-3-8; got {reprlib.repr(text)}"
        ) from None


def count_text(count: float) -> str:
    """Return a count with a suffix.

    >>> count_text(5_280_000), count_text(999), count_text(1.3e9), count_text(999_999)
    ('5.28M', '999', '1.3G', '1M')
    """
    shown = abs(float(f"{count:.4g}"))
    suffix, size = next(((s, n) for s, n in reversed(list(COUNTS.items())) if shown >= n), ("", 1))
    return f"{count / size:.4g}{suffix.upper()}"
