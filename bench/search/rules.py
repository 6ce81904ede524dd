"""The rules of a race: how far it lets a configuration fall behind, and when it tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from bench.core.stats.looks import level_at, look_sizes
from bench.core.stats.ranks import ALPHA, smallest_p

BETA = 1.5
MAX_SEEDS = 10
DIRECTIONS = 2  # either of two configurations could have led


class Best(NamedTuple):
    """The best cost so far, and the number of seeds behind it."""

    ert: float
    num_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a race.

    Attributes:
        beta: A run is stopped at this factor of the best so far; above 1.
        max_seeds: Seeds that a configuration may have.
        max_candidates: Configurations that are tried; None for all.
        max_spent: The search ends once it has spent this, in the unit of the cost; None for no end.
        alpha: How often, at most, leader and second of equal cost are called different.
    """

    beta: float = BETA
    max_seeds: int = MAX_SEEDS
    max_candidates: int | None = None
    max_spent: float | None = None
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if self.beta <= 1:
            raise ValueError(f"beta={self.beta}: must be above 1, or nothing beats the best so far")
        if self.max_seeds < 1:
            raise ValueError(f"max_seeds={self.max_seeds}: must be at least 1")

    def margin(self, num_seeds: int, num_best: int) -> float:
        """By which factor a mean of `num_seeds` may exceed the best so far, one of `num_best`.

        The standard error of their difference shrinks likewise.
        """
        return 1 + (self.beta - 1) * math.sqrt((1 / num_seeds + 1 / num_best) / 2)

    def looks(self) -> list[int]:
        """Numbers of further seeds after which leader and second are tested; none if too few."""
        most = self.max_seeds - 1
        possible = (
            num
            for num in range(1, most + 1)
            if DIRECTIONS * smallest_p(num, num) <= self.level(num, 0)
        )
        return look_sizes(next(possible, self.max_seeds), most)

    def level(self, num_seeds: int, previous: int) -> float:
        """The level of a look at further seeds, after the one before it."""
        return level_at(num_seeds, previous=previous, max_runs=self.max_seeds - 1, alpha=self.alpha)
