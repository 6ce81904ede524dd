"""The data of a history: one series for each metric of each configuration, with its changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.metric import Metric
from bench.core.stats.intervals import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One check: the median of its runs."""

    commit: str | None
    utc: str
    value: float
    num_runs: int
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change point of a series.

    Attributes:
        index: Of the first point after it.
        base: Median of the points before it, back to the change before.
        candidate: Median of the points after it, up to the next change.
        ratio: candidate over base.
        loss_frac: How much worse it became, as a share of the base; negative for better.
        p: See bench.core.stats.change_points.
        num_before: Points that base is the median of.
        num_after: Likewise of candidate.
        last_before: The commit of the point before it; None if it is not known.
        first_after: That of the first point after it, measured at utc.
    """

    index: int
    base: float
    candidate: float
    ratio: Estimate
    loss_frac: float
    p: float
    num_before: int
    num_after: int
    last_before: str | None
    first_after: str | None
    utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric of a configuration over all checks that have it."""

    metric: Metric
    configuration: str
    command: str
    config_hash: str
    points: list[Point]
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a folder of checks shows.

    Attributes:
        folder: Where they are.
        num_checks: How many count for at least one series.
        series: Those of the configurations of the candidate.
        level: Significance level of each series that was tested.
        num_tested: How many were: they vary, and have enough points.
        alpha: The chance of finding a change in any of them if there is none.
        order: What decided the order.
        left_out: Why checks do not count for a series, with their number.
    """

    folder: str
    num_checks: int
    series: list[Series]
    level: float
    num_tested: int
    alpha: float
    order: str
    left_out: list[str] = field(default_factory=list)
