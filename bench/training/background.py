"""Trains a model without end, as a load beside a server: `python -m bench.training.background`.

It takes two arguments: a file of JSON with the configuration of a training (`config`) and the
niceness of the process (`nice`), and a file with one 64-bit integer, to which it writes the number
of steps so far. It trains and evaluates as bench.train would, but writes no record and goes on
after the target. The process is to be ended by SIGTERM.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from bench.config.train import TrainConfig
from bench.measure.window import Window
from bench.tasks.task_module import AnyTrainer
from bench.training.profiler import TargetProfiler, nothing
from bench.training.rank import prepare_process
from bench.training.run_parts import build_parts

# A schedule of this length never ends, and keeps its learning rate at that of its beginning.
_EPOCHS = 1e6


@dataclass(kw_only=True, eq=False)
class _StepCounter(TargetProfiler):
    """Counts steps where another process sees them."""

    count: NDArray[np.int64]

    @override
    def step_ended(self, trainer: AnyTrainer, num_samples: int | None) -> None:
        super().step_ended(trainer, num_samples)
        self.count[0] = self.steps


def train_without_end(config: TrainConfig, count: NDArray[np.int64]) -> None:
    """Train until the process is ended.

    Args:
        config: The configuration of a training.
        count: Receives the number of steps so far, shape (1,).

    Raises:
        DivergedError: A loss is not finite.
        ValueError: A part of the training cannot be built.
    """
    prepare_process(config.trainer, config.seed)
    config.budget = replace(config.budget, max_epochs=_EPOCHS, max_time_s=None, max_energy_j=None)
    parts = build_parts(config, None)
    parts.prepare({}, "retraining")
    profiler = _StepCounter(
        target=config.target.build(),
        window=Window.time_only(parts.synchronize),
        on_row=nothing,
        stop_at_target=False,
        count=count,
    )
    parts.train(profiler)


def main(arguments: list[str]) -> int:
    """Read the arguments and train; an error of the configuration is one line."""
    spec = json.loads(Path(arguments[1]).read_text())
    os.nice(spec["nice"])
    count = np.memmap(arguments[2], dtype=np.int64, mode="r+", shape=(1,))
    try:
        train_without_end(TrainConfig.from_dict(spec["config"]), count)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
