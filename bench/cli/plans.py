"""What the jobs of a command come to: the plan of each, and how many there are of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from bench.cli.plan_serve import plan_serving
from bench.cli.resolve import Planned, plan_training

# By the name of the command's primary configuration file.
PLANS: dict[str, Callable[[DictConfig], Sequence[Planned]]] = {
    "train": plan_training,
    "serve": plan_serving,
}


@dataclass(slots=True)
class Agenda:
    """The runs of this command, as its sweeper has planned them.

    Attributes:
        num_runs: Of all jobs together.
        swept: The keys that differ between the jobs.
    """

    num_runs: int = 1
    swept: Sequence[str] = ()


# Hydra makes the sweeper itself, so that there is no other way from there to the sweep.
AGENDA = Agenda()
