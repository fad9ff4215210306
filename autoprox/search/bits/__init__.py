"""Search for networks by proxy: bits for the layers of a trained network.

from autoprox import search_bits

choice = search_bits(network, images, labels, "hawq_v2", size="80KB")
choice.bits  # {"conv1": 8, "layer1.0.conv1": 4, ...}, as autoprox.quantise.quantise takes them
"""

from autoprox.search.bits.bits import BitChoice, search_bits

__all__ = ["BitChoice", "search_bits"]
