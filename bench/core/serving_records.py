"""The part of a record that says what serving a model costs: of the probe and of bench.serve.

As in records.py: every quantity ends in its unit, what was not measured is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.labels import ComponentEnergy, EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Latency, throughput and cost of predictions.

    The probe at the end of a training fills the percentiles, the throughput of the best batch size
    tried and the energy; bench.serve fills all that its scenario is about.
    """

    num_requests: int
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_p99_ms: float | None = None
    throughput_per_s: float | None = None
    throughput_batch_size: int | None = None
    energy_per_prediction_j: float | None = None
    energy_per_prediction_label: EnergyLabel | None = None
    energy_per_prediction_error_frac: float | None = None
    energy_per_prediction_components: list[ComponentEnergy] = field(default_factory=list)
    # Of bench.serve only, from here on. headline names the field that the scenario is judged by.
    scenario: str | None = None
    backend: str | None = None
    runtime: str | None = None
    device: str | None = None
    num_threads: int | None = None
    max_batch_size: int | None = None
    headline: str | None = None
    valid: bool | None = None
    invalid_reasons: list[str] = field(default_factory=list)
    num_predictions: int | None = None
    duration_s: float | None = None
    latency_mean_ms: float | None = None
    latency_p999_ms: float | None = None
    latency_bound_ms: float | None = None
    rate_per_s: float | None = None
    # The bracket of the rate search: the largest rate that a pass of full length held, and the
    # smallest one above it that failed.
    max_rate_per_s: float | None = None
    failed_rate_per_s: float | None = None
    goodput_per_s: float | None = None
    num_failed: int = 0
    prepare_s: float | None = None
    load_s: float | None = None
    compile_s: float | None = None
    cost_per_million_usd: float | None = None
    emissions_per_million_gco2e: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStep:
    """One pass of the search for the largest rate.

    valid says whether the rate held in this pass: in a quick one, whether its p99 was within the
    bound. full_length is None in records that do not tell quick passes from full ones.
    """

    rate_per_s: float
    valid: bool
    num_queries: int
    full_length: bool | None = None
    completed_per_s: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    invalid_reasons: list[str] = field(default_factory=list)


# The stage that is the sum of all others.
WHOLE_STAGE = "end_to_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of the end-to-end latency; the means of the others add up to WHOLE_STAGE's."""

    stage: str
    mean_ms: float
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What compressing the model did to size, accuracy and latency, against the same uncompressed.

    latency_ratio is compressed over uncompressed, one input at a time, measured in turns in one
    process; low and high are its 95% interval over rounds. accuracy_change is in fractions of the
    test split.
    """

    method: str
    size_bytes: int
    baseline_size_bytes: int
    accuracy_change: float | None = None
    latency_ratio: float | None = None
    latency_ratio_low: float | None = None
    latency_ratio_high: float | None = None
    num_rounds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the model was served, and with what that place was made up.

    network says what delayed the requests; memory_limit what limited the server's memory, or why
    nothing did.
    """

    name: str
    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_mbit_per_s: float | None = None
    network: str | None = None
    num_threads: int | None = None
    memory_limit_bytes: int | None = None
    memory_limit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """The training run whose model is served."""

    run_id: str
    config_hash: str
    seed: int
    reached: bool | None
    model: str | None
    data: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a training took besides its own clock: the run that it learned from or began with.

    source_* is what that run had cost when it reached its target; total_* is both together.
    """

    name: str
    source_run_id: str
    source_time_s: float | None = None
    source_energy_j: float | None = None
    source_energy_label: EnergyLabel | None = None
    source_cost_usd: float | None = None
    source_emissions_gco2e: float | None = None
    source_num_parameters: int | None = None
    source_flops_per_sample: int | None = None
    total_time_to_target_s: float | None = None
    total_energy_to_target_j: float | None = None
    total_energy_label: EnergyLabel | None = None
    total_cost_to_target_usd: float | None = None
    total_emissions_to_target_gco2e: float | None = None
