"""Latency of a compressed model over that of the uncompressed one, measured in turns.

Two measurements one after the other differ by whatever else changed on the machine meanwhile. Here
both models take turns in one process, and which comes first alternates, so that a drift of the
machine falls on both alike.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from bench.measure.clock import Clock
from bench.serving.backends.base import Backend, Images

_CONFIDENCE = 0.95
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Compressed over uncompressed, with its 95% interval over rounds; below 1 is faster."""

    ratio: float
    low: float
    high: float
    num_rounds: int


def latency_ratio(
    compressed: Backend,
    baseline: Backend,
    images: Images,
    *,
    rounds: int,
    requests: int,
    warmup: int,
    clock: Clock = time.perf_counter,
) -> Ratio:
    """Ratio of latencies of one input, each predicted until its logits are on the host.

    In each round both predict the same `requests` inputs, one after the other. The ratio is that
    of the medians over rounds of the medians within each.

    Args:
        compressed: Open; the numerator.
        baseline: Open; the denominator.
        images: Inputs to cycle through, float32 of shape (n, c, h, w), n >= 1.
        rounds: At least 2, for an interval.
        requests: Of each model in each round, at least 1.
        warmup: Requests of each model before the first round, at least 0.
        clock: Monotonic seconds.

    Returns:
        A percentile bootstrap interval that draws rounds whole: what disturbed a round disturbed
        both models.

    Raises:
        ValueError: A number is out of range, there is no image, or the clock did not advance.
    """
    if rounds < 2 or requests < 1 or warmup < 0 or len(images) == 0:
        raise ValueError(
            f"rounds={rounds}, requests={requests}, warmup={warmup}, {len(images)} images: must be "
            "at least 2, 1, 0 and 1"
        )
    turns = (compressed, baseline)
    singles = [images[index : index + 1] for index in range(len(images))]
    for backend in turns:
        _median_s(backend, list(itertools.islice(itertools.cycle(singles), warmup)), clock)
    inputs = itertools.cycle(singles)
    medians_s: NDArray[np.float64] = np.empty((2, rounds))
    for number in range(rounds):
        chosen = list(itertools.islice(inputs, requests))
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            medians_s[which, number] = _median_s(turns[which], chosen, clock)
    return ratio_of_medians(medians_s[0], medians_s[1])


def _median_s(backend: Backend, inputs: list[Images], clock: Clock) -> float:
    """Median of the latencies of these inputs, seconds; NaN for none.

    The model gets a copy of each, made outside the time: it may write into its input, and the other
    model is given the same ones.
    """
    latencies_s: list[float] = []
    for image in inputs:
        own = image.copy()
        start_s = clock()
        backend.predict(own)
        latencies_s.append(clock() - start_s)
    return float(np.median(latencies_s)) if latencies_s else float("nan")


def ratio_of_medians(compressed_s: NDArray[Any], baseline_s: NDArray[Any]) -> Ratio:
    """Ratio of medians over rounds with a percentile bootstrap interval, its seed fixed.

    Args:
        compressed_s: Latency in each round, shape (rounds,), rounds >= 2.
        baseline_s: Likewise, of the same rounds.

    Raises:
        ValueError: A latency is not positive.
    """
    if min(compressed_s.min(), baseline_s.min()) <= 0:
        raise ValueError("a latency of 0 s: the clock is too coarse for requests this short")

    def of_medians(x: NDArray[Any], y: NDArray[Any], axis: int = -1) -> NDArray[Any]:
        quotient: NDArray[Any] = np.median(x, axis=axis) / np.median(y, axis=axis)
        return quotient

    interval = bootstrap(
        (compressed_s, baseline_s),
        of_medians,
        paired=True,
        vectorized=True,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Ratio(
        ratio=float(of_medians(compressed_s, baseline_s)),
        low=float(interval.low),
        high=float(interval.high),
        num_rounds=len(compressed_s),
    )
