"""What serving a model costs: of the probe at the end of a training, and of bench.serve."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.labels import ComponentEnergy, EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Latency, throughput and cost of predictions.

    The probe at the end of a training fills num_requests, p50, p90, p99, throughput_* and
    energy_per_prediction_*; bench.serve fills all that its scenario is about.

    Attributes:
        num_requests: Queries timed.
        latency_p50_ms: Median latency. Of the probe: one input at a time, tensor in memory to
            logits in memory, after warm-up; closed loop, no network. Of `bench.serve`: LoadGen's,
            from when the query was **due** to its answer, so that a server that falls behind is
            charged for the wait (no coordinated omission). None below 11 requests, and in
            `offline`.
        latency_p90_ms: 90th percentile, likewise. None below 64 requests, and in `offline`.
        latency_p99_ms: 99th percentile, likewise. None below 662 requests, and in `offline`.
        throughput_per_s: Of the probe: samples per second in the best of the batch sizes tried. Of
            `bench.serve`: answered samples / duration.
        throughput_batch_size: Best of the batch sizes that the probe tried.
        energy_per_prediction_j: Joules / predictions. Of the probe: over a window of at least 50
            refreshes at that batch size. Of `bench.serve`: from the first query issued to the last
            answered; what the load generator (and client and proxy, for `http`) use meanwhile is
            included, and at a rate that was asked for the joules of waiting for the next request.
            The pass is made long enough for 50 refreshes of the slowest counter. GPUs: only the one
            that the model runs on (`host.runtime.gpu_uuid`), none on a CPU or at a server
            elsewhere. None where a component is below its resolution.
        energy_per_prediction_label: Weakest label of the components in it.
        energy_per_prediction_error_frac: Bound of its systematic error, as a share of it.
        energy_per_prediction_components: Joules of a prediction by component, without constants and
            without those below their resolution.
        throughput_per_w: Predictions per second per watt, of `bench.serve`: predictions / joules of
            the window of energy_per_prediction_j. None where its joules are not known.
        scenario: `single_stream`: the next query when the last is answered. `multi_stream`:
            likewise, of 8 samples each. `server`: one sample a query, Poisson arrivals. `offline`:
            all samples at once, in full batches (the last one is filled up with copies, which are
            no predictions). This and all fields below are of `bench.serve` only.
        backend: Backend that was chosen.
        runtime: What ran the model; its version is in `host.runtime`.
        device: Where the model ran.
        num_threads: Threads of the model: the fewer of backend's and placement's.
        max_batch_size: Largest batch.
        headline: Field that the scenario is judged by: `latency_p90_ms` (`single_stream`),
            `latency_p99_ms` (of a query, `multi_stream`), `max_rate_per_s` (`server`;
            `latency_p99_ms` where `scenario.rate_per_s` is given: the throughput would only repeat
            the request), `throughput_per_s` (`offline`).
        valid: Whether the pass was long enough, met its bound and kept its rate. If not, the
            command shows no headline and ends with exit code 5.
        invalid_reasons: Why not, in LoadGen's or our words.
        num_predictions: Samples answered.
        duration_s: Time from when the first query was due to the last answer.
        latency_mean_ms: Mean latency of queries, as the percentiles. None in `offline`.
        latency_p999_ms: 99.9th percentile, likewise. None below 6,636 requests, and in `offline`.
        latency_bound_ms: Bound on the latency, from the configuration; for p99 in `server`.
        rate_per_s: Rate of the reported pass (`server`).
        max_rate_per_s: Lower end of the bracket of the search: largest rate that held
            `latency_bound_ms` in a pass of full length; see The largest rate. None where no rate
            held.
        failed_rate_per_s: Upper end: smallest rate above it that failed in any pass; the smallest
            rate tried where none held.
        goodput_per_s: Samples answered within `latency_bound_ms` / duration. None without a bound.
        num_failed: Requests that got no answer, or an error.
        prepare_s: Loading, compressing, exporting and writing the model.
        load_s: Opening the model that is served.
        compile_s: First call of each batch size from an empty compiler cache, where the runtime
            compiles; the one prediction in it included.
        cost_per_million_usd: Cost of the time and joules of a million predictions at the rate that
            was served; see Cost and emissions.
        emissions_per_million_gco2e: Likewise, emissions of the joules.
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
    throughput_per_w: float | None = None
    # Of bench.serve only, from here on.
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

    Attributes:
        rate_per_s: Rate that was tried.
        valid: Whether the rate held in this pass: in a quick one, whether its p99 was within the
            bound.
        num_queries: Queries timed.
        full_length: Whether the pass had full length, or was a quick one. None in records that do
            not tell them apart.
        completed_per_s: Samples completed per second.
        latency_p50_ms: Median latency of queries.
        latency_p99_ms: 99th percentile.
        invalid_reasons: Why the rate did not hold.
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
    """One part of the latency from when each request was due, over the requests that were answered.

    Attributes:
        stage: Name of the part; the last, `end_to_end`, is the whole.
        mean_ms: Mean. The means of all other stages add up to that of `end_to_end`.
        p50_ms: Median. Of `network`, percentiles are those of its null requests.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
    """

    stage: str
    mean_ms: float
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """The training run whose model is served.

    Attributes:
        run_id: Its run.
        config_hash: Hash of its configuration.
        seed: Its seed.
        reached: Whether it reached its target.
        model: Name of its model.
        data: Its option of the group `data`, or the class of a data module of your own.
    """

    run_id: str
    config_hash: str
    seed: int
    reached: bool | None
    model: str | None
    data: str | None
