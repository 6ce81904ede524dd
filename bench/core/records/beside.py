"""What a training costs a server on the same machine, and the server the training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Serving with a training beside it, compared with each of them alone.

    In each round the server alone, both together and the training alone take turns; whoever is not
    measured is stopped, or gets no requests. Requests are of one input, each after the answer to
    the last one.

    Attributes:
        name: What ran beside the server: `retraining`, a training of the same model on the same
            data, without end.
        num_threads: Threads of the training; None if its configuration leaves that to PyTorch.
        nice: Niceness of its process.
        latency_p99_alone_ms: 99th percentile of the latency without the training, median over
            rounds.
        latency_p99_beside_ms: The same with the training.
        latency_p99_ratio: With / without: of these two medians.
        latency_p99_ratio_low: Lower end of the 95% bootstrap interval of the ratio over rounds. It
            covers 0.94 with 6 to 12 rounds, and less with fewer.
        latency_p99_ratio_high: Upper end of that interval.
        training_alone_steps_per_s: Optimizer steps per second while nothing is served, over all
            rounds.
        training_beside_steps_per_s: The same while requests are answered.
        training_ratio: With / without requests: of these two.
        num_rounds: Rounds.
        num_requests: Fewest requests in a round on one side.
    """

    name: str
    num_threads: int | None
    nice: int
    latency_p99_alone_ms: float
    latency_p99_beside_ms: float
    latency_p99_ratio: float
    latency_p99_ratio_low: float
    latency_p99_ratio_high: float
    training_alone_steps_per_s: float
    training_beside_steps_per_s: float
    training_ratio: float | None
    num_rounds: int
    num_requests: int
