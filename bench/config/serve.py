"""The configuration of bench.serve: every key, its type, its default and its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Le
from typing_extensions import override

from bench.config.run import RunConfig
from bench.core.checks import (
    MISSING,
    Amount,
    CheckedAs,
    Count,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    Threads,
    matching,
    one_of,
    refuse_contradictions,
)
from bench.core.identity import CHOICES, without

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")
COMPRESSIONS = ("none", "bf16", "fp16", "int8_dynamic", "int8_static")
# Each size of a batch is run once before the server is ready, each connection has a file.
_Connections = Annotated[int, Ge(1), Le(10_000)]


@dataclass(kw_only=True)
class HttpConfig(KeyGroup):
    """The server that is started, or the one that is asked, and how it is asked."""

    runtime: str = "onnxruntime"  # bench.serving.find_backend knows which there are
    url: Annotated[
        str | None,
        matching("https?://[^/]", "must begin with http:// or https://, and name a host"),
    ] = None
    protocol: Annotated[str, one_of(("features", "kserve_v2"))] = "features"
    model_name: str = "model"
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 0
    concurrency: _Connections = 64
    max_batch_size: _Connections = 1
    batch_window_ms: Amount = 0.0
    max_request_bytes: PositiveCount = 1_000_000
    start_timeout_s: PositiveAmount = 60.0
    request_timeout_s: PositiveAmount = 30.0
    max_timeouts: PositiveCount = 3


@dataclass(kw_only=True)
class BackendConfig(KeyGroup):
    """What runs the model."""

    name: str = MISSING
    num_threads: Threads | None = None
    device: Annotated[str, one_of(("auto", "cpu", "cuda"))] = "auto"
    http: Annotated[Any, CheckedAs(HttpConfig | None)] = None

    @property
    def serves_elsewhere(self) -> bool:
        """Whether a server of the user's own is asked, which has its model already."""
        return self.http is not None and self.http.url is not None

    @property
    def runtime(self) -> str:
        """What runs the model, also behind a server: a name, or the dotted path of a class."""
        return self.name if self.http is None else str(self.http.runtime)

    @property
    def runtime_key(self) -> str:
        """The key that names it, for messages."""
        return "backend" if self.http is None else "backend.http.runtime"


@dataclass(kw_only=True)
class CustomBackend(BackendConfig):
    """A class of the user's own in this process: backend=custom."""

    _target_: str = MISSING

    @property
    @override
    def runtime(self) -> str:
        return self._target_

    @property
    @override
    def runtime_key(self) -> str:
        return "backend._target_"


@dataclass(kw_only=True)
class ScenarioConfig(KeyGroup):
    """How queries arrive, and for how long; LoadGen's scenarios."""

    name: Annotated[str, one_of(SCENARIOS)] = MISSING
    min_duration_s: PositiveAmount = MISSING
    min_queries: PositiveCount = MISSING
    warmup_queries: Count = MISSING
    samples_per_query: PositiveCount = 1
    max_batch_size: PositiveCount = 1
    rate_per_s: Annotated[float, Gt(0), Le(1e9)] | None = None
    latency_bound_ms: PositiveAmount | None = None
    search_steps: Count = 0
    raw_latencies: bool = True

    def __post_init__(self) -> None:
        """Refuse keys that the scenario would ignore, and require those that it needs.

        Raises:
            ValueError: A key is given or missing; the message names it.
        """
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
        if self.name == "server" and self.latency_bound_ms is None:
            raise ValueError("scenario.latency_bound_ms=null: the server scenario needs a bound")
        if self.name == "server" and self.rate_per_s is None and self.search_steps < 1:
            raise ValueError(
                "scenario.search_steps=0: must be at least 1 to search, or give scenario.rate_per_s"
            )


@dataclass(kw_only=True)
class CompressionConfig(KeyGroup):
    """How the model is made smaller before it is served."""

    method: Annotated[str, one_of(COMPRESSIONS)] = MISSING
    num_calibration_samples: PositiveCount = 256
    compare_rounds: Annotated[PositiveCount, Ge(2)] = 20
    compare_requests: PositiveCount = 50


@dataclass(kw_only=True)
class PlacementConfig(KeyGroup):
    """Where the model is served: the way to it, and what the machine there has."""

    name: str = MISSING
    round_trip_ms: Amount = 0.0
    jitter_ms: Amount = 0.0
    bandwidth_mbit_per_s: PositiveAmount | None = None
    num_threads: Threads | None = None
    memory_limit_bytes: Annotated[int, Gt(0), Le(10**18)] | None = None

    @property
    def has_network(self) -> bool:
        """Whether there is a network between client and server that must be emulated."""
        return bool(self.round_trip_ms or self.jitter_ms or self.bandwidth_mbit_per_s)


@dataclass(kw_only=True)
class ServeConfig(RunConfig):
    """All of bench.serve."""

    run: str = MISSING
    scenario: ScenarioConfig = MISSING
    backend: BackendConfig = MISSING
    compression: CompressionConfig = MISSING
    placement: PlacementConfig = MISSING
    allow_missed: bool = False
    keep_model: bool = False
    data_root: str | None = None

    def __post_init__(self) -> None:
        """Refuse groups that exclude one another.

        Raises:
            ValueError: Two contradict each other; the message names both.
        """
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
        limits = (self.backend.num_threads, self.placement.num_threads)
        return min((number for number in limits if number is not None), default=None)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """The configuration from its resolved values; groups with a `_target_` stay dicts.

        Raises:
            ValueError: A value is wrong; the message names the key and the remedy.
        """
        refuse_contradictions(values, {"codecarbon.country_iso_code": "grid.country_iso_code"})
        values = without(dict(values), CHOICES)
        if "_target_" in values["backend"]:
            custom = CustomBackend.from_dict(values["backend"], f"{above}backend.")
            values = {**values, "backend": custom}
        return super().from_dict(values, above)
