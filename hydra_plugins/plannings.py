"""How the sweeper plans the jobs of each command: what the flows do for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig

from bench.cli.overrides import Checked, plain_values


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
