"""What compressing a model did, against the same model uncompressed in the same runtime."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from bench.config.serve import ServeConfig
from bench.core.artifact import Artifact
from bench.core.records.compression import Compression
from bench.serving.backends.base import Backend
from bench.serving.backends.choose import make_backend
from bench.serving.in_process import InProcessSystem
from bench.serving.interleaved import latency_ratio
from bench.serving.model import TrainedModel, served_quality
from bench.serving.scenarios import run_accuracy

_ACCURACY_BATCH = 64


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
        system = InProcessSystem(
            uncompressed, trained.test.images, max_batch_size=_ACCURACY_BATCH, queued=False
        )
        _, logits = run_accuracy(system, len(trained.test.labels))
    before = served_quality(logits, trained.test.labels).accuracy
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


def _opened(config: ServeConfig, artifact: Artifact, stack: ExitStack) -> Backend:
    backend = make_backend(
        config.backend.runtime, device=config.backend.device, num_threads=config.num_threads
    )
    backend.open(artifact)
    stack.callback(backend.close)
    return backend
