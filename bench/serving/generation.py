"""Generation: a language model continues prompts, one at a time, and each token is timed.

Time to first token (TTFT) is from the prompt in memory to the first generated token on the host, so
it includes reading the prompt. Time per output token (TPOT) of a prompt is the time from its first
token to its last, divided by the number of tokens after the first. Decoding is greedy, and every
answer has the same length.

Source: MLPerf Inference, LoadGen's token metrics (loadgen/results.h, TokenPerformanceResults);
    NVIDIA NIM LLM Benchmarking, "Metrics".
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bench.config.serve import GENERATE, ScenarioConfig
from bench.core.arrays import Inputs
from bench.core.errors import PassFailed, kind_and_line
from bench.core.stats.percentiles import latency_percentile
from bench.measure.clock import Clock
from bench.serving.backend import Backend, BackendUnavailable

_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
# The first time may be slower.
_MIN_WARMUP = 2


class Generation:
    """Continues prompts of the test split with a model."""

    def __init__(
        self,
        backend: Backend,
        sequences: Inputs,
        config: ScenarioConfig,
        *,
        seed: int = 0,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Generate nothing yet.

        Args:
            backend: Open.
            sequences: Those of the test split, int64 of shape (n, context), n >= 1.
            config: The scenario.
            seed: Seed of the order of the prompts.
            clock: Monotonic seconds.

        Raises:
            ValueError: Prompt and answer together are longer than the context.
        """
        assert config.prompt_tokens is not None, "the scenario requires it"
        assert config.output_tokens is not None, "the scenario requires it"
        config.require_context(sequences.shape[1])
        self._backend = backend
        self._prompts = sequences[:, : config.prompt_tokens]
        self._num_tokens = config.output_tokens
        self._config = config
        self._order = itertools.cycle(np.random.default_rng(seed).permutation(len(sequences)))
        self._clock = clock

    def warm_up(self) -> None:
        """Continue some prompts without measuring.

        Raises:
            BackendUnavailable: The backend or the model cannot continue prompts.
            PassFailed: The model raised; the cause is what it raised.
        """
        for _ in range(max(_MIN_WARMUP, self._config.warmup_queries)):
            self._continue_next()

    def measure(self, min_duration_s: float) -> pd.DataFrame:
        """Continue prompts, and time each.

        Args:
            min_duration_s: Least length of the measurement, if longer than that of the scenario.

        Returns:
            One row for each prompt: sample, input_index, scheduled_s (from the first prompt),
            latency_ms (of the whole answer), ttft_ms and tpot_ms.

        Raises:
            PassFailed: The model raised; the cause is what it raised.
        """
        least_s = max(self._config.min_duration_s, min_duration_s)
        rows: list[tuple[int, float, float, float]] = []
        while len(rows) < self._config.min_queries or rows[-1][3] - rows[0][1] < least_s:
            rows.append(self._continue_next())
        index, start_s, first_s, end_s = (np.array(column) for column in zip(*rows, strict=True))
        return (
            pd.DataFrame(
                {
                    "input_index": index,
                    "scheduled_s": start_s - start_s[0],
                    "latency_ms": (end_s - start_s) * 1e3,
                    "ttft_ms": (first_s - start_s) * 1e3,
                    "tpot_ms": (end_s - first_s) * 1e3 / (self._num_tokens - 1),
                }
            )
            .rename_axis("sample")
            .reset_index()
        )

    def _continue_next(self) -> tuple[int, float, float, float]:
        """Continue the next prompt; returns its index, and when it, the first and the last came."""
        index = int(next(self._order))
        prompt = self._prompts[index : index + 1].copy()  # a model may write into its input
        start_s = self._clock()
        try:
            tokens = self._backend.generate(prompt, self._num_tokens)
            next(tokens)
            first_s = self._clock()
            num_more = _count(tokens)
            end_s = self._clock()
        except BackendUnavailable:
            raise
        except Exception as error:  # a model is its user's code: it may raise anything
            raise PassFailed(f"scenario {GENERATE}: {kind_and_line(error)}") from error
        if num_more != self._num_tokens - 1:
            raise PassFailed(
                f"scenario {GENERATE}: {num_more + 1} tokens came, must be {self._num_tokens}"
            )
        return index, start_s, first_s, end_s


def _count(tokens: Iterator[int]) -> int:
    """Take all remaining tokens, and count them without keeping any."""
    last = deque(enumerate(tokens, start=1), maxlen=1)
    return last[0][0] if last else 0


def generation_fields(config: ScenarioConfig, rows: pd.DataFrame) -> dict[str, Any]:
    """The fields of bench.core.records.serving.Serving that follow from the times of the prompts.

    Args:
        config: The scenario.
        rows: From Generation.measure().
    """
    duration_s = float((rows["scheduled_s"] + rows["latency_ms"] / 1e3).max())
    percentiles = {
        f"{name}_{percentile}_ms": latency_percentile(rows[f"{name}_ms"].tolist(), q)
        for name in ("latency", "ttft", "tpot")
        for percentile, q in _PERCENTILES.items()
    }
    return {
        **percentiles,
        "scenario": config.name,
        "headline": "output_tokens_per_s",
        "valid": True,
        "num_requests": len(rows),
        "num_predictions": len(rows),
        "duration_s": duration_s,
        "latency_mean_ms": float(rows["latency_ms"].mean()),
        "prompt_tokens": config.prompt_tokens,
        "output_tokens": config.output_tokens,
        "output_tokens_per_s": len(rows) * (config.output_tokens or 0) / duration_s,
    }
