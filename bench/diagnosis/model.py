"""What bench.doctor finds out about a machine: what it prints, and what `json=` stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.core.labels import EnergyLabel

# good: as it should be. note: worth knowing. bad: it disturbs measurements, or something is
# missing. unknown: the system does not say.
State = Literal["good", "note", "bad", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is, in a word or two.
        state: How it is.
        text: What was found.
        remedy: What to do about it: a command where there is one; empty for nothing.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFinding:
    """A part of the machine whose joules a meter can measure here.

    Attributes:
        component: Its name, as in `energy[]` of a record.
        source: Where the joules come from.
        label: How they are obtained.
        refresh_s: Time between two changes of the counter.
        shortest_s: The shortest window whose joules are not flagged `below_resolution`.
        error_frac: Bound on the error, as a share of the joules.
        edge_error_j: Bound on what both edges of a window add to it.
    """

    component: str
    source: str
    label: EnergyLabel
    refresh_s: float
    shortest_s: float
    error_frac: float
    edge_error_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFinding:
    """An energy meter that was tried.

    Attributes:
        meter: Its name in `meter.sources`.
        components: What it measures; empty if it does not work.
        reasons: Why it, or a part of it, does not work.
        remedy: What to do about it; empty for nothing.
    """

    meter: str
    components: Sequence[ComponentFinding]
    reasons: Sequence[str]
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNoise:
    """How much the time of one training step varies here, in one process.

    Attributes:
        num_repeats: How often the same steps were timed.
        num_steps: Steps of each repeat.
        step_s: Median time of a step.
        variation_frac: Coefficient of variation of the repeats.
        slowdown_frac: By the number of runs on each side, the smallest slowdown that the gate would
            find in nine of ten comparisons if runs differed as these repeats do, and it compared
            the time per sample alone; None if there is none up to eleven times the time.
    """

    num_repeats: int
    num_steps: int
    step_s: float
    variation_frac: float
    slowdown_frac: Mapping[int, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that bench.doctor found out.

    Attributes:
        host: Facts of the host, as in a record.
        meters: Every energy meter.
        sources: What else a run records of its machine.
        disturbances: What may disturb a measurement, and how it is here.
        extras: Optional libraries of this project.
        data: Data sets that are read from files.
        noise: How much a short step varies.
        flags: Health flags of the measurement of the step; a run would have the same.
        comparable: Whether a run of this moment would be comparable.
    """

    host: Mapping[str, Any]
    meters: Sequence[MeterFinding]
    sources: Sequence[Finding]
    disturbances: Sequence[Finding]
    extras: Sequence[Finding]
    data: Sequence[Finding]
    noise: StepNoise
    flags: Sequence[str]
    comparable: bool
