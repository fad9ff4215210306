"""What torch draws, from a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw on the CPU from `seed`; afterwards it goes on as if nothing had been drawn."""
    import torch

    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would also reseed the generators of every accelerator.
        torch.default_generator.manual_seed(seed)
        yield
