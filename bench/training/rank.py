"""What each rank of a training does in its own process, whichever node and device it is on."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
import torch

from bench.config.train import TrainConfig
from bench.config.trainer import TrainerConfig
from bench.core.records.curve import CurveRow
from bench.measure.phase_window import PhaseWindow
from bench.measure.window import Window
from bench.training.limits import budget_limits, cutoff_limits
from bench.training.node_sum import NodeSum
from bench.training.parts import build_task_parts
from bench.training.profiler import TargetProfiler, nothing
from bench.training.run_parts import RunParts


def require_meter(config: TrainConfig, window: PhaseWindow) -> None:
    """Refuse a limit on joules, or on money for them, if no meter can check it.

    Raises:
        ValueError: No meter works; the message has the reasons.
    """
    limits = [*budget_limits(config.budget), *cutoff_limits(config.cutoff, config.price)]
    metered = [limit for limit in limits if limit.per_j]
    if metered and window.meters.refresh_s is None:
        reasons = "; ".join(f"{one.meter}: {one.reason}" for one in window.unavailable)
        raise ValueError(
            f"{metered[0].key}={metered[0].most:g}: no meter works here to check it ({reasons})"
        )


def prepare_process(options: TrainerConfig, seed: int) -> None:
    """Set threads, TF32 and seeds, which each rank must do for its own process."""
    if options.num_threads is not None:
        torch.set_num_threads(options.num_threads)
    if options.float32_matmul_precision != "highest":  # torch's own default
        torch.set_float32_matmul_precision(options.float32_matmul_precision)
    pl.seed_everything(seed, workers=True, verbose=False)


def build_profiler(
    parts: RunParts,
    window: PhaseWindow,
    *,
    on_row: Callable[[CurveRow], None],
    on_end: Callable[[pl.LightningModule], None],
    node: int = 0,
    has_meters: bool = True,
) -> TargetProfiler:
    """Make the profiler of a rank.

    Args:
        parts: What the run consists of.
        window: The window of this rank.
        on_row: Receives each evaluation.
        on_end: Receives the trained module.
        node: Rank of the node.
        has_meters: Whether this rank reads the meters of its node.
    """
    config = parts.config
    several = config.trainer.num_nodes > 1
    return TargetProfiler(
        target=config.target.build(),
        budget=config.budget,
        cutoffs=cutoff_limits(config.cutoff, config.price),
        max_steps=parts.max_steps,
        num_train_samples=parts.num_train_samples,
        window=window,
        on_row=on_row,
        on_end=on_end,
        nodes=NodeSum(node=node, has_meters=has_meters) if several else None,
    )


def follow(config: TrainConfig, node: int = 0) -> None:
    """Train in a rank other than the first of its node, which measures and writes nothing."""
    prepare_process(config.trainer, config.seed)
    parts = build_task_parts(config, None)  # a module of the user's trains on one device
    parts.compile_and_warm_up()
    window = Window.time_only(parts.synchronize)
    profiler = build_profiler(
        parts, window, on_row=nothing, on_end=nothing, node=node, has_meters=False
    )
    parts.train(profiler)
