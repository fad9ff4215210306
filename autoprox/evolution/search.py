"""The search: ask, judge, tell, generation by generation; no files and no screen."""

from __future__ import annotations

import copy
import inspect
import itertools
import random
import statistics
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from autoprox.errors import AutoproxError, RunError, reason_of, short
from autoprox.evolution.algorithms import algorithm_of
from autoprox.evolution.base import Algorithm, Proposal, World, ranked, worth
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.judge import Candidate, Judge, unsigned
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import Variation
from autoprox.language.graph import Graph
from autoprox.ranking import columns_by_family

BARREN = 50
"""After so many generations without a new candidate the search ends: the language is exhausted."""


def _checked(algorithm: Algorithm, proposals: Any) -> Iterator[Proposal]:
    """Yield what an algorithm proposes.

    Raises:
        RunError: it is no list of proposals.
    """
    expected = "lists of proposals, such as self.mutant(graph) or autoprox.Proposal(graph)"
    if not isinstance(proposals, Iterable):
        raise RunError(f"{type(algorithm).__name__} has to return {expected}; got {proposals!r}")
    for proposal in proposals:
        if not isinstance(proposal, Proposal) or not isinstance(proposal.graph, Graph):
            got = short(repr(proposal))
            raise RunError(f"{type(algorithm).__name__} has to return {expected}; one is {got}")
        yield proposal


@dataclass(frozen=True)
class Generation:
    """What one generation did.

    Attributes:
        number: from 1.
        evaluations: distinct candidates judged so far.
        proposals: graphs proposed so far, repeats included.
        best: the best candidate so far, by `worth`.
        median: the median fitness of the population; None if it is empty, as before a new start.
        failures: how often each reason for a failure occurred among the new candidates.
        new: the candidates judged in this generation, as they were proposed.
        parents: the texts of the parents of each of them.
    """

    number: int
    evaluations: int
    proposals: int
    best: Candidate
    median: float | None
    failures: Mapping[str, int]
    new: Mapping[str, Candidate]
    parents: Mapping[str, tuple[str, ...]]


