"""The quantities that tables show: which column, in which unit, and how runs are summarised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.outcomes import Quantity
from bench.core.directions import Better, better

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
        better: Which direction is better; None where no value is called the best.
        joules: The joules behind it, for what is made of joules. Values of different joules are
            never in one column.
        is_money: Whether it is a cost: of rent, of electricity, or of both.
        error: Column with the bound of the systematic error, as a share.
    """

    name: str
    title: str
    statistic: Statistic
    column: str = ""
    quantity: Quantity | None = None
    scale: float = 1.0
    better: Better | None = None
    joules: Joules | None = None
    is_money: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joules:
    """Columns that say how joules were obtained, and of which parts of the machine they are."""

    label: str
    components: str


ON_THE_CLOCK = Joules(label="energy_label", components="energy_components")
PER_PREDICTION = Joules(
    label="serving.energy_per_prediction_label", components="serving.energy_components"
)
_ERROR = "target.energy_to_target_error_frac"
_SERVED_ERROR = "serving.energy_per_prediction_error_frac"


def _per_run(
    column: str,
    title: str,
    *,
    scale: float = 1.0,
    joules: Joules | None = None,
    is_money: bool = False,
    error: str | None = None,
) -> Metric:
    quality = column.startswith("quality")
    return Metric(
        name=column if quality else column.rpartition(".")[2],
        title=title,
        statistic="per_run",
        column=column,
        scale=scale,
        # Runs are stopped at a target: which of them happened to overshoot it is no contest.
        better=None if quality else better(column),
        joules=joules,
        is_money=is_money,
        error=error,
    )


def _to_target(
    column: str,
    title: str,
    *,
    quantity: Quantity | None = None,
    joules: Joules | None = None,
    is_money: bool = False,
    error: str | None = None,
) -> Metric:
    return Metric(
        name=column.removeprefix("target."),
        title=title,
        statistic="to_target",
        column=column,
        quantity=quantity,
        better=better(column),
        joules=joules,
        is_money=is_money,
        error=error,
    )


def _expected(
    quantity: Quantity, title: str, joules: Joules | None = None, *, is_money: bool = False
) -> Metric:
    return Metric(
        name=f"expected_{quantity}",
        title=title,
        statistic="expected",
        quantity=quantity,
        joules=joules,
        is_money=is_money,
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
            "target.energy_to_target_j",
            "ETA (J)",
            quantity="energy_j",
            joules=ON_THE_CLOCK,
            error=_ERROR,
        ),
        _expected("energy_j", "expected energy with restarts (J)", ON_THE_CLOCK),
    ),
    "factors": (
        _to_target("target.samples_to_target", "samples to target", quantity="samples"),
        _per_run("target.time_per_sample_s", "time per sample (us)", scale=MICRO),
        _per_run(
            "target.energy_per_sample_j",
            "energy per sample (mJ)",
            scale=MILLI,
            joules=ON_THE_CLOCK,
        ),
    ),
    "cost": (
        _to_target(
            "target.cost_to_target_usd",
            "cost (USD)",
            quantity="cost_usd",
            joules=ON_THE_CLOCK,
            is_money=True,
        ),
        _expected("cost_usd", "expected cost with restarts (USD)", ON_THE_CLOCK, is_money=True),
        _to_target(
            "target.emissions_to_target_gco2e",
            "carbon (g CO2e)",
            quantity="energy_j",
            joules=ON_THE_CLOCK,
        ),
    ),
    "utilization": (
        _per_run("utilization.cpu_process_frac", "CPU of the run (share)"),
        _per_run("utilization.cpu_machine_frac", "CPU of the machine (share)"),
        _per_run("utilization.memory_peak_bytes", "peak memory (MB)", scale=MEGA),
        _per_run("utilization.gpu_busy_frac", "GPU busy (share)"),
        _per_run("utilization.gpu_memory_peak_bytes", "peak GPU memory (MB)", scale=MEGA),
    ),
    "serving": (
        _per_run("serving.latency_p50_ms", "p50 (ms)"),
        _per_run("serving.latency_p90_ms", "p90 (ms)"),
        _per_run("serving.latency_p99_ms", "p99 (ms)"),
        _per_run("serving.throughput_per_s", "throughput (1/s)"),
        _per_run("serving.max_rate_per_s", "largest rate (1/s)"),
        _per_run("model.size_bytes", "size (kB)", scale=KILO),
        _per_run("quality_test.accuracy", "test accuracy"),
    ),
    "serving_cost": (
        _per_run(
            "serving.energy_per_prediction_j",
            "energy per prediction (mJ)",
            scale=MILLI,
            joules=PER_PREDICTION,
            error=_SERVED_ERROR,
        ),
        _per_run(
            "serving.cost_per_million_usd",
            "cost per million (USD)",
            joules=PER_PREDICTION,
            is_money=True,
        ),
        _per_run(
            "serving.emissions_per_million_gco2e",
            "carbon per million (g CO2e)",
            joules=PER_PREDICTION,
        ),
    ),
}
