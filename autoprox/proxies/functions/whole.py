"""How proxies that are functions read a statistic of their subject."""

from __future__ import annotations

from autoprox.statistics import Measurement
from autoprox.statistics.measuring import measure
from autoprox.statistics.subject import Subject
from autoprox.statistics.trees import Inputs


def measured(subject: Subject, word: str, inputs: Inputs | None = None) -> Measurement:
    """Return a statistic that needs no targets: whole tensors, the subject's mode and seed.

    Args:
        subject: what is measured.
        word: a member of `STATISTICS`.
        inputs: what it is shown; None for the subject's.
    """
    return measure(
        subject.network,
        subject.inputs if inputs is None else inputs,
        None,
        word,
        outputs=subject.outputs,
        sample="full",
        seed=subject.seed,
        mode=subject.mode,
    )
