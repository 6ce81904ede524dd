"""The catalogue: every number of a record, its name, and how it is judged.

It has one row per measured quantity. The gate, the tables, the axes of figures, Pareto fronts, the
page and docs/metrics.md read names, units, directions and least effects here and nowhere else.

Why the least effects are what they are:

- Counts that depend only on the work (steps, samples, parameters, bytes, FLOPs) are exact: any loss
  counts. Qualities are exact too for the same work, but they are measured on few samples: losses
  below one percent do not matter.
- Times, joules and memory of a training sum over many steps, which averages noise out: 5%. Money
  and carbon are computed from them. Starting up reads files and compiles, so it depends on what the
  machine has cached: 10%, and at least 50 ms. It happens once in a run of seconds or more, and the
  system's own share (forking, mapping memory, opening meters) does not shrink with the work.
- Latency percentiles are noisier in the tail, where fewer requests decide them: 10% for p50, p90
  and the mean, 20% for p99, 30% for p99.9. Rates depend on the latencies: 10%.
- Loading and compiling happen once in a run and mostly wait for the disk: 20%.
- What a policy decides depends on the seed and the data alone, so counts of a maintained deployment
  are exact. A retraining is short and begins with a set-up, and detection takes microseconds: 10%.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.core.maintenance_rows import DERIVED_ROWS, MAINTENANCE_ROWS
from bench.core.metric import (
    ON_THE_CLOCK,
    PER_PREDICTION,
    Better,
    Metric,
    exact_row,
    measured_row,
    metric_of,
    shown_rows,
    with_unit,
    words_and_unit,
)
from bench.core.program_rows import PROGRAM_ROWS
from bench.core.quality_rows import TEST, VALIDATION, is_quality, own_row, quality_rows
from bench.core.records.phases import MAINTENANCE_PHASES, PROGRAM_PHASES, TRAINING_PHASES
from bench.core.utilization_rows import UTILIZATION_ROWS


def label_of(path: str) -> str:
    """Label any column of the runs for an axis: `latency p90 (ms)`.

    A column without a row in the catalogue, such as a setting, is labelled by its own name.
    """
    if path in KNOWN or is_quality(path):
        return metric_at(path).axis_label
    if path in _SETTINGS:
        return _SETTINGS[path]
    return with_unit(*words_and_unit(path.removeprefix("config.").replace(".", " ")))


def metric_at(path: str) -> Metric:
    """Look up the row of a number of a record, or of one that follows from records.

    Args:
        path: Dotted: `serving.latency_p90_ms`.

    Returns:
        For a quality by a user's own metric, a row without a direction, which only the runs know.

    Raises:
        ValueError: The catalogue has no such number, so its direction is unknown.
    """
    if is_quality(path) and path not in KNOWN:
        return own_row(path)
    if path not in KNOWN:
        raise ValueError(f"{path}: no number of a record, so its direction is not known")
    return KNOWN[path]


def better(path: str) -> Better | None:
    """Which direction of a quantity is better; None if neither is.

    Raises:
        ValueError: The catalogue has no such number.
    """
    return metric_at(path).better


def _percentiles(name: str, title: str, heading: str) -> Iterator[Metric]:
    """The percentiles of a time of serving."""
    for percentile, effect_frac in (("p50", 0.10), ("p90", 0.10), ("p99", 0.20)):
        titles = {"title": f"{title} {percentile}", "heading": f"{heading}{percentile}"}
        path = f"serving.{name}_{percentile}_ms"
        yield measured_row(path, effect_frac, **titles, topics=("serving",))


def _of_joules(path: str, better: Better, **facts: Any) -> Metric:
    """A number that is not judged, since the gate judges the joules that it is computed from."""
    facts |= {"topics": ("serving_cost",), "joules": PER_PREDICTION}
    return metric_of(path, better, least_effect_frac=0.10, **facts)


_SETTINGS = {"config.batch_size": "batch size (samples)", "config.lr": "learning rate"}
_KILO = ("kB", 1e-3)
_MILLI, _MICRO = ("mJ", 1e3), ("us", 1e6)

_TARGET = (
    measured_row(
        "target.time_to_target_s",
        0.05,
        heading="TTA",
        restarts="ERT",
        censored_by="time_s",
        topics=("time",),
    ),
    measured_row("target.train_time_to_target_s", 0.05, censored_by="time_s"),
    measured_row(
        "target.energy_to_target_j",
        0.05,
        heading="ETA",
        restarts="expected energy with restarts",
        censored_by="energy_j",
        topics=("energy",),
        joules=ON_THE_CLOCK,
        error="target.energy_to_target_error_frac",
    ),
    exact_row("target.samples_to_target", censored_by="samples", topics=("factors",)),
    exact_row("target.steps_to_target", censored_by="samples"),
    metric_of("target.epochs_to_target", "min", least_effect_frac=0.0, censored_by="samples"),
    measured_row("target.time_per_sample_s", 0.05, shown=_MICRO, topics=("factors",)),
    measured_row(
        "target.energy_per_sample_j", 0.05, shown=_MILLI, topics=("factors",), joules=ON_THE_CLOCK
    ),
    metric_of(
        "target.cost_to_target_usd",
        "min",
        heading="cost",
        restarts="expected cost with restarts",
        censored_by="cost_usd",
        topics=("cost",),
        joules=ON_THE_CLOCK,
    ),
    metric_of(
        "target.emissions_to_target_gco2e",
        "min",
        heading="carbon",
        censored_by="energy_j",
        topics=("cost",),
        joules=ON_THE_CLOCK,
    ),
    *shown_rows("min", "target.", "energy_to_target_error_frac"),
    # The better direction of the best value is that of the run, target.mode.
    *shown_rows(None, "target.", "value", "best_value", "consecutive", "last_miss_s"),
    *shown_rows(None, "target.", "censored_at_s", "censored_at_j"),
)
_PHASES = (*TRAINING_PHASES, *MAINTENANCE_PHASES, *PROGRAM_PHASES)
# The gate judges `retrain` and `run`, which have rows of their own.
_NOT_JUDGED = tuple(phase for phase in _PHASES if phase not in ("retrain", "run"))
_OF_THE_RUN = (
    metric_of("phases.launch_s", "min", least_effect_frac=0.10),
    measured_row("phases.init_s", 0.10, least_effect_abs=0.05),
    *shown_rows("min", "phases.", *(f"{phase}_s" for phase in _NOT_JUDGED), "wall_time_s"),
    *shown_rows("min", "", "energy_total_j", "energy_error_frac"),
    *shown_rows("min", "phase_energy.", *(f"{phase}_j" for phase in ("init", *_NOT_JUDGED))),
    *shown_rows("min", "phase_energy.", *(f"{phase}_error_frac" for phase in ("init", *_PHASES))),
    *shown_rows("min", "idle.", "net_energy_j", "net_error_frac"),
    *shown_rows("min", "", "codecarbon_energy_j", "codecarbon_emissions_gco2e"),
    *shown_rows("min", "health.", "sampler_overhead_frac"),
    *shown_rows(None, "phase_energy.", "init_metered_s"),
    *shown_rows(None, "idle.", "each_s", "before_w", "after_w"),
    *shown_rows(None, "", "schema_version", "seed", "repeat"),
)
_SERVING = (
    *_percentiles("latency", "latency", ""),
    measured_row("serving.latency_p999_ms", 0.30, title="latency p99.9"),
    measured_row("serving.latency_mean_ms", 0.10),
    measured_row(
        "serving.throughput_per_s", 0.10, better="max", short="predictions", topics=("serving",)
    ),
    measured_row("serving.max_rate_per_s", 0.10, better="max", topics=("serving",)),
    measured_row("serving.goodput_per_s", 0.10, better="max"),
    measured_row(
        "serving.energy_per_prediction_j",
        0.10,
        shown=_MILLI,
        topics=("serving_cost",),
        joules=PER_PREDICTION,
        error="serving.energy_per_prediction_error_frac",
    ),
    _of_joules("serving.throughput_per_w", "max", title="throughput per watt", unit="1/s/W"),
    _of_joules("serving.cost_per_million_usd", "min", short="USD per million"),
    _of_joules(
        "serving.emissions_per_million_gco2e",
        "min",
        heading="carbon per million",
        short="gCO2e per million",
    ),
    *_percentiles("ttft", "time to first token", "TTFT "),
    *_percentiles("tpot", "time per output token", "TPOT "),
    measured_row(
        "serving.output_tokens_per_s",
        0.10,
        better="max",
        title="output token rate",
        heading="output tokens",
        topics=("serving",),
    ),
    _of_joules(
        "serving.energy_per_output_token_j",
        "min",
        shown=_MILLI,
        error="serving.energy_per_prediction_error_frac",
    ),
    measured_row("serving.load_s", 0.20),
    measured_row("serving.compile_s", 0.20),
    *shown_rows("min", "serving.", "energy_per_prediction_error_frac", "num_failed", "prepare_s"),
    *shown_rows(None, "serving.", "num_requests", "throughput_batch_size", "num_threads"),
    *shown_rows(None, "serving.", "max_batch_size", "num_predictions", "duration_s"),
    *shown_rows(
        None, "serving.", "latency_bound_ms", "rate_per_s", "prompt_tokens", "output_tokens"
    ),
    *shown_rows("min", "serving.beside.", "latency_p99_alone_ms", "latency_p99_beside_ms"),
    *shown_rows("min", "serving.beside.", "latency_p99_ratio", heading="p99 ratio with training"),
    *shown_rows("min", "serving.beside.", "latency_p99_ratio_low", "latency_p99_ratio_high"),
    *shown_rows("max", "serving.beside.", "training_ratio", heading="training speed ratio"),
    *shown_rows("max", "serving.beside.", "training_alone_steps_per_s"),
    *shown_rows("max", "serving.beside.", "training_beside_steps_per_s"),
    *shown_rows(None, "serving.beside.", "num_threads", "nice", "num_rounds", "num_requests"),
    # The upper end of a bracket, which was not achieved.
    *shown_rows(None, "serving.", "failed_rate_per_s"),
)
_MODEL = (
    exact_row("model.num_parameters", title="parameters"),
    exact_row(
        "model.size_bytes",
        title="model size",
        heading="size",
        short="model size",
        shown=_KILO,
        topics=("serving",),
    ),
    exact_row("model.flops_per_sample", title="FLOPs per sample"),
    *quality_rows(VALIDATION),
    *shown_rows(None, "quality.", "num_samples"),
    *quality_rows(TEST),
    *shown_rows(None, "quality_test.", "num_samples"),
    exact_row("compression.size_bytes", name="compressed_size_bytes", title="compressed size"),
    *shown_rows("min", "compression.", "latency_ratio", "latency_ratio_low", "latency_ratio_high"),
    *shown_rows("min", "skew.", "features_max_difference", "outputs_max_difference"),
    *shown_rows("min", "skew.", "changed_predictions_frac"),
    *shown_rows(None, "skew.", "num_samples", "features_tolerance", "outputs_tolerance"),
    *shown_rows("max", "compression.", "accuracy_change"),
    # The better direction of a quality is that of its metric.
    *shown_rows(None, "compression.", "quality_change", "baseline_size_bytes", "num_rounds"),
)
_ORIGIN = (
    *shown_rows("min", "recipe.", "source_time_s", "source_energy_j", "source_cost_usd"),
    *shown_rows("min", "recipe.", "source_emissions_gco2e", "total_time_to_target_s"),
    *shown_rows("min", "recipe.", "total_energy_to_target_j", "total_cost_to_target_usd"),
    *shown_rows("min", "recipe.", "total_emissions_to_target_gco2e"),
    *shown_rows(None, "recipe.", "source_num_parameters", "source_flops_per_sample"),
    *shown_rows(None, "trained.", "seed"),
    *shown_rows(None, "placement.", "round_trip_ms", "jitter_ms", "bandwidth_mbit_per_s"),
    *shown_rows(None, "placement.", "num_threads", "memory_limit_bytes"),
)

# By path, in the order of the gate's output and of tables.
METRICS: dict[str, Metric] = {
    metric.path: metric
    for group in (
        *(_TARGET, _OF_THE_RUN, PROGRAM_ROWS, UTILIZATION_ROWS, _SERVING, MAINTENANCE_ROWS),
        *(_MODEL, _ORIGIN),
    )
    for metric in group
}
# The same, with what analysis derives from records.
KNOWN: dict[str, Metric] = METRICS | {metric.path: metric for metric in DERIVED_ROWS}
