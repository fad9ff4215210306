"""What many tests start from; a module asks for it with ``pytest.mark.usefixtures``."""

import pytest
import torch

from autoprox.runtime import threads


@pytest.fixture
def one_thread():
    """Work in one thread: more only wait for each other on networks this small."""
    with threads.one_thread():
        yield


@pytest.fixture
def seeded():
    """Start with torch's generator seeded with 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
