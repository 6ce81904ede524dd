"""A configuration at the end of a race: its expected cost, and what bounds it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.core.scales import Scale, Unit, quantity
from bench.core.stats.expected_cost import expected_cost
from bench.core.stats.intervals import MIN_RUNS, Estimate
from bench.search.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A configuration at the end of a race.

    Attributes:
        name: What its overrides of the swept keys are.
        overrides: All of them.
        ert: Its expected cost with restarts.
        num_hits: Of its runs, those that reached the target.
        num_stopped: Those that the race stopped.
    """

    name: str
    overrides: Sequence[str]
    ert: Estimate
    num_hits: int
    num_stopped: int


def place_of(candidate: Candidate, name: str, overrides: Sequence[str]) -> Place:
    """What is known of a configuration.

    Args:
        candidate: Its runs.
        name: What its overrides of the swept keys are.
        overrides: All of them.
    """
    cost, hit = candidate.outcomes()
    ert = expected_cost(cost, hit, misses=False)
    if ert.low is None and len(cost) < MIN_RUNS and hit.sum() > 1:
        ert = Estimate(
            value=ert.value,
            low=float(np.min(cost[hit])),
            high=float(np.max(cost)) if hit.all() else None,
            num=len(cost),
            kind="range",
        )
    return Place(
        name=name,
        overrides=overrides,
        ert=ert,
        num_hits=candidate.num_hits,
        num_stopped=candidate.num_stopped,
    )


def place_as_json(place: Place | None) -> dict[str, Any] | None:
    """A configuration as JSON has it; costs are in base units."""
    if place is None:
        return None
    return {
        "overrides": list(place.overrides),
        "ert": place.ert.value,
        "low": place.ert.low,
        "high": place.ert.high,
        "bounds": place.ert.kind if place.ert.low is not None else None,
        "num_runs": place.ert.num,
        "num_reached": place.num_hits,
        "num_stopped": place.num_stopped,
    }


def bounds_text(ert: Estimate, scale: Scale, unit: Unit) -> str:
    """The bounds of an expected cost: `[low, high]`, or `low to high` of too few runs."""
    if ert.low is None:
        return ""
    high = "inf" if ert.high is None else quantity(ert.high, scale, unit)
    low = quantity(ert.low, scale, unit)
    return f"[{low}, {high}]" if ert.kind == "interval" else f"{low} to {high}"


def bounds_note(places: Sequence[Place]) -> str:
    """What the bounds of these configurations mean."""
    kinds = {place.ert.kind for place in places if place.ert.low is not None}
    notes = {
        "range": f"a to b: smallest and largest cost, of fewer than {MIN_RUNS} runs.",
        "interval": "[a, b]: the 95% interval of the ERT.",
    }
    return " ".join(notes[kind] for kind in notes if kind in kinds)
