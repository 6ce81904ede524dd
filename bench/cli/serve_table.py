"""The tables that end bench.serve: what each served model gave, and where its time went."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.cli.cells import (
    ABSENT,
    fitting_tables,
    health_cell,
    label_cell,
    names_of_runs,
    number_cell,
)
from bench.core.price import cost_basis
from bench.core.records import RunRecord
from bench.core.serving_records import Serving

_HEADINGS = (
    "model\nserved",
    "outcome",
    "headline",
    "latency ms\np50/p90/p99",
    "1000 pred/s",
    "accuracy\n(change)",
    "worst\nrecall",
    "model\nkB",
    "latency\nratio",
    "uJ/pred\n(label)",
    "USD per\n1e6 pred\n(paid for)",
    "gCO2e per\n1e6 pred",
    "fit to\ncompare",
)
_UNITS = {"ms": "ms", "per_s": "per s"}
SERVE_LEGEND = (
    "Latency counts from when a request was due; - for too few of them. Accuracy: of what was "
    "served, on the test split; (change) against the same model uncompressed.\nLatency ratio: "
    "compressed over uncompressed, one input at a time, measured in turns. Durations are shorter "
    "than MLPerf's.\nDollars for electricity alone are not the price of a machine: they do not "
    "compare with those for a rental. An INVALID pass has no headline."
)


def serve_tables(
    runs: Sequence[tuple[Sequence[str], RunRecord]], console: Console
) -> Sequence[Table]:
    """One row per run; where requests crossed a network, a second table of the stages.

    Args:
        runs: Records, each with the overrides it was started with.
        console: What the tables are for.
    """
    names = names_of_runs([overrides for overrides, _ in runs])
    rows = [(name, *_cells(record)) for name, (_, record) in zip(names, runs, strict=True)]
    tables = fitting_tables(["configuration", *_HEADINGS], rows, console)
    staged = [(name, record) for name, (_, record) in zip(names, runs, strict=True)]
    staged = [(name, record) for name, record in staged if record.stages]
    if staged:
        stages = list(dict.fromkeys(s.stage for _, record in staged for s in record.stages))
        headings = ["mean ms", *(stage.replace("_", " ") for stage in stages)]
        tables += fitting_tables(
            headings, [(name, *_stage_cells(record, stages)) for name, record in staged], console
        )
    return tables


def _cells(record: RunRecord) -> list[str]:
    serving = record.serving
    quality = record.quality_test
    compression = record.compression
    return [
        _model(record),
        _outcome(record),
        _headline(serving),
        _latency(serving),
        number_cell(serving.throughput_per_s if serving else None, 1e-3),
        _accuracy(record),
        _fraction(quality.worst_class_recall if quality else None, 3),
        number_cell(record.model.size_bytes if record.model else None, 1e-3),
        ABSENT if compression is None else _ratio(record),
        _energy(serving),
        _cost(record),
        number_cell(serving.emissions_per_million_gco2e if serving else None),
        health_cell(record),
    ]


def _model(record: RunRecord) -> str:
    name = record.model.name if record.model else ABSENT
    return f"{name}\n{record.trained.data}" if record.trained and record.trained.data else name


def _outcome(record: RunRecord) -> str:
    if record.status != "ok" or record.serving is None:
        return f"{record.status}\n{record.error.kind if record.error else ''}".strip()
    return "valid" if record.serving.valid else "INVALID\nsee below"


def _headline(serving: Serving | None) -> str:
    """What the scenario is judged by; nothing of a pass that does not count."""
    if serving is None or serving.headline is None or not serving.valid:
        return ABSENT
    unit = next(text for suffix, text in _UNITS.items() if serving.headline.endswith(suffix))
    name = serving.headline.removesuffix("_per_s").removesuffix("_ms").replace("_", " ")
    return f"{name}\n{number_cell(getattr(serving, serving.headline))} {unit}"


def _latency(serving: Serving | None) -> str:
    if serving is None:
        return ABSENT
    values = (serving.latency_p50_ms, serving.latency_p90_ms, serving.latency_p99_ms)
    return "/".join(number_cell(value) for value in values)


def _accuracy(record: RunRecord) -> str:
    text = _fraction(record.quality_test.accuracy if record.quality_test else None, 4)
    change = record.compression.accuracy_change if record.compression else None
    return text if change is None else f"{text}\n({change:+.4f})"


def _fraction(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"


def _cost(record: RunRecord) -> str:
    """Dollars, and what they pay for: those of electricity alone are no price of a machine."""
    serving = record.serving
    if serving is None or serving.cost_per_million_usd is None:
        return ABSENT
    basis = cost_basis(record.config["price"])
    return f"{number_cell(serving.cost_per_million_usd)}\n({basis})"


def _ratio(record: RunRecord) -> str:
    compression = record.compression
    if compression is None or compression.latency_ratio is None:
        return ABSENT
    low, high = compression.latency_ratio_low, compression.latency_ratio_high
    return f"{compression.latency_ratio:.3g}\n({number_cell(low)} to {number_cell(high)})"


def _energy(serving: Serving | None) -> str:
    if serving is None:
        return ABSENT
    return label_cell(
        number_cell(serving.energy_per_prediction_j, 1e6),
        serving.energy_per_prediction_label,
        serving.energy_per_prediction_error_frac,
    )


def _stage_cells(record: RunRecord, stages: Sequence[str]) -> list[str]:
    mean_ms = {stage.stage: stage.mean_ms for stage in record.stages}
    return [number_cell(mean_ms.get(stage)) for stage in stages]
