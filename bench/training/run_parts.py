"""What bench.training.job needs of a run, and how it is built, whatever the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from bench.config.train import MODULE, TrainConfig
from bench.measure.meter_set import MeterSet
from bench.training.loop import AnyTrainer, build_logger
from bench.training.parts import build_task_parts
from bench.training.profiler import TargetProfiler
from bench.training.user_module import build_module_parts


class RunParts(Protocol):
    """What a run consists of, whatever its task."""

    config: TrainConfig

    @property
    def trainer(self) -> AnyTrainer:
        """The trainer."""

    @property
    def max_steps(self) -> int:
        """Length of the schedule in steps."""

    @property
    def num_train_samples(self) -> int | None:
        """Samples of one epoch; None if only its steps are known."""

    def synchronize(self) -> None:
        """Wait until the device has finished its work."""

    def prepare(self, facts: dict[str, Any], name: str) -> None:
        """Check and warm up, before the clock; give the record its model and its task."""

    def train(self, profiler: TargetProfiler) -> None:
        """Train to the target, while the profiler measures."""

    def weights(self) -> dict[str, Any]:
        """The weights to save."""

    def assess(self, at: Literal["crossing", "end"], meters: MeterSet) -> dict[str, Any]:
        """Measure quality and serving cost of the trained model, by field of the record."""


def build_parts(config: TrainConfig, folder: Path | None) -> RunParts:
    """Build all parts of a run, whatever its task; see build_task_parts()."""
    if config.task == MODULE:
        return build_module_parts(config, folder, build_logger(config.logger, folder))
    return build_task_parts(config, folder)
