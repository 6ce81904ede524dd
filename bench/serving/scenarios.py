"""LoadGen's scenarios: warm-up, accuracy and performance of a system.

single_stream asks one sample after another, multi_stream a few at once, offline all at once; server
asks at random moments at a given rate, whether or not the last was answered. Warm-up and search are
passes of their own and count for nothing; only the last performance pass is reported, and only it
lies in the window that is passed in.

Source: Reddi et al., arXiv 1911.02549; docs/metrics.md, "Serving a trained model".
"""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.core.serve_config import ScenarioConfig
from bench.core.serving_records import RateStep
from bench.serving.loadgen import Window, run_accuracy_pass, run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.rate_search import search_rate
from bench.serving.system import System

_log = logging.getLogger(__name__)

# LoadGen prepares twice the queries that the expected latency makes likely, in offline a tenth
# more. What turns out faster still is asked again, with what was then found.
_FASTER = 1.5
_FASTER_OFFLINE = 1.1
_TRIES = 4
# In offline and server, the estimate is taken from a pass of at least this length.
_ESTIMATE_S = 0.2
_MOST_ESTIMATE_SAMPLES = 1_000_000
# A pass of the search is shorter than the one reported.
_STEP_FRAC = 0.25
# The reported pass may miss where the search held: by so much less is tried then, so many times.
_STEP_DOWN, _FINAL_TRIES = 0.95, 6
# A rate that was asked for is asked to the end, unless answering what waits would take this long.
_DRAIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the warm-up found: of one query alone, and of samples when there are always more."""

    latency_s: float
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The pass that is reported, and in server the rate that was asked and the search for it."""

    result: PassResult
    rate_per_s: float | None = None
    searched: bool = False
    steps: tuple[RateStep, ...] = ()


def warm_up(system: System, config: ScenarioConfig, *, num_images: int, seed: int = 0) -> Estimate:
    """Warm the system up with passes of its own, and see how fast it is.

    Everything runs at least twice, warmup_queries each time (at least one): what is slow the first
    time is not part of the estimate. In offline and server the estimate comes from a full queue,
    with as many samples as take a fifth of a second.

    Raises:
        PassFailed: The system failed.
    """
    name = config.name if config.name == "multi_stream" else "single_stream"
    asked = PassSettings(
        scenario=name,
        num_images=num_images,
        seed=seed,
        min_queries=max(1, config.warmup_queries),
        samples_per_query=config.samples_per_query,
        raw_latencies=False,
    )
    run_pass(system, asked)
    stream = run_pass(system, asked)
    latency_s = (stream.latency_p50_ms or stream.latency_mean_ms) / 1e3
    if config.name in ("single_stream", "multi_stream"):
        return Estimate(latency_s=latency_s, rate_per_s=config.samples_per_query / latency_s)
    full = _full_queue(system, replace(asked, scenario="offline"))
    rate_per_s = full.completed_per_s or full.num_samples / max(full.duration_s, _ESTIMATE_S)
    if config.name == "server":
        # Batches of all sizes in between occur only here.
        bound_ms = config.latency_bound_ms
        half = replace(asked, scenario="server", rate_per_s=rate_per_s / 2)
        run_pass(system, replace(half, latency_bound_ms=bound_ms))
    return Estimate(latency_s=latency_s, rate_per_s=rate_per_s)


def _full_queue(system: System, asked: PassSettings) -> PassResult:
    """The first offline pass, each larger than the last, that is long enough for an estimate."""
    while True:
        result = run_pass(system, asked)
        if result.duration_s >= _ESTIMATE_S or asked.min_queries >= _MOST_ESTIMATE_SAMPLES:
            return result
        growth = min(10.0, 1.5 * _ESTIMATE_S / max(result.duration_s, 1e-9))
        num_samples = min(_MOST_ESTIMATE_SAMPLES, math.ceil(asked.min_queries * growth))
        asked = replace(asked, min_queries=num_samples)


