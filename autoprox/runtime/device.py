"""Where networks run and tensors are reduced: on the processor, or on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autoprox.errors import StatisticError

if TYPE_CHECKING:
    import torch

CPU = "cpu"


def device_of(name: str) -> torch.device:
    """Return the device of a name such as ``"cuda"`` or ``"cuda:1"``.

    Raises:
        StatisticError: it is no processor or GPU, or is not there.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or (name != CPU and device.type != "cuda"):
        raise StatisticError(f"expected a device like 'cpu', 'cuda' or 'cuda:1'; got {name!r}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise StatisticError(
            f"there is no device {name!r}: torch sees {count} GPUs; leave --device out to "
            "measure on the processor, or install a build of torch for your GPU"
        )
    return device


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 as such: convolutions on a GPU keep 10 of its 23 bits unless told not to."""
    import torch

    with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        yield
