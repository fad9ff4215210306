"""ParZC's weights by place, on numbers of layers."""

import numpy as np
import pytest
import torch
from torch import nn

import autoprox
from autoprox.errors import LanguageError
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES


def test_layers_are_weighed_by_a_sine_of_their_place():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.Linear(3, 2))
    norms = [float(network[i].weight.detach().norm()) ** 2 for i in (0, 2, 3)]
    expected = sum(norm * (np.sin(0.1 * i) + 1) / 2 for i, norm in enumerate(norms))
    proxy = autoprox.load("sum(wave(sum(square(weight))))")
    assert proxy(network, torch.zeros(2, 4), sample="full") == pytest.approx(expected, rel=1e-5)


def test_it_is_of_layers_alone_and_evolution_does_not_write_it():
    with pytest.raises(LanguageError):
        parse("sum(sum(wave(weight)))")
    assert not PRIMITIVES["wave"].evolved
