"""How fast batches of one size were: groups of them, and what several groups say together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A group of batches; spent_s includes the groups before it."""

    batch_size: int
    num_batches: int
    elapsed_s: float
    spent_s: float

    @property
    def num_inputs(self) -> int:
        """Inputs of all batches."""
        return self.batch_size * self.num_batches

    @property
    def per_s(self) -> float:
        """Inputs per second."""
        return self.num_inputs / self.elapsed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """What the groups of one batch size gave together; per_s is that of the median group."""

    batch_size: int
    num_inputs: int
    per_s: float


def together(groups: Sequence[Timing]) -> Throughput:
    """What at least one group of the same batch size says."""
    return Throughput(
        batch_size=groups[0].batch_size,
        num_inputs=sum(group.num_inputs for group in groups),
        per_s=statistics.median(map(per_second, groups)),
    )


def per_second(timing: Timing) -> float:
    """Inputs per second, as a key to compare timings by."""
    return timing.per_s


def nearly_best(timings: Sequence[Timing], frac: float) -> list[Timing]:
    """Those whose throughput is at least a share of the best."""
    best = max(map(per_second, timings), default=0.0)
    return [one for one in timings if one.per_s >= frac * best]
