"""Training the networks of `autoprox.benches.cifar`."""

from autoprox.training.settings import RECIPES, Settings, recipe
from autoprox.training.train import Progress, checkpoint_path, train

__all__ = ["RECIPES", "Progress", "Settings", "checkpoint_path", "recipe", "train"]
