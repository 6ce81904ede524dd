"""What a training beside the server does to the latency of single inputs, and the reverse.

If one were measured after the other, any change of the machine in between would count as an effect
of the training. So the server alone, both together and the training alone take turns in rounds, and
the order of the first two alternates.

Source: Bhardwaj et al., Ekya: Continuous Learning of Video Analytics Models on Edge Compute
    Servers, NSDI 2022, asks what retraining takes from serving.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config.beside import BesideConfig
from bench.config.serve import ServeConfig
from bench.config.trust import TRAINING_PARTS
from bench.core.errors import PassFailed
from bench.core.records.beside import Beside
from bench.core.stats.percentiles import percentile_floor
from bench.measure.clock import Clock
from bench.runs.trained import trusted_part
from bench.serving.compressed import ratio_of_rounds
from bench.serving.loadgen import run_pass
from bench.serving.model import TrainedModel
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.retraining import Retraining, training_values
from bench.serving.system import System

# Least length of each part of a round: long enough for several steps of most trainings.
_PART_S = 0.5
# LoadGen prepares twice as many queries as the expected latency needs.
_FASTER = 1.5


class StepMeter:
    """Counts the steps of a training, and the time that they took, over several stretches."""

    def __init__(self, retraining: Retraining, clock: Clock) -> None:
        """Count nothing yet."""
        self._retraining = retraining
        self._clock = clock
        self._began = (0.0, 0)
        self._time_s = 0.0
        self._num_steps = 0

    def first_query(self) -> None:
        """Begin a stretch."""
        self._began = self._clock(), self._retraining.num_steps

    def last_query(self) -> None:
        """End it."""
        began_s, before = self._began
        self._time_s += self._clock() - began_s
        self._num_steps += self._retraining.num_steps - before

    @property
    def steps_per_s(self) -> float:
        """The rate over all stretches.

        Raises:
            ValueError: No time has passed.
        """
        if self._time_s <= 0:
            raise ValueError("a stretch of 0 s: the clock is too coarse to count steps")
        return self._num_steps / self._time_s


@contextmanager
def open_retraining(
    config: ServeConfig, trained: TrainedModel, work: Path, log: Path
) -> Iterator[Retraining | None]:
    """Start the training that the group `beside` asks for; None without one.

    Args:
        config: The configuration.
        trained: The training run of the served model.
        work: A folder for temporary files.
        log: A folder for the output of the training.

    Raises:
        ServerDied: Its process ended.
        ValueError: It names code that is not trusted, cannot be trained again, or made no step in
            time.
    """
    if config.beside is None:
        yield None
        return
    values = training_values(trained.record, trained.folder, config.trust, config.data_root)
    # Its process asks nobody for trust. Data, model and metrics have been checked already.
    for part in TRAINING_PARTS:
        if values[part] is not None:
            trusted_part(values, part, trained.folder, config.trust)
    with Retraining(config.beside, values, work=work, log=log / "retraining.log") as retraining:
        yield retraining


def compare_with_alone(
    system: System,
    retraining: Retraining,
    config: BesideConfig,
    *,
    num_inputs: int,
    seed: int,
    wait: Callable[[float], None] = time.sleep,
    clock: Clock = time.perf_counter,
) -> Beside:
    """Compare the server and the training with each of them alone.

    Args:
        system: The system under test, warmed up.
        retraining: Started.
        config: The group `beside`.
        num_inputs: Inputs of the test split.
        seed: Seed of the samples drawn.
        wait: Waits for a number of seconds.
        clock: Monotonic seconds.

    Raises:
        PassFailed: The system failed.
        ServerDied: The training ended.
    """
    steps_beside, steps_alone = (StepMeter(retraining, clock) for _ in range(2))
    p99_s, num_requests = np.empty((2, config.compare_rounds)), []
    settings = _settings(system, num_inputs, seed)
    for number in range(config.compare_rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            (retraining.resume if which else retraining.pause)()
            window = partial(nullcontext, steps_beside if which else None)
            result = _answered(run_pass(system, settings, window=window))
            num_requests.append(result.num_queries)
            p99_s[which, number] = (result.latency_p99_ms or np.nan) / 1e3
        retraining.resume()
        steps_alone.first_query()
        wait(_PART_S)
        steps_alone.last_query()
        retraining.require_running()
    return Beside(
        name=config.name,
        num_threads=retraining.num_threads,
        nice=config.nice,
        **_latency_fields(p99_s),
        **_training_fields(steps_alone.steps_per_s, steps_beside.steps_per_s),
        num_rounds=config.compare_rounds,
        num_requests=min(num_requests),
    )


def _latency_fields(p99_s: NDArray[np.float64]) -> dict[str, float]:
    """The latencies of rounds, without and with the training, shape (2, rounds)."""
    ratio = ratio_of_rounds(p99_s[1], p99_s[0])
    return {
        "latency_p99_alone_ms": float(np.median(p99_s[0])) * 1e3,
        "latency_p99_beside_ms": float(np.median(p99_s[1])) * 1e3,
        "latency_p99_ratio": ratio.ratio,
        "latency_p99_ratio_low": ratio.low,
        "latency_p99_ratio_high": ratio.high,
    }


def _training_fields(alone: float, beside: float) -> dict[str, Any]:
    return {
        "training_alone_steps_per_s": alone,
        "training_beside_steps_per_s": beside,
        "training_ratio": beside / alone if alone else None,
    }


def _settings(system: System, num_inputs: int, seed: int) -> PassSettings:
    """Single inputs for about _PART_S, by the latency of a first pass that counts for nothing."""
    settings = PassSettings(
        scenario="single_stream",
        num_inputs=num_inputs,
        seed=seed,
        min_queries=percentile_floor(0.99),
        raw_latencies=False,
    )
    latency_ms = _answered(run_pass(system, settings)).latency_p50_ms
    assert latency_ms is not None, "there are enough queries for a p99"
    expected_s = latency_ms / 1e3 / _FASTER
    return replace(settings, min_duration_s=_PART_S, expected_latency_s=expected_s)


def _answered(result: PassResult) -> PassResult:
    if result.num_failed:
        raise PassFailed(f"beside: {result.num_failed} of {result.num_samples} requests failed")
    return result
