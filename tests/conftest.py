"""What many tests start from; a module asks for it with ``pytest.mark.usefixtures``."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Work in one thread: more only wait for each other on networks this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def seeded():
    """Start with torch's generator seeded with 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
