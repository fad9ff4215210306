"""Published proxies that no expression can say: each is a function with the same call.

>>> from autoprox.proxies import zen_score
>>> zen_score
FunctionProxy(zen_score)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoprox.proxies.function import Ensemble, FunctionProxy

HOMES = {
    "at": "distillation",
    "az_expressivity": "az_nas",
    "az_nas": "az_nas",
    "az_nas_vit": "az_nas",
    "az_progressivity": "az_nas",
    "az_trainability": "az_nas",
    "cc": "distillation",
    "diswot": "distillation",
    "diswot_ranks": "distillation",
    "diswot_relation": "distillation",
    "diswot_semantic": "distillation",
    "epe_nas": "epe_nas",
    "linear_regions": "patterns",
    "nn_mass": "nn_mass",
    "nst": "distillation",
    "ompq": "bit_allocation",
    "pkt": "distillation",
    "qe_score": "bit_allocation",
    "rkd": "distillation",
    "swap": "patterns",
    "tvt": "distillation",
    "tvt_blocks": "distillation",
    "vkdnw": "knowledge",
    "vkdnw_aggregate": "knowledge",
    "wrcor": "responses",
    "zen_score": "zen",
}
"""Name of a proxy to the module here that defines it under that name; imported on first use."""


def get(name: str) -> FunctionProxy | Ensemble:
    """Return the proxy `name`, a key of `HOMES`."""
    proxy: FunctionProxy | Ensemble = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    return proxy
