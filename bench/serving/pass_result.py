"""The result of one pass of the load generator: its numbers, whether it is valid, and why not.

A pass is valid unless there is a reason against it. Reasons come from LoadGen's verdict, from a
generator that was late itself, from the system and from the scenario.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from bench.core.stats.percentiles import percentile_floor
from bench.serving.trace import Detail

_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
# If the generator is later than this share of the latency bound, the pass judges the generator and
# not the system.
_LATE_FRAC = 0.5
_UNSURE = "too few queries to be 99% sure of the percentile"
# LoadGen compares two clocks in whole milliseconds. In a short pass, rounding alone makes them
# differ enough for an error.
_CLOCKS_DIFFER, _CLOCKS_LEAST_S = "PerfClock and system_clock", 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """The settings of one pass.

    In offline, all samples are one query, and min_queries counts samples. rate_per_s is the arrival
    rate in server and an estimate in offline; expected_latency_s is an estimate in the two streams.
    LoadGen prepares its queries by these estimates. In server, a pass ends early once more than
    max_waiting queries wait for an answer; 0 means no limit.
    """

    scenario: str
    num_inputs: int
    seed: int
    min_duration_s: float = 0.0
    min_queries: int = 1
    samples_per_query: int = 1
    expected_latency_s: float = 1e-3
    rate_per_s: float = 1.0
    latency_bound_ms: float | None = None
    max_waiting: int = 0
    raw_latencies: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """One pass, with the verdicts of LoadGen and of the system.

    Latencies are those of queries, from their scheduled times. Percentiles are LoadGen's, and None
    if there are too few queries for them. duration_s is from the first scheduled time to the last
    completion, rounded to milliseconds if there is no trace. Only server has num_over_bound.
    """

    scenario: str
    invalid_reasons: tuple[str, ...]
    num_queries: int
    num_samples: int
    num_failed: int
    duration_s: float
    latency_p50_ms: float | None
    latency_p90_ms: float | None
    latency_p99_ms: float | None
    latency_p999_ms: float | None
    latency_mean_ms: float
    completed_per_s: float | None
    scheduled_per_s: float | None
    num_over_bound: int | None
    min_duration_met: bool
    samples: pd.DataFrame | None
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def valid(self) -> bool:
        """Whether there is no reason against the pass; nothing else decides this."""
        return not self.invalid_reasons

    @property
    def only_unsure(self) -> bool:
        """Whether it met every requirement, but with too few queries to be sure."""
        return len(self.invalid_reasons) == 1 and self.invalid_reasons[0].startswith(_UNSURE)

    @property
    def num_answered(self) -> int:
        """Samples that got an answer; LoadGen counts a failed request as completed, too."""
        return max(0, self.num_samples - self.num_failed)

    def with_reasons(self, reasons: Sequence[str]) -> PassResult:
        """The same pass with further reasons against it."""
        return replace(self, invalid_reasons=(*reasons, *self.invalid_reasons))


def pass_result(
    settings: PassSettings,
    detail: Detail,
    samples: pd.DataFrame | None,
    *,
    num_failed: int,
    columns: pd.DataFrame,
) -> PassResult:
    """The result of a performance pass, from LoadGen's logs and the system's counts.

    Args:
        settings: The settings of the pass.
        detail: LoadGen's detail log.
        samples: Its trace, if there is one; see bench.serving.trace.read_samples.
        num_failed: Samples that the system reported as done without an answer.
        columns: See System.columns.
    """
    values = detail.values
    num_queries = int(values["result_query_count"])
    num_samples = num_queries * int(values["effective_samples_per_query"])
    duration_s = _duration_s(samples, values)
    reasons = _reasons(settings, detail, samples, num_queries, duration_s)
    if num_failed:
        reasons.append(f"{num_failed} of {num_samples} requests failed")
    reasons = reasons or _unknown_reasons(values)
    return PassResult(
        scenario=settings.scenario,
        invalid_reasons=tuple(reasons),
        num_queries=num_queries,
        num_samples=num_samples,
        num_failed=num_failed,
        duration_s=duration_s,
        **_latencies(settings.scenario, values, num_queries),
        completed_per_s=_completed_per_s(values, num_samples, duration_s),
        scheduled_per_s=values.get("result_scheduled_samples_per_sec"),
        num_over_bound=values.get("result_overlatency_query_count"),
        min_duration_met=bool(values["result_min_duration_met"]),
        samples=samples,
        columns=columns,
    )


def _unknown_reasons(values: Mapping[str, Any]) -> list[str]:
    """LoadGen's own words for a verdict that none of our reasons explains."""
    if values["result_validity"] == "VALID":
        return []
    return [f"LoadGen: {values.get('result_invalid_reason', 'no reason given')}"]


