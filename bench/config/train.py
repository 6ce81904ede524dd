"""The configuration of bench.train: every key, its type, its default and its range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from annotated_types import Ge, Lt, MinLen

from bench.config.nodes import require_ranges
from bench.config.recipe import DistillConfig, Recipe
from bench.config.run import RunConfig
from bench.config.trainer import TrainerConfig
from bench.core.checks import (
    MISSING,
    CheckedAs,
    Count,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    one_of,
    refuse_contradictions,
    require_one_of,
    value_at,
)
from bench.core.identity import CHOICES, without_key
from bench.core.qualities import TASK_QUALITIES, require_metric_name
from bench.core.target import TargetConfig

# Keys that copy another key. A different value would be ignored or, worse, half used.
_REPEATED = {
    "optimizer.lr": "lr",
    "schedule.lr": "lr",
    "codecarbon.country_iso_code": "grid.country_iso_code",
}
# The task whose module and data are the user's own; its qualities are what the module logs.
MODULE = "module"
# Keys that a module decides itself, in configure_optimizers: they are null in its configuration.
DECIDED_BY_MODULE = ("optimizer", "schedule", "lr_scaling", "lr_reference_batch_size")
# Arguments that the job fills in itself, and the key that decides the value.
_FILLED_IN = {
    "data.batch_size": "batch_size",
    "data.seed": "seed",
    "optimizer.lr": "lr",
    "optimizer.params": "model",
    "schedule.lr": "lr",
    "schedule.optimizer": "optimizer",
    "schedule.total_steps": "budget.max_epochs",
    "logger.save_dir": "results",
}


@dataclass(kw_only=True)
class BudgetConfig(KeyGroup):
    """The limits of a run that does not reach its target; the first one to be met ends it."""

    max_epochs: PositiveAmount = MISSING
    max_time_s: PositiveAmount | None = None
    max_energy_j: PositiveAmount | None = None


@dataclass(kw_only=True)
class CutoffConfig(KeyGroup):
    """What a search allows a run to spend; it is no part of the configuration."""

    max_time_s: PositiveAmount | None = None
    max_energy_j: PositiveAmount | None = None
    max_cost_usd: PositiveAmount | None = None


@dataclass(kw_only=True)
class ProbeConfig(KeyGroup):
    """Requests and durations of the serving probe at the end of a run."""

    num_requests: PositiveCount = 1000  # p99 needs 662
    warmup_requests: Count = 50
    batch_sizes: Annotated[list[PositiveCount], MinLen(1)] = field(
        default_factory=lambda: [1, 8, 64, 256]
    )
    min_batch_s: PositiveAmount = 0.25
    max_s: PositiveAmount = 10.0


@dataclass(kw_only=True)
class TrainConfig(RunConfig):
    """The keys of bench.train."""

    batch_size: PositiveCount = 32
    lr: PositiveAmount | None = 0.003
    lr_scaling: Annotated[str, one_of(("none", "linear", "sqrt"))] | None = "none"
    lr_reference_batch_size: PositiveCount | None = 32
    precision: Annotated[str, one_of(("32", "bf16-mixed", "16-mixed", "bf16-true"))] = "32"
    task: Annotated[str, one_of((*TASK_QUALITIES, MODULE))] = "classification"
    metrics: dict[str, Any] = field(default_factory=dict)
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    data: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    recipe: Recipe = None
    target: TargetConfig = MISSING
    budget: BudgetConfig = MISSING
    cutoff: CutoffConfig = field(default_factory=CutoffConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    probe: Annotated[Any, CheckedAs(ProbeConfig)] = MISSING
    logger: Any = None

    def __post_init__(self) -> None:
        """Refuse keys that contradict each other.

        Raises:
            ValueError: Two keys contradict each other; the message names both.
        """
        super().__post_init__()
        if self.precision == "16-mixed" and self.trainer.accelerator == "cpu":
            raise ValueError("precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32")
        if self.batch_size % self.trainer.num_ranks:
            nodes = f" x trainer.num_nodes={self.trainer.num_nodes}"
            raise ValueError(
                f"batch_size={self.batch_size}: all devices together share this batch, so it must "
                f"be a multiple of trainer.devices={self.trainer.devices}"
                f"{nodes * (self.trainer.num_nodes > 1)}"
            )
        if self.label_smoothing:
            _require_smoothing(self)
        if self.task == MODULE:
            _require_module(self)
        else:
            for name in ("lr", *DECIDED_BY_MODULE):
                if getattr(self, name) is None:
                    raise ValueError(f"{name}=null: only task=module goes without; give a value")

    def effective_lr(self) -> float:
        """The learning rate after scaling from the reference batch size.

        Source: linear, Goyal et al., arXiv 1706.02677; square root, Krizhevsky, arXiv 1404.5997.
        """
        assert self.lr is not None, "only the optimizer of a module has its own"
        ratio = self.batch_size / (self.lr_reference_batch_size or self.batch_size)
        factor = {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.lr_scaling or "none"]
        return self.lr * factor

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """Check resolved values and make the dataclass; groups with a `_target_` stay dicts.

        Raises:
            ValueError: A value is wrong; the message names the key and the remedy.
        """
        refuse_contradictions(values, _REPEATED)
        _refuse_ignored_keys(values)
        require_ranges(values)
        config = super().from_dict(without_key(dict(values), CHOICES), above)
        for name, node in config.metrics.items():
            require_metric_name(name)
            if not isinstance(node, Mapping) or "_target_" not in node:
                raise ValueError(
                    f"metrics.{name}={node}: must name a class of torchmetrics; give "
                    f"+metrics.{name}._target_=torchmetrics.CLASS"
                )
        if config.task != MODULE:  # what a module logs is only known once it has logged it
            names = [*TASK_QUALITIES[config.task], *config.metrics]
            require_one_of("target.metric", config.target.metric, names)
        return config


def _require_smoothing(config: TrainConfig) -> None:
    """Refuse label smoothing where it would have no effect.

    Raises:
        ValueError: The loss has no labels that it could smooth.
    """
    reasons = {
        "regression": "has no labels to smooth",
        MODULE: "has a loss of its own; smooth its labels in training_step",
    }
    key = f"label_smoothing={config.label_smoothing:g}"
    if config.task in reasons:
        raise ValueError(f"{key}: task={config.task} {reasons[config.task]}")
    if isinstance(config.recipe, DistillConfig):
        raise ValueError(
            f"{key}: recipe=distill takes the probabilities of the teacher instead; leave it out"
        )


def _require_module(config: TrainConfig) -> None:
    """Refuse keys that a training of the user's own module cannot follow.

    Raises:
        ValueError: Such a key is set, or the direction of the target is not known.
    """
    if config.target != MISSING:
        config.target.build()
    target = str((config.model if isinstance(config.model, Mapping) else {}).get("_target_", ""))
    refusals = {
        f"model._target_={target}": (
            target.startswith(("bench.", "torchvision.")),
            "trains a LightningModule of your own; give model=custom model._target_=my.Module",
        ),
        f"metrics.{next(iter(config.metrics), '')}": (
            bool(config.metrics),
            "reports what the module logs; log the metric in validation_step",
        ),
        "recipe": (config.recipe is not None, "has no network to build on; use recipe=none"),
        "trainer.loop=fabric": (
            config.trainer.loop == "fabric",
            "has hooks and logs that only Lightning's Trainer calls; use trainer.loop=lightning",
        ),
        "precision=bf16-true": (
            config.precision == "bf16-true",
            "leaves its weights to the module; convert them there, or use bf16-mixed",
        ),
        f"trainer.data_memory={config.trainer.data_memory}": (
            config.trainer.data_memory != "host",
            "leaves its data to the module; pin or move batches there",
        ),
        "trainer.compile=true": (
            config.trainer.compile,
            "does not know what to compile; call torch.compile in the module",
        ),
        "trainer.channels_last=true": (
            config.trainer.channels_last,
            "leaves the layout to the module; convert weights and images there",
        ),
        f"trainer.devices={config.trainer.devices}": (
            config.trainer.devices > 1,
            "trains on one device; use ProfilerCallback in a training of your own for several",
        ),
        f"trainer.num_nodes={config.trainer.num_nodes}": (
            config.trainer.num_nodes > 1,
            "trains on one node; train a built-in task on several",
        ),
    }
    for key, (is_set, reason) in refusals.items():
        if is_set:
            raise ValueError(f"{key}: task=module {reason}")


def _refuse_ignored_keys(values: Mapping[str, Any]) -> None:
    """Refuse keys that the job would overwrite: they would change nothing but the hash.

    The job also gives the model the shape of the data. That can only be checked once the data is
    loaded (bench/training/parts.py).

    Raises:
        ValueError: Such a key is given; the message names it and the key that decides.
    """
    for key, deciding_key in _FILLED_IN.items():
        group, _, name = key.partition(".")
        node = value_at(values, group)
        if isinstance(node, Mapping) and name in node:
            raise ValueError(
                f"{key}={node[name]}: would be ignored, because {deciding_key} decides it; "
                f"leave {key} out"
            )
