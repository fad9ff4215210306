"""What a run does: everything that its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from autoprox.errors import RunError, UnknownNameError
from autoprox.measuring.probe import DEFAULT_BATCH, Probe
from autoprox.ranking import DEFAULT_CORRELATION, OVER, SYMBOLS, Over, RankCorrelation
from autoprox.runtime.arguments import check_counts, check_numbers, listed
from autoprox.runtime.device import CPU
from autoprox.runtime.files import check_known
from autoprox.runtime.schema import converted
from autoprox.statistics import DEFAULT_SAMPLE, Sample

Formulas: TypeAlias = Literal["any", "small"]

FORMULAS: tuple[Formulas, ...] = ("any", "small")
"""What a search writes: all that its words can say, or `autoprox.evolution.small` formulas."""

DEFAULT_STATISTICS = (
    "weight", "grad", "grad_abs_mean", "grad_std", "flow_grad", "act", "act_grad", "attention",
    "weight_spectrum", "grad_spectrum", "act_gram", "code_gram", "params", "flops", "fan_in",
    "fan_out", "position", "heads", "out_entries",
)  # fmt: skip
"""The words of a search unless the bench or the user names others."""


BEFORE = {"correlation": "kendall", "over": "mean", "formulas": "any"}
"""What runs did from before there was a choice."""


BOUNDS = {
    "evaluations": (1, 10**9),
    "population": (2, 10**6),
    "proposals": (2, 10**6),
    "complexity": (2, 10**6),
    "permutations": (0, 10**6),
}
"""The least and the most; with more no generation comes to its end."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Equal settings give equal results, whatever the machine and the number of jobs; but a GPU rounds
    in its own way.

    The attributes are the arguments of `autoprox.evolve` of the same names; `bench` is the bench's
    name, or the path of a user's own, or several of them between commas; `started_from` has the
    settings of the run whose front was the first population, if there is one, and `searches` those
    of the searches that found seed proxies, by what these were loaded by, if there are any.
    """

    bench: str
    spaces: tuple[str, ...] | None = None
    leave_out: tuple[str, ...] = ()
    over: Over | None = None
    formulas: Formulas | None = None
    targets: tuple[str, ...] | None = None
    architectures: int | None = None
    correlation: RankCorrelation | None = None
    algorithm: str = "default"
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    evaluations: int = 10_000
    population: int = 100
    proposals: int = 200
    complexity: int = 16
    seed: int = 0
    split_seed: int = 0
    held_out_share: float = 0.4
    statistics: tuple[str, ...] | None = None
    seed_proxies: tuple[str, ...] = ()
    permutations: int = 0
    batch: int = DEFAULT_BATCH
    probe_seed: int = 0
    sample: Sample = DEFAULT_SAMPLE
    images: str | None = None
    device: str = CPU
    teacher: str | None = None
    teacher_weights: str | None = None
    comparing: bool = False
    started_from: Mapping[str, Any] | None = field(default=None, hash=False)
    searches: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        """Check the numbers; one name is taken for a list of one, and one given twice for one.

        Raises:
            RunError: a number is out of its range, or none.
            UnknownNameError: there is no such correlation.
        """
        for name in ("spaces", "leave_out", "targets", "statistics", "seed_proxies"):
            if getattr(self, name) is not None:
                values = listed(getattr(self, name))
                # Two searches may have found one formula, and what both saw counts.
                once = values if name == "seed_proxies" else tuple(dict.fromkeys(values))
                object.__setattr__(self, name, once)
        check_numbers(self, RunError, {"sample": "full"})
        if self.architectures is not None:
            check_counts(RunError, architectures=self.architectures)
        if self.correlation not in (None, *SYMBOLS):
            raise UnknownNameError("correlation", str(self.correlation), tuple(SYMBOLS))
        if self.over not in (None, *OVER):
            raise UnknownNameError("way to put families together", str(self.over), OVER)
        if self.formulas not in (None, *FORMULAS):
            raise UnknownNameError("kind of formulas", str(self.formulas), FORMULAS)
        if self.leave_out and self.spaces is not None:
            raise RunError("give the spaces to evolve on, or the benches to leave out, not both")
        for name, (least, most) in BOUNDS.items():
            if getattr(self, name) < least:
                raise RunError(f"{name} is at least {least}; got {getattr(self, name)}")
            if getattr(self, name) > most:
                raise RunError(f"{name} is at most {most:,}; got {getattr(self, name)}")
        if self.sample != "full" and self.sample < 1:
            raise RunError(f"sample is 1 or more, or 'full'; got {self.sample!r}")
        if self.comparing and self.teacher is None:
            raise RunError(
                "formulas that compare a network with its teacher need one: give --teacher NAME, "
                "or leave out --comparing"
            )
        if self.comparing and self.formulas == "small":
            raise RunError(
                "small formulas read sizes, and none compares a network with its teacher: give "
                "--formulas any, or leave out --comparing"
            )
        if self.permutations and self.over not in (None, "mean"):
            raise RunError(
                "searches on shuffled accuracies need a fitness over the mean: give --over mean"
            )
        if self.over == "share" and self.correlation == "spearman":
            raise RunError(
                "what noise allows is known of the correlations somers and kendall, not of "
                "spearman: give --correlation somers, or another --over"
            )
        if self.over == "lexicase" and self.algorithm != "default":
            raise RunError(
                "by lexicase selection over families the algorithm default chooses parents, not "
                f"{self.algorithm}: give another --over, or leave out --algorithm"
            )
        if self.seed < 0 or self.split_seed < 0 or self.probe_seed < 0:
            raise RunError("seeds are not negative")

    @property
    def measure(self) -> RankCorrelation:
        """The rank correlation of the run: a run's settings say which."""
        return self.correlation or DEFAULT_CORRELATION

    @property
    def begins_anew(self) -> bool:
        """Whether it begins with nothing that a search found, as far as is known."""
        return not (self.started_from or self.searches)

    @property
    def symbol(self) -> str:
        """How it is written."""
        return SYMBOLS[self.measure]

    @property
    def described(self) -> str:
        """The algorithm with its parameters, as in ``emq(top=0.2, crossover=0.5)``."""
        values = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{self.algorithm}({values})"

    @property
    def joint(self) -> str:
        """How its mean over the columns is written."""
        return f"joint {self.symbol}"

    @property
    def probe(self) -> Probe:
        """What the networks are shown."""
        return Probe(
            self.batch,
            self.probe_seed,
            self.sample,
            self.images,
            self.device,
            self.teacher,
            self.teacher_weights,
        )

    @property
    def seeing(self) -> Settings:
        """The same, but with default ones for all that does not decide what a search sees."""
        names = ("spaces", "leave_out", "targets", "architectures", "split_seed", "held_out_share")
        return Settings(self.bench, **{name: getattr(self, name) for name in names})

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON data; a teacher and earlier searches only where there are."""
        beside = ("started_from", "searches", "teacher", "teacher_weights", "comparing")
        return {name: value for name, value in asdict(self).items() if value or name not in beside}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Return the settings that `to_json` described.

        Runs from before there was a choice took Kendall's correlation, the mean over families, and
        any formulas.

        Raises:
            RunError: there is an unknown key, or a number is out of its range.
            AutoproxError: a value is of another type.
        """
        # What is now the held-out share was called "held_out".
        data = {"held_out_share" if key == "held_out" else key: data[key] for key in data}
        check_known(data, cls)
        return converted({**BEFORE, **data}, cls, "settings")
