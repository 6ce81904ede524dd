"""What serving a model costs: of the probe at the end of a training, and of bench.serve."""

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
class TrainedRun:
    """The training run whose model is served."""

    run_id: str
    config_hash: str
    seed: int
    reached: bool | None
    model: str | None
    data: str | None
