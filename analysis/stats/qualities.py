"""Which qualities runs report, which one stands for a run, and which direction is better.

A quality is a column `quality.NAME` (validation split) or `quality_test.NAME` (test split). Those
of built-in tasks have rows in the catalogue; of a user's own metric only the runs know the
direction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pandas import DataFrame, Series

from analysis.load.once import once
from analysis.load.values import column, numbers, with_only
from analysis.stats.peer_keys import peer_keys
from bench.core.metric import Better
from bench.core.metrics import METRICS
from bench.core.qualities import MAIN_QUALITY, QUALITIES
from bench.core.quality_rows import TEST, VALIDATION, is_quality

# Texts of the column task.directions: `accuracy:max,loss:min`. A name may hold any of these signs.
_DIRECTION = re.compile(r"(.+?):(max|min)(?:,|$)")


@once
def main_qualities(runs: DataFrame) -> Series:
    """Name the quality that stands for each run; None if there is none to name.

    It is the metric of its target. A run of bench.serve takes that of its training, which older
    records do not name; if it is not among the runs either, the main quality of its task.
    """
    metric = column(runs, "target.metric").astype(object)
    metric = metric.where(metric.notna(), None)
    metric = metric.fillna(column(runs, "trained.target_metric").astype(object))
    trained_id = column(runs, "trained.run_id").astype(object)
    of_training = dict(zip(column(runs, "run_id"), metric, strict=True))
    metric = metric.fillna(trained_id.map(of_training))
    # A training of the same configuration has the same target.
    hashes = column(runs, "trained.config_hash").astype(object)
    metric = with_only(metric, hashes.fillna(column(runs, "config_hash").astype(object)))
    if metric.notna().all():
        return metric
    return metric.fillna(peer_keys(runs)["task"].map(MAIN_QUALITY))


def main_values(runs: DataFrame, split: str = TEST) -> Series:
    """The value of each run's main quality on a split; NaN if it has none there."""
    names = main_qualities(runs)
    values = Series(float("nan"), index=runs.index)
    for name in names.dropna().unique():
        values = values.where(names != name, numbers(runs, f"{split}.{name}"))
    return values


def reported(runs: DataFrame) -> list[str]:
    """The columns of all qualities that runs report: main ones first, then those of the catalogue.

    A quality is on the test split if any run has it there, else on the validation split.
    """
    first = [name for name in dict.fromkeys(main_qualities(runs)) if name is not None]
    held = {
        split: [
            str(name).partition(".")[2]
            for name in runs
            if is_quality(str(name))
            and str(name).startswith(f"{split}.")
            and str(name) != f"{split}.at"
            and runs[name].notna().any()
        ]
        for split in (TEST, VALIDATION)
    }
    names = dict.fromkeys([*first, *QUALITIES, *held[TEST], *held[VALIDATION]])
    return [
        f"{split}.{name}"
        for name in names
        for split in [next((each for each in held if name in held[each]), None)]
        if split is not None
    ]


def direction_of(runs: DataFrame, name: str) -> Better | None:
    """Which direction of a quality is better; None if neither catalogue nor runs say so.

    Args:
        runs: Of load_runs.
        name: Of the column.

    Raises:
        ValueError: The runs contradict one another.
    """
    if name in METRICS:
        return METRICS[name].better
    known = set(_directions(runs, name.partition(".")[2]))
    if len(known) > 1:
        raise ValueError(f"{name}: more of it is better in some runs, and less of it in others")
    return known.pop() if known else None


def _directions(runs: DataFrame, metric: str) -> Iterator[Better]:
    for text in column(runs, "task.directions").dropna().unique():
        yield from (mode for name, mode in _DIRECTION.findall(text) if name == metric)
    is_target = column(runs, "target.metric") == metric
    yield from column(runs, "target.mode")[is_target].dropna().unique()
