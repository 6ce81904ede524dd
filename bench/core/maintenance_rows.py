"""The catalogue's rows of a maintained deployment (bench.maintain), and of what follows from it."""

from __future__ import annotations

from bench.core.metric import ON_THE_CLOCK, Topic, exact_row, measured_row, metric_of, shown_rows

_TOPICS: tuple[Topic, ...] = ("maintenance",)
_OF_JOULES = {"joules": ON_THE_CLOCK, "least_effect_frac": 0.10}

MAINTENANCE_ROWS = (
    exact_row(
        "maintenance.on_target_frac",
        better="max",
        title="on target",
        shown=("%", 100.0),
        topics=_TOPICS,
    ),
    exact_row("maintenance.excess_errors", title="excess errors", topics=_TOPICS),
    exact_row("maintenance.num_retrains", title="retrainings", topics=_TOPICS),
    exact_row("maintenance.retrain_samples", title="samples of retrainings"),
    measured_row("phases.retrain_s", 0.10, title="time of retrainings", topics=_TOPICS),
    measured_row(
        "phase_energy.retrain_j",
        0.10,
        title="energy of retrainings",
        topics=_TOPICS,
        joules=ON_THE_CLOCK,
        error="phase_energy.retrain_error_frac",
    ),
    exact_row("maintenance.labels_used", title="labels used", topics=_TOPICS),
    exact_row("maintenance.num_false_alarms", title="false alarms", topics=_TOPICS),
    measured_row(
        "maintenance.detect_time_per_prediction_s",
        0.10,
        title="detection per prediction",
        shown=("us", 1e6),
        topics=_TOPICS,
    ),
    measured_row(
        "maintenance.energy_per_1000_on_target_j",
        0.10,
        title="upkeep per 1,000 predictions on target",
        heading="upkeep per 1,000 on target",
        topics=_TOPICS,
        joules=ON_THE_CLOCK,
    ),
    metric_of(
        "maintenance.cost_usd",
        "min",
        name="maintenance.cost_usd",
        title="cost of upkeep",
        topics=_TOPICS,
        **_OF_JOULES,
    ),
    *shown_rows("min", "maintenance.", "emissions_gco2e", title="carbon of upkeep", **_OF_JOULES),
    *shown_rows("min", "maintenance.", "upkeep_j", "detect_energy_per_prediction_j", **_OF_JOULES),
    *shown_rows("min", "maintenance.", "num_errors", title="errors"),
    *shown_rows("min", "maintenance.", "num_wasted", title="wasted retrainings"),
    *shown_rows("min", "maintenance.", "num_missed", title="missed changes"),
    *shown_rows("min", "maintenance.", "detection_delay_mean", title="detection delay"),
    *shown_rows("min", "maintenance.", "staleness_mean", title="staleness of the model"),
    *shown_rows("min", "maintenance.", "swap_delay_mean", title="delay of the new model"),
    *shown_rows("min", "maintenance.", "false_alarms_per_10k", title="false alarms per 10k"),
    *shown_rows("min", "maintenance.", "manual_hours", "retrain_init_s"),
    *shown_rows("min", "maintenance.", "labels_cost_usd", "held_out_errors"),
    *shown_rows("min", "maintenance.", "monitor_latency_ratio", "monitor_latency_ratio_low"),
    *shown_rows("min", "maintenance.", "monitor_latency_ratio_high"),
    *shown_rows("max", "maintenance.", "mean_accuracy", "worst_accuracy", unit="fraction"),
    *shown_rows(None, "maintenance.", "num_windows", "num_predictions", "num_promoted"),
    *shown_rows(None, "maintenance.", "num_alarms", "target_value"),
)
# Numbers that analysis computes where runs meet; no record has them.
DERIVED_ROWS = (
    metric_of("maintenance.off_target_frac", "min", title="predictions below the target"),
    metric_of(
        "maintenance.upkeep_per_1000_j",
        "min",
        title="upkeep per 1,000 predictions",
        **_OF_JOULES,
    ),
    metric_of(
        "maintenance.pays_from_usd",
        "min",
        title="price of an error from which it pays",
        heading="pays from, per error",
        topics=_TOPICS,
        **_OF_JOULES,
    ),
    metric_of("maintenance.regret_usd", "min", title="regret", topics=_TOPICS, **_OF_JOULES),
)
