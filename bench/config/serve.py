"""The configuration of bench.serve: every key, its type, its default and its range.

As in config.py, the classes are the schema, and their `__post_init__` checks ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.config.backend import BackendConfig, HttpConfig
from bench.config.train import MeterConfig, SamplerConfig
from bench.config.trust import require_modules
from bench.core.checks import (
    MISSING,
    MOST_THREADS,
    build_config,
    dotted_keys,
    refuse_contradictions,
    require_at_least,
    require_one_of,
    require_positive,
    require_run_keys,
)
from bench.core.identity import CHOICES, without

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")
COMPRESSIONS = ("none", "bf16", "fp16", "int8_dynamic", "int8_static")


@dataclass(kw_only=True)
class ScenarioConfig:
    """How queries arrive, and how long they do; LoadGen's scenarios."""

    name: str = MISSING
    min_duration_s: float = MISSING
    min_queries: int = MISSING
    warmup_queries: int = MISSING
    samples_per_query: int = 1
    max_batch_size: int = 1
    rate_per_s: float | None = None
    latency_bound_ms: float | None = None
    search_steps: int = 0
    raw_latencies: bool = True

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        require_one_of("scenario.name", self.name, SCENARIOS)
        require_positive("scenario.min_duration_s", self.min_duration_s)
        require_at_least("scenario.min_queries", self.min_queries, 1)
        require_at_least("scenario.warmup_queries", self.warmup_queries, 0)
        require_at_least("scenario.samples_per_query", self.samples_per_query, 1)
        require_at_least("scenario.max_batch_size", self.max_batch_size, 1)
        require_positive("scenario.rate_per_s", self.rate_per_s, 1e9)
        require_positive("scenario.latency_bound_ms", self.latency_bound_ms)
        require_at_least("scenario.search_steps", self.search_steps, 0)
        self._refuse_keys_of_others()
        if self.name == "server":
            self._require_bound_and_rate()

    def _refuse_keys_of_others(self) -> None:
        """A key that the scenario would ignore is a mistake of whoever gave it."""
        if self.name != "multi_stream" and self.samples_per_query != 1:
            raise ValueError(
                f"scenario.samples_per_query={self.samples_per_query}: is for multi_stream; leave "
                f"it at 1 for {self.name}"
            )
        if self.name != "server" and (self.rate_per_s is not None or self.search_steps):
            raise ValueError(
                "scenario.rate_per_s and scenario.search_steps: are for server; leave them out for "
                f"{self.name}"
            )

    def _require_bound_and_rate(self) -> None:
        if self.latency_bound_ms is None:
            raise ValueError("scenario.latency_bound_ms=null: the server scenario needs a bound")
        if self.rate_per_s is None and self.search_steps < 1:
            raise ValueError(
                "scenario.search_steps=0: must be at least 1 to search, or give scenario.rate_per_s"
            )


@dataclass(kw_only=True)
class CompressionConfig:
    """How the model is made smaller before it is served."""

    method: str = MISSING
    num_calibration_samples: int = 256
    compare_rounds: int = 20
    compare_requests: int = 50

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        require_one_of("compression.method", self.method, COMPRESSIONS)
        require_at_least("compression.num_calibration_samples", self.num_calibration_samples, 1)
        require_at_least("compression.compare_rounds", self.compare_rounds, 2)
        require_at_least("compression.compare_requests", self.compare_requests, 1)


@dataclass(kw_only=True)
class PlacementConfig:
    """Where the model is served: the way to it, and what the machine there has."""

    name: str = MISSING
    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_mbit_per_s: float | None = None
    num_threads: int | None = None
    memory_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        require_at_least("placement.round_trip_ms", self.round_trip_ms, 0)
        require_at_least("placement.jitter_ms", self.jitter_ms, 0)
        require_positive("placement.bandwidth_mbit_per_s", self.bandwidth_mbit_per_s)
        require_at_least("placement.num_threads", self.num_threads, 1, MOST_THREADS)
        require_positive("placement.memory_limit_bytes", self.memory_limit_bytes)

    @property
    def has_network(self) -> bool:
        """Whether there is a network between client and server that must be emulated."""
        return bool(self.round_trip_ms or self.jitter_ms or self.bandwidth_mbit_per_s)


@dataclass(kw_only=True)
class ServeConfig:
    """All of bench.serve."""

    run: str = MISSING
    scenario: ScenarioConfig = MISSING
    backend: BackendConfig = MISSING
    compression: CompressionConfig = MISSING
    placement: PlacementConfig = MISSING
    allow_missed: bool = False
    keep_model: bool = False
    seed: int = 0
    repeat: int = 0
    data_root: str | None = None
    meter: MeterConfig = field(default_factory=MeterConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    codecarbon: Any = None
    price: Any = MISSING
    grid: Any = MISSING
    results: str = "results"
    resume: Any = False  # or "fit"
    shared: bool = False
    progress: bool = True
    trust: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check ranges, and what can be known here of keys that exclude one another.

        Raises:
            ValueError: A value is out of range or two contradict each other.
        """
        require_run_keys(self.seed, self.repeat, self.results, self.resume)
        require_modules(self.trust)
        limited = self.placement.has_network or self.placement.memory_limit_bytes is not None
        if limited and self.backend.http is None:
            raise ValueError(
                f"placement={self.placement.name}: needs backend=http; a call within one process "
                "crosses no network and has no server whose memory could be limited"
            )
        if self.backend.serves_elsewhere and limited:
            raise ValueError(
                f"placement={self.placement.name}: is for a server started here, not for your own"
            )
        if self.backend.serves_elsewhere and self.compression.method != "none":
            raise ValueError(
                f"compression={self.compression.method}: is for the model that is served here; a "
                "server of your own (backend.http.url) has its model already"
            )

    @property
    def num_threads(self) -> int | None:
        """Threads of the model: the fewer of what the backend and the place allow."""
        given = (self.backend.num_threads, self.placement.num_threads)
        return min((number for number in given if number is not None), default=None)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ServeConfig:
        """The checked configuration from its resolved form; groups with a `_target_` stay dicts.

        Raises:
            ValueError: A value is out of range; the message names the key and the remedy.
        """
        refuse_contradictions(config, {"codecarbon.country_iso_code": "grid.country_iso_code"})
        backend = dict(config["backend"])
        if backend.get("http") is not None:
            backend["http"] = build_config(HttpConfig, backend["http"], "backend.http.")
        parts: dict[str, Any] = {
            key: build_config(part, config[key], f"{key}.") for key, part in _PARTS.items()
        }
        parts["backend"] = build_config(BackendConfig, backend, "backend.")
        return build_config(cls, {**without(dict(config), CHOICES), **parts})


_PARTS: dict[str, type] = {
    "scenario": ScenarioConfig,
    "compression": CompressionConfig,
    "placement": PlacementConfig,
    "meter": MeterConfig,
    "sampler": SamplerConfig,
}


def known_serve_keys() -> list[str]:
    """Every key of bench.serve with a type of its own, dotted."""
    parts = _PARTS | {"backend": BackendConfig, "backend.http": HttpConfig}
    return dotted_keys(ServeConfig, parts)


SERVE_NODES: dict[str, dict[str, type]] = {
    "scenario": {"scenario": ScenarioConfig},
    "backend": {"backend": BackendConfig},
    "http": {"http": HttpConfig},
    "compression": {"compression": CompressionConfig},
    "placement": {"placement": PlacementConfig},
}
