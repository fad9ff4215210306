"""How figures, durations and differences are put into words, everywhere alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoprox.assessment.assess import Assessment
    from autoprox.ranking import RankCorrelation
    from autoprox.ranking.luck import NullLuck, SelectionLuck


def readable_seconds(seconds: float) -> str:
    """Return a duration as people say it.

    >>> readable_seconds(7.2), readable_seconds(200), readable_seconds(8000)
    ('7 s', '3 min 20 s', '2 h 13 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "target"), counted(2000, "candidate")
    ('1 target', '2,000 candidates')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


MINUS = "\N{MINUS SIGN}"
"""Of figures where there are fonts."""


def figure(value: float | None, form: str = ".3f", minus: str = "-") -> str:
    """Return a figure as it is printed everywhere, or a dash if there is none; zero has no minus.

    >>> figure(0.1234), figure(None), figure(-0.4, "+.1f", MINUS), figure(-0.001, ".0%")
    ('0.123', '-', '−0.4', '0%')
    """  # noqa: RUF002
    if value is None:
        return "-"
    text = format(value, form)
    return text.replace("-", minus if text.strip("-0.%") else "")


def summary(reason: str) -> str:
    """Return the reason of a failure without the expression that it names.

    >>> summary("no layer has only_mlp(sqrt(flops))")
    'no layer has only_mlp'
    """
    return reason.partition("(")[0].strip()


def code(source: str, needs_bits: bool, bench: str = "") -> str:
    """Return the lines that score a network with the proxy that `autoprox.load` finds at `source`.

    `bench` is what the proxy's bench was loaded by: files of a user's own may define words of it.

    >>> print(code("bit_sum", needs_bits=True, bench="vit101,mine.py"))
    import autoprox
    <BLANKLINE>
    autoprox.load_bench('mine.py')  # so that words of this file are known
    proxy = autoprox.load('bit_sum')
    bits = 4  # or one for each layer in the order in which they run: [8, 4, 3, ..., 8]
    score = proxy(network, inputs, targets, bits=bits)
    """
    from autoprox.benches import several

    comment = "# or one for each layer in the order in which they run: [8, 4, 3, ..., 8]"
    files = [name for name in several(bench) if name.endswith(".py")]
    lines = ["import autoprox", ""]
    lines += [f"autoprox.load_bench({f!r})  # so that words of this file are known" for f in files]
    lines += [f"proxy = autoprox.load({source!r})"]
    lines += [f"bits = 4  {comment}"] if needs_bits else []
    return "\n".join(
        [*lines, f"score = proxy(network, inputs, targets{', bits=bits' if needs_bits else ''})"]
    )


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return an interval as ``0.123 to 0.456``, or a dash."""
    return "-" if interval is None else " to ".join(map(figure, interval))


def short_interval(interval: tuple[float, float] | None) -> str:
    """Return an interval as ``0.12 … 0.46``, or a dash."""
    return "-" if interval is None else " … ".join(figure(end, ".2f") for end in interval)


def half_width(interval: tuple[float, float]) -> str:
    """Return half the width of an interval, as it stands behind ±.

    >>> half_width((-0.05, 0.03))
    '.04'
    """
    return figure((interval[1] - interval[0]) / 2, ".2f").removeprefix("0")


def best_first(rows: Iterable[Assessment]) -> list[Assessment]:
    """Return assessments as every table has them.

    Those of the search in its order, then the known ones, the best first; those without a score are
    last.
    """
    return sorted(rows, key=lambda row: (row.known, row.known and -_joint(row)))


def _joint(row: Assessment) -> float:
    return float("-inf") if row.joint is None else row.joint


def sizes(rows: Iterable[Assessment]) -> dict[str, int]:
    """Return how many architectures of each space have a figure, of the target that has most."""
    counts: dict[str, int] = {}
    for column in (column for row in rows for column in row.columns):
        space = column.column.rpartition("/")[0]
        counts[space] = max(counts.get(space, 0), column.architectures)
    return counts


def sizes_in_words(rows: Iterable[Assessment]) -> str:
    """Return `sizes` in brackets, as they stand behind what is shown; nothing if there are none."""
    text = ", ".join(f"{number} of {space}" for space, number in sizes(rows).items())
    return f" ({text})" if text else ""


def mean_correlation(row: Assessment, bench: str, correlation: RankCorrelation) -> float | None:
    """Return the mean correlation over the columns of one of several benches."""
    correlations = [
        column.correlation(correlation)
        for column in row.columns
        if column.column.startswith(f"{bench}/")
    ]
    return sum(correlations) / len(correlations) if correlations else None


def difference_in_words(rows: Sequence[Assessment], joint: str) -> str:
    """Say how far the best proxy is from the best known one, and if that is more than chance."""
    best = rows[0]
    known = [row for row in rows if row.known and row.joint is not None]
    if best.joint is None:
        return f"The best proxy of the search has no score here: {best.failure}."
    if not known or best.difference is None or best.difference_interval is None:
        return "No known proxy has a score here."
    rival = max(known, key=lambda row: row.joint or 0.0)
    low, high = best.difference_interval
    ends = interval_text(best.difference_interval)
    where = "above" if best.difference >= 0 else "below"
    among = f"best of the {len(known)} known proxies" if len(known) > 1 else "only known proxy"
    sentence = (
        f"{best.name} is {abs(best.difference):.3f} {where} {rival.name}, the {among} measured "
        f"here ({joint}, 95 % interval of the difference {ends})."
    )
    if low <= 0 <= high:
        return f"{sentence} The interval includes 0: these architectures do not tell the two apart."
    return f"{sentence} The interval does not include 0."


def luck_in_words(
    luck: SelectionLuck | None, null: NullLuck | None, joint: str, unknown: str
) -> str:
    """Say how much of the best proxy's correlation is luck of the selection.

    Args:
        luck: as it is estimated.
        null: what searches on shuffled accuracies reached.
        joint: the name of the correlation.
        unknown: why there is no estimate, if there is none.
    """
    parts = []
    if luck is not None:
        parts.append(
            f"of the best proxy's {joint} of {luck.search:.3f} on the search split about "
            f"{luck.optimism:.3f} is luck of having been selected, and {luck.corrected:.3f} "
            f"({interval_text(luck.corrected_interval)}) is to be expected on architectures that "
            "no search saw"
        )
    if luck is not None and luck.rival is not None and luck.rival_p is not None:
        parts.append(
            f"if no candidate were better than {luck.rival}, the best known proxy there, a search "
            f"would still find so large a lead with p = {luck.rival_p:.3f}"
        )
    if null is not None:
        count = len(null.best)
        few = count < 19 and null.p < 1.5 / (count + 1)
        least = ", the least that so few can give" if few else ""
        parts.append(
            f"{count} {'search' if count == 1 else 'searches'} on shuffled accuracies reached "
            f"{null.floor:.3f} ± {null.deviation:.3f} (p = {null.p:.3f}{least}), which "
            f"leaves the best proxy {null.corrected:.3f}"
        )
    if not parts:
        return f"Luck: not estimated; {unknown}."
    return f"Luck: {'; '.join(parts)}."


def reservations_in_words(rows: Sequence[Assessment]) -> list[str]:
    """Say which proxies tie all architectures of a column, or have no score on some."""
    silent: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.silent_columns:
            silent.setdefault(row.silent_columns, []).append(row.name)
    sentences = [
        f"{', '.join(names)} {'give' if len(names) > 1 else 'gives'} all architectures of "
        f"{', '.join(columns)} the same score: {'their' if len(names) > 1 else 'its'} correlation "
        "is 0 there."
        for columns, names in silent.items()
    ]
    partly = [
        f"{row.name} ({row.without_score:.0%})"
        for row in rows
        if row.without_score and row.failure is None
    ]
    if partly:
        sentences.append(
            f"No score on some architectures, which then come last: {', '.join(partly)}."
        )
    return sentences


EXPLAINED_PARTIAL = (
    "partial ρ: Spearman's correlation with the accuracy after training with a teacher, given that "  # noqa: RUF001
    "after training without one, on the networks that have both figures"
)

EXPLAINED_LOST = (
    "lost: how much worse the architecture with the best score is than the best one, in the unit "
    "of the target, such as points of accuracy; of 5: the best of the five best by score"
)
EXPLAINED_USE = (
    f"{EXPLAINED_LOST}; top 10 %: share of the true best tenth among the tenth with the best scores"
)
"""What the columns on the use of a proxy mean."""
