"""What the jobs of a command come to: how each is checked, and how many runs there are of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from bench.cli.plan_serve import check_serving, serving_values
from bench.cli.resolve import Checked, check_training, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """How the jobs of one command are planned.

    values gives the resolved values of a configuration; check refuses them or tells what the job
    comes to, from them and from what was given on the command line.
    """

    values: Callable[[DictConfig], dict[str, Any]]
    check: Callable[[Mapping[str, Any], Sequence[str]], Checked]


# By the name of the command's primary configuration file.
PLANNINGS: dict[str, Planning] = {
    "train": Planning(values=plain, check=check_training),
    "serve": Planning(values=serving_values, check=check_serving),
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
