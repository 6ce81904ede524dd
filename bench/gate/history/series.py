"""Makes the series of a history, and finds where they change.

The medians of single checks are compared in their order, by bench.core.stats.change_points. So a
slow rise is found whose steps are all below what the gate calls a loss. The level is divided by the
number of series that are tested (Bonferroni).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.config.gate import CompareConfig
from bench.core.metric import Metric
from bench.core.stats.change_points import MIN_SEGMENT, ChangePoint, change_points
from bench.core.stats.intervals import Estimate, ratio_of_medians
from bench.gate.history.model import Change, History, Point, Series
from bench.gate.history.order import in_order
from bench.gate.history.store import Check, check_of
from bench.gate.metrics import is_default, is_own
from bench.gate.model import GateRun
from bench.gate.settings import selected
from bench.gate.sides.configurations import configuration_names
from bench.gate.sides.facts import PASSING, difference, is_forced
from bench.gate.sides.joules import JOULE_FACTS, is_all_of_its_total
from bench.gate.sides.medians import AcceptedMedian, has_same_basis, median_of
from bench.gate.sides.side import Configuration, Side, by_configuration

# The basis of joules is looked at metric by metric, and newer schemas hold the same numbers.
_ELSEWHERE = ("schema_version", *JOULE_FACTS, *PASSING)
_SEEDS = "other seeds"


def history_of(checks: Sequence[Check], candidate: Side, config: CompareConfig) -> History:
    """The history of the configurations that a candidate has.

    Args:
        checks: In the order of their time, the candidate's among them.
        candidate: Read from run folders, or from a baseline file.
        config: Selects metrics, and gives the level and the facts that may differ.
    """
    ordered = in_order(checks, check_of(candidate).commit if candidate.runs else None, Path.cwd())
    names = configuration_names(candidate.runs)
    left_out: Counter[str] = Counter()
    counted: set[int] = set()
    series: list[Series] = []
    for key, runs in by_configuration(candidate.runs).items():
        alike = _comparable(ordered.checks, key, runs, config.force, left_out)
        counted |= alike.keys()
        for metric in _metrics(config, runs[0]):
            points = _points(metric, ordered.checks, alike, runs)
            if points:
                series.append(
                    Series(
                        metric=metric,
                        configuration=names[key],
                        command=key[0],
                        config_hash=key[1],
                        points=points,
                    )
                )
    return _with_changes(
        History(
            folder=str(config.history),
            num_checks=len(counted),
            series=series,
            level=config.alpha,
            num_tested=0,
            alpha=config.alpha,
            order=ordered.remark,
            left_out=[f"{num} with {reason}" for reason, num in left_out.items()],
        )
    )


def _metrics(config: CompareConfig, run: GateRun) -> list[Metric]:
    """The metrics of a configuration, with the directions of the user's own."""
    metrics = [m for m in selected(config) if config.metrics or is_default(m, run)]
    return [
        replace(metric, better=run.directions.get(metric.name)) if is_own(metric.name) else metric
        for metric in metrics
    ]


def _with_changes(history: History) -> History:
    """Test all series that vary, each at its part of the level."""
    tested = [each for each in history.series if _can_change(each)]
    level = history.alpha / max(1, len(tested))
    series = [
        replace(each, changes=_changes(each, level)) if _can_change(each) else each
        for each in history.series
    ]
    return replace(history, series=series, level=level, num_tested=len(tested))


def _can_change(series: Series) -> bool:
    values = {point.value for point in series.points}
    return len(series.points) >= 2 * MIN_SEGMENT and len(values) > 1


def _changes(series: Series, level: float) -> list[Change]:
    values = np.array([point.value for point in series.points])
    return [_change(series, each) for each in change_points(values, level=level)]


def _change(series: Series, change: ChangePoint) -> Change:
    points = series.points
    before, after = points[change.start : change.index], points[change.index : change.stop]
    base, candidate = (
        float(np.median([point.value for point in part])) for part in (before, after)
    )
    rise_frac = (candidate - base) / abs(base) if base else math.copysign(math.inf, candidate)
    return Change(
        index=change.index,
        base=base,
        candidate=candidate,
        ratio=_ratio(after, before),
        loss_frac=rise_frac if series.metric.better == "min" else -rise_frac,
        p=change.p,
        num_before=len(before),
        num_after=len(after),
        last_before=before[-1].commit,
        first_after=after[0].commit,
        utc=after[0].utc,
    )


def _ratio(after: Sequence[Point], before: Sequence[Point]) -> Estimate:
    values = [[point.value for point in part] for part in (after, before)]
    if min(map(min, values)) < 0:  # R2 and metrics of one's own: a ratio has no meaning
        return Estimate(value=None, low=None, high=None, num=min(map(len, values)))
    return ratio_of_medians(*values)


def _comparable(
    checks: Sequence[Check],
    key: Configuration,
    runs: Sequence[GateRun],
    force: list[str],
    left_out: Counter[str],
) -> dict[int, list[GateRun]]:
    """The runs of a configuration in each check whose facts and seeds are those of the candidate.

    Args:
        checks: In their order, whose places are the keys of what is returned.
        key: The configuration.
        runs: Those of the candidate.
        force: Facts that may differ.
        left_out: Counts checks that have the configuration and are left out, by the reason.
    """
    alike: dict[int, list[GateRun]] = {}
    for place, check in enumerate(checks):
        theirs = by_configuration(check.side.runs).get(key)
        if theirs is None:
            continue
        reason = _difference(theirs, runs, force)
        if reason is None:
            alike[place] = theirs
        else:
            left_out[reason] += 1
    return alike


def _difference(theirs: Sequence[GateRun], ours: Sequence[GateRun], force: list[str]) -> str | None:
    """Why the medians of two checks do not compare: a fact, or the seeds; None if they do."""
    for name in ours[0].facts:
        if name in _ELSEWHERE or is_forced(name, force):
            continue
        sides = [[run.facts.get(name) for run in runs] for runs in (theirs, ours)]
        if difference(name, sides) is not None:
            return f"another {name}"
    seeds = [{(run.served_model, run.seed) for run in runs} for runs in (theirs, ours)]
    return _SEEDS if seeds[0] != seeds[1] else None


def _points(
    metric: Metric,
    checks: Sequence[Check],
    alike: Mapping[int, Sequence[GateRun]],
    ours: Sequence[GateRun],
) -> list[Point]:
    """The medians of the checks; without those that mostly missed, and joules of another kind."""
    if metric.better is None or all(is_all_of_its_total(metric, run) for run in ours):
        return []  # the total has the same series
    latest = median_of(metric, ours, "")
    points = []
    for place, runs in alike.items():
        median = median_of(metric, runs, checks[place].utc)
        if latest is not None and median is not None and _is_alike(median, latest):
            check = checks[place]
            points.append(
                Point(
                    commit=check.commit,
                    utc=check.utc,
                    value=median.value,
                    num_runs=len(runs),
                    accepted=check.accepted,
                )
            )
    return points


def _is_alike(median: AcceptedMedian, latest: AcceptedMedian) -> bool:
    return math.isfinite(median.value) and has_same_basis(median, latest)
