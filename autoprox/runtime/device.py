"""Where networks run and tensors are reduced: on the processor, or on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

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
    """Compute float32 as such.

    Convolutions on a GPU keep 10 of its 23 bits unless told not to; products of matrices do, on
    some processors too, where somebody asked for it.
    """
    settings, before = _settings(), []
    for read, write, _ in settings:
        with suppress(RuntimeError):  # torch reads no old name whose new ones say something else
            before.append((write, read()))
    try:
        for _, write, value in settings:
            write(value)
        yield
    finally:
        for write, value in before:
            write(value)


def _settings() -> list[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """Return how each setting of torch's precision is read and written, and what it is to be."""
    import torch

    cudnn: Any = torch.backends.cudnn
    cpu: Any = torch.backends.mkldnn
    products: Any = torch.backends.cuda.matmul
    named: list[tuple[Any, str, Any]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
        (cudnn, "allow_tf32", False),
    ]
    if hasattr(products, "fp32_precision"):  # from torch 2.9 on
        operations = (products, cudnn.conv, cudnn.rnn, cpu.matmul, cpu.conv, cpu.rnn)
        named += [(operation, "fp32_precision", "ieee") for operation in operations]
    return [
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        *((partial(getattr, *at), partial(setattr, *at), value) for *at, value in named),
    ]
