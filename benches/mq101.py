"""Bits of trained networks: configurations, each with the accuracy that quantisation leaves.

A bench in the style of MQ-Bench-101 (Dong et al., EMQ: Evolving Training-free Proxies for Automated
Mixed Precision Quantization, ICCV 2023, https://arxiv.org/abs/2307.10554), whose table was never
released. Networks and accuracies are autoprox's own: ``autoprox bench train`` made the former,
``autoprox bench quantise`` measured the latter. `mq101` has layers of 2, 3 and 4 bits, as the
paper's has; `mq101wide` has layers of 2 to 8.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.cifar import CLASSES, DEVIATION, MEAN
from autoprox.benches.table import read_table
from autoprox.errors import BenchError, MissingTableError
from autoprox.runtime.quantities import read_bits

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent / "mq101"
"""Where the tables and the weights are that ship: NETWORK.csv, NETWORK.safetensors."""

NETWORKS = ("resnet20", "mobilenetv2", "vit")

SETS = {"mq101": ("234", "234-even"), "mq101wide": ("2-8",)}
"""The sets of configurations that a bench has of the tables; each is ranked by itself."""

STATISTICS = (
    "weight",
    "grad",
    "flow_grad",
    "ones_grad",
    "weight_error",
    "act",
    "act_grad",
    "act_error",
    "weight_spectrum",
    "hessian_trace",
    "hessian_top",
    "bits",
    "params",
    "flops",
    "fan_in",
    "fan_out",
    "position",
    "out_entries",
)
"""Those that say something of trained networks and their bits."""

CAVEATS = (
    "The table is not that of the EMQ paper, which was never released: its networks are small ones "
    "for CIFAR-10, and its figures cannot be compared with the paper's.",
    "Accuracies are on as many test images as NETWORK.json says, from the first on: the standard "
    "error of one is 0.3 points at 90 % for all 10,000 and 0.6 for 2,500. Configurations of a "
    "network are tested on the same images, so differences between them are less uncertain, but "
    "those of a tenth of a point say nothing.",
    "First and last layer have 8 bits, activations 8 bits throughout; the weights are rounded to "
    "suit the layer's inputs, and every layer's output gets its moments back.",
    "The networks are trained: on seeded noise, which is shown unless --images names CIFAR-10, "
    "outputs and gradients are not those on images. That need not be worse: on resnet20's "
    "accuracy_234, with batches of 8, it moves Kendall's tau by -.02 for errors of outputs to +.08 "
    "for HAWQ-V2.",
)


OF_SETS = {
    "mq101": (
        "Each set of configurations is a column of its own: a configuration has no figure for "
        "another.",
        "Configurations of the set 234 are drawn so that their average bits spread. So the sum of "
        "the bits is a strong baseline: on resnet20's accuracy_234 Kendall's tau .81 and "
        "Spearman's rho .95, where effects of every layer, fitted to nine tenths of it, reach .90 "
        "and .985. Those of the set 234-even are drawn layer by layer: they differ less in size "
        "and accuracy, every proxy ranks them worse, and which layers have the bits counts for "
        "more.",
    ),
    "mq101wide": (
        "Configurations are drawn so that their average bits spread. So the sum of the bits is a "
        "strong baseline: Spearman's rho .93 on resnet20, .92 on mobilenetv2 and .79 on vit, where "
        "effects of every layer, fitted to nine tenths of the table, reach .96, .96 and .83.",
    ),
}
"""What is to be known of the sets of each bench."""


@cache  # worker processes ask for it at each piece of work
def mq101(folder: Path = FOLDER) -> Bench:
    """Layers of 2, 3 and 4 bits, of every network that has a table of them in `folder`.

    Raises:
        MissingTableError: no network has one.
        BenchError: a table is damaged.
    """
    return _bench("mq101", "2, 3 or 4 bits", folder)


@cache
def mq101wide(folder: Path = FOLDER) -> Bench:
    """As `mq101`, with layers of 2 to 8 bits.

    Raises:
        MissingTableError: no network has a table of them.
        BenchError: a table is damaged.
    """
    return _bench("mq101wide", "2 to 8 bits", folder)


def _bench(bench: str, widths: str, folder: Path) -> Bench:
    """The configurations of a bench's sets."""
    tables = {
        name: rows
        for name in NETWORKS
        if os.path.isfile(path := folder / f"{name}.csv")
        and (rows := tuple(_configurations(name, path, SETS[bench])))
    }
    if not tables:
        raise MissingTableError(
            f"bench {bench!r} has no tables in {folder}; make networks and tables with: autoprox "
            "bench train resnet20 --data FILE, then autoprox bench quantise resnet20 --set "
            f"{SETS[bench][0]} --data FILE"
        )
    rows = tuple(row for table in tables.values() for row in table)
    sets = {row.config["set"] for row in rows}
    targets = tuple(f"accuracy_{set_name}" for set_name in SETS[bench] if set_name in sets)
    return Bench(
        name=bench,
        kind="bits of layers",
        description=f"{widths} for each layer of trained networks, with the accuracy that they "
        "leave on CIFAR-10.",
        citation="autoprox; after Dong et al., EMQ: Evolving Training-free Proxies for Automated "
        "Mixed Precision Quantization, ICCV 2023, arXiv:2307.10554",
        source="measured by autoprox bench quantise; NETWORK.json beside each table says how",
        caveats=CAVEATS + OF_SETS[bench],
        architectures=rows,
        targets=targets,
        build=partial(build, folder=folder),
        input_shape=(3, 32, 32),
        classes=CLASSES,
        default_statistics=STATISTICS,
        bits=bits,
        trained=True,
        normalisation=(MEAN, DEVIATION),
        version=_digest(bench, [folder / f"{name}.safetensors" for name in tables]),
    )


