"""Where a candidate of a run comes from: the candidates that it was bred from, and theirs."""

from __future__ import annotations

from dataclasses import dataclass

from autoprox.errors import RunError
from autoprox.runs.record import Judged, Run


@dataclass(frozen=True)
class Ancestor:
    """A candidate of a lineage.

    Attributes:
        candidate: the candidate.
        steps: the fewest breedings from it to the proxy; 0 for the proxy.
    """

    candidate: Judged
    steps: int


@dataclass(frozen=True)
class Lineage:
    """A candidate and those that it comes from.

    Attributes:
        members: the candidate and its nearest ancestors, the last judged first.
        earlier: how many other ancestors it has.
    """

    members: tuple[Ancestor, ...]
    earlier: int


def lineage(run: Run, text: str | None = None, most: int | None = None) -> Lineage:
    """Return the lineage of a candidate.

    Args:
        run: the run.
        text: the candidate's formula; the best one's if None.
        most: how many members are returned; all if None. Those that fewer breedings separate from
            the candidate come first, of these the fitter.

    Raises:
        RunError: the run has no such candidate with a fitness, or does not tell parents.
    """
    known: dict[str, Judged] = {}
    for candidate in run.judged:
        known.setdefault(candidate.text, candidate)
    text = run.best_text if text is None else text
    if text not in known:
        raise RunError(f"the run in {run.folder} judged no candidate {text!r} with a fitness")
    members = [Ancestor(known[text], 0)]
    seen = {text}
    for member in members:  # grows: parents are appended behind all that are as near
        for parent in _parents(run, member.candidate):
            if parent in known and parent not in seen:
                seen.add(parent)
                members.append(Ancestor(known[parent], member.steps + 1))
    nearest = sorted(members, key=lambda member: (member.steps, -member.candidate.fitness))[:most]
    nearest.sort(key=lambda member: -member.candidate.number)
    return Lineage(tuple(nearest), len(members) - len(nearest))


def _parents(run: Run, candidate: Judged) -> tuple[str, ...]:
    if candidate.parents is None:
        raise RunError(
            f"the run in {run.folder} does not say what its candidates were bred from, as an "
            "earlier autoprox wrote it; do the run again with this one"
        )
    return candidate.parents