def _latencies(scenario: str, values: Mapping[str, Any], num_queries: int) -> dict[str, Any]:
    """Mean and percentiles of latency; a percentile that needs more queries is None."""
    of_queries = scenario == "multi_stream"
    kind = "per_query_latency" if of_queries else "latency"
    mean_ns = values[f"result_mean_{'query_latency' if of_queries else 'latency'}_ns"]
    percentiles = {
        f"latency_{name}_ms": values[f"result_{100 * q:.2f}_percentile_{kind}_ns"] / 1e6
        if num_queries >= percentile_floor(q)
        else None
        for name, q in _PERCENTILES.items()
    }
    return {"latency_mean_ms": mean_ns / 1e6, **percentiles}


def _duration_s(samples: pd.DataFrame | None, values: Mapping[str, Any]) -> float:
    """Length of the pass, by the trace if there is one, else by the detail log."""
    if samples is not None:
        return float((samples["scheduled_s"] + samples["latency_ms"] / 1e3).max())
    # The log's times have milliseconds and no time zone.
    begin, end = (
        datetime.strptime(values[key], "%m-%d-%Y %H:%M:%S.%f").replace(tzinfo=UTC)
        for key in ("power_begin", "power_end")
    )
    return (end - begin).total_seconds()


def _completed_per_s(
    values: Mapping[str, Any], num_samples: int, duration_s: float
) -> float | None:
    """Samples answered per second: LoadGen's own rate where it gives one."""
    for key in ("result_completed_samples_per_sec", "result_samples_per_second"):
        if key in values:
            return None if values[key] is None else float(values[key])
    return num_samples / duration_s if duration_s > 0 else None


def _reasons(
    settings: PassSettings,
    detail: Detail,
    samples: pd.DataFrame | None,
    num_queries: int,
    duration_s: float,
) -> list[str]:
    """Reasons against the pass: from LoadGen's log, and from when the queries were issued."""
    values = detail.values
    reasons = []
    if not values["result_min_duration_met"]:
        reasons.append(
            f"queries came for less than scenario.min_duration_s={settings.min_duration_s:g}"
        )
    if not values["result_min_queries_met"]:
        reasons.append(f"{num_queries} queries came, fewer than {settings.min_queries}")
    if not values.get("result_perf_constraints_met", True):
        p99_ms = values["result_99.00_percentile_latency_ns"] / 1e6
        reasons.append(
            f"p99 latency of {p99_ms:.3g} ms is over the bound of {settings.latency_bound_ms:g} ms"
        )
    elif not values["early_stopping_met"]:
        result = " ".join(str(values["early_stopping_result"]).replace("*", "").split())
        reasons.append(f"{_UNSURE}: {result}")
    for error in detail.errors:
        if _CLOCKS_DIFFER not in error or duration_s >= _CLOCKS_LEAST_S:
            reasons.append(f"LoadGen: {error}")
    if settings.scenario == "server" and samples is not None:
        reasons += _lateness(settings, samples)
    return reasons


def _lateness(settings: PassSettings, samples: pd.DataFrame) -> list[str]:
    """Report queries that were issued so late that the pass tells little about the system."""
    late_ms = float(np.quantile(samples["issue_delay_ms"], 0.99, method="inverted_cdf"))
    bound_ms = settings.latency_bound_ms or math.inf
    if late_ms <= _LATE_FRAC * bound_ms:
        return []
    return [
        f"the load generator was late itself: 1% of the queries left {late_ms:.3g} ms or more "
        f"after their time, with a latency bound of {bound_ms:g} ms; this machine is too slow or "
        f"too busy to issue {settings.rate_per_s:g} queries per second"
    ]