def build(architecture: Architecture, *, folder: Path = FOLDER) -> nn.Module:
    """The trained network of the architecture's space, at full precision."""
    from autoprox.benches.cifar import trained

    return trained(architecture.space, folder / f"{architecture.space}.safetensors")


def bits(architecture: Architecture) -> tuple[int, ...]:
    """The bits of each layer, in the order of execution."""
    return read_bits(architecture.config["bits"])


def _configurations(network: str, path: Path, sets: Collection[str]) -> Iterator[Architecture]:
    """The rows of a network's table that belong to one of `sets`."""
    rows = read_table(path)
    layers = len(_checked_bits(path, rows[0], None))
    for row in rows:
        _checked_bits(path, row, layers)
        set_name = row.name.partition("/")[0]
        if set_name in sets:
            accuracy = row.accuracies["accuracy"]
            yield Architecture(
                f"{network}/{row.name}",
                network,
                {"set": set_name, "bits": row.config["bits"]},
                {f"accuracy_{name}": accuracy if name == set_name else None for name in sets},
            )


def _checked_bits(path: Path, row: Architecture, layers: int | None) -> tuple[int, ...]:
    """The bits of a row; raise unless it is one that ``autoprox bench quantise`` writes."""
    bits_text, accuracy = row.config.get("bits"), row.accuracies["accuracy"]
    try:
        numbers = read_bits(bits_text)
        if layers is not None and len(numbers) != layers:
            raise ValueError(f"expected bits of {layers} layers, got {len(numbers)}")
        if accuracy is None or not 0 <= accuracy <= 100:
            raise ValueError(f"expected an accuracy in percent, got {accuracy}")
        if str(row.config.get("set")) != row.name.partition("/")[0]:
            raise ValueError("expected a name that begins with the set")
    except ValueError as error:
        raise BenchError(
            f"{path}, row {row.name!r}: {error}; the table is damaged: get it again, or make it "
            "with autoprox bench quantise"
        ) from None
    return numbers


def _digest(bench: str, files: Iterable[Path]) -> str:
    """A digest of files of weights, all of which have to be there."""
    digest = hashlib.sha256()
    for path in files:
        if not os.path.isfile(path):
            raise MissingTableError(
                f"bench {bench!r} has a table of {path.stem}, but no weights at {path}; make both "
                f"anew, or take the table away"
            )
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
