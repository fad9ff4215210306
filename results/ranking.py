"""The known proxies on the benches. Writes results/*_ranking*.csv.

    python results/ranking.py vit101
    python results/ranking.py nb201 cifar10_train.npz
    python results/ranking.py mq101 cifar10_train.npz
    python results/ranking.py mq101wide cifar10_train.npz

The first scores every proxy that ships, but for VKDNW, which takes minutes a network, on 300
networks (40 minutes on two cores, and next to nothing when repeated). The second
scores the proxies that ZiCo's table has on 1,000 cells of NAS-Bench-201, drawn plainly, as for that
table, and one of each class of equal cells, shown 16 training images of CIFAR-10 (an .npz of uint8
`x` and labels `y`), 40 minutes; and then all proxies on 300 cells. The others score the proxies of
bits, shown 64 such images, 20 minutes each.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import autoprox
from autoprox.benches import load_bench

FOLDER = Path(__file__).parent
FEWER = 300
"""Of how many cells all proxies are scored: the costly ones take up to 1.5 seconds a cell."""

PUBLISHED = "params flops grad_norm snip grasp fisher synflow naswot zen_score zico".split()


def vit101() -> None:
    """Rank on all networks, by the distilled and by all columns."""
    _write("vit101_ranking", bench="vit101")
    targets = load_bench("vit101").targets
    _write("vit101_ranking_all_columns", bench="vit101", targets=targets)


def nb201(images: str) -> None:
    """Rank the proxies of ZiCo's table on two draws of cells, and all proxies on fewer cells."""
    shown: dict[str, Any] = {"bench": "nb201", "batch": 16, "images": images}
    _write("nb201_ranking_plain", PUBLISHED, plain=True, **shown)
    _write("nb201_ranking", PUBLISHED, **shown)
    _write("nb201_ranking_all_proxies", architectures=FEWER, **shown)


def bits(bench: str, images: str) -> None:
    """Rank on the configurations of a bench of bits."""
    _write(f"{bench}_ranking", bench=bench, batch=64, images=images)


def _write(name: str, proxies: list[str] | None = None, **settings: Any) -> None:
    """Rank proxies, all that ship if none is given, and write the leaderboard into a file."""
    board = autoprox.rank(proxies, jobs=_cores(), **settings)
    (FOLDER / f"{name}.csv").write_text(board.to_csv())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    if sys.argv[1:] == ["vit101"]:
        vit101()
    elif sys.argv[1:2] == ["nb201"] and len(sys.argv) == 3:
        nb201(sys.argv[2])
    elif sys.argv[1:2] in (["mq101"], ["mq101wide"]) and len(sys.argv) == 3:
        bits(*sys.argv[1:])
    else:
        sys.exit(__doc__)
