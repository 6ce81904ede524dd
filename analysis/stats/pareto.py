"""Which configurations no other one clearly beats in two metrics at once, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pandas import DataFrame, Series

from analysis.stats.accuracy import is_share, least_num, num_samples, sampling_bounds
from bench.core.arrays import Bools, Floats
from bench.core.metric import Better
from bench.core.metrics import metric_at
from bench.core.stats.intervals import MIN_RUNS, Bounds, finite, median

NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise:
    """What makes two values of a metric differ although nothing else does.

    Attributes:
        least_frac: Two configurations of fewer than six runs differ only by more than this share of
            their values. With six runs, the interval of the median says more, and counts instead.
        num_samples: Samples of the split behind each run's value, aligned with the runs, where the
            metric is a share of them: an accuracy carries the sampling error of its split.
    """

    least_frac: float = 0.0
    num_samples: Series | None = None


def noise_of(runs: DataFrame, name: str) -> Noise:
    """The noise of a column of the runs: of an accuracy its sampling error, else the least effect.

    Args:
        runs: Of load_runs.
        name: Such as `quality_test.accuracy` or `serving.latency_p90_ms`.
    """
    if is_share(name):
        return Noise(num_samples=num_samples(runs, name))
    return Noise(least_frac=metric_at(name).least_effect_frac)


def pareto_front(
    values: Floats, better: tuple[Better, Better], bounds: tuple[Floats, Floats] | None = None
) -> Bools:
    """Which points are not dominated.

    Without bounds, a point is dominated by another that is at least as good in both metrics and
    better in one. Equal points do not dominate one another: all of them are on the front, or none.

    With bounds, a point is dominated by another that is better in one metric by more than the
    uncertainty of their difference, and not worse by more than that in the other. Points that
    cannot be told apart are all on the front, or none. If every point is beaten by some other one,
    which only points of very different uncertainty can do in a circle, all are on the front.

    Args:
        values: Shape (n, 2). A point with a NaN is never on the front and dominates nothing. One
            that is as bad as can be in a metric (infinite where less is better: it never got there)
            is never on the front either.
        better: Which direction is better, for each metric.
        bounds: Lower and upper bounds of the values, each of shape (n, 2).

    Returns:
        Shape (n,).

    Raises:
        ValueError: The shape is another one, or a direction is neither `min` nor `max`.

    Source: the uncertainty of a difference from the bounds of its parts is that of Zou and Donner
        (2008), Construction of confidence limits about effect measures (MOVER).
    """
    costs = _as_costs(values, better)
    usable = (costs < np.inf).all(axis=1)
    front = np.zeros(len(costs), dtype=bool)
    # Of the distances to both bounds, the lower one of a cost is the upper one of a benefit.
    ends = np.sort([_as_costs(each, better) for each in bounds or (values, values)], axis=0)
    front[usable] = _front(costs[usable], costs[usable] - ends[0][usable], ends[1][usable])
    return front


def _front(costs: Floats, down: Floats, upper: Floats) -> Bools:
    """The front of costs of shape (n, 2) with the distances to their lower and upper bounds."""
    gain = costs[None] - costs[:, None]  # [i, j]: how much less i costs than j
    beats = gain > np.hypot((upper - costs)[:, None], down[None])
    some = beats.any(axis=2)
    dominates = some & ~some.T
    front: Bools = np.logical_not(np.logical_or.reduce(dominates, axis=0))
    return front if front.any() else np.ones(len(costs), dtype=bool)


def _as_costs(values: Floats, better: tuple[Better, Better]) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"values: shape {values.shape}, must be (n, 2)")
    for direction in better:
        if direction not in ("min", "max"):
            raise ValueError(f"better={direction}: must be min or max")
    signs = np.array([1.0 if direction == "min" else -1.0 for direction in better])
    costs: Floats = values * signs
    return costs


def front_probability(
    runs: DataFrame,
    x: str,
    y: str,
    better: tuple[Better, Better],
    *,
    missed: Series | None = None,
    noise: tuple[Noise, Noise] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> DataFrame:
    """The front of the medians of each configuration, and how probable its members are.

    The probability is the share of bootstrap resamples in which the configuration is on the front;
    runs are drawn with replacement within each configuration, both metrics of a run together. Few
    runs hardly move when they are resampled, and a single one does not move at all. Shares are
    therefore given only if each configuration with values has six runs: what is on the front
    depends on all of them.

    Args:
        runs: With both columns and `configuration`.
        x: First metric.
        y: Second metric.
        better: Which direction is better, for each.
        missed: Runs that did not reach their target, where a metric is a cost of reaching it: both
            metrics count as the worst. Aligned with the rows.
        noise: Of both metrics (noise_of): smaller differences do not decide the front. By default
            any difference does.
        num_resamples: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row for each `configuration`: `num, num_missing, x, y, on_front, front_probability` (x and
        y under their names; missing where the median is infinite or there is none; the
        probability missing where there are too few runs). num_missing counts runs without one of
        the metrics: they are left out of the medians.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, for the resampling.
    """
    values = runs[[x, y]].to_numpy(dtype=np.float64, na_value=np.nan)
    if missed is not None:
        worst = [np.inf if direction == "min" else -np.inf for direction in better]
        values = np.where(missed.to_numpy(dtype=bool)[:, None], worst, values)
    indices = runs.groupby("configuration", sort=False).indices
    known = [rows[~np.isnan(values[rows]).any(axis=1)] for rows in indices.values()]
    whole = [values[rows] for rows in known]
    medians = np.array([_medians(group[None])[0] for group in whole]).reshape(-1, 2)
    bounds = None if noise is None else _all_bounds(known, whole, medians, noise)
    return DataFrame(
        {
            "configuration": list(indices),
            "num": [len(rows) for rows in indices.values()],
            "num_missing": [
                len(rows) - len(kept) for rows, kept in zip(indices.values(), known, strict=True)
            ],
            x: [finite(value) for value in medians[:, 0]],
            y: [finite(value) for value in medians[:, 1]],
            "on_front": pareto_front(medians, better, bounds),
            "front_probability": _shares(whole, better, bounds, num_resamples, seed),
        }
    ).astype({x: "float64", y: "float64"})


def _all_bounds(
    known: list[npt.NDArray[np.intp]],
    whole: list[Floats],
    medians: Floats,
    noise: tuple[Noise, Noise],
) -> tuple[Floats, Floats]:
    """Lower and upper bounds of the medians, each of shape (n, 2)."""
    found = np.array(
        [
            [_bounds(group[:, axis], float(middle[axis]), noise[axis], rows) for axis in (0, 1)]
            for rows, group, middle in zip(known, whole, medians, strict=True)
        ]
    ).reshape(-1, 2, 2)
    return found[..., 0], found[..., 1]


def _bounds(values: Floats, middle: float, noise: Noise, rows: npt.NDArray[np.intp]) -> Bounds:
    if not math.isfinite(middle):
        return middle, middle
    low = high = middle
    if noise.num_samples is not None:
        low, high = sampling_bounds(middle, least_num(noise.num_samples.iloc[rows]))
    if len(values) >= MIN_RUNS:
        spread = median(values)
        return (
            min(low, -math.inf if spread.low is None else spread.low),
            max(high, math.inf if spread.high is None else spread.high),
        )
    # The difference of two such values has the root of the sum of both squares: the least effect.
    half_width = noise.least_frac * abs(middle) / math.sqrt(2)
    return min(low, middle - half_width), max(high, middle + half_width)


def _shares(
    groups: list[Floats],
    better: tuple[Better, Better],
    bounds: tuple[Floats, Floats] | None,
    num_resamples: int,
    seed: int,
) -> Floats:
    """Of each group, the share of resamples in which it is on the front; NaN with too few runs."""
    if any(0 < len(group) < MIN_RUNS for group in groups):
        return np.full(len(groups), np.nan)
    rng = np.random.default_rng(seed)
    drawn = np.full((num_resamples, len(groups), 2), np.nan)
    for place, group in enumerate(groups):
        if len(group):
            rows = rng.integers(0, len(group), size=(num_resamples, len(group)))
            drawn[:, place] = _medians(group[rows])
    middle = np.array([_medians(group[None])[0] for group in groups]).reshape(-1, 2)
    with np.errstate(invalid="ignore"):  # of a median that is infinite, nothing is known
        low, high = (
            np.nan_to_num(end - middle, nan=0, posinf=np.inf, neginf=-np.inf)
            for end in bounds or (middle, middle)
        )
    total = np.zeros(len(groups))
    for each in drawn:
        total += pareto_front(each, better, (each + low, each + high))
    shares = total / num_resamples
    return np.where([len(group) > 0 for group in groups], shares, np.nan)


def _medians(groups: Floats) -> Floats:
    """Medians along the second axis, of shape (b, n, 2); NaN for n = 0.

    Of two middle values of which one is infinite, the median is that infinity.
    """
    num = groups.shape[1]
    if not num:
        return np.full((len(groups), 2), np.nan)
    ordered = np.sort(groups, axis=1)
    low, high = ordered[:, (num - 1) // 2], ordered[:, num // 2]
    with np.errstate(invalid="ignore"):  # of two infinities, which are not used
        middle = low + (high - low) / 2
    return np.where(np.isinf(low) | (low == high), low, middle)
