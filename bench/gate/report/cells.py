"""The cells of one row: the same text on the terminal, in Markdown and in JUnit XML.

Changes have the sign of the value's change: -10% of a rate is a loss, -10% of a time a gain.
"""

from __future__ import annotations

from bench.core.metric import Metric
from bench.core.stats.intervals import Estimate
from bench.gate.model import GateRow

# Headings of the columns, by the name of the cell.
HEADINGS = {
    "configuration": "configuration",
    "metric": "metric",
    "medians": "base -> candidate",
    "change": "change [interval]",
    "runs": "n",
    "p": "p",
    "verdict": "verdict",
}
_NO_VALUE = "-"
_MISSED = "missed"
# Multiples of a metric's unit in which measured values are shown, largest first.
_SCALES = {
    # Units of the catalogue; others are shown as they are.
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "fraction": ((1.0, ""),),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "J": ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ")),
    "1/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")),
}


def cells(row: GateRow) -> dict[str, str]:
    """The text of each cell of a row, by the names in HEADINGS and in their order."""
    return {
        "configuration": configuration(row),
        "metric": row.metric.name,
        "medians": medians(row),
        "change": _change_cell(row),
        "runs": f"{row.num_base}/{row.num_candidate}",
        "p": _p_cell(row.p_holm),
        "verdict": "; ".join(filter(None, [_verdict_cell(row), row.note])),
    }


def configuration(row: GateRow) -> str:
    """The name of the row's configuration."""
    return row.configuration or "defaults"


def num_more(num: int, noun: str) -> str:
    """`1 more run`, `3 more runs`."""
    return f"{num} more {noun}{'' if num == 1 else 's'}"


def percent(frac: float) -> str:
    """Format a change with its sign and two significant digits; without decimals from 100% on."""
    if frac == 0:
        return "0%"
    return f"{100 * frac:+.2g}%" if abs(frac) < 0.995 else f"{100 * frac:+.0f}%"


def change(row: GateRow) -> str:
    """The change of the value in percent; empty where the loss is infinite or not known."""
    return "" if row.loss_frac is None else percent(_value_change(row, row.loss_frac))


def medians(row: GateRow) -> str:
    """The medians of both sides with their unit.

    Exact values keep every digit; measured ones get three digits and a multiple of the unit.
    """
    known = [abs(value) for value in (row.base, row.candidate) if value]
    scales = _SCALES.get(row.metric.unit, ((1.0, row.metric.unit),))
    factor, unit = next(each for each in scales if each[0] == 1.0)
    if row.kind != "exact" and known:
        # One unit for both sides, chosen by the larger one.
        factor, unit = next((each for each in scales if max(known) >= each[0]), scales[-1])
    base, candidate = (
        _format_value(each, factor, row.kind == "exact") for each in (row.base, row.candidate)
    )
    if row.candidate is not None:
        return f"{base} -> {candidate} {unit}".rstrip()
    return f"{base if row.base is None else f'{base} {unit}'.rstrip()} -> {candidate}"


def value_with_unit(metric: Metric, value: float) -> str:
    """One value with its unit, in three digits and a multiple of the unit."""
    scales = _SCALES.get(metric.unit, ((1.0, metric.unit),))
    factor, unit = next((each for each in scales if abs(value) >= each[0]), scales[-1])
    return f"{_format_value(value, factor, is_exact=metric.kind == 'exact')} {unit}".rstrip()


def _format_value(value: float | None, factor: float, is_exact: bool) -> str:
    if value is None:
        return _MISSED
    if is_exact or value == 0:
        return f"{value:.0f}" if value == round(value) else f"{value:.6g}"
    scaled = value / factor
    # The # keeps trailing zeros: 1.00 beside 0.993.
    return f"{scaled:#.3g}".rstrip(".") if abs(scaled) < 999.5 else f"{scaled:.0f}"


def _value_change(row: GateRow, loss_frac: float) -> float:
    """Turn a loss into the change of the value: a loss of a rate is a negative change."""
    return loss_frac if row.metric.better == "min" else -loss_frac


def _change_cell(row: GateRow) -> str:
    text = change(row)
    if text:
        text += _bounds(row.ratio)
    # The sign ~ keeps a reader from taking noise for a change.
    if row.kind == "measured" and row.verdict in ("no change", "underpowered"):
        return f"~ {text}".rstrip()
    if row.loss_frac and row.verdict not in ("regression", "improvement"):
        text += " worse" if row.loss_frac > 0 else " better"  # the verdict does not tell
    return text or _NO_VALUE


def _bounds(ratio: Estimate | None) -> str:
    """An interval in brackets; the range of too few runs in parentheses."""
    if ratio is None or ratio.low is None or ratio.low == ratio.high:
        return ""
    low = percent(ratio.low - 1)
    high = None if ratio.high is None else percent(ratio.high - 1)
    if ratio.kind == "range":
        return f" ({low} to {high or 'inf'})"
    return f" [{low}, inf)" if high is None else f" [{low}, {high}]"


def _p_cell(p: float | None) -> str:
    if p is None:
        return _NO_VALUE
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def _verdict_cell(row: GateRow) -> str:
    if row.verdict == "not judged" and row.kind == "modelled":
        return "modelled, not judged"
    parts: list[str] = [row.verdict]
    if row.metric.kind == "exact":
        parts[0] += " (exact)" if row.kind == "exact" else " (demoted)"
    if row.verdict == "regression" and row.threshold_frac:
        parts.append(f"counts from {percent(_value_change(row, row.threshold_frac))}")
    if row.verdict == "underpowered" and row.more_runs is not None:
        parts.append(f"{num_more(row.more_runs, 'run')} per side")
    if row.verdict == "no change" and row.kind == "measured":
        loss_frac = row.smallest_seen_frac
        parts.append(
            "could not have seen a loss"
            if loss_frac is None
            else f"would have seen {percent(_value_change(row, loss_frac))}"
        )
    return ": ".join(parts)
