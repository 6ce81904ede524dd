"""The median of a metric over the runs of one configuration, and what it may be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.core.metric import Metric
from bench.gate.model import GateRun
from bench.gate.sides.facts import PASSING, difference, has_same_joules
from bench.gate.sides.joules import JOULE_FACTS, value_or_miss

# Facts that may change from one acceptance to the next: machines of one kind stand for one another.
_CHANGING = ("host.name", "schema_version", *JOULE_FACTS, *PASSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedMedian:
    """A median, when it was accepted, and for joules how they were obtained and of what."""

    value: float
    utc: str
    commit: str | None
    label: str | None
    components: Any = None


def lasting_facts(run: GateRun) -> dict[str, Any]:
    """The facts of a run that medians of different days have to share."""
    return {name: value for name, value in run.facts.items() if name not in _CHANGING}


def agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether facts are the same, as far as both record them."""
    return all(difference(name, [[one[name]], [other.get(name)]]) is None for name in one)


def has_same_basis(one: AcceptedMedian, other: AcceptedMedian) -> bool:
    """Whether two medians of joules were obtained alike and are of the same components."""
    has_same_parts = difference("components", [[one.components], [other.components]]) is None
    return one.label == other.label and has_same_parts


def median_of(metric: Metric, runs: Sequence[GateRun], utc: str) -> AcceptedMedian | None:
    """The median of the comparable runs; infinite where most missed.

    None where it was not measured, or where the runs' joules were not obtained alike.
    """
    comparable = [run for run in runs if run.comparable is not False]
    known = [
        (run, value) for run in comparable if (value := value_or_miss(metric, run)) is not None
    ]
    if not known or any(metric.name in run.modelled for run, _ in known):
        return None
    if not has_same_joules(metric, [run for run, _ in known]):
        return None
    joules, facts = metric.joules, known[0][0].facts
    return AcceptedMedian(
        value=float(np.median([value for _, value in known])),
        utc=utc,
        commit=runs[-1].git_commit,
        label=None if joules is None else facts.get(joules.label),
        components=None if joules is None else facts.get(joules.components),
    )
