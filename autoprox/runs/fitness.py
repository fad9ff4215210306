"""What the fitness of a run is, and what it is called wherever it is shown."""

from __future__ import annotations

from autoprox.evolution.settings import Settings

JOINT = (None, "mean", "lexicase")
"""The ways to put families together whose fitness is the joint correlation."""


def is_joint(settings: Settings) -> bool:
    """Return whether the fitness of a run is the joint correlation that its report shows.

    If not, it stands on no axis and in no column with joint correlations.
    """
    return settings.over in JOINT


def fitness_name(settings: Settings) -> str:
    """Return how the fitness of a run is written.

    >>> fitness_name(Settings("vit101")), fitness_name(Settings("vit101,nb201", over="wins"))
    ('joint D', 'fitness (wins)')
    """
    return settings.joint if is_joint(settings) else f"fitness ({settings.over})"


def before_figures(settings: Settings) -> tuple[str, str]:
    """Return what stands before the best fitness and the held-out figure while a run goes on.

    >>> before_figures(Settings("vit101,nb201", over="wins"))
    ('fitness (wins) ', 'joint D ')

    Nothing where both are the same correlation.
    """
    names = fitness_name(settings), settings.joint
    return ("", "") if names[0] == names[1] else (f"{names[0]} ", f"{names[1]} ")
