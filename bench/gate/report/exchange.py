"""The candidate's values in the forms that other tools read, to plot them over time.

Bencher Metric Format (https://bencher.dev/docs/reference/bencher-metric-format), the JSON of
github-action-benchmark for tools of one's own (https://github.com/benchmark-action/
github-action-benchmark), and OpenMetrics text (https://prometheus.io/docs/specs/om/
open_metrics_spec). A median that is infinite, because most runs missed, has no place in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from bench.core.metric import Better, Metric
from bench.core.printable import printable
from bench.core.stats.intervals import Estimate
from bench.gate.model import Comparison, GateRow
from bench.gate.report.cells import configuration

# Names that Bencher takes are as long at most.
_LONGEST_NAME = 1024
_PREFIX = "opbench"
# OpenMetrics wants base units: what a name ends with, its base unit, and how many of it are one.
_BASE_UNITS = {
    "s": ("_s", "seconds", 1.0),
    "ms": ("_ms", "seconds", 1e-3),
    "J": ("_j", "joules", 1.0),
    "W": ("_w", "watts", 1.0),
    "bytes": ("_bytes", "bytes", 1.0),
    "fraction": ("_frac", "ratio", 1.0),
}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")
_DIGITS = 10  # of a commit


def bencher(comparison: Comparison) -> str:
    """Bencher Metric Format: the metrics of each configuration, with the bounds of the medians."""
    tree: dict[str, dict[str, dict[str, float]]] = {}
    for row, median in _known(comparison):
        bounds = {"lower_value": median.low, "upper_value": median.high}
        measures = tree.setdefault(_name(row), {})
        measures[row.metric.name] = {
            "value": _value(median),
            **{name: bound for name, bound in bounds.items() if bound is not None},
        }
    return _text(tree)


def smaller_is_better(comparison: Comparison) -> str:
    """The metrics of which less is better, for github-action-benchmark's customSmallerIsBetter."""
    return _text(_entries(comparison, "min"))


def bigger_is_better(comparison: Comparison) -> str:
    """The metrics of which more is better, for github-action-benchmark's customBiggerIsBetter."""
    return _text(_entries(comparison, "max"))


def _entries(comparison: Comparison, better: Better) -> list[dict[str, str | float]]:
    return [
        {
            "name": f"{_name(row)}: {row.metric.name}",
            "unit": row.metric.unit or "count",
            "value": _value(median),
            "range": _range(median),
            "extra": f"{row.verdict}, {row.num_candidate} runs",
        }
        for row, median in _known(comparison)
        if row.metric.better == better
    ]


def openmetrics(comparison: Comparison) -> str:
    """OpenMetrics text: a gauge for each metric, and the exit code of the check."""
    families: dict[str, list[tuple[GateRow, Estimate]]] = {}
    for row, median in _known(comparison):
        families.setdefault(row.metric.name, []).append((row, median))
    lines = [
        f"# TYPE {_PREFIX}_check_exit_code gauge",
        f"# HELP {_PREFIX}_check_exit_code 0 pass, 1 regression; the others: docs/gate.md.",
        f"{_PREFIX}_check_exit_code{_labels(_commit(comparison))} {comparison.exit_code:d}",
    ]
    for rows in families.values():
        lines += _family(comparison, rows)
    return "\n".join([*lines, "# EOF", ""])


def _family(comparison: Comparison, rows: list[tuple[GateRow, Estimate]]) -> Iterator[str]:
    metric = rows[0][0].metric
    name, unit, factor = _base_unit(metric)
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {_escaped(metric.title)}; median, with the bounds of its interval."
    for row, median in rows:
        values = {"median": median.value, "low": median.low, "high": median.high}
        for statistic, value in values.items():
            if value is not None:
                labels = {
                    **_commit(comparison),
                    "configuration": configuration(row),
                    "statistic": statistic,
                    "verdict": row.verdict,
                }
                yield f"{name}{_labels(labels)} {value * factor!r}"


def _base_unit(metric: Metric) -> tuple[str, str, float]:
    """The name of a gauge, which ends with its base unit, that unit, and the factor to it."""
    name = _NOT_IN_NAMES.sub("_", metric.name)
    known = _BASE_UNITS.get(metric.unit)
    if known is None:
        return f"{_PREFIX}_{name}", "", 1.0
    ending, unit, factor = known
    return f"{_PREFIX}_{name.removesuffix(ending)}_{unit}", unit, factor


def _commit(comparison: Comparison) -> dict[str, str]:
    """The commits of the candidate, as a label; without it where none is known."""
    commits = comparison.provenance.get("candidate", {}).get("commits") or []
    return {"commit": " ".join(commit[:_DIGITS] for commit in commits)} if commits else {}


def _labels(labels: dict[str, str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}" if labels else ""


def _escaped(text: str) -> str:
    return printable(text).replace("\\", r"\\").replace('"', r"\"")


def _known(comparison: Comparison) -> list[tuple[GateRow, Estimate]]:
    """The rows whose candidate has a finite median."""
    return [
        (row, row.candidate_median)
        for row in comparison.rows
        if row.candidate_median is not None and row.candidate_median.value is not None
    ]


def _value(median: Estimate) -> float:
    assert median.value is not None  # _known leaves the others out
    return median.value


def _range(median: Estimate) -> str:
    if median.low is None or median.high is None:
        return f"{median.num} run"
    return f"{median.low:.4g} to {median.high:.4g}"


def _name(row: GateRow) -> str:
    return printable(configuration(row))[:_LONGEST_NAME]


def _text(tree: object) -> str:
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"
