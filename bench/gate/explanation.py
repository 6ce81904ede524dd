"""What took the time that was lost: the operators and the phases of both sides, compared.

One more run of each side is traced by torch.profiler. That slows it down, and is one run, so it
says where to look, not how much was lost. Joules are not measured by operator: an operator's share
of the joules is taken to be its share of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.operators import OperatorTrace

# What is not in an operator: Python, waiting, loading data.
OUTSIDE = "outside of operators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An operator, or a phase of the clock.

    Attributes:
        name: Of the operator, or of the phase.
        base_s: Seconds of the base; of an operator by itself, on the processor and the GPU.
        candidate_s: Likewise.
        base_calls: How often it was called; None for a phase.
        candidate_calls: Likewise.
        base_j: Joules of a phase; of an operator, its share of the joules by time. None if unknown.
        candidate_j: Likewise.
    """

    name: str
    base_s: float
    candidate_s: float
    base_calls: int | None = None
    candidate_calls: int | None = None
    base_j: float | None = None
    candidate_j: float | None = None

    @property
    def lost_s(self) -> float:
        """How much longer it takes in the candidate."""
        return self.candidate_s - self.base_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the time went.

    Attributes:
        phases: Medians of the runs that were compared, largest loss first.
        operators: Of the traced runs, largest loss first; empty if one side has no trace.
        reason: Why there are no operators.
    """

    phases: list[Part]
    operators: list[Part]
    reason: str = ""


def compare_operators(
    base: OperatorTrace,
    candidate: OperatorTrace,
    energies_j: Sequence[float | None] = (None, None),
) -> list[Part]:
    """The operators of both sides, and what is outside of them, largest loss first.

    Args:
        base: Of its traced run.
        candidate: Likewise.
        energies_j: Joules of a run of each side, which are shared out by time.
    """
    sides = [_seconds(trace) for trace in (base, candidate)]
    calls = [{each.name: each.num_calls for each in trace.operators} for trace in (base, candidate)]
    walls_s = (base.wall_s, candidate.wall_s)

    def joules(side: int, time_s: float) -> float | None:
        energy_j = energies_j[side]
        return None if energy_j is None else energy_j * time_s / walls_s[side]

    parts = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        times_s = [side.get(name, 0.0) for side in sides]
        parts.append(
            Part(
                name=name,
                base_s=times_s[0],
                candidate_s=times_s[1],
                base_calls=None if name == OUTSIDE else calls[0].get(name, 0),
                candidate_calls=None if name == OUTSIDE else calls[1].get(name, 0),
                base_j=joules(0, times_s[0]),
                candidate_j=joules(1, times_s[1]),
            )
        )
    return _ordered(parts)


def _seconds(trace: OperatorTrace) -> dict[str, float]:
    """Seconds by operator; the rest of the wall time is outside of operators."""
    seconds = {each.name: each.cpu_s + each.device_s for each in trace.operators}
    # Operators may overlap, on the GPU or in other threads: the rest is then nothing, not negative.
    rest_s = trace.wall_s - sum(each.cpu_s for each in trace.operators)
    return {**seconds, OUTSIDE: max(0.0, rest_s)}


def compare_phases(
    base: Mapping[str, Sequence[float]],
    candidate: Mapping[str, Sequence[float]],
    base_j: Mapping[str, Sequence[float]],
    candidate_j: Mapping[str, Sequence[float]],
) -> list[Part]:
    """The phases that both sides have, by the medians of their runs, largest loss first.

    Args:
        base: Seconds of each run, by phase.
        candidate: Likewise.
        base_j: Joules of each run, by phase; without those that are unknown.
        candidate_j: Likewise.
    """
    return _ordered(
        [
            Part(
                name=name,
                base_s=float(np.median(base[name])),
                candidate_s=float(np.median(candidate[name])),
                base_j=median_or_none(base_j.get(name, ())),
                candidate_j=median_or_none(candidate_j.get(name, ())),
            )
            for name in base
            if name in candidate and base[name] and candidate[name]
        ]
    )


def median_or_none(values: Sequence[float]) -> float | None:
    """The median; None of no values."""
    return float(np.median(values)) if values else None


def _ordered(parts: Sequence[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: -part.lost_s)
