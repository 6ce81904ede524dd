"""LoadGen's scenarios: warm-up, accuracy and performance of a system.

`single_stream` sends one sample after another, `multi_stream` a few at once and `offline` all of
them at once. `server` sends samples at random moments at a given rate, whether or not the last one
was answered. Warm-up and search have passes of their own, which count for nothing: only one
performance pass is reported.

Source: Reddi et al., arXiv 1911.02549; docs/metrics.md, "Serving a trained model".
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.config.serve import ScenarioConfig
from bench.core.stats.percentiles import percentile_floor
from bench.serving.loadgen import run_accuracy_pass, run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.performance import Passes, Performance, WarmUp
from bench.serving.server_scenario import measure_largest_rate, measure_rate
from bench.serving.system import System

_log = logging.getLogger(__name__)

# LoadGen prepares twice as many queries as the expected latency needs, in offline a tenth more. A
# system that is faster still runs out of them, and is measured again by what that pass showed.
_FASTER = 1.5
_FASTER_OFFLINE = 1.1
_MAX_TRIES = 4
# In offline and server, the warm-up measures the rate in a pass of at least this length.
_RATE_PASS_S = 0.2
_MAX_RATE_SAMPLES = 1_000_000


def warm_up(system: System, config: ScenarioConfig, *, num_inputs: int, seed: int = 0) -> WarmUp:
    """Warm the system up in passes of its own, and find out how fast it is.

    Everything runs at least twice, because the first time may be slower. Each pass has
    warmup_queries: at least one, and enough for a median if the largest rate is searched. In
    offline and server, the rate comes from a full queue, with as many samples as take a fifth of a
    second.

    Raises:
        PassFailed: The system failed.
    """
    name = config.name if config.name == "multi_stream" else "single_stream"
    searches = config.name == "server" and config.rate_per_s is None
    settings = PassSettings(
        scenario=name,
        num_inputs=num_inputs,
        seed=seed,
        min_queries=max(percentile_floor(0.5) if searches else 1, config.warmup_queries),
        samples_per_query=config.samples_per_query,
        raw_latencies=False,
    )
    run_pass(system, settings)
    stream = run_pass(system, settings)
    latency_s = (stream.latency_p50_ms or stream.latency_mean_ms) / 1e3
    if config.name in ("single_stream", "multi_stream"):
        return WarmUp(latency_s=latency_s, rate_per_s=config.samples_per_query / latency_s)
    full = _run_full_queue(system, replace(settings, scenario="offline"))
    rate_per_s = full.completed_per_s or full.num_samples / max(full.duration_s, _RATE_PASS_S)
    if config.name == "server":
        # Only a pass with random arrivals has batches of all sizes.
        half = replace(settings, scenario="server", rate_per_s=rate_per_s / 2)
        run_pass(system, replace(half, latency_bound_ms=config.latency_bound_ms))
    return WarmUp(latency_s=latency_s, rate_per_s=rate_per_s)


def _run_full_queue(system: System, settings: PassSettings) -> PassResult:
    """Run ever larger offline passes until one is long enough to tell the rate."""
    while True:
        result = run_pass(system, settings)
        if result.duration_s >= _RATE_PASS_S or settings.min_queries >= _MAX_RATE_SAMPLES:
            return result
        growth = min(10.0, 1.5 * _RATE_PASS_S / max(result.duration_s, 1e-9))
        num_samples = min(_MAX_RATE_SAMPLES, math.ceil(settings.min_queries * growth))
        settings = replace(settings, min_queries=num_samples)


def run_accuracy(
    system: System, num_inputs: int, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Have every input of the test split answered once, as in LoadGen's accuracy mode.

    Returns:
        Indices 0 to num_inputs - 1, shape (num_inputs,), and their outputs, shape
        (num_inputs, ...), in that order.

    Raises:
        PassFailed: The system failed.
        ValueError: There is not exactly one answer for each input.
    """
    run_accuracy_pass(system, num_inputs=num_inputs, seed=seed)
    indices, outputs = system.answers()
    order = np.argsort(indices, kind="stable")
    if not np.array_equal(indices[order], np.arange(num_inputs)):
        reasons = system.failure_reasons() or [f"{system.num_failed} requests failed"]
        raise ValueError(
            f"accuracy: {len(indices)} answers for {len(np.unique(indices))} of {num_inputs} "
            f"inputs, must be one for each; {'; '.join(reasons)}"
        )
    # Minus infinity is a proper logit: a model may rule a class out.
    unusable = np.isnan(outputs) | np.isposinf(outputs)
    num_unusable = int(unusable.reshape(num_inputs, -1).any(axis=1).sum())
    if num_unusable:
        _log.warning(
            "accuracy: %d of %d answers have outputs that are not numbers (NaN, null or infinity); "
            "see docs/metrics.md",
            num_unusable,
            num_inputs,
        )
    return indices[order], outputs[order]


def run_performance(
    passes: Passes,
    config: ScenarioConfig,
    *,
    num_inputs: int,
    seed: int,
    warm: WarmUp,
    min_duration_s: float = 0.0,
) -> Performance:
    """Measure a scenario.

    Args:
        passes: Runs its passes; the last one that it kept is the one that is reported.
        config: The scenario.
        num_inputs: Inputs of the test split.
        seed: Seed of the samples drawn and of the moments of arrival.
        warm: What the warm-up found.
        min_duration_s: Least length of the reported pass, if longer than that of the scenario.

    Raises:
        PassFailed: The system failed.
    """
    settings = PassSettings(
        scenario=config.name,
        num_inputs=num_inputs,
        seed=seed,
        min_duration_s=max(config.min_duration_s, min_duration_s),
        min_queries=config.min_queries,
        samples_per_query=config.samples_per_query,
        expected_latency_s=warm.latency_s / _FASTER,
        rate_per_s=config.rate_per_s or warm.rate_per_s * _FASTER_OFFLINE,
        latency_bound_ms=config.latency_bound_ms,
        raw_latencies=config.raw_latencies,
    )
    if config.name != "server":
        return Performance(result=_measure_closed_loop(passes, settings))
    measure = measure_largest_rate if config.rate_per_s is None else measure_rate
    return measure(passes, config, settings, warm)


def _measure_closed_loop(passes: Passes, settings: PassSettings) -> PassResult:
    """Run the pass, again if LoadGen ran out of queries because the system was so fast."""
    for _ in range(_MAX_TRIES):
        result = passes.run(settings)
        passes.keep(result)
        if result.min_duration_met:
            break
        _log.info("%s: faster than expected; measuring again", settings.scenario)
        query_s = result.duration_s / result.num_queries
        rate_per_s = (result.completed_per_s or settings.rate_per_s) * _FASTER
        settings = replace(settings, expected_latency_s=query_s / _FASTER, rate_per_s=rate_per_s)
    return result
