"""What measuring a scenario takes and gives: its passes, and the fields of the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.config.serve import ScenarioConfig
from bench.core.records.serving import RateStep
from bench.serving.loadgen import OpenWindow, run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.system import System

_HEADLINES = {
    "single_stream": "latency_p90_ms",
    "multi_stream": "latency_p99_ms",
    "offline": "throughput_per_s",
}
# Fields of Serving that PassResult and Performance have by the same name.
_SAME_IN_RESULT = (
    *("valid", "num_failed", "duration_s"),
    *(f"latency_{name}_ms" for name in ("p50", "p90", "p99", "p999")),
)
_RATES = ("rate_per_s", "max_rate_per_s", "failed_rate_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What the warm-up found: latency of a query alone, and rate of samples from a full queue."""

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
class Passes:
    """Makes the passes of a scenario, with what the caller does around them.

    Attributes:
        system: What answers; warmed up.
        window: Opens a window around a pass that may be reported, a new one for each.
        complaints: What speaks against a pass besides LoadGen's verdict; asked after each.
        keep: Called with a pass that had a window, once it is the one to report so far.
    """

    system: System
    window: OpenWindow = nullcontext
    complaints: Callable[[PassResult], Sequence[str]] = lambda _: ()
    keep: Callable[[PassResult], None] = lambda _: None

    def run(self, settings: PassSettings, *, reportable: bool = True) -> PassResult:
        """Make a pass, in a window of its own if it may be reported."""
        result = run_pass(self.system, settings, window=self.window if reportable else nullcontext)
        return result.with_reasons(self.complaints(result))


def serving_fields(config: ScenarioConfig, performance: Performance) -> dict[str, Any]:
    """The fields of bench.core.records.serving.Serving that follow from the load alone.

    In offline, where all samples are one query, latencies are None: how long a sample waited says
    only where in the query it stood.

    Args:
        config: The scenario.
        performance: What was measured.
    """
    result = performance.result
    return {
        **{name: getattr(result, name) for name in _SAME_IN_RESULT},
        **{name: getattr(performance, name) for name in _RATES},
        "scenario": config.name,
        "headline": headline(config),
        "invalid_reasons": list(result.invalid_reasons),
        "num_requests": result.num_queries,
        "num_predictions": result.num_answered,
        "latency_mean_ms": None if config.name == "offline" else result.latency_mean_ms,
        "latency_bound_ms": config.latency_bound_ms,
        "throughput_per_s": _answered_per_s(result),
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
