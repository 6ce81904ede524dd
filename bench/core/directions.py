"""In which direction each quantity of a record is better: the one table that knows.

Whatever ranks, marks a best value or draws a Pareto front reads it here. Nothing is guessed from a
name: a quantity is listed as better when smaller, better when larger, or as neither.
"""

from __future__ import annotations

from typing import Literal

from bench.core.target import METRICS

Better = Literal["min", "max"]

_SMALLER = (
    "target.time_to_target_s",
    "target.train_time_to_target_s",
    "target.energy_to_target_j",
    "target.energy_to_target_error_frac",
    "target.samples_to_target",
    "target.steps_to_target",
    "target.epochs_to_target",
    "target.cost_to_target_usd",
    "target.emissions_to_target_gco2e",
    "target.time_per_sample_s",
    "target.energy_per_sample_j",
    "phases.launch_s",
    "phases.init_s",
    "phases.train_s",
    "phases.eval_s",
    "phases.checkpoint_s",
    "phases.serve_s",
    "phases.wall_time_s",
    "energy_total_j",
    "energy_error_frac",
    "phase_energy.init_j",
    "phase_energy.train_j",
    "phase_energy.eval_j",
    "phase_energy.checkpoint_j",
    "phase_energy.init_error_frac",
    "phase_energy.train_error_frac",
    "phase_energy.eval_error_frac",
    "phase_energy.checkpoint_error_frac",
    "idle.net_energy_j",
    "idle.net_error_frac",
    "codecarbon_energy_j",
    "codecarbon_emissions_gco2e",
    "utilization.memory_peak_bytes",
    "utilization.gpu_memory_peak_bytes",
    "model.num_parameters",
    "model.size_bytes",
    "model.flops_per_sample",
    "serving.latency_p50_ms",
    "serving.latency_p90_ms",
    "serving.latency_p99_ms",
    "serving.latency_p999_ms",
    "serving.latency_mean_ms",
    "serving.energy_per_prediction_j",
    "serving.energy_per_prediction_error_frac",
    "serving.num_failed",
    "serving.prepare_s",
    "serving.load_s",
    "serving.compile_s",
    "serving.cost_per_million_usd",
    "serving.emissions_per_million_gco2e",
    "recipe.source_time_s",
    "recipe.source_energy_j",
    "recipe.source_cost_usd",
    "recipe.source_emissions_gco2e",
    "recipe.total_time_to_target_s",
    "recipe.total_energy_to_target_j",
    "recipe.total_cost_to_target_usd",
    "recipe.total_emissions_to_target_gco2e",
    "compression.size_bytes",
    "compression.latency_ratio",
    "compression.latency_ratio_low",
    "compression.latency_ratio_high",
    "health.sampler_overhead_frac",
)
_LARGER = (
    "serving.throughput_per_s",
    "serving.max_rate_per_s",
    "serving.goodput_per_s",
    "compression.accuracy_change",
)
# What was asked for, how much was counted, and use of which neither more nor less is better.
_NEITHER = (
    "schema_version",
    "seed",
    "repeat",
    "target.value",
    "target.best_value",  # in the direction of target.mode
    "target.consecutive",
    "target.last_miss_s",
    "target.censored_at_s",
    "target.censored_at_j",
    "phase_energy.init_metered_s",
    "idle.each_s",
    "idle.before_w",
    "idle.after_w",
    "utilization.cpu_process_frac",
    "utilization.cpu_machine_frac",
    "utilization.gpu_busy_frac",
    "utilization.cgroup_cpu_frac",
    "utilization.gpu_power_cap_frac",
    "serving.num_requests",
    "serving.throughput_batch_size",
    "serving.num_threads",
    "serving.max_batch_size",
    "serving.num_predictions",
    "serving.duration_s",
    "serving.latency_bound_ms",
    "serving.rate_per_s",
    "serving.failed_rate_per_s",  # the upper end of a bracket, not what was achieved
    "recipe.source_num_parameters",
    "recipe.source_flops_per_sample",
    "trained.seed",
    "compression.baseline_size_bytes",
    "compression.num_rounds",
    "placement.round_trip_ms",
    "placement.jitter_ms",
    "placement.bandwidth_mbit_per_s",
    "placement.num_threads",
    "placement.memory_limit_bytes",
)

# Every number of a record, by its dotted name.
DIRECTIONS: dict[str, Better | None] = {
    **dict.fromkeys(_SMALLER, "min"),
    **dict.fromkeys(_LARGER, "max"),
    **dict.fromkeys(_NEITHER),
    **{
        f"{split}.{metric}": facts.mode
        for split in ("quality", "quality_test")
        for metric, facts in METRICS.items()
    },
    **dict.fromkeys(("quality.num_samples", "quality_test.num_samples")),
}


def better(name: str) -> Better | None:
    """In which direction a quantity is better; None where neither is.

    Args:
        name: Dotted, as in a record: `serving.latency_p90_ms`.

    Raises:
        ValueError: It is no number of a record.
    """
    if name not in DIRECTIONS:
        raise ValueError(f"{name}: no number of a record: its direction is not known")
    return DIRECTIONS[name]
