"""One row of the gate in words: the same on the terminal, in Markdown and in JUnit XML.

Changes have the sign that the value has: -10% of a rate is a loss, -10% of a time a gain.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.stats.intervals import Estimate
from bench.gate.model import Row

ABSENT = "-"
MISSED = "missed"
# Larger and smaller units that measured values are shown in, largest first.
_SCALES = {
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "fraction": ((1.0, ""),),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "J": ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ")),
    "1/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWords:
    """A row as it is shown, a text for each column."""

    configuration: str
    metric: str
    medians: str
    change: str
    runs: str
    p: str
    verdict: str


HEADINGS = RowWords(
    configuration="configuration",
    metric="metric",
    medians="base -> candidate",
    change="change [interval]",
    runs="n",
    p="p",
    verdict="verdict",
)


def row_words(row: Row) -> RowWords:
    """One row, in words."""
    return RowWords(
        configuration=row.configuration or "defaults",
        metric=row.metric.name,
        medians=medians(row),
        change=_change(row),
        runs=f"{row.num_base}/{row.num_candidate}",
        p=_p(row.p_holm),
        verdict="; ".join(filter(None, [_verdict(row), row.note])),
    )


def num_more(num: int, what: str) -> str:
    """`1 more run`, `3 more runs`."""
    return f"{num} more {what}{'' if num == 1 else 's'}"


def percent(frac: float) -> str:
    """A change with its sign and two significant digits, whole from 100% on."""
    if frac == 0:
        return "0%"
    return f"{100 * frac:+.2g}%" if abs(frac) < 0.995 else f"{100 * frac:+.0f}%"


def change_frac(row: Row) -> float | None:
    """As the value changes; None where the loss is infinite or not known."""
    return None if row.loss_frac is None else _of_value(row, row.loss_frac)


def medians(row: Row) -> str:
    """Of both sides, with their unit; an exact one in full, others in a unit that fits."""
    known = [abs(value) for value in (row.base, row.candidate) if value]
    scales = _SCALES.get(row.metric.unit, ((1.0, row.metric.unit),))
    factor, unit = next(each for each in scales if each[0] == 1.0)
    if row.kind != "exact" and known:
        factor, unit = next((each for each in scales if max(known) >= each[0]), scales[-1])
    base, candidate = (
        _value(each, factor, row.kind == "exact") for each in (row.base, row.candidate)
    )
    if row.candidate is not None:
        return f"{base} -> {candidate} {unit}".rstrip()
    return f"{base if row.base is None else f'{base} {unit}'.rstrip()} -> {candidate}"


def _value(value: float | None, factor: float, is_exact: bool) -> str:
    """An exact value in full; another with three significant digits, whole from 100 on."""
    if value is None:
        return MISSED
    if is_exact or value == 0:
        return f"{value:.0f}" if value == round(value) else f"{value:.6g}"
    scaled = value / factor
    # The # keeps zeros: 1.00 beside 0.993.
    return f"{scaled:#.3g}".rstrip(".") if abs(scaled) < 999.5 else f"{scaled:.0f}"


def _of_value(row: Row, loss_frac: float) -> float:
    """A loss, with the sign of the change of the value."""
    return loss_frac if row.metric.better == "min" else -loss_frac


def _change(row: Row) -> str:
    change = change_frac(row)
    told = "" if change is None else percent(change) + _bounds(row.ratio)
    if row.kind == "measured" and row.verdict in ("no change", "underpowered"):
        return f"~ {told}".rstrip()
    return f"{told} {_direction(row)}".strip() or ABSENT


def _direction(row: Row) -> str:
    """`worse` or `better`, where the verdict does not say it."""
    if not row.loss_frac or row.verdict in ("regression", "improvement"):
        return ""
    return "worse" if row.loss_frac > 0 else "better"


def _bounds(ratio: Estimate | None) -> str:
    """An interval in brackets; the range of too few runs in parentheses."""
    if ratio is None or ratio.low is None or ratio.low == ratio.high:
        return ""
    low = percent(ratio.low - 1)
    high = None if ratio.high is None else percent(ratio.high - 1)
    if ratio.kind == "range":
        return f" ({low} to {high or 'inf'})"
    return f" [{low}, inf)" if high is None else f" [{low}, {high}]"


def _p(p: float | None) -> str:
    if p is None:
        return ABSENT
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def _mark(row: Row) -> str:
    if row.metric.kind != "exact":
        return ""
    return " (exact)" if row.kind == "exact" else " (demoted)"


def _verdict(row: Row) -> str:
    if row.verdict == "not judged" and row.kind == "modelled":
        return "modelled, not judged"
    words = [row.verdict + _mark(row)]
    if row.verdict == "regression" and row.threshold_frac:
        words.append(f"counts from {percent(_of_value(row, row.threshold_frac))}")
    if row.verdict == "underpowered" and row.more_runs is not None:
        words.append(f"{num_more(row.more_runs, 'run')} per side")
    if row.verdict == "no change" and row.kind == "measured":
        seen = row.smallest_seen_frac
        words.append(
            "could not have seen a loss"
            if seen is None
            else f"would have seen {percent(_of_value(row, seen))}"
        )
    return ": ".join(words)
