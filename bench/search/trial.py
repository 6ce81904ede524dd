"""What a search asks for, and what it is told: the terms that its parts share.

A search never starts a run itself. Whoever does (a sweeper of Hydra, a replay of runs that were
measured before) asks for a trial, makes it, and tells the result. Several trials may be out at
once. What a search asks for next depends on the results so far and not on their order, so that a
search is resumed by telling a new one what was measured before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run that a search asks for.

    The same candidate and seed may come again with a higher limit, where the first one turned out
    to be too low to judge it by.

    Attributes:
        num: Counts the trials of the search, from 0.
        candidate: Which configuration, by its place in the grid.
        seed: Which seed, by its place among those that the search may use: 0 is the first.
        limit: The cost at which the run is stopped, in the unit of the search's cost; None if only
            its own budget ends it.
    """

    num: int
    candidate: int
    seed: int
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a trial.

    Attributes:
        spent: What it cost until it reached the target or ended, in the unit of the search's cost;
            None if that is not known. A run that its limit stopped has spent at least the limit.
        reached: Whether it reached the target; what it spent is then a value, otherwise it is
            censored.
        failed: Whether it ended without a result: it diverged, was killed or was refused.
    """

    spent: float | None
    reached: bool
    failed: bool = False


class Search(Protocol):
    """Chooses the trials, from the results so far."""

    def ask(self) -> Trial | None:
        """The next trial; None if there is none until one that is out has been told, or ever."""

    def tell(self, trial: Trial, result: Result) -> None:
        """Take the result of a trial, of this search or of the one that it resumes."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be asked for, whatever the trials that are out come to."""


class Order(Protocol):
    """Decides which configuration is tried next; bench.search.suggest has two."""

    def next(self, drawn: Iterable[int]) -> int | None:
        """A place in the grid that is not among those drawn; None if there is none left."""

    def tell(self, candidate: int, result: Result, *, stopped: bool) -> None:
        """Take the result of a configuration's first seed."""
