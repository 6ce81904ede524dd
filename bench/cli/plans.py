"""Which plan belongs to which command, by the name of its primary configuration file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omegaconf import DictConfig

from bench.cli.plan_serve import plan_serving
from bench.cli.resolve import Planned, plan_training

PLANS: dict[str, Callable[[DictConfig], Sequence[Planned]]] = {
    "train": plan_training,
    "serve": plan_serving,
}
