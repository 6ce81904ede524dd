"""Reports on repeat=auto: the interval of each configuration, and why its runs ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from bench.cli.adaptive import Step
from bench.cli.overrides import of_swept_keys
from bench.core.metrics import metric_at
from bench.core.scales import ABSENT, digits
from bench.core.stats.intervals import Estimate
from bench.runs.search_results import LIMITS
from bench.runs.table.columns import Column, fit_table, legend, prose
from bench.runs.table.history import write_search
from bench.search.repeats import Repeated, Repeats

_STATISTICS = {"median": "median", "expected_cost": "ERT"}


class RepeatsReport:
    """Reports on repeats at any moment, finished or not; a SearchReport."""

    def __init__(
        self,
        *,
        repeats: Repeats,
        quantity: str,
        names: Sequence[Sequence[str]],
        swept: Sequence[str],
        history: Sequence[Step],
    ) -> None:
        """Read nothing yet.

        Args:
            repeats: The repeats.
            quantity: The quantity whose interval was to be narrow.
            names: The overrides of each configuration.
            swept: The keys that differ between them.
            history: The runs, as they end.
        """
        self._repeats = repeats
        self._metric = metric_at(quantity)
        self._swept = [key for key in swept if key not in ("seed", "repeat")]
        self._names = [
            " ".join(of_swept_keys(each, self._swept)) or "the only one" for each in names
        ]
        self._overrides = names
        self._history = history

    def write(self, folder: Path) -> Path:
        """Write search.json, the intervals, and search.csv, a row for each run.

        Raises:
            OSError: They cannot be written.
        """
        return write_search(folder, self.summary(), self._history, self._names)

    def summary(self) -> dict[str, Any]:
        """The result as JSON has it; values are in `unit`."""
        rules = self._repeats.rules
        return {
            "quantity": self._metric.path,
            "unit": self._metric.unit,
            "statistic": rules.statistic,
            "width_frac": rules.width_frac,
            "confidence": 1 - rules.alpha,
            "num_runs": len(self._history),
            "is_over": self._repeats.is_over,
            "configurations": [
                _as_json(overrides, shown)
                for overrides, shown in zip(self._overrides, self._shown(), strict=True)
            ],
        }

    def tables(self, console: Console) -> Sequence[RenderableType]:
        """The headline, a row for each configuration, and what they mean."""
        rules, shown = self._repeats.rules, self._shown()
        num_narrow = sum(each.is_narrow for each in shown)
        runs = f"{len(self._history)} run{'s' * (len(self._history) != 1)}"
        headline = (
            f"repeat=auto: {runs}; {num_narrow} of {len(shown)} intervals of the"
            f" {self._metric.title} are at most {rules.width_frac:.0%} wide"
        )
        name = _STATISTICS[rules.statistic]
        heading = f"{self._metric.short or self._metric.heading}, {name}"
        columns = [
            Column(
                heading=f"{heading}\n{self._metric.unit}".rstrip(),
                cells=[_value(each.estimate) for each in shown],
                rank=0,
            ),
            Column(
                heading=f"{1 - rules.alpha:.0%} interval",
                cells=[_interval(each.estimate) for each in shown],
                rank=0,
                note=(
                    "The interval is that of the look that ended the runs, or of the latest one;"
                    " it holds for all looks together (docs/search.md)."
                ),
            ),
            Column(heading="width", cells=[_width(each.estimate) for each in shown], rank=1),
            Column(heading="runs", cells=[str(each.num_runs) for each in shown], rank=1),
            Column(heading="end", cells=[self._end(each) for each in shown], rank=1, is_text=True),
        ]
        names = Column(heading="configuration", cells=self._names, rank=0, is_text=True)
        table = fit_table([names], columns, console)
        return [prose(headline, console), table.table, *legend([table], console)]

    def _shown(self) -> list[Repeated]:
        return [self._repeats.repeated(place) for place in range(len(self._overrides))]

    def _end(self, shown: Repeated) -> str:
        if shown.is_narrow:
            return "narrow"
        if shown.is_hopeless:
            is_cost = self._metric.path in LIMITS
            return "no run has reached its target" if is_cost else "no run has a value"
        if shown.num_runs >= self._repeats.rules.max_runs:
            return "max_runs"
        return "max_spent" if self._repeats.is_over else "interrupted"


def _as_json(overrides: Sequence[str], shown: Repeated) -> dict[str, Any]:
    estimate = shown.estimate
    return {
        "overrides": list(overrides),
        "value": None if estimate is None else estimate.value,
        "low": None if estimate is None else estimate.low,
        "high": None if estimate is None else estimate.high,
        "num_runs_of_interval": None if estimate is None else estimate.num,
        "num_runs": shown.num_runs,
        "is_narrow": shown.is_narrow,
        "is_hopeless": shown.is_hopeless,
    }


def _value(estimate: Estimate | None) -> str:
    return ABSENT if estimate is None or estimate.value is None else digits(estimate.value)


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.kind != "interval":
        return ABSENT
    high = "inf" if estimate.high is None else digits(estimate.high)
    return f"[{digits(estimate.low)}, {high}]"


def _width(estimate: Estimate | None) -> str:
    if estimate is None or not estimate.value or estimate.low is None or estimate.high is None:
        return ABSENT
    return f"{100 * (estimate.high - estimate.low) / estimate.value:.0f}%"
