"""Which configurations no other one clearly beats in two metrics, and how certain that is."""

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
from bench.core.stats.intervals import MIN_RUNS, Bounds, median

NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise:
    """How far two values of a metric can differ by chance.

    Attributes:
        least_frac: Two configurations with fewer than six runs differ only if their values do by
            more than this share. From six runs on, the interval of the median decides instead.
        num_samples: Samples of the split behind each run's value, aligned with the runs, if the
            metric is a share of them: an accuracy has the sampling error of its split.
    """

    least_frac: float = 0.0
    num_samples: Series | None = None


def noise_of(runs: DataFrame, name: str) -> Noise:
    """The noise of a column of the runs: sampling error of an accuracy, else the least effect.

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
    """Find the points that no other point dominates.

    Without bounds, a point is dominated by another that is at least as good in both metrics and
    better in one. Equal points do not dominate one another: all of them are on the front, or none.

    With bounds, a point is dominated by another that is better in one metric by more than the
    uncertainty of their difference, and not worse by more than that in the other. Points that
    cannot be told apart are all on the front, or none. Points of very different uncertainty can
    beat one another in a circle; if every point is beaten, all are on the front.

    Args:
        values: Shape (n, 2). A point with a NaN is never on the front and dominates nothing. Nor is
            a point on the front that has the worst possible value (infinite if less is better, for
            a configuration that missed its target).
        better: Which direction is better, for each metric.
        bounds: Lower and upper bounds of the values, each of shape (n, 2).

    Returns:
        Shape (n,).

    Raises:
        ValueError: The shape is another one, or a direction is neither `min` nor `max`.

    Source: the uncertainty of a difference from the bounds of its parts is that of Zou and Donner
        (2008), Construction of confidence limits about effect measures (MOVER).
    """
    usable, dominates = _dominance(values, better, bounds)
    front = np.zeros(len(usable), dtype=bool)
    free: Bools = np.logical_not(np.logical_or.reduce(dominates, axis=0))
    front[usable] = free if free.any() else True
    return front


def beaten_by(
    values: Floats, better: tuple[Better, Better], bounds: tuple[Floats, Floats] | None = None
) -> list[int | None]:
    """Find what dominates each point that is not on the front: a member of it where one does.

    Args:
        values: As for pareto_front.
        better: As for pareto_front.
        bounds: As for pareto_front.

    Returns:
        The place of the other point; None for members of the front, and for points that are not on
        it for another reason.
    """
    usable, dominates = _dominance(values, better, bounds)
    places = np.flatnonzero(usable)
    found: list[int | None] = [None] * len(usable)
    front = pareto_front(values, better, bounds)
    for column in np.flatnonzero(~front[places]):
        others = dominates[:, column]
        others = others & front[places] if (others & front[places]).any() else others
        found[places[column]] = int(places[others.argmax()])
    return found


def _dominance(
    values: Floats, better: tuple[Better, Better], bounds: tuple[Floats, Floats] | None
) -> tuple[Bools, Bools]:
    """Which points can be on a front, and, of these, whether point i dominates point j: [i, j]."""
    costs = _as_costs(values, better)
    # NaN compares as false, so this drops missing values as well as misses.
    usable: Bools = np.logical_and.reduce(costs < np.inf, axis=1)
    # Sorted, because a benefit becomes a cost by its sign: its lower bound is then the upper one.
    ends = np.sort([_as_costs(each, better) for each in bounds or (values, values)], axis=0)
    costs, upper = costs[usable], ends[1][usable]
    down = costs - ends[0][usable]
    gain = costs[None] - costs[:, None]  # [i, j]: how much less i costs than j
    # The gain must exceed the uncertainty of the difference: the upper side of the better one and
    # the lower side of the worse one.
    beats = gain > np.hypot((upper - costs)[:, None], down[None])
    beats_in_one = beats.any(axis=2)
    # Better in one metric, and not beaten in any.
    dominates: Bools = beats_in_one & ~beats_in_one.T
    return usable, dominates


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
    """Find the front of the medians of the configurations, and how probable its members are.

    The probability is the share of bootstrap resamples in which the configuration is on the front.
    Runs are drawn with replacement within each configuration, both metrics of a run together. The
    median of few runs hardly varies when they are resampled, and the front depends on all
    configurations: so shares are given only if each configuration with values has six runs.

    Args:
        runs: With both columns and `configuration`.
        x: First metric.
        y: Second metric.
        better: Which direction is better, for each.
        missed: Which runs did not reach their target, if a metric is the cost of reaching it: both
            metrics then count as the worst. Aligned with the rows.
        noise: Of both metrics (noise_of); smaller differences do not decide the front. By default,
            any difference does.
        num_resamples: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row for each `configuration`: `num, num_missing, x, y, on_front, beaten_by,
        front_probability`. x and y have their own names and are missing if the median is infinite
        or there is none; beaten_by is a configuration that dominates this one, and missing on the
        front; the probability is missing if there are too few runs. num_missing runs lack one of
        the metrics and are left out of the medians.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, for the resampling.
    """
    values = runs[[x, y]].to_numpy(dtype=np.float64, na_value=np.nan)
    if missed is not None:
        worst = [np.inf if direction == "min" else -np.inf for direction in better]
        values = np.where(missed.to_numpy(dtype=bool)[:, None], worst, values)
    indices = runs.groupby("configuration", sort=False).indices
    known = [rows[~np.isnan(values[rows]).any(axis=1)] for rows in indices.values()]
    samples = [values[rows] for rows in known]
    medians = _all_medians(samples)
    bounds = None if noise is None else _all_bounds(known, samples, medians, noise)
    num = np.array([len(rows) for rows in indices.values()], dtype=int)
    names = list(indices)
    others = beaten_by(medians, better, bounds)
    return DataFrame(
        {
            "configuration": names,
            "num": num,
            "num_missing": num - [len(rows) for rows in known],
            x: np.where(np.isfinite(medians[:, 0]), medians[:, 0], np.nan),
            y: np.where(np.isfinite(medians[:, 1]), medians[:, 1], np.nan),
            "on_front": pareto_front(medians, better, bounds),
            "beaten_by": [None if other is None else names[other] for other in others],
            "front_probability": _shares(samples, better, bounds, num_resamples, seed),
        }
    )


def _all_bounds(
    known: list[npt.NDArray[np.intp]],
    samples: list[Floats],
    medians: Floats,
    noise: tuple[Noise, Noise],
) -> tuple[Floats, Floats]:
    """Lower and upper bounds of the medians, each of shape (n, 2)."""
    bounds = np.array(
        [
            [_bounds(sample[:, axis], float(middle[axis]), noise[axis], rows) for axis in (0, 1)]
            for rows, sample, middle in zip(known, samples, medians, strict=True)
        ]
    ).reshape(-1, 2, 2)
    return bounds[..., 0], bounds[..., 1]


def _bounds(values: Floats, middle: float, noise: Noise, rows: npt.NDArray[np.intp]) -> Bounds:
    if not math.isfinite(middle):
        return middle, middle
    low = high = middle
    if noise.num_samples is not None:
        low, high = sampling_bounds(middle, least_num(noise.num_samples.iloc[rows]))
    # From six runs on, the runs themselves show the scatter.
    if len(values) >= MIN_RUNS:
        spread = median(values)
        return (
            min(low, -math.inf if spread.low is None else spread.low),
            max(high, math.inf if spread.high is None else spread.high),
        )
    # Two such widths combine, as the root of the sum of their squares, to the least effect.
    half_width = noise.least_frac * abs(middle) / math.sqrt(2)
    return min(low, middle - half_width), max(high, middle + half_width)


def _shares(
    samples: list[Floats],
    better: tuple[Better, Better],
    bounds: tuple[Floats, Floats] | None,
    num_resamples: int,
    seed: int,
) -> Floats:
    """The share of resamples in which each sample is on the front; NaN with too few runs."""
    # The front depends on all of them, so one small sample makes all shares unreliable.
    if any(0 < len(sample) < MIN_RUNS for sample in samples):
        return np.full(len(samples), np.nan)
    rng = np.random.default_rng(seed)
    drawn = np.full((num_resamples, len(samples), 2), np.nan)
    for place, sample in enumerate(samples):
        if len(sample):
            rows = rng.integers(0, len(sample), size=(num_resamples, len(sample)))
            drawn[:, place] = _medians(sample[rows])
    # Each resample has its own medians, but the widths of the intervals are those of the data:
    # computing those of every resample would be slow.
    middle = _all_medians(samples)
    with np.errstate(invalid="ignore"):  # an infinite median has no distance to its bounds
        low, high = (
            np.nan_to_num(end - middle, nan=0, posinf=np.inf, neginf=-np.inf)
            for end in bounds or (middle, middle)
        )
    total = np.zeros(len(samples))
    for each in drawn:
        total += pareto_front(each, better, (each + low, each + high))
    shares = total / num_resamples
    return np.where([len(sample) > 0 for sample in samples], shares, np.nan)


def _all_medians(samples: list[Floats]) -> Floats:
    """Medians of samples of shape (n, 2) each, of any n; shape (len(samples), 2)."""
    return np.array([_medians(sample[None])[0] for sample in samples]).reshape(-1, 2)


def _medians(batch: Floats) -> Floats:
    """Medians along the second axis of shape (b, n, 2); NaN for n = 0.

    If one of two middle values is infinite, so is the median.
    """
    num = batch.shape[1]
    if not num:
        return np.full((len(batch), 2), np.nan)
    ordered = np.sort(batch, axis=1)
    low, high = ordered[:, (num - 1) // 2], ordered[:, num // 2]
    with np.errstate(invalid="ignore"):  # inf - inf, which the next line does not use
        middle = low + (high - low) / 2
    return np.where(np.isinf(low) | (low == high), low, middle)
