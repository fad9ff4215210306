"""Training-free architecture search.

from autoprox import search_architectures

result = search_architectures("autoformer", "l2_norm", params="5M:7M", evaluations=200)
result.top(1)[0].config  # {"hidden_dim": 240, "depth": 14, "num_heads": [...], "mlp_ratio": [...]}
result.network()  # the untrained torch module
"""

from autoprox.search.architectures.found import FoundArchitectures
from autoprox.search.architectures.scoring import Scored
from autoprox.search.architectures.search import search_architectures
from autoprox.search.architectures.space import SPACES, Space, build, load_space

__all__ = [
    "SPACES",
    "FoundArchitectures",
    "Scored",
    "Space",
    "build",
    "load_space",
    "search_architectures",
]
