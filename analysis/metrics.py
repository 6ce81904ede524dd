"""The quantities that tables show: which column, in which unit, and how runs are summarised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.outcomes import Quantity

Statistic = Literal["hit_rate", "to_target", "expected", "per_run"]
MEGA, KILO, MILLI, MICRO = 1e-6, 1e-3, 1e3, 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One column of a table.

    Attributes:
        name: Stable name, that of the record's field with its unit.
        title: As it stands above the column, with the unit that is shown.
        statistic: `to_target`, the median over runs with misses as the worst; `expected`, with
            restarts; `per_run`, the median over the runs that have the value; `hit_rate`.
        column: Of the runs.
        quantity: What is spent until the target, for to_target and expected.
        scale: From the record's unit to the one that is shown.
        better: Which direction is better; None where that is no question of better.
        label: Column that says how the joules behind it were obtained. Values of different labels
            are never in one column.
        error: Column with the bound of the systematic error, as a share.
    """

    name: str
    title: str
    statistic: Statistic
    column: str = ""
    quantity: Quantity | None = None
    scale: float = 1.0
    better: Literal["min", "max"] | None = None
    label: str | None = None
    error: str | None = None


_LABEL, _ERROR = "energy_label", "target.energy_to_target_error_frac"
_SERVED, _SERVED_ERROR = (
    "serving.energy_per_prediction_label",
    "serving.energy_per_prediction_error_frac",
)


def _per_run(
    column: str, title: str, better: Literal["min", "max"] | None = None, scale: float = 1.0
) -> Metric:
    name = column.rpartition(".")[2] if not column.startswith("quality") else column
    return Metric(
        name=name, title=title, statistic="per_run", column=column, better=better, scale=scale
    )


def _to_target(
    column: str,
    title: str,
    *,
    quantity: Quantity | None = None,
    label: str | None = None,
    error: str | None = None,
) -> Metric:
    return Metric(
        name=column.removeprefix("target."),
        title=title,
        statistic="to_target",
        column=column,
        quantity=quantity,
        better="min",
        label=label,
        error=error,
    )


def _expected(quantity: Quantity, title: str, label: str | None = None) -> Metric:
    return Metric(
        name=f"expected_{quantity}",
        title=title,
        statistic="expected",
        quantity=quantity,
        label=label,
    )


# Of runs that had a target only.
OF_TRAINING = ("time", "energy", "factors", "cost")
TOPICS: dict[str, tuple[Metric, ...]] = {
    "time": (
        Metric(name="hit_rate", title="hit rate", statistic="hit_rate"),
        _to_target("target.time_to_target_s", "TTA (s)", quantity="time_s"),
        _expected("time_s", "ERT (s)"),
        _per_run("quality_test.accuracy", "test accuracy"),
    ),
    "energy": (
        _to_target(
            "target.energy_to_target_j", "ETA (J)", quantity="energy_j", label=_LABEL, error=_ERROR
        ),
        _expected("energy_j", "expected energy with restarts (J)", _LABEL),
    ),
    "factors": (
        _to_target("target.samples_to_target", "samples to target", quantity="samples"),
        _per_run("target.time_per_sample_s", "time per sample (us)", "min", MICRO),
        Metric(
            name="energy_per_sample_j",
            title="energy per sample (mJ)",
            statistic="per_run",
            column="target.energy_per_sample_j",
            scale=MILLI,
            better="min",
            label=_LABEL,
        ),
    ),
    "cost": (
        _to_target("target.cost_to_target_usd", "cost (USD)", quantity="cost_usd", label=_LABEL),
        _expected("cost_usd", "expected cost with restarts (USD)", _LABEL),
        _to_target("target.emissions_to_target_gco2e", "carbon (g CO2e)", label=_LABEL),
    ),
    "utilization": (
        _per_run("utilization.cpu_process_frac", "CPU of the run (share)"),
        _per_run("utilization.cpu_machine_frac", "CPU of the machine (share)"),
        _per_run("utilization.memory_peak_bytes", "peak memory (MB)", "min", MEGA),
        _per_run("utilization.gpu_busy_frac", "GPU busy (share)"),
        _per_run("utilization.gpu_memory_peak_bytes", "peak GPU memory (MB)", "min", MEGA),
    ),
    "serving": (
        _per_run("serving.latency_p50_ms", "p50 (ms)", "min"),
        _per_run("serving.latency_p90_ms", "p90 (ms)", "min"),
        _per_run("serving.latency_p99_ms", "p99 (ms)", "min"),
        _per_run("serving.throughput_per_s", "throughput (1/s)", "max"),
        _per_run("serving.max_rate_per_s", "largest rate (1/s)", "max"),
        _per_run("model.size_bytes", "size (kB)", "min", KILO),
        _per_run("quality_test.accuracy", "test accuracy"),
    ),
    "serving_cost": (
        Metric(
            name="energy_per_prediction_j",
            title="energy per prediction (mJ)",
            statistic="per_run",
            column="serving.energy_per_prediction_j",
            scale=MILLI,
            better="min",
            label=_SERVED,
            error=_SERVED_ERROR,
        ),
        Metric(
            name="cost_per_million_usd",
            title="cost per million (USD)",
            statistic="per_run",
            column="serving.cost_per_million_usd",
            better="min",
            label=_SERVED,
        ),
        Metric(
            name="emissions_per_million_gco2e",
            title="carbon per million (g CO2e)",
            statistic="per_run",
            column="serving.emissions_per_million_gco2e",
            better="min",
            label=_SERVED,
        ),
    ),
}