def run_accuracy(
    system: System, num_images: int, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Have every image of the test split answered once, as in LoadGen's accuracy mode.

    Returns:
        Indices 0 to num_images - 1, shape (num_images,), and their logits, shape
        (num_images, num_classes), in that order.

    Raises:
        PassFailed: The system failed.
        ValueError: The system's answers are not one for each image.
    """
    run_accuracy_pass(system, num_images=num_images, seed=seed)
    indices, logits = system.answers()
    order = np.argsort(indices, kind="stable")
    if not np.array_equal(indices[order], np.arange(num_images)):
        raise ValueError(
            f"accuracy: {len(indices)} answers for {len(np.unique(indices))} of {num_images} images"
            f", {system.num_failed} requests failed; accuracy needs one answer for each image"
        )
    return indices[order], logits[order]


def run_performance(
    system: System,
    config: ScenarioConfig,
    *,
    num_images: int,
    seed: int,
    estimate: Estimate,
    min_duration_s: float | None = None,
    window: Window = nullcontext,
) -> Performance:
    """Measure a scenario.

    Args:
        system: What answers; warmed up.
        config: The scenario.
        num_images: Images of the test split.
        seed: Of the samples drawn and of the moments of arrival.
        estimate: From the warm-up.
        min_duration_s: Of the pass that is reported, where it must be longer than config's.
        window: Makes a context manager around that pass. A pass that has to be repeated has a
            window each time: the last one entered is the one that counts.

    Raises:
        PassFailed: The system failed.
    """
    asked = PassSettings(
        scenario=config.name,
        num_images=num_images,
        seed=seed,
        min_duration_s=max(config.min_duration_s, min_duration_s or 0.0),
        min_queries=config.min_queries,
        samples_per_query=config.samples_per_query,
        expected_latency_s=estimate.latency_s / _FASTER,
        rate_per_s=config.rate_per_s or estimate.rate_per_s * _FASTER_OFFLINE,
        latency_bound_ms=config.latency_bound_ms,
        raw_latencies=config.raw_latencies,
    )
    if config.name != "server":
        return Performance(result=_closed_loop(system, asked, window))
    if config.rate_per_s is None:
        return _searched(system, config, asked, estimate, window)
    drain_s = max(_DRAIN_S, 5 * asked.min_duration_s)
    most = max(_hopeless(asked), math.ceil(estimate.rate_per_s * drain_s))
    result = run_pass(system, replace(asked, max_waiting=most), window=window)
    return Performance(result=result, rate_per_s=config.rate_per_s)


def _closed_loop(system: System, asked: PassSettings, window: Window) -> PassResult:
    """The pass, repeated while LoadGen ran out of queries because the system was faster."""
    for _ in range(_TRIES):
        result = run_pass(system, asked, window=window)
        if result.min_duration_met:
            break
        _log.info("%s: faster than expected; asked again", asked.scenario)
        each_s = result.duration_s / result.num_queries
        rate_per_s = (result.completed_per_s or asked.rate_per_s) * _FASTER
        asked = replace(asked, expected_latency_s=each_s / _FASTER, rate_per_s=rate_per_s)
    return result


def _searched(
    system: System,
    config: ScenarioConfig,
    asked: PassSettings,
    estimate: Estimate,
    window: Window,
) -> Performance:
    """The largest rate that holds the bound in short passes, then in one of full length."""
    steps: list[RateStep] = []

    def attempt(settings: PassSettings, rate_per_s: float, window: Window) -> PassResult:
        settings = replace(settings, rate_per_s=rate_per_s)
        settings = replace(settings, max_waiting=_hopeless(settings))
        result = run_pass(system, settings, window=window)
        steps.append(_rate_step(rate_per_s, result))
        _log.info("server: %.4g/s %s", rate_per_s, "held" if _holds(result) else "missed")
        return result

    short = replace(asked, min_duration_s=config.min_duration_s * _STEP_FRAC)
    rate_per_s = search_rate(
        lambda rate: _holds(attempt(short, rate, nullcontext)),
        start_per_s=estimate.rate_per_s / 2,
        num_steps=config.search_steps,
    )
    if rate_per_s is None:
        rate_per_s = min(step.rate_per_s for step in steps)
    for _ in range(_FINAL_TRIES):
        result = attempt(asked, rate_per_s, window)
        if result.valid:
            break
        rate_per_s *= _STEP_DOWN
    return Performance(
        result=result, rate_per_s=steps[-1].rate_per_s, searched=True, steps=tuple(steps)
    )


def _holds(result: PassResult) -> bool:
    """Whether a pass of the search kept the bound.

    To be sure of it as well is asked of the reported pass only: with as few queries as the search
    affords, two that some other process delayed would turn it away from any rate.
    """
    return result.valid or result.only_unsure


def _hopeless(asked: PassSettings) -> int:
    """So many queries wait only in a pass that has missed its bound already.

    Of those that wait, all but the arrivals of the last latency bound are late. Twice the mean of
    these arrivals, and a hundred, is more than a Poisson process ever brings; what is beyond that
    is more than 1% of all queries here.
    """
    num_queries = max(asked.min_queries, asked.rate_per_s * asked.min_duration_s)
    in_bound = asked.rate_per_s * (asked.latency_bound_ms or 0.0) / 1e3
    return math.ceil(0.02 * num_queries + 2 * in_bound) + 100


def _rate_step(rate_per_s: float, result: PassResult) -> RateStep:
    return RateStep(
        rate_per_s=rate_per_s,
        valid=result.valid,
        num_queries=result.num_queries,
        completed_per_s=result.completed_per_s,
        latency_p50_ms=result.latency_p50_ms,
        latency_p99_ms=result.latency_p99_ms,
        invalid_reasons=list(result.invalid_reasons),
    )
