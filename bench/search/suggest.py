"""The order in which a search tries the configurations of a grid: at random, or by Optuna."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.core.errors import LibraryMissing, needs_extra
from bench.search.trial import Result


class RandomOrder:
    """Tries every configuration once, in random order.

    Args:
        num_candidates: Configurations in the grid.
        seed: Of the order.
    """

    def __init__(self, num_candidates: int, seed: int = 0) -> None:
        self._places: list[int] = np.random.default_rng(seed).permutation(num_candidates).tolist()

    def next(self, drawn: Iterable[int]) -> int | None:
        """See bench.search.race.Order."""
        known = set(drawn)
        return next((place for place in self._places if place not in known), None)

    def tell(self, candidate: int, result: Result, *, stopped: bool) -> None:
        """Ignore the result: the order is fixed."""


class OptunaOrder:
    """Tries what Optuna's TPE suggests, each configuration once.

    The values of a key that are all numbers are ordered for Optuna, others are categories. Where it
    suggests a configuration again, the nearest one that is left takes its place. A stopped run or
    one that missed is told as pruned, which TPE ranks behind all others; a failed one as failed,
    which it ignores.

    Args:
        grid: The swept keys of each configuration, with their values.
        seed: Of Optuna's sampler.

    Raises:
        LibraryMissing: Optuna is not installed.

    Source: Bergstra et al. (2011), Algorithms for hyper-parameter optimization; Optuna's
        documentation, "Ask-and-tell interface".
    """

    def __init__(self, grid: Sequence[Mapping[str, Any]], seed: int = 0) -> None:
        with needs_extra("search", "hydra.sweeper.suggest=optuna: optuna", LibraryMissing):
            import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports each trial
        self._optuna = optuna
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        levels = {key: _levels([each[key] for each in grid]) for key in (grid[0] if grid else {})}
        self._rows = [
            {key: values.index(each[key]) for key, values in levels.items()} for each in grid
        ]
        self._places = {tuple(row.values()): place for place, row in enumerate(self._rows)}
        self._ordered = {key: _is_numeric(values) for key, values in levels.items()}
        self._distributions: dict[str, Any] = {
            key: optuna.distributions.IntDistribution(0, len(values) - 1)
            if self._ordered[key]
            else optuna.distributions.CategoricalDistribution(range(len(values)))
            for key, values in levels.items()
        }
        self._open: dict[int, Any] = {}

    def next(self, drawn: Iterable[int]) -> int | None:
        """See bench.search.race.Order."""
        left = sorted(set(range(len(self._rows))) - set(drawn))
        if not left:
            return None
        trial = self._study.ask(self._distributions)
        place = self._places.get(tuple(trial.params[key] for key in self._distributions))
        if place not in left:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            place = min(left, key=lambda each: self._distance(trial.params, self._rows[each]))
            self._study.enqueue_trial(self._rows[place])
            trial = self._study.ask(self._distributions)
        self._open[place] = trial
        return place

    def tell(self, candidate: int, result: Result, *, stopped: bool) -> None:
        """See bench.search.race.Order."""
        states = self._optuna.trial.TrialState
        value = result.spent if result.reached else None
        state = states.PRUNED if value is None else states.COMPLETE
        if result.failed or (value is None and result.reached):
            state = states.FAIL
        trial = self._open.pop(candidate, None)
        if trial is not None:
            self._study.tell(trial, value, state=state)
            return
        # Measured before this search began, which goes on from there.
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=state,
                value=value,
                params=self._rows[candidate],
                distributions=self._distributions,
            )
        )

    def _distance(self, first: Mapping[str, int], second: Mapping[str, int]) -> int:
        return sum(
            abs(first[key] - second[key]) if ordered else int(first[key] != second[key])
            for key, ordered in self._ordered.items()
        )


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _levels(values: Sequence[Any]) -> list[Any]:
    """The distinct values of a key, numbers in order."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if _is_numeric(distinct) else distinct
