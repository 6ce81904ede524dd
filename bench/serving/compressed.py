"""What compressing a model changed, against the same model uncompressed in the same backend.

Two measurements of latency, one after the other, also differ by whatever changed on the machine in
between. Here both models take turns in one process, and the first of them alternates, so that a
drift of the machine affects both equally.
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
from bench.core.records.compression import Compression
from bench.measure.clock import Clock
from bench.serving.backend import Backend, Images
from bench.serving.find_backend import make_backend
from bench.serving.in_process import InProcessSystem
from bench.serving.model import TestSplit, TrainedModel, served_quality
from bench.serving.scenarios import run_accuracy

_ACCURACY_BATCH = 64
_CONFIDENCE = 0.95
_SEED = 0


def compare_with_uncompressed(
    config: ServeConfig,
    trained: TrainedModel,
    artifact: Artifact,
    accuracy: float | None,
    work: Path,
) -> Compression:
    """Size, accuracy and latency, both models opened in this process.

    Args:
        config: The configuration.
        trained: The model's training run.
        artifact: The compressed model.
        accuracy: Of what was served, on the test split; None where it is not known.
        work: A folder for the uncompressed model.

    Raises:
        ValueError: The runtime cannot run one of them.
    """
    plain = trained.prepare(config, "none", work / "uncompressed")
    with ExitStack() as stack:
        compressed, uncompressed = (_opened(config, one, stack) for one in (artifact, plain))
        ratio = latency_ratio(
            compressed,
            uncompressed,
            trained.test.images,
            rounds=config.compression.compare_rounds,
            requests=config.compression.compare_requests,
            warmup=config.compression.compare_requests,
        )
        before = _accuracy(uncompressed, trained.test)
    change = None if accuracy is None or before is None else accuracy - before
    return Compression(
        method=config.compression.method,
        size_bytes=artifact.size_bytes,
        baseline_size_bytes=plain.size_bytes,
        accuracy_change=change,
        latency_ratio=ratio.ratio,
        latency_ratio_low=ratio.low,
        latency_ratio_high=ratio.high,
        num_rounds=ratio.num_rounds,
    )


def _accuracy(backend: Backend, test: TestSplit) -> float | None:
    """Accuracy on the test split."""
    system = InProcessSystem(backend, test.images, max_batch_size=_ACCURACY_BATCH, queued=False)
    _, logits = run_accuracy(system, len(test.labels))
    return served_quality(logits, test.labels).accuracy


def _opened(config: ServeConfig, artifact: Artifact, stack: ExitStack) -> Backend:
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
        rounds: At least 2, for an interval; see ratio_of_rounds.
        requests: Of each model in each round, at least 1.
        warmup: Requests of each model before the first round, at least 0.
        clock: Monotonic seconds.

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
    inputs = itertools.cycle(singles)
    for backend in turns:
        _median_s(backend, list(itertools.islice(itertools.cycle(singles), warmup)), clock)
    medians_s: NDArray[np.float64] = np.empty((2, rounds))
    for number in range(rounds):
        chosen = list(itertools.islice(inputs, requests))
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            medians_s[which, number] = _median_s(turns[which], chosen, clock)
    return ratio_of_rounds(medians_s[0], medians_s[1])


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


def ratio_of_rounds(compressed_s: NDArray[Any], baseline_s: NDArray[Any]) -> Ratio:
    """Ratio of medians over rounds with a percentile bootstrap interval, its seed fixed.

    The bootstrap draws rounds whole: what disturbed a round disturbed both models.

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
