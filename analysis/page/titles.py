"""Titles and units of the page's columns and axes, both from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.figures.quantities import label_in, label_with
from analysis.load.deployments import OFF_TARGET, REGRET, UPKEEP
from analysis.stats.outcomes import TO_TARGET
from bench.core.metric import Quantity
from bench.core.metrics import KNOWN, label_of
from bench.core.quality_rows import TEST
from bench.core.scales import COUNT, SCALES, Scale, common_unit

# Costs to the target or, if a run did not reach it, what it spent.
COSTS: tuple[Quantity, ...] = ("time_s", "energy_j", "cost_usd")
# Other numbers of a row: name on the page, and column of the runs.
NUMBERS = {
    "batch_size": "config.batch_size",
    "lr": "config.lr",
    "samples": "target.samples_to_target",
    "time_per_sample_s": "target.time_per_sample_s",
    "latency_p90_ms": "serving.latency_p90_ms",
    "throughput_per_s": "serving.throughput_per_s",
    "energy_per_prediction_j": "serving.energy_per_prediction_j",
    "size_bytes": "model.size_bytes",
    "on_target_frac": "maintenance.on_target_frac",
    "off_target_frac": OFF_TARGET,
    "excess_errors": "maintenance.excess_errors",
    "num_retrains": "maintenance.num_retrains",
    "upkeep_per_1000_j": UPKEEP,
    "regret_usd": REGRET,
    "cpu_frac": "utilization.cpu_process_frac",
    "seed": "seed",
    "repeat": "repeat",
}
TITLES = {
    **{name: label_of(TO_TARGET[name]) for name in COSTS},
    **{name: label_of(path) for name, path in NUMBERS.items()},
    # What a column of a table makes clear, an axis must say itself.
    "throughput_per_s": "throughput (predictions/s)",
    "on_target_frac": "predictions on target (fraction)",
    "cpu_frac": "CPU used by the run (fraction)",
    "quality": "test quality",
    "metric": "quality measured",
    "label": "label of joules",
    "basis": "money for",
    "flags": "incomparable because",
    "group": "compared within",
    "started_utc": "started",
    "run_id": "run",
}
# Units of the catalogue, and a scale of counts, which are long numbers in an axis.
PAGE_SCALES: dict[str, tuple[float, Scale]] = SCALES | {"count": (1.0, COUNT)}
_PATHS = {name: TO_TARGET[name] for name in COSTS} | NUMBERS
# The unit of each quantity that is shown with a prefix.
UNITS = {
    name: KNOWN[path].unit
    for name, path in _PATHS.items()
    if path in KNOWN and KNOWN[path].unit in SCALES
} | {"samples": "count"}
_TABLE = (
    "configuration",
    "command",
    "seed",
    "outcome",
    "time_s",
    "energy_j",
    "label",
    "cost_usd",
    "basis",
    "samples",
    "quality",
    "metric",
    "latency_p90_ms",
    "throughput_per_s",
    "energy_per_prediction_j",
    "size_bytes",
    "on_target_frac",
    "excess_errors",
    "num_retrains",
    "upkeep_per_1000_j",
    "regret_usd",
    "flags",
    "group",
    "host",
    "started_utc",
    "run_id",
)


def table_columns(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of the page's table.

    A column names the quality of each run if they differ in it; otherwise its title does.

    Returns:
        `name`, `title` and, of quantities with prefixes, `unit` (of UNITS) and `size`: how many of
        that unit are one of the unit in the title. It is None if each number has its own.
    """
    several = len(_known(rows, "metric")) > 1
    titles = {name: TITLES.get(name, name) for name in _TABLE if several or name != "metric"}
    titles |= {"quality": title_of("quality", rows)}
    return [_column(name, title, rows) for name, title in titles.items()]


def _column(name: str, title: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    unit = UNITS.get(name, "")
    if unit not in SCALES:
        return {"name": name, "title": title, "unit": "", "size": None}
    factor, scale = SCALES[unit]
    values = [row[name] * factor for row in rows if row[name] is not None]
    common = None if unit == "1/s" else common_unit(values, scale)
    shown = title.replace(f"({unit})", f"({common.name})" if common else "").strip()
    size = common.size / factor if common else None
    return {"name": name, "title": shown, "unit": unit, "size": size}


def _known(rows: Sequence[dict[str, Any]], name: str) -> list[str]:
    return sorted({row[name] for row in rows} - {None})


def labels_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The labels of these runs' joules."""
    return _known(rows, "label")


def title_of(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """The title of an axis: of which quality, of what samples, how joules were obtained.

    Money says what it pays for. The title has no unit if each number has its own.

    Args:
        name: Of TITLES.
        rows: Of page_rows, of the runs that are drawn.
    """
    metrics = _known(rows, "metric")
    if name == "quality":
        return label_of(f"{TEST}.{metrics[0]}") if len(metrics) == 1 else TITLES[name]
    samples, labels = _known(rows, "sample"), labels_of(rows)
    title = TITLES[name]
    if name in NUMBERS and len(samples) == 1:
        title = label_in(NUMBERS[name], samples[0])
    title = title.removesuffix(f" ({UNITS.get(name, '')})")
    if name == "cost_usd":
        labels = _known(rows, "basis")
    if not name.endswith(("_j", "_usd")) or not labels:
        return title
    return label_with(title, labels[0] if len(labels) == 1 else "by label")
