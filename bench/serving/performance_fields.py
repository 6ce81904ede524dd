"""What a measured scenario becomes in a record and in requests.parquet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.config.serve import ScenarioConfig
from bench.serving.pass_result import PassResult
from bench.serving.performance import Performance

_HEADLINES = {
    "single_stream": "latency_p90_ms",
    "multi_stream": "latency_p99_ms",
    "offline": "throughput_per_s",
}


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
        "scenario": config.name,
        "headline": headline(config),
        "valid": result.valid,
        "invalid_reasons": list(result.invalid_reasons),
        "max_batch_size": config.max_batch_size,
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
