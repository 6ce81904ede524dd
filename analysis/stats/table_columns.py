"""The columns of the tables: the quantities of each topic, and how runs are summarised.

Names, units and directions of the quantities are in bench/core/metrics.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS, GRID
from analysis.stats.qualities import main_qualities, reported
from bench.core.metric import CARBON, MONEY, Better, Joules, Metric, Topic, with_unit
from bench.core.metrics import KNOWN, metric_at
from bench.core.quality_rows import TEST, is_quality
from bench.core.scales import SCALES, unit_of

_ACHIEVED = ("maintenance.on_target_frac", "maintenance.excess_errors", "maintenance.regret_usd")
_NEEDS = frozenset(
    path
    for path, metric in KNOWN.items()
    if "maintenance" in metric.topics and path not in _ACHIEVED
)
Statistic = Literal["hit_rate", "to_target", "expected", "per_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """One column of a table.

    Attributes:
        name: Stable name: that of the metric, or `expected_...` with restarts.
        title: Heading of the column, with the unit of the catalogue.
        statistic: `to_target`, the median over runs with misses as the worst; `expected`, with
            restarts; `per_run`, the median over the runs that have the value; `hit_rate`.
        metric: Of the catalogue; None for the hit rate, which no single run has.
    """

    name: str
    title: str
    statistic: Statistic
    metric: Metric | None = None

    @property
    def better(self) -> Better | None:
        """Which direction is better; None if no value of the column is called the best.

        Qualities have no best value: runs stop at a target, and which of them overshoots it most
        is chance. Nor has what a policy needs: a deployment that is left alone needs least.
        """
        if self.metric is None or self.statistic == "expected":
            return None
        if self.metric.path.startswith("quality") or self.metric.path in _NEEDS:
            return None
        return self.metric.better

    @property
    def needs(self) -> str | None:
        """The column that runs with the quantity must have; None if it follows from several."""
        return None if self.metric is None or self.statistic != "per_run" else self.metric.path

    @property
    def joules(self) -> Joules | None:
        """Which columns describe the joules behind it: joules of different labels are apart."""
        return None if self.metric is None else self.metric.joules

    @property
    def charged_by(self) -> str | None:
        """For money and carbon, the column that names the price basis or the grid."""
        units = {MONEY: COST_BASIS, CARBON: GRID}
        return None if self.metric is None else units.get(self.metric.unit)

    @property
    def error(self) -> str | None:
        """Column with the bound of the systematic error, as a share."""
        return None if self.metric is None or self.statistic == "expected" else self.metric.error

    def suited_unit(self, values: Series) -> tuple[float, str]:
        """Choose the unit that suits the values, as the terminal does.

        Args:
            values: In the unit of the record; missing and infinite ones do not count.

        Returns:
            The factor from the record's unit, and the heading with the unit. Quantities whose unit
            has no prefixes keep the one of the catalogue.
        """
        if self.metric is None:
            return 1.0, self.title
        sizes = values.abs()
        known = sizes[sizes.gt(0) & sizes.lt(math.inf)]
        if self.metric.unit not in SCALES or known.empty:
            return self.metric.shown[1], self.title
        factor, scale = SCALES[self.metric.unit]
        unit = unit_of(float(known.median()) * factor, scale)
        heading = self.title.removesuffix(f" ({self.metric.shown[0]})")
        return factor / unit.size, with_unit(heading, "1/s" if unit.name == "/s" else unit.name)


def quality_column(name: str) -> TableColumn:
    """The column of a quality.

    Args:
        name: Of a metric, such as `rmse`, or of a column, such as `quality_test.rmse`.
    """
    metric = metric_at(name if is_quality(name) else f"{TEST}.{name}")
    title = metric.column_heading
    return TableColumn(name=metric.name, title=title, statistic="per_run", metric=metric)


def _columns(topic: Topic) -> Iterator[TableColumn]:
    # The only column without a row in the catalogue: no single run has a rate.
    if topic == "time":
        yield TableColumn(name="hit_rate", title="hit rate", statistic="hit_rate")
    for metric in KNOWN.values():
        if topic not in metric.topics:
            continue
        yield TableColumn(
            name=metric.name,
            title=metric.column_heading,
            # What a miss would have cost is unknown but large; what it uses per sample is simply
            # known.
            statistic="to_target" if metric.censored_by else "per_run",
            metric=metric,
        )
        if metric.restarts:
            yield TableColumn(
                name=f"expected_{metric.censored_by}",
                title=with_unit(metric.restarts, metric.shown[0]),
                statistic="expected",
                metric=metric,
            )


# Topics of runs with a target only.
OF_TRAINING = ("time", "energy", "factors", "cost")
# Topics that end with the main quality of the runs.
WITH_QUALITY = ("time", "serving")
QUALITY = "quality"
# Columns of qualities are not among these: they follow from the runs.
TOPICS: dict[str, tuple[TableColumn, ...]] = {
    topic: () if topic == QUALITY else tuple(_columns(topic)) for topic in get_args(Topic)
}


def columns_of(topic: str, runs: DataFrame) -> list[TableColumn]:
    """All columns of a topic that these runs may fill."""
    if topic == QUALITY:
        return [quality_column(path) for path in reported(runs)]
    if topic not in WITH_QUALITY:
        return list(TOPICS[topic])
    main = dict.fromkeys(main_qualities(runs).dropna())
    held = [path for path in reported(runs) if path in {f"{TEST}.{name}" for name in main}]
    return [*TOPICS[topic], *map(quality_column, held)]
