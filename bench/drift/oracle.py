"""The oracle: when to retrain, if the future were known.

The matrix of errors has a row for each model and a column for each window, (T, T). Model 0 is the
initial one, and costs nothing. Model i is trained at the end of window i - 1 on what a policy could
have had then, and serves from window i on; entries with j < i are ignored. A schedule is the
windows at whose end a retraining happens, as a policy decides: window i - 1 for model i. One at the
end of the last window would serve nothing.

The matrix holds for all schedules only if a model does not depend on the retrainings before it: if
it is trained from scratch on labels that do not depend on earlier answers, takes over in any case,
and is ready at once.

Both searches go backwards through the windows: with model i deployed at the beginning of window i,
the best is min over k of (its windows i to k - 1, then model k, then the best from k on). With
cumulative sums this takes O(T^2) steps.

Source: Mahadevan and Mathioudakis, "Cost-effective retraining of machine learning models",
Knowledge-Based Systems 293, 2024 (the oracle of CARA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.drift.samples import Index

_Doubles = NDArray[np.float64]
# Sums of the same numbers in another order differ by less than this share.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When to retrain.

    Attributes:
        windows: Windows at whose end a retraining happens, ascending.
        total_usd: Price of the retrainings and of all errors; None if joules were asked for.
        total_j: Joules of the retrainings; None if dollars were asked for.
    """

    windows: tuple[int, ...]
    total_usd: float | None = None
    total_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Burden:
    """What a schedule is to have little of.

    Attributes:
        serving: Of model i in window j >= i, (T, T).
        training: Of training each model, (T,).
    """

    serving: _Doubles
    training: _Doubles


def cheapest(errors: _Doubles, retrain_usd: _Doubles, error_price_usd: float) -> Schedule:
    """Find the schedule with the least price of retrainings and errors; then fewest retrainings.

    Args:
        errors: Wrong predictions of each model in each window, (T, T).
        retrain_usd: Price of training each model, (T,); inf for one that cannot be trained.
        error_price_usd: Price of one wrong prediction.
    """
    windows = _best(
        [
            _Burden(serving=errors * error_price_usd, training=retrain_usd),
            _number_of_retrainings(errors),
        ],
        np.isfinite(retrain_usd),
    )
    return Schedule(
        windows=windows, total_usd=total_usd(windows, errors, retrain_usd, error_price_usd)
    )


def fewest_joules(
    errors: _Doubles, num_judged: Index, retrain_j: _Doubles, target: float
) -> Schedule:
    """Find the schedule that stays accurate with the fewest joules; then fewest retrainings.

    It has as many windows on target as any schedule can have: often each in which some model would
    be on target, but a schedule cannot go back to an older model.

    Args:
        errors: Wrong predictions of each model in each window, (T, T).
        num_judged: Predictions of each window whose truth is known, (T,). A window without any is
            on target.
        retrain_j: Joules of training each model, (T,); inf for one that cannot be trained.
        target: The accuracy to hold.
    """
    right = num_judged - errors
    is_off_target = (num_judged > 0) & (right / np.maximum(num_judged, 1) < target)
    windows = _best(
        [
            _Burden(serving=is_off_target.astype(np.float64), training=np.zeros(len(errors))),
            _Burden(serving=np.zeros(errors.shape), training=retrain_j),
            _number_of_retrainings(errors),
        ],
        np.isfinite(retrain_j),
    )
    return Schedule(windows=windows, total_j=float(retrain_j[_trained(windows)].sum()))


def total_usd(
    windows: Sequence[int], errors: _Doubles, retrain_usd: _Doubles, error_price_usd: float
) -> float:
    """The price of a schedule: of its retrainings, and of the errors of the models it deploys.

    Args:
        windows: Windows at whose end it retrains, ascending.
        errors: Wrong predictions of each model in each window, (T, T).
        retrain_usd: Price of training each model, (T,).
        error_price_usd: Price of one wrong prediction.
    """
    deployed = deployed_models(windows, len(errors))
    wrong = errors[deployed, np.arange(len(errors))].sum()
    return float(retrain_usd[_trained(windows)].sum() + wrong * error_price_usd)


def deployed_models(windows: Sequence[int], num_windows: int) -> Index:
    """The model that serves each window under a schedule, (num_windows,)."""
    models = np.zeros(num_windows, dtype=np.int64)
    models[_trained(windows)] = _trained(windows)
    return np.maximum.accumulate(models)


def _trained(windows: Sequence[int]) -> Index:
    """The models that a schedule trains: one for each of its windows."""
    return np.array(windows, dtype=np.int64) + 1


def _number_of_retrainings(errors: _Doubles) -> _Burden:
    return _Burden(serving=np.zeros(errors.shape), training=np.ones(len(errors)))


def _best(burdens: Sequence[_Burden], is_available: NDArray[np.bool_]) -> tuple[int, ...]:
    """Find the schedule with the least of the first burden; of these, of the second; and so on.

    Args:
        burdens: The most important one first.
        is_available: Whether each model can be trained, (T,).
    """
    num_windows = len(is_available)
    trained = 1 + np.flatnonzero(is_available[1:])
    # Row i: the burdens from window i on, if model i is deployed there. The last one is the end.
    remaining = np.zeros((num_windows + 1, len(burdens)))
    successor = np.full(num_windows, num_windows)
    for model in (*reversed(trained), 0):
        later = np.append(trained[trained > model], num_windows)
        best = np.arange(len(later))
        for number, burden in enumerate(burdens):
            served = np.cumsum(burden.serving[model, model:])[later - model - 1]
            totals = served + np.append(burden.training, 0.0)[later] + remaining[later, number]
            least = totals[best].min()
            best = best[totals[best] <= least + _ROUNDING * abs(least)]
            remaining[model, number] = least
        successor[model] = later[best[-1]]
    windows = []
    model = successor[0]
    while model < num_windows:
        windows.append(int(model) - 1)
        model = successor[model]
    return tuple(windows)
