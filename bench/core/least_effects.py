"""The least difference of each quantity that means something, as a share of the value.

The gate judges no smaller loss, and a Pareto front of few runs is not decided by a smaller
difference. Why the numbers are what they are: bench/gate/metrics.py.
"""

from __future__ import annotations

# Of a training: sums over many steps, which evens noise out; money and carbon follow from them.
_TRAINING = 0.05
_LEAST_FRAC: dict[str, float] = {
    **dict.fromkeys(
        (
            "target.samples_to_target",
            "target.steps_to_target",
            "target.epochs_to_target",
            "model.num_parameters",
            "model.size_bytes",
            "model.flops_per_sample",
            "compression.size_bytes",
        ),
        0.0,  # counts that follow from the work alone
    ),
    **dict.fromkeys(
        (
            "phases.launch_s",
            "phases.init_s",
            "serving.latency_p50_ms",
            "serving.latency_p90_ms",
            "serving.latency_mean_ms",
            "serving.throughput_per_s",
            "serving.max_rate_per_s",
            "serving.goodput_per_s",
            "serving.energy_per_prediction_j",
            "serving.cost_per_million_usd",
            "serving.emissions_per_million_gco2e",
        ),
        0.10,
    ),
    **dict.fromkeys(("serving.latency_p99_ms", "serving.load_s", "serving.compile_s"), 0.20),
    "serving.latency_p999_ms": 0.30,
}


def least_effect_frac(name: str) -> float:
    """The least difference that means something, as a share of the value.

    Args:
        name: Dotted, as in a record: `serving.latency_p90_ms`. What is not listed counts as a sum
            over a training: 0.05.
    """
    return _LEAST_FRAC.get(name, _TRAINING)
