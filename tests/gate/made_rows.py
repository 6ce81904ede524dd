"""Rows and comparisons of the gate, written out by hand, for tests of how they are reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.core.stats.intervals import Estimate
from bench.gate.metrics import metric_named
from bench.gate.model import Comparison, GateRow, Problem

PROVENANCE: dict[str, dict[str, Any]] = {
    "base": {
        "commits": ["a" * 40],
        "hosts": ["made"],
        "cpus": ["Made CPU"],
        "num_runs": 8,
        "first_started_utc": "2026-01-05T09:00:00Z",
        "last_started_utc": "2026-01-05T09:07:00Z",
    },
    "candidate": {
        "commits": ["b" * 40],
        "hosts": ["made"],
        "cpus": ["Made CPU"],
        "num_runs": 8,
        "first_started_utc": "2026-01-06T09:00:00Z",
        "last_started_utc": "2026-01-06T09:00:00Z",
    },
}


def row(name: str = "time_to_target_s", **fields: Any) -> GateRow:
    """A row of a metric of the registry: by default no change, of 8 runs each."""
    metric = metric_named(name)
    defaults: dict[str, Any] = {
        "kind": metric.kind,
        "configuration": "train batch_size=32",
        "command": "train",
        "config_hash": "0123456789ab",
        "num_base": 8,
        "num_candidate": 8,
        "base": 0.5,
        "candidate": 0.505,
        "ratio": None,
        "loss_frac": 0.01,
        "threshold_frac": metric.least_effect_frac,
        "p": None,
        "p_holm": None,
        "verdict": "no change",
    }
    return GateRow(metric=metric, **{**defaults, **fields})


def ratio(value: float | None, low: float | None, high: float | None) -> Estimate:
    """Of the medians of 8 runs each."""
    return Estimate(value=value, low=low, high=high, num=8)


REGRESSED = row(
    base=0.455,
    candidate=0.51,
    ratio=ratio(1.121, 1.08, 1.163),
    loss_frac=0.121,
    p=0.00016,
    p_holm=0.00124,
    verdict="regression",
)
UNCHANGED = row(
    "latency_p50_ms",
    base=0.0273,
    candidate=0.0276,
    ratio=ratio(1.011, 0.981, 1.042),
    loss_frac=0.011,
    p=0.2,
    p_holm=0.61,
    smallest_seen_frac=0.104,
)
IMPROVED = row(
    "throughput_per_s",
    base=3.7e6,
    candidate=4.1e6,
    ratio=ratio(1.108, 1.09, 1.13),
    loss_frac=-0.108,
    p=0.999,
    p_holm=1.0,
    verdict="improvement",
)
UNDERPOWERED = row(
    "latency_p99_ms",
    base=0.06,
    candidate=0.09,
    num_base=3,
    num_candidate=3,
    loss_frac=0.5,
    p=0.05,
    p_holm=0.4,
    verdict="underpowered",
    more_runs=2,
)
MODELLED = row(
    "energy_to_target_j", kind="modelled", base=3.57, candidate=6.0, verdict="not judged"
)
EXACT = row("samples_to_target", base=16384.0, candidate=16384.0, loss_frac=0.0)
EXACT_WORSE = row(
    "steps_to_target", base=16384.0, candidate=16385.0, loss_frac=1 / 16384, verdict="regression"
)
DEMOTED = row(
    "steps_to_target",
    kind="measured",
    base=512.0,
    candidate=520.0,
    loss_frac=0.0156,
    p=0.1,
    p_holm=0.3,
    smallest_seen_frac=0.05,
    note="differs between runs of one revision: judged as measured",
)


def comparison(
    rows: Sequence[GateRow] = (),
    problems: Sequence[Problem] = (),
    remarks: Sequence[str] = (),
    **fields: Any,
) -> Comparison:
    """Of a baseline file and a results folder."""
    defaults: dict[str, Any] = {
        "base_name": "perf/baseline.json",
        "candidate_name": "results",
        "alpha": 0.05,
        "provenance": PROVENANCE,
    }
    return Comparison(
        rows=list(rows),
        problems=list(problems),
        remarks=list(remarks),
        **{**defaults, **fields},
    )


FAILED = Problem(
    kind="failed", message="candidate: run 7 ended as failed: loss is nan", exit_code=5
)
OTHER_HOST = Problem(
    kind="incomparable", message="host.cpu_name differs: A | B; force=[host.cpu_name]", exit_code=4
)
LACKING = Problem(kind="missing", message="candidate lacks seed 3; allow_missing=true", exit_code=3)
