"""Records of synthetic runs of bench.serve; made.py writes them into run folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.labels import EnergyLabel
from bench.core.records.compression import Compression
from bench.core.records.health import Health
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.phases import Phases
from bench.core.records.placement import Placement
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.records.serving import WHOLE_STAGE, RateStep, Serving, Stage, TrainedRun
from bench.core.records.skew import Skew
from bench.core.stats.percentiles import latency_percentile
from tests.analysis.made_records import HOST, SWEEP_START, rng_of

# Per compression: latency against none, size against none, change of accuracy.
COMPRESSIONS = {
    "none": (1.0, 1.0, 0.0),
    "bf16": (0.95, 0.5, -0.001),
    "int8_dynamic": (0.8, 0.3, -0.006),
    "int8_static": (0.6, 0.27, -0.012),
}
# Per place: round trip and the slowdown of its processor.
PLACES = {"local": (0.0, 1.0), "edge": (4.0, 2.5), "cloud": (40.0, 0.8)}
HEADLINES = {
    "single_stream": "latency_p90_ms",
    "multi_stream": "latency_p99_ms",
    "server": "max_rate_per_s",
    "offline": "throughput_per_s",
}
STAGES = ("network", "queue", "preprocess", "inference", "respond")
LATENCY_BOUND_MS = 10.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """One run of bench.serve to make, of a training run that was made."""

    scenario: str = "single_stream"
    backend: str = "onnxruntime"
    compression: str = "none"
    place: str = "local"
    seed: int = 0
    num_requests: int = 2000
    skew: str | None = None
    label: EnergyLabel | None = "modelled"
    flags: tuple[str, ...] = ()
    start: datetime = SWEEP_START + timedelta(days=1)

    def config(self, trained: RunRecord) -> dict[str, Any]:
        """The resolved configuration, in the form of bench.serve's."""
        return {
            "run": trained.run_id,
            "scenario": {"name": self.scenario, "latency_bound_ms": LATENCY_BOUND_MS},
            "backend": {"name": self.backend},
            "compression": {"method": self.compression},
            "skew": {"kind": self.skew} if self.skew else {},
            "placement": {"name": self.place, "round_trip_ms": PLACES[self.place][0]},
            "price": {"usd_per_hour": None, "usd_per_kwh": 0.1545},
            "seed": self.seed,
            "repeat": 0,
            "results": "results",
        }


def requests_of(served: Served, trained: RunRecord) -> dict[str, NDArray[Any]]:
    """The samples of the performance pass, every column of shape (num_requests,)."""
    rng = rng_of("requests", served, trained.run_id)
    round_trip_ms, slower = PLACES[served.place]
    base_ms = _base_ms(trained) * COMPRESSIONS[served.compression][0] * slower
    waits = 2.5 if served.scenario == "server" else 1.0
    n = served.num_requests
    latency_ms = round_trip_ms + base_ms * waits * rng.lognormal(0.0, 0.25, n)
    latency_ms[rng.random(n) < 0.005] *= 6.0
    gaps_s = rng.exponential(base_ms / 600, n) if served.scenario == "server" else latency_ms / 1e3
    return {
        "sample": np.arange(n),
        "image_index": rng.integers(0, 360, n),
        "scheduled_s": np.concatenate([[0.0], np.cumsum(gaps_s)[:-1]]),
        "latency_ms": latency_ms,
    }


def _base_ms(trained: RunRecord) -> float:
    assert trained.serving is not None
    assert trained.serving.latency_p50_ms is not None
    return 10 * trained.serving.latency_p50_ms


def _serving(served: Served, columns: dict[str, NDArray[Any]]) -> Serving:
    latencies = columns["latency_ms"].tolist()
    n = len(latencies)
    duration_s = float(np.max(columns["scheduled_s"] + columns["latency_ms"] / 1e3))
    each_j = None if served.label is None else 8.0 * duration_s / n
    rates = served.scenario == "server"
    return Serving(
        num_requests=n,
        latency_p50_ms=latency_percentile(latencies, 0.5),
        latency_p90_ms=latency_percentile(latencies, 0.9),
        latency_p99_ms=latency_percentile(latencies, 0.99),
        latency_p999_ms=latency_percentile(latencies, 0.999),
        latency_mean_ms=float(np.mean(latencies)),
        throughput_per_s=n / duration_s,
        energy_per_prediction_j=each_j,
        energy_per_prediction_label=served.label,
        energy_per_prediction_error_frac=None if served.label is None else 2.0,
        scenario=served.scenario,
        backend=served.backend,
        runtime="onnxruntime",
        device="cpu",
        num_threads=1,
        max_batch_size=1,
        headline=HEADLINES[served.scenario],
        valid=True,
        num_predictions=n,
        duration_s=duration_s,
        latency_bound_ms=LATENCY_BOUND_MS if rates else None,
        rate_per_s=0.8 * n / duration_s if rates else None,
        max_rate_per_s=n / duration_s if rates else None,
        prepare_s=1.5,
        load_s=0.2,
        cost_per_million_usd=None if each_j is None else each_j * 1e6 / 3.6e6 * 0.1545,
        emissions_per_million_gco2e=None if each_j is None else each_j * 1e6 / 3.6e6 * 369.0,
    )


