"""The passes of a scenario, and the fields of the record that follow from the reported one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.config.serve import ScenarioConfig
from bench.core.records.serving import RateStep
from bench.serving.loadgen import OpenWindow, run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.system import System

# MLPerf's own metric of each scenario.
_HEADLINES = {
    "single_stream": "latency_p90_ms",
    "multi_stream": "latency_p99_ms",
    "offline": "throughput_per_s",
}
# Fields of Serving that PassResult and Performance have by the same name.
_FIELDS_OF_RESULT = (
    *("valid", "num_failed", "duration_s"),
    *(f"latency_{name}_ms" for name in ("p50", "p90", "p99", "p999")),
)
_FIELDS_OF_PERFORMANCE = ("rate_per_s", "max_rate_per_s", "failed_rate_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What the warm-up found: latency of a single query, and rate of samples from a full queue."""

    latency_s: float
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The reported pass; in the server scenario also its rate and the search for it.

    max_rate_per_s and failed_rate_per_s are the bracket of the search; the first is None unless
    the reported pass is valid.
    """

    result: PassResult
    rate_per_s: float | None = None
    max_rate_per_s: float | None = None
    failed_rate_per_s: float | None = None
    steps: tuple[RateStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Runs the passes of a scenario, with the caller's callbacks around them.

    Attributes:
        system: The system under test, warmed up.
        window: Opens a window around a pass that may be reported, a new one for each.
        complaints: Finds what speaks against a pass besides LoadGen's verdict; called after each.
        keep: Called with a pass that had a window once it is the best one so far.
    """

    system: System
    window: OpenWindow = nullcontext
    complaints: Callable[[PassResult], Sequence[str]] = lambda _: ()
    keep: Callable[[PassResult], None] = lambda _: None

    def run(self, settings: PassSettings, *, reportable: bool = True) -> PassResult:
        """Run a pass, in a window of its own if it may be reported."""
        result = run_pass(self.system, settings, window=self.window if reportable else nullcontext)
        return result.with_reasons(self.complaints(result))


def serving_fields(config: ScenarioConfig, performance: Performance) -> dict[str, Any]:
    """The fields of bench.core.records.serving.Serving that follow from the load alone.

    In offline, all samples are one query. Latencies are then None, because how long a sample waited
    depends only on its place in the query.

    Args:
        config: The scenario.
        performance: What was measured.
    """
    result = performance.result
    return {
        **{name: getattr(result, name) for name in _FIELDS_OF_RESULT},
        **{name: getattr(performance, name) for name in _FIELDS_OF_PERFORMANCE},
        "scenario": config.name,
        "headline": headline(config),
        "invalid_reasons": list(result.invalid_reasons),
        "num_requests": result.num_queries,
        "num_predictions": result.num_answered,
        "latency_mean_ms": None if config.name == "offline" else result.latency_mean_ms,
        "latency_bound_ms": config.latency_bound_ms,
        "throughput_per_s": _throughput_per_s(result),
        "goodput_per_s": goodput_per_s(result, config.latency_bound_ms),
    }


def _throughput_per_s(result: PassResult) -> float | None:
    """Answered samples per second: LoadGen's rate counts failed requests as completed."""
    if result.completed_per_s is None or not result.num_failed:
        return result.completed_per_s
    return result.completed_per_s * result.num_answered / result.num_samples


def headline(config: ScenarioConfig) -> str:
    """The field of Serving by which the scenario is judged.

    At a given rate, that is the latency, because the throughput would only repeat the rate.
    """
    if config.name == "server":
        return "max_rate_per_s" if config.rate_per_s is None else "latency_p99_ms"
    return _HEADLINES[config.name]


def goodput_per_s(result: PassResult, latency_bound_ms: float | None) -> float | None:
    """Samples answered within the bound, per second of the pass.

    A failed request is not an answer. The system's column `ok` (1 for answered) says which ones
    failed. Without it, all failed ones are assumed to have been in time, so that the goodput is a
    lower bound.

    Args:
        result: The pass.
        latency_bound_ms: The bound; None gives None.

    Returns:
        None without a bound, in offline, and if LoadGen has no latencies of single samples.
    """
    if latency_bound_ms is None or result.scenario == "offline" or result.duration_s <= 0:
        return None
    if result.samples is not None:
        in_time = result.samples["latency_ms"] <= latency_bound_ms
        if "ok" in result.columns:
            return float((in_time & (result.columns["ok"] == 1)).sum()) / result.duration_s
        num_in_time = int(in_time.sum())
    elif result.num_over_bound is not None:
        num_in_time = result.num_samples - result.num_over_bound
    else:
        return None
    return max(0, num_in_time - result.num_failed) / result.duration_s


def requests_frame(result: PassResult) -> pd.DataFrame | None:
    """One row for each sample, in the order of issue; None if LoadGen wrote no trace.

    Raises:
        ValueError: The system has columns for more or fewer samples than were issued.
    """
    samples, columns = result.samples, result.columns
    if samples is None:
        return None
    if not columns.empty and len(columns) != len(samples):
        raise ValueError(
            f"column {columns.columns[0]}: has {len(columns)} values for {len(samples)} samples "
            "issued"
        )
    return samples.join(columns).rename_axis("sample").reset_index()
