"""The configuration of bench.train: every key, its type, its default and its range.

The classes are the schema that Hydra checks names and types against; their `__post_init__` checks
ranges once the configuration is converted. Groups with a `_target_` are typed `Any` here and get
their own schema in config_nodes.py and measure_nodes.py, a recipe in recipe_nodes.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.config.ignored_keys import refuse_ignored_keys
from bench.config.probe import ProbeConfig
from bench.config.recipe_nodes import recipe_config
from bench.config.trust import require_modules
from bench.core.checks import (
    MISSING,
    MOST_THREADS,
    build_config,
    dotted_keys,
    require_at_least,
    require_one_of,
    require_positive,
    require_run_keys,
)
from bench.core.identity import CHOICES, without
from bench.core.target import TargetConfig

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
LR_SCALINGS = ("none", "linear", "sqrt")
ACCELERATORS = ("auto", "cpu", "gpu")


@dataclass(kw_only=True)
class BudgetConfig:
    """When a run that has not reached its target is given up, whichever comes first."""

    max_epochs: float = MISSING
    max_time_s: float | None = None
    max_energy_j: float | None = None

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A budget is not positive.
        """
        require_positive("budget.max_epochs", self.max_epochs)
        require_positive("budget.max_time_s", self.max_time_s)
        require_positive("budget.max_energy_j", self.max_energy_j)


@dataclass(kw_only=True)
class TrainerConfig:
    """Where and how the training runs."""

    accelerator: str = "auto"
    devices: int = 1
    num_threads: int | None = None
    compile: bool = False
    channels_last: bool = False
    num_warmup_steps: int = 3
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range.
        """
        require_one_of("trainer.accelerator", self.accelerator, ACCELERATORS)
        require_at_least("trainer.devices", self.devices, 1)
        require_at_least("trainer.num_threads", self.num_threads, 1, MOST_THREADS)
        require_at_least("trainer.num_warmup_steps", self.num_warmup_steps, 0)


@dataclass(kw_only=True)
class SamplerConfig:
    """The thread that watches utilization."""

    period_s: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: The period is not positive.
        """
        require_positive("sampler.period_s", self.period_s)


@dataclass(kw_only=True)
class MeterConfig:
    """Which energy meters are tried."""

    sources: dict[str, Any] = field(default_factory=dict)
    required: bool = False
    idle_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: idle_s is out of range.
        """
        require_at_least("meter.idle_s", self.idle_s, 0)


@dataclass(kw_only=True)
class TrainConfig:
    """All of bench.train."""

    batch_size: int = 32
    lr: float = 0.003
    lr_scaling: str = "none"
    lr_reference_batch_size: int = 32
    seed: int = 0
    repeat: int = 0
    precision: str = "32"
    data: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    recipe: Any = None  # from_dict makes it a DistillConfig, a PruneConfig or None
    target: TargetConfig = MISSING
    budget: BudgetConfig = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    meter: MeterConfig = field(default_factory=MeterConfig)
    codecarbon: Any = None
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    probe: Any = MISSING  # from_dict makes it a ProbeConfig
    price: Any = MISSING
    grid: Any = MISSING
    logger: Any = None
    results: str = "results"
    resume: Any = False  # or "fit"
    shared: bool = False
    progress: bool = True
    trust: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check ranges, and what can be known here of keys that exclude one another.

        Raises:
            ValueError: A value is out of range or two contradict each other.
        """
        require_at_least("batch_size", self.batch_size, 1)
        require_positive("lr", self.lr)
        require_one_of("lr_scaling", self.lr_scaling, LR_SCALINGS)
        require_at_least("lr_reference_batch_size", self.lr_reference_batch_size, 1)
        require_one_of("precision", self.precision, PRECISIONS)
        require_run_keys(self.seed, self.repeat, self.results, self.resume)
        require_modules(self.trust)
        if self.precision == "16-mixed" and self.trainer.accelerator == "cpu":
            raise ValueError("precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32")
        if self.batch_size % self.trainer.devices:
            raise ValueError(
                f"batch_size={self.batch_size}: it is the batch of all devices together and must "
                f"be a multiple of trainer.devices={self.trainer.devices}"
            )

    def effective_lr(self) -> float:
        """The learning rate after scaling from the reference batch size.

        Source: linear, Goyal et al., arXiv 1706.02677; square root, Krizhevsky, arXiv 1404.5997.
        """
        ratio = self.batch_size / self.lr_reference_batch_size
        factor = {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.lr_scaling]
        return self.lr * factor

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> TrainConfig:
        """The checked configuration from its resolved form; groups with a `_target_` stay dicts.

        Raises:
            ValueError: A value is out of range; the message names the key and the remedy.
        """
        parts: dict[str, Any] = {
            key: build_config(part, config[key], f"{key}.") for key, part in _PARTS.items()
        }
        parts["recipe"] = recipe_config(config.get("recipe"))
        refuse_ignored_keys(config)
        return build_config(cls, {**without(dict(config), CHOICES), **parts})


_PARTS = {
    "target": TargetConfig,
    "budget": BudgetConfig,
    "trainer": TrainerConfig,
    "sampler": SamplerConfig,
    "meter": MeterConfig,
    "probe": ProbeConfig,
}


def known_keys() -> list[str]:
    """Every key of bench.train with a type of its own, dotted."""
    return dotted_keys(TrainConfig, _PARTS)
