"""What measuring a scenario takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.config.serve import ScenarioConfig
from bench.core.records.serving import RateStep
from bench.serving.loadgen import Window, run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.system import System

_HEADLINES = {
    "single_stream": "latency_p90_ms",
    "multi_stream": "latency_p99_ms",
    "offline": "throughput_per_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the warm-up found: of one query alone, and of samples when there are always more."""

    latency_s: float
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The pass that is reported, and in server the rate that was asked and the search for it.

    max_rate_per_s and failed_rate_per_s are the bracket of the search; the first is None unless
    the reported pass is valid.
    """

    result: PassResult
    rate_per_s: float | None = None
    max_rate_per_s: float | None = None
    failed_rate_per_s: float | None = None
    steps: tuple[RateStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the caller does around passes.

    Attributes:
        window: Makes a context manager around a pass that may be reported, a new one for each.
        complaints: What speaks against a pass besides LoadGen's verdict; asked after each.
        keep: Told of a pass with a window, once it is the one to report so far.
    """

    window: Window
    complaints: Callable[[PassResult], Sequence[str]]
    keep: Callable[[PassResult], None]

    def quick(self, system: System, settings: PassSettings) -> PassResult:
        """A pass that is not reported."""
        result = run_pass(system, settings)
        return result.with_reasons(self.complaints(result))

    def reportable(self, system: System, settings: PassSettings) -> PassResult:
        """A pass that may be reported, in a window of its own."""
        result = run_pass(system, settings, window=self.window)
        return result.with_reasons(self.complaints(result))


def serving_fields(config: ScenarioConfig, performance: Performance) -> dict[str, Any]:
    """The fields of bench.core.serving_records.Serving that follow from the load alone.

    In offline, where all samples are one query, latencies are None: how long a sample waited says
    only where in the query it stood.

    Args:
        config: The scenario.
        performance: What was measured.
    """
    result = performance.result
    return {
        "scenario": config.name,
        "headline": headline(config),
        "valid": result.valid,
        "invalid_reasons": list(result.invalid_reasons),
        "num_requests": result.num_queries,
        "num_predictions": result.num_answered,
        "num_failed": result.num_failed,
        "duration_s": result.duration_s,
        "latency_p50_ms": result.latency_p50_ms,
        "latency_p90_ms": result.latency_p90_ms,
        "latency_p99_ms": result.latency_p99_ms,
        "latency_p999_ms": result.latency_p999_ms,
        "latency_mean_ms": None if config.name == "offline" else result.latency_mean_ms,
        "latency_bound_ms": config.latency_bound_ms,
        "throughput_per_s": _answered_per_s(result),
        "rate_per_s": performance.rate_per_s,
        "max_rate_per_s": performance.max_rate_per_s,
        "failed_rate_per_s": performance.failed_rate_per_s,
        "goodput_per_s": goodput_per_s(result, config.latency_bound_ms),
    }


def _answered_per_s(result: PassResult) -> float | None:
    if result.completed_per_s is None or not result.num_failed:
        return result.completed_per_s
    return result.completed_per_s * result.num_answered / result.num_samples


def headline(config: ScenarioConfig) -> str:
    """The field of Serving that the scenario is judged by.

    At a rate that was asked for, the throughput would only repeat the request.
    """
    if config.name == "server":
        return "max_rate_per_s" if config.rate_per_s is None else "latency_p99_ms"
    return _HEADLINES[config.name]


def goodput_per_s(result: PassResult, latency_bound_ms: float | None) -> float | None:
    """Samples answered within the bound, per second of the pass.

    A request that failed is not an answer. Which ones failed is taken from a column `ok` of the
    system (1 for answered); without it, all of them are taken to have been in time, and the
    goodput is the least that it can have been.

    Args:
        result: The pass.
        latency_bound_ms: The bound; None gives None.

    Returns:
        None without a bound, in offline, and where LoadGen noted no latencies of samples.
    """
    if latency_bound_ms is None or result.scenario == "offline" or result.duration_s <= 0:
        return None
    if result.samples is not None:
        in_time = result.samples.latency_ms <= latency_bound_ms
        if "ok" in result.columns:
            answered = np.asarray(result.columns["ok"]) == 1
            return float(np.sum(in_time & answered)) / result.duration_s
        num_in_time = int(np.sum(in_time))
    elif result.num_over_bound is not None:
        num_in_time = result.num_samples - result.num_over_bound
    else:
        return None
    return max(0, num_in_time - result.num_failed) / result.duration_s


def requests_frame(result: PassResult) -> pd.DataFrame | None:
    """One row for each sample, in the order of issue; None where LoadGen noted none.

    Raises:
        ValueError: The system noted something for more or fewer samples than were issued.
    """
    if result.samples is None:
        return None
    frame = pd.DataFrame(result.samples.columns())
    frame.insert(0, "sample", np.arange(len(frame)))
    for name, values in result.columns.items():
        if len(values) != len(frame):
            raise ValueError(
                f"column {name}: has {len(values)} values for {len(frame)} samples issued"
            )
        frame[name] = values
    return frame
