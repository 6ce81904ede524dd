"""How the sweeper plans the jobs of each command: what the flows do for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from bench.cli.overrides import Checked, key_of, plain_values
from bench.core.sweep_folder import PlannedJob


class Planning(NamedTuple):  # no dataclass: Hydra imports a plugin without naming its module
    """How to plan the jobs of one command.

    Attributes:
        values: Resolves a composed configuration.
        check: Refuses wrong values, or returns the number of runs of the job and their needs. It
            gets the values and the overrides.
        digests: The hash of each run of a job. It gets the values with seed and repeat 0, and the
            overrides.
        spread: Makes one job for each run of a job. It gets the values and the overrides; None if
            a job has one run in any case.
    """

    values: Callable[[DictConfig], dict[str, Any]]
    check: Callable[[Mapping[str, Any], Sequence[str]], Checked]
    digests: Callable[[Mapping[str, Any], Sequence[str]], Sequence[str]]
    spread: Callable[[Mapping[str, Any], Sequence[str]], Sequence[Sequence[str]]] | None = None


def _training() -> Planning:
    from bench.training.plan import check_training, training_digests

    return Planning(values=plain_values, check=check_training, digests=training_digests)


def _serving() -> Planning:
    from bench.serving.plan import check_serving, serving_digests, serving_values, spread_serving

    return Planning(
        values=serving_values,
        check=check_serving,
        digests=serving_digests,
        spread=spread_serving,
    )


def _maintaining() -> Planning:
    from bench.drift.plan import check_maintaining, maintaining_digests

    return Planning(values=plain_values, check=check_maintaining, digests=maintaining_digests)


# By the name of the command's primary file. Functions, because Hydra imports this module for every
# command, and only a sweep needs the flows and what they import.
PLANNINGS: dict[str, Callable[[], Planning]] = {
    "train": _training,
    "serve": _serving,
    "maintain": _maintaining,
}


def is_auto(override: Override) -> bool:
    """Whether an override asks for repeats until an interval is narrow."""
    return override.key_or_group == "repeat" and override.value() == "auto"


def spread(
    planning: Planning,
    jobs: Sequence[Sequence[str]],
    values: Callable[[Sequence[str]], Mapping[str, Any]],
) -> Sequence[Sequence[str]]:
    """Make a job of each run, so that each can be launched by itself.

    Args:
        planning: Of the command.
        jobs: The overrides of each job.
        values: The resolved values of a job, by its overrides.
    """
    if planning.spread is None:
        return jobs
    return [each for overrides in jobs for each in planning.spread(values(overrides), overrides)]


def swept_keys(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the jobs, by their names in the records."""
    return [key_of(values[0]) for values in zip(*jobs, strict=True) if len(set(values)) > 1]


class Agenda(NamedTuple):
    """The first job of each results folder, by the folder, the jobs to launch, and their facts."""

    first_jobs: Mapping[str, Sequence[str]]
    jobs: Sequence[PlannedJob]
    facts: Sequence[Mapping[str, Any]] = ()
