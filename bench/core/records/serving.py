"""What serving a model costs, by the probe at the end of a training and by bench.serve."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.labels import ComponentEnergy, EnergyLabel
from bench.core.records.beside import Beside


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Latency, throughput and cost of predictions.

    The probe at the end of a training fills num_requests, p50, p90, p99, throughput_* and
    energy_per_prediction_*; bench.serve fills every field that applies to its scenario.

    Attributes:
        num_requests: Queries timed.
        latency_p50_ms: Median latency. Probe: one input at a time, from tensor in memory to logits
            in memory, after warm-up, in a closed loop without a network. `bench.serve`: LoadGen's
            latency, from when the query was **due** to its answer. A server that falls behind is
            thus charged for the wait (no coordinated omission). None below 11 requests, and in
            `offline`.
        latency_p90_ms: 90th percentile of the same. None below 64 requests, and in `offline`.
        latency_p99_ms: 99th percentile of the same. None below 662 requests, and in `offline`.
        throughput_per_s: Probe: samples per second at the best batch size tried. The time,
            `probe.min_batch_s` or that of the joules, is divided into 20 groups of batches, and the
            median of their rates counts. `bench.serve`: answered samples / duration. None in
            `generate`, which has `output_tokens_per_s`.
        throughput_batch_size: Best of the batch sizes that the probe tried.
        energy_per_prediction_j: Joules / predictions. Probe: over a window of at least 50 refreshes
            at that batch size. `bench.serve`: from the first query issued to the last one answered,
            in a pass that is long enough for 50 refreshes of the slowest counter. This includes
            what the load generator uses (for `http` also client and proxy) and, at a given rate,
            the joules of waiting for requests. Only the GPU that runs the model counts
            (`host.runtime.gpu_uuid`); none counts on a CPU, or for a server elsewhere. None if a
            component is below its resolution.
        energy_per_prediction_label: Weakest label of its components.
        energy_per_prediction_error_frac: Bound on its systematic error, as a share of it.
        energy_per_prediction_components: Joules of a prediction by component, without constants and
            without components below their resolution.
        throughput_per_w: Predictions per second per watt, of `bench.serve`: predictions / joules in
            the window of `energy_per_prediction_j`. None if the joules are unknown.
        scenario: `single_stream`: each query follows the answer to the last one. `multi_stream`:
            the same, with 8 samples per query. `server`: one sample per query, Poisson arrivals.
            `offline`: all samples at once, in full batches (copies fill the last batch and do not
            count). `generate`: a language model continues one prompt after another, token by token;
            latencies are those of a whole answer. Only `bench.serve` fills this field and all that
            follow.
        backend: Backend that was chosen.
        runtime: Runtime of the model; its version is in `host.runtime`.
        device: Device on which the model ran.
        num_threads: Threads of the model: the smaller number of backend and placement.
        max_batch_size: Largest batch.
        headline: Field by which the scenario is judged: `latency_p90_ms` (`single_stream`),
            `latency_p99_ms` (of queries; `multi_stream`), `max_rate_per_s` (`server`) or
            `throughput_per_s` (`offline`). With `scenario.rate_per_s`, a `server` is judged by
            `latency_p99_ms`, because the throughput would only repeat the rate. `generate`:
            `output_tokens_per_s`.
        valid: Whether the pass was long enough, met its bound and kept its rate. If not, the
            command shows no headline and ends with exit code 5.
        invalid_reasons: Why the pass is not valid, in LoadGen's words or ours.
        num_predictions: Samples answered.
        duration_s: Time from when the first query was due to the last answer.
        latency_mean_ms: Mean of the latencies behind the percentiles. None in `offline`.
        latency_p999_ms: 99.9th percentile. None below 6,636 requests, and in `offline`.
        latency_bound_ms: Bound on the latency, from the configuration; in `server`, on p99.
        rate_per_s: Rate of the reported pass (`server`).
        max_rate_per_s: Lower end of the bracket that the search found: the largest rate that met
            `latency_bound_ms` in a pass of full length; see The largest rate. None if no rate met
            it.
        failed_rate_per_s: Upper end of the bracket: the smallest rate above it that failed in any
            pass; the smallest rate tried if none met the bound.
        goodput_per_s: Samples answered within `latency_bound_ms` / duration. None without a bound.
        num_failed: Requests without an answer, or with an error.
        prompt_tokens: Tokens of each prompt (`generate`).
        output_tokens: Tokens generated for each prompt.
        ttft_p50_ms: Time to first token, median over prompts: from the prompt in memory to the
            first generated token on the host. It includes reading the whole prompt. None below 11
            prompts.
        ttft_p90_ms: 90th percentile. None below 64 prompts.
        ttft_p99_ms: 99th percentile. None below 662 prompts.
        tpot_p50_ms: Time per output token, median over prompts: from the first token to the last,
            divided by the tokens after the first. None below 11 prompts.
        tpot_p90_ms: 90th percentile. None below 64 prompts.
        tpot_p99_ms: 99th percentile. None below 662 prompts.
        output_tokens_per_s: Generated tokens / duration, of one prompt at a time.
        energy_per_output_token_j: Joules / generated tokens, with those of reading the prompts:
            `energy_per_prediction_j` / `output_tokens`.
        prepare_s: Time to load, compress, export and write the model.
        load_s: Time to open the model that is served.
        compile_s: Time of the first call of each batch size with an empty compiler cache, if the
            runtime compiles; includes one prediction.
        cost_per_million_usd: Cost of the time and joules of a million predictions at the rate that
            was served; see Cost and emissions.
        emissions_per_million_gco2e: Emissions of the joules of a million predictions.
        beside: The training that ran beside the server, with `beside=retraining`. Then all fields
            above are those with it: joules and costs are of both together.
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
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    ttft_p50_ms: float | None = None
    ttft_p90_ms: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p50_ms: float | None = None
    tpot_p90_ms: float | None = None
    tpot_p99_ms: float | None = None
    output_tokens_per_s: float | None = None
    energy_per_output_token_j: float | None = None
    prepare_s: float | None = None
    load_s: float | None = None
    compile_s: float | None = None
    cost_per_million_usd: float | None = None
    emissions_per_million_gco2e: float | None = None
    beside: Beside | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStep:
    """One pass of the search for the largest rate.

    Attributes:
        rate_per_s: Rate that was tried.
        valid: Whether the pass met the bound at this rate; for a quick pass, whether its p99 did.
        num_queries: Queries timed.
        full_length: Whether the pass had full length; otherwise it was a quick one. None in records
            that do not say.
        completed_per_s: Samples completed per second.
        latency_p50_ms: Median latency of queries.
        latency_p99_ms: 99th percentile.
        invalid_reasons: Why the pass is not valid.
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
    """One part of the latency of answered requests, counted from when each request was due.

    Attributes:
        stage: Name of the part; the last, `end_to_end`, is the whole.
        mean_ms: Mean. The means of all other stages add up to that of `end_to_end`.
        p50_ms: Median. For `network`, percentiles are those of null requests.
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
        run_id: Id of the training run.
        config_hash: Hash of its configuration.
        seed: Seed of the run.
        reached: Whether the run reached its target.
        target_metric: Metric of the target.
        model: Name of the model.
        data: Option of the group `data`, or the class of a data module of your own.
    """

    run_id: str
    config_hash: str
    seed: int
    reached: bool | None
    target_metric: str | None = None
    model: str | None
    data: str | None