def _stages(served: Served, columns: dict[str, NDArray[Any]]) -> list[Stage]:
    if served.backend != "http":
        return []
    round_trip_ms = PLACES[served.place][0]
    rest = columns["latency_ms"] - round_trip_ms
    parts = (None, 0.2, 0.1, 0.6, 0.1)
    found = []
    for stage, share in zip(STAGES, parts, strict=True):
        each = np.full(len(rest), round_trip_ms) if share is None else share * rest
        p50, p90, p99 = (float(np.percentile(each, q)) for q in (50, 90, 99))
        found.append(Stage(stage=stage, mean_ms=float(each.mean()), p50_ms=p50, p90_ms=p90))
        found[-1] = replace(found[-1], p99_ms=p99)
    return [*found, Stage(stage=WHOLE_STAGE, mean_ms=sum(one.mean_ms for one in found))]


def _rate_search(serving: Serving) -> list[RateStep]:
    if serving.max_rate_per_s is None:
        return []
    steps = []
    for share in (0.25, 0.5, 0.75, 1.0, 1.1):
        p50_ms = (serving.latency_p50_ms or 1.0) / max(0.05, 1.15 - share)
        steps.append(
            RateStep(
                rate_per_s=share * serving.max_rate_per_s,
                valid=share <= 1.0,
                num_queries=500,
                completed_per_s=min(1.0, share) * serving.max_rate_per_s,
                latency_p50_ms=p50_ms,
                latency_p99_ms=4 * p50_ms,
                invalid_reasons=[] if share <= 1.0 else ["p99 above the bound"],
            )
        )
    return steps


def _compression(served: Served, size_bytes: int, metric: str, *, by_accuracy: bool) -> Compression:
    ratio, of_size, change = COMPRESSIONS[served.compression]
    plain = served.compression == "none"
    return Compression(
        method=served.compression,
        size_bytes=round(size_bytes * of_size),
        baseline_size_bytes=size_bytes,
        accuracy_change=change if by_accuracy and not plain else None,
        quality_metric=metric,
        quality_change=None if plain else change,
        latency_ratio=None if plain else ratio,
        latency_ratio_low=None if plain else 0.95 * ratio,
        latency_ratio_high=None if plain else 1.06 * ratio,
        num_rounds=None if plain else 20,
    )


def _changed(quality: float | None, change: float) -> float:
    assert quality is not None
    return quality + change


def served_record(
    served: Served, trained: RunRecord, who: RunIdentity, columns: dict[str, NDArray[Any]]
) -> RunRecord:
    """The record of a run of bench.serve."""
    assert trained.model is not None
    assert trained.quality_test is not None
    serving = _serving(served, columns)
    duration_s = serving.duration_s or 0.0
    size_bytes = trained.model.size_bytes or 0
    of_size, change = COMPRESSIONS[served.compression][1:]
    old, metric = trained.quality_test, trained.target.metric if trained.target else "accuracy"
    return RunRecord(
        run_id=who.run_id,
        command="serve",
        config_hash=who.config_hash,
        seed=who.seed,
        repeat=who.repeat,
        started_utc=who.started_utc,
        status="ok",
        config=served.config(trained),
        host=HOST,
        phases=Phases(launch_s=1.0, init_s=2.0, serve_s=duration_s, wall_time_s=duration_s),
        energy_total_j=None if served.label is None else 8.0 * duration_s,
        energy_label=served.label,
        energy_error_frac=None if served.label is None else 2.0,
        quality_test=Quality(
            at="served",
            values=old.values
            | {
                name: _changed(old[name], factor * change)
                for name, factor in (("accuracy", 1), ("macro_f1", 1), ("worst_class_recall", 2))
                if name in old.values
            },
            num_samples=old.num_samples,
        ),
        model=ModelFacts(
            name=trained.model.name,
            num_parameters=trained.model.num_parameters,
            size_bytes=round(size_bytes * of_size),
            flops_per_sample=trained.model.flops_per_sample,
        ),
        serving=serving,
        trained=TrainedRun(
            run_id=trained.run_id,
            config_hash=trained.config_hash,
            seed=trained.seed,
            reached=trained.target.reached if trained.target else None,
            target_metric=metric,
            model=trained.model.name,
            data=trained.config["data"]["_target_"].rpartition(".")[2],
        ),
        task=trained.task,
        compression=_compression(served, size_bytes, metric, by_accuracy="accuracy" in old.values),
        skew=Skew(
            planted=served.skew,
            num_samples=360,
            features_max_difference=2.0 if served.skew else 0.0,
            features_tolerance=1e-6,
            outputs_max_difference=3.0 if served.skew else 0.0,
            outputs_tolerance=1e-4 if served.compression == "none" else None,
            changed_predictions_frac=0.125 if served.skew else 0.0,
            found=served.skew is not None,
            finding="skew between training and serving" if served.skew else None,
        ),
        placement=Placement(
            name=served.place,
            round_trip_ms=PLACES[served.place][0],
            network="delayed in the client" if served.place != "local" else None,
            num_threads=1,
        ),
        stages=_stages(served, columns),
        rate_search=_rate_search(serving),
        health=Health(
            comparable=not served.flags, flags=list(served.flags), sampler_overhead_frac=0.002
        ),
    )
