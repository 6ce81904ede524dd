"""Compares a compressed model with the same model uncompressed, in the same backend.

If one model were measured after the other, any change of the machine in between would count as a
difference of the models. So both take turns in one process, and the one that goes first alternates:
a drift of the machine then affects both equally.
"""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from bench.compression.artifact import Artifact
from bench.config.serve import ServeConfig
from bench.core.arrays import Inputs
from bench.core.records.compression import Compression
from bench.core.records.model import Quality
from bench.measure.clock import Clock
from bench.serving.backend import Backend
from bench.serving.find_backend import make_backend
from bench.serving.in_process import InProcessSystem
from bench.serving.model import TrainedModel
from bench.serving.scenarios import run_accuracy

_BATCH = 64  # any size gives the same quality, and a large one is faster
# Of the bootstrap interval of the ratio.
_CONFIDENCE = 0.95
_SEED = 0


def compare_with_uncompressed(
    config: ServeConfig,
    trained: TrainedModel,
    artifact: Artifact,
    quality: Quality | None,
    work: Path,
) -> Compression:
    """Compare size, quality and latency, with both models open in this process.

    Args:
        config: The configuration.
        trained: The model's training run.
        artifact: The compressed model.
        quality: That of the served model on the test split; None if it is not known.
        work: A folder for the uncompressed model.

    Raises:
        ValueError: The backend cannot run one of them.
    """
    # The baseline is the same network in the same runtime, so that only the precision differs.
    plain = trained.prepare(config, "none", work / "uncompressed")
    inputs, requests = trained.test.served, config.compression.compare_requests
    rounds = config.compression.compare_rounds
    with ExitStack() as stack:
        compressed, uncompressed = (_open(config, each, stack) for each in (artifact, plain))
        ratio = latency_ratio(
            compressed, uncompressed, inputs, rounds=rounds, requests=requests, warmup=requests
        )
        # Not the quality of the training: the runtime itself may change a few predictions.
        baseline = _quality(uncompressed, trained)
    metric = trained.target_metric
    return Compression(
        method=config.compression.method,
        size_bytes=artifact.size_bytes,
        baseline_size_bytes=plain.size_bytes,
        accuracy_change=_change(quality, baseline, "accuracy"),
        quality_metric=metric if quality and metric in quality.values else None,
        quality_change=_change(quality, baseline, metric),
        latency_ratio=ratio.ratio,
        latency_ratio_low=ratio.low,
        latency_ratio_high=ratio.high,
        num_rounds=ratio.num_rounds,
    )


def _change(quality: Quality | None, baseline: Quality | None, metric: str | None) -> float | None:
    """How much larger a metric is than before; None if it is not known of both."""
    if quality is None or baseline is None:
        return None
    value, before = quality.values.get(metric or ""), baseline.values.get(metric or "")
    return None if value is None or before is None else value - before


def _quality(backend: Backend, trained: TrainedModel) -> Quality | None:
    """Quality on the test split."""
    test = trained.test
    system = InProcessSystem(backend, test.served, max_batch_size=_BATCH, queued=False)
    return trained.quality(run_accuracy(system, len(test))[1])


def _open(config: ServeConfig, artifact: Artifact, stack: ExitStack) -> Backend:
    backend = make_backend(
        config.backend.runtime, device=config.backend.device, num_threads=config.num_threads
    )
    backend.open(artifact)
    stack.callback(backend.close)
    return backend


class Ratio(NamedTuple):
    """Compressed over uncompressed, with its 95% interval over rounds; below 1 is faster."""

    ratio: float
    low: float
    high: float
    num_rounds: int


def latency_ratio(
    compressed: Backend,
    baseline: Backend,
    inputs: Inputs,
    *,
    rounds: int,
    requests: int,
    warmup: int,
    clock: Clock = time.perf_counter,
) -> Ratio:
    """Ratio of the latencies of single inputs, each until its outputs are on the host.

    In each round, both models predict the same `requests` inputs, one after the other. The ratio is
    that of the medians over rounds of the medians within each round.

    Args:
        compressed: Open; the numerator.
        baseline: Open; the denominator.
        inputs: Inputs to cycle through, shape (n, ...), n >= 1.
        rounds: Number of rounds, at least 2 for an interval; see ratio_of_rounds.
        requests: Requests to each model in each round, at least 1.
        warmup: Requests to each model before the first round, at least 0.
        clock: Monotonic seconds.

    Raises:
        ValueError: A number is out of range, there is no input, or the clock did not advance.
    """
    numbers = f"rounds={rounds}, requests={requests}, warmup={warmup}, {len(inputs)} inputs"
    if rounds < 2 or requests < 1 or warmup < 0 or len(inputs) == 0:
        raise ValueError(f"{numbers}: must be at least 2, 1, 0 and 1")
    backends = (compressed, baseline)
    single = itertools.cycle(inputs[index : index + 1] for index in range(len(inputs)))
    for backend in backends:
        _median_s(backend, [inputs[[number % len(inputs)]] for number in range(warmup)], clock)
    medians_s: NDArray[np.float64] = np.empty((2, rounds))
    for number in range(rounds):
        chosen = list(itertools.islice(single, requests))
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            medians_s[which, number] = _median_s(backends[which], chosen, clock)
    return ratio_of_rounds(medians_s[0], medians_s[1])


def _median_s(backend: Backend, requests: list[Inputs], clock: Clock) -> float:
    """Median latency of these requests in seconds; NaN if there are none.

    The model gets a copy of each, made outside the timed part: it may write into its input, and the
    other model needs the same ones.
    """
    latencies_s: list[float] = []
    for inputs in requests:
        copy = inputs.copy()
        start_s = clock()
        backend.predict(copy)
        latencies_s.append(clock() - start_s)
    return float(np.median(latencies_s)) if latencies_s else float("nan")


def ratio_of_rounds(compressed_s: NDArray[Any], baseline_s: NDArray[Any]) -> Ratio:
    """Ratio of medians over rounds, with a percentile bootstrap interval of fixed seed.

    The bootstrap resamples whole rounds, because a disturbance in a round affects both models.

    Args:
        compressed_s: Latency in each round, shape (rounds,), rounds >= 2.
        baseline_s: The same for the other model, in the same rounds.

    Raises:
        ValueError: A latency is not positive.
    """
    if min(compressed_s.min(), baseline_s.min()) <= 0:
        raise ValueError("a latency of 0 s: the clock is too coarse for requests this short")

    def ratio_of_medians(x: NDArray[Any], y: NDArray[Any], axis: int = -1) -> NDArray[Any]:
        quotient: NDArray[Any] = np.median(x, axis=axis) / np.median(y, axis=axis)
        return quotient

    interval = bootstrap(
        (compressed_s, baseline_s),
        ratio_of_medians,
        paired=True,
        vectorized=True,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Ratio(
        ratio=float(ratio_of_medians(compressed_s, baseline_s)),
        low=float(interval.low),
        high=float(interval.high),
        num_rounds=len(compressed_s),
    )
