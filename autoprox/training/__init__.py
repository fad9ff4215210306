"""Training the networks of `autoprox.benches.cifar`."""

from autoprox.training.distilling import DISTANCES, Distillation
from autoprox.training.settings import RECIPES, TrainingSettings, recipe
from autoprox.training.train import TrainingProgress, checkpoint_path, train

__all__ = [
    "DISTANCES",
    "RECIPES",
    "Distillation",
    "TrainingProgress",
    "TrainingSettings",
    "checkpoint_path",
    "recipe",
    "train",
]