class Search:
    """A search for proxies, one generation at a time: with `step`, or by hand.

    >>> search = autoprox.begin_search("vit101", seed=1)  # doctest: +SKIP
    >>> while not search.done:  # doctest: +SKIP
    ...     graphs = search.ask()
    ...     generation = search.tell(search.judge(graphs))

    Args:
        settings: the algorithm, its sizes, the seed.
        variation: random proxies and offspring.
        judge: judges graphs on the search split.
        seeds: graphs that the first population contains.
        algorithm: which is copied; the one that the settings name if None.
    """

    def __init__(
        self,
        settings: Settings,
        variation: Variation,
        judge: Judge,
        seeds: Sequence[Graph] = (),
        algorithm: Algorithm | None = None,
    ) -> None:
        """Start before the first generation."""
        self.settings = settings
        self.judge = judge
        self.algorithm = copy.deepcopy(
            algorithm or algorithm_of(settings.algorithm, settings.parameters)
        )
        by_lexicase = settings.over == "lexicase"
        families = columns_by_family(judge.ranker.columns) if by_lexicase else ()
        self.algorithm.begin(
            World(variation, settings.population, settings.proposals, tuple(seeds), families)
        )
        self._asked: tuple[list[Proposal], dict[str, Proposal]] | None = None
        self._seeds = {unsigned(seed).text for seed in seeds}
        self.generator = random.Random(settings.seed)
        self.known: dict[str, Candidate] = {}
        self.generation = 0
        self.proposals = 0
        self.barren = 0
        self.best: Candidate | None = None

    @property
    def done(self) -> bool:
        """Whether the budget is spent, or nothing new can be found."""
        return len(self.known) >= self.settings.evaluations or self.barren >= BARREN

    def step(self) -> Generation:
        """Propose, judge and select once."""
        return self.tell(self.judge(self.ask()))

    def ask(self) -> list[Graph]:
        """Return the graphs to judge next: what the algorithm proposes and nobody judged before.

        Raises:
            RunError: those that were asked for before were not judged, or the search is done.
        """
        if self._asked is not None:
            raise RunError("the search waits for candidates: call tell before you ask again")
        if self.done:
            raise RunError("the search is done: its budget is spent, or nothing new can be found")
        proposed = self._proposed()
        if not proposed:
            raise RunError(f"the algorithm {self.settings.algorithm} proposed nothing")
        new = self._new(proposed)
        self._asked = proposed, new
        return [proposal.graph for proposal in new.values()]

    def tell(self, candidates: Sequence[Candidate]) -> Generation:
        """Take what became of the graphs that `ask` returned, and let the algorithm select.

        Args:
            candidates: one for each graph, in their order, as `judge` returns them.

        Raises:
            RunError: nothing was asked for, or there are more or fewer candidates.
        """
        if self._asked is None:
            raise RunError("nothing was asked for: call ask before tell")
        proposed, new = self._asked
        if len(candidates) != len(new):
            raise RunError(
                f"tell takes a candidate for each of the {len(new)} graphs that ask returned; "
                f"got {len(candidates)}"
            )
        self._asked = None
        judged = {
            text: self._limited(proposal.graph, candidate)
            for (text, proposal), candidate in zip(new.items(), candidates, strict=True)
        }
        # The ranks of thousands of candidates are not kept: an algorithm keeps
        # those of its population.
        self.known |= {text: replace(candidate, ranks=None) for text, candidate in judged.items()}
        skipped = Candidate(proposed[0].graph, (), None, "the budget is spent", "")
        by_text = self.known | judged  # with the ranks of the new ones
        with drawing_from(self.generator), self._explained("survive"):
            self.algorithm.tell(
                [by_text.get(proposal.graph.text, skipped) for proposal in proposed]
            )
        parents = {text: proposal.parents for text, proposal in new.items()}
        return self._record(len(proposed), judged, parents)

    def _limited(self, proposed: Graph, candidate: Candidate) -> Candidate:
        """Return a candidate, or its failure if the sign it was given makes it too large."""
        size, most = candidate.graph.complexity, self.settings.complexity
        if size <= most or candidate.failure is not None or proposed.text in self._seeds:
            return candidate
        return Candidate(proposed, (), None, f"{size} nodes with its sign, over {most}", "")

    def _proposed(self) -> list[Proposal]:
        """Ask for a generation; when half of it is there, the judge's workers begin with that."""
        proposed: list[Proposal] = []
        with drawing_from(self.generator), self._explained("offspring"):
            for proposal in _checked(self.algorithm, self.algorithm.ask()):
                proposed.append(replace(proposal, graph=unsigned(proposal.graph)))
                if len(proposed) == self.settings.proposals // 2:
                    self.judge.prepare([new.graph for new in self._new(proposed).values()])
        return proposed

    @contextmanager
    def _explained(self, method: str) -> Iterator[None]:
        """Turn what an algorithm of a user's own raises into one sentence with its last line."""
        try:
            yield
        except AutoproxError:
            raise
        except Exception as error:
            kind = type(self.algorithm)
            if kind.__module__.startswith("autoprox."):
                raise
            files = {f.__code__.co_filename for f in vars(kind).values() if inspect.isfunction(f)}
            lines = [
                f" ({frame.filename}, line {frame.lineno})"
                for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename in files
            ]
            raise RunError(
                f"{method} of the algorithm {kind.__name__} failed: {reason_of(error)}"
                f"{lines[-1] if lines else ''}"
            ) from error

    def _new(self, proposed: Sequence[Proposal]) -> dict[str, Proposal]:
        """Return by its text what is not known yet, each graph once, within the budget."""
        new: dict[str, Proposal] = {}
        for proposal in proposed:
            if proposal.graph.text not in self.known:
                new.setdefault(proposal.graph.text, proposal)
        return dict(itertools.islice(new.items(), self.settings.evaluations - len(self.known)))

    def _record(
        self, proposed: int, judged: dict[str, Candidate], parents: Mapping[str, tuple[str, ...]]
    ) -> Generation:
        self.generation += 1
        self.proposals += proposed
        self.barren = 0 if judged else self.barren + 1
        contenders = [*judged.values(), *([self.best] if self.best else [])]
        # As long as nothing is valid, the first failure stands for the best.
        fallback = self.best or next(iter(self.known.values()))
        self.best = next(iter(ranked(contenders, worth)), fallback)
        fitnesses = [c.fitness for c in self.algorithm.population if c.fitness is not None]
        return Generation(
            number=self.generation,
            evaluations=len(self.known),
            proposals=self.proposals,
            best=self.best,
            median=statistics.median(fitnesses) if fitnesses else None,
            failures=Counter(c.failure for c in judged.values() if c.failure is not None),
            new=judged,
            parents=parents,
        )

    def checkpoint(self) -> dict[str, Any]:
        """Return what `restore` needs beside the candidates, as JSON data."""
        version, internal, gauss = self.generator.getstate()
        return {
            "generation": self.generation,
            "evaluations": len(self.known),
            "proposals": self.proposals,
            "barren": self.barren,
            "population": [member.graph.text for member in self.algorithm.kept],
            "algorithm": self.algorithm.state(),
            "random": [version, list(internal), gauss],
        }

    def restore(self, checkpoint: Mapping[str, Any], known: dict[str, Candidate]) -> None:
        """Go back to a checkpoint, given the candidates judged so far by their proposed text."""
        by_text = {c.graph.text: c for c in known.values() if c.fitness is not None}
        self.known = known
        self.generation = checkpoint["generation"]
        self.proposals = checkpoint["proposals"]
        self.barren = checkpoint["barren"]
        self.best = next(iter(ranked(list(known.values()), worth)), None)
        # The ranks are not kept on disk. All else is: of other candidates at once the last bits of
        # a fitness may differ.
        kept = [by_text[text] for text in checkpoint["population"]]
        ranks = [again.ranks for again in self.judge([member.graph for member in kept])]
        population = [
            replace(member, ranks=member_ranks)
            for member, member_ranks in zip(kept, ranks, strict=True)
        ]
        self.algorithm.restore(population, checkpoint["algorithm"], by_text)
        version, internal, gauss = checkpoint["random"]
        self.generator.setstate((version, tuple(internal), gauss))
