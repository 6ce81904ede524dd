"""The configurations of a grid, among which a search chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cli.overrides import key_of
from bench.core.sweep_folder import PlannedJob, RunKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A configuration of the grid.

    Attributes:
        overrides: Those of its first job, without seed and repeat.
        key: The run of its first job; its other runs differ in the seed.
        facts: Of its values, at least `results`, `resume`, `price` and `grid`.
    """

    overrides: Sequence[str]
    key: RunKey
    facts: Mapping[str, Any]


def candidates_of(
    jobs: Sequence[PlannedJob], facts: Sequence[Mapping[str, Any]]
) -> tuple[list[Candidate], list[int]]:
    """The configurations of a grid, and the seeds that it gives, each once and in order.

    Args:
        jobs: The jobs of the grid, with one run each.
        facts: Of the values of each job, as Candidate has them.

    Raises:
        ValueError: The grid gives several repeats, or a configuration twice.
    """
    candidates: dict[tuple[str, str, str], Candidate] = {}
    for job, values in zip(jobs, facts, strict=True):
        (key,) = job.keys
        overrides = [text for text in job.overrides if key_of(text) not in ("seed", "repeat")]
        place = (key.config_hash, str(values.get("price")), str(values.get("grid")))
        known = candidates.setdefault(place, Candidate(overrides=overrides, key=key, facts=values))
        if known.overrides != overrides:
            first, second = known.overrides, overrides
            raise ValueError(
                f"{_without(first, second)} and {_without(second, first)}: give the same"
                " configuration, and a search repeats it itself; leave one out"
            )
    repeats = dict.fromkeys(key.repeat for job in jobs for key in job.keys)
    if len(repeats) > 1:
        raise ValueError(
            f"repeat={','.join(map(str, repeats))}: a search repeats runs itself, with further "
            "seeds; leave repeat out"
        )
    return list(candidates.values()), list(
        dict.fromkeys(key.seed for job in jobs for key in job.keys)
    )


def _without(overrides: Sequence[str], others: Sequence[str]) -> str:
    return " ".join(text for text in overrides if text not in others)
