"""The configuration of bench.serve: every key, its type, its default and its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Le
from typing_extensions import override

from bench.config.beside import Beside
from bench.config.run import RunConfig
from bench.config.skew import Skew
from bench.core.checks import (
    MISSING,
    Amount,
    CheckedAs,
    Count,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    Threads,
    matches_pattern,
    one_of,
    refuse_contradictions,
)
from bench.core.identity import CHOICES, without_key

LOADGEN_SCENARIOS = ("single_stream", "multi_stream", "server", "offline")
GENERATE = "generate"
SCENARIOS = (*LOADGEN_SCENARIOS, GENERATE)
COMPRESSIONS = ("none", "bf16", "fp16", "int8_dynamic", "int8_static")
# The server runs each batch size once before it is ready, and each connection needs a file
# descriptor.
_Connections = Annotated[int, Ge(1), Le(10_000)]


@dataclass(kw_only=True)
class HttpConfig(KeyGroup):
    """The server to start, or the user's own server to query, and the protocol."""

    runtime: str = "onnxruntime"  # bench.serving.find_backend checks the name
    url: Annotated[
        str | None,
        matches_pattern("https?://[^/]", "must begin with http:// or https://, and name a host"),
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
    """The runtime that serves the model, and its device."""

    name: str = MISSING
    num_threads: Threads | None = None
    device: Annotated[str, one_of(("auto", "cpu", "cuda"))] = "auto"
    http: Annotated[Any, CheckedAs(HttpConfig | None)] = None

    @property
    def serves_elsewhere(self) -> bool:
        """Whether the requests go to the user's own server, which already has its model."""
        return self.http is not None and self.http.url is not None

    @property
    def runtime(self) -> str:
        """The runtime, in this process or in the server: a name, or a class's dotted path."""
        return self.name if self.http is None else str(self.http.runtime)

    @property
    def runtime_key(self) -> str:
        """The key that chooses the runtime, for messages."""
        return "backend" if self.http is None else "backend.http.runtime"


@dataclass(kw_only=True)
class CustomBackend(BackendConfig):
    """backend=custom: the user's own class, in this process."""

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
    """How queries arrive, and for how long."""

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
    prompt_tokens: PositiveCount | None = None
    output_tokens: Annotated[PositiveCount, Ge(2)] | None = None

    def __post_init__(self) -> None:
        """Refuse keys that the scenario would ignore, and require those that it needs.

        Raises:
            ValueError: A key is superfluous or missing; the message names it.
        """
        if self.name != "multi_stream" and self.samples_per_query != 1:
            raise ValueError(
                f"scenario.samples_per_query={self.samples_per_query}: only multi_stream takes it; "
                f"leave it at 1 for {self.name}"
            )
        if self.name != "server" and (self.rate_per_s is not None or self.search_steps):
            raise ValueError(
                "scenario.rate_per_s and scenario.search_steps: only server takes them; leave them "
                f"out for {self.name}"
            )
        self._check_generation()
        if self.name == "server" and self.latency_bound_ms is None:
            raise ValueError("scenario.latency_bound_ms=null: the server scenario needs a bound")
        if self.name == "server" and self.rate_per_s is None and self.search_steps < 1:
            raise ValueError(
                "scenario.search_steps=0: must be at least 1 to search, or give scenario.rate_per_s"
            )

    def require_context(self, context: int) -> None:
        """Refuse prompts and answers that do not fit into the context of a language model.

        Args:
            context: Tokens of the longest sequence.

        Raises:
            ValueError: Together they are longer.
        """
        num_tokens = (self.prompt_tokens or 0) + (self.output_tokens or 0)
        if num_tokens > context:
            raise ValueError(
                f"scenario.prompt_tokens={self.prompt_tokens} and scenario.output_tokens="
                f"{self.output_tokens}: together {num_tokens}, longer than the model's context of "
                f"{context} tokens; use fewer"
            )

    def _check_generation(self) -> None:
        tokens = (self.prompt_tokens, self.output_tokens)
        if self.name != GENERATE and tokens != (None, None):
            raise ValueError(
                "scenario.prompt_tokens and scenario.output_tokens: only generate takes them; "
                f"leave them out for {self.name}"
            )
        if self.name != GENERATE:
            return
        if None in tokens:
            raise ValueError(
                "scenario.prompt_tokens and scenario.output_tokens: must be given for generate"
            )
        if self.max_batch_size != 1 or self.latency_bound_ms is not None:
            raise ValueError(
                "scenario.max_batch_size and scenario.latency_bound_ms: generate continues one "
                "prompt at a time, without a bound; leave them out"
            )


@dataclass(kw_only=True)
class CompressionConfig(KeyGroup):
    """How to compress the model before it is served."""

    method: Annotated[str, one_of(COMPRESSIONS)] = MISSING
    num_calibration_samples: PositiveCount = 256
    compare_rounds: Annotated[PositiveCount, Ge(2)] = 20
    compare_requests: PositiveCount = 50


@dataclass(kw_only=True)
class PlacementConfig(KeyGroup):
    """Where the model is served: the network in between, and the limits of the machine there."""

    name: str = MISSING
    round_trip_ms: Amount = 0.0
    jitter_ms: Amount = 0.0
    bandwidth_mbit_per_s: PositiveAmount | None = None
    num_threads: Threads | None = None
    memory_limit_bytes: Annotated[int, Gt(0), Le(10**18)] | None = None

    @property
    def has_network(self) -> bool:
        """Whether a network between client and server must be emulated."""
        return bool(self.round_trip_ms or self.jitter_ms or self.bandwidth_mbit_per_s)


@dataclass(kw_only=True)
class ServeConfig(RunConfig):
    """The keys of bench.serve."""

    run: str = MISSING
    scenario: ScenarioConfig = MISSING
    backend: BackendConfig = MISSING
    compression: CompressionConfig = MISSING
    placement: PlacementConfig = MISSING
    beside: Beside = None
    skew: Skew = None
    check_skew: bool = True
    allow_missed: bool = False
    keep_model: bool = False
    data_root: str | None = None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            ValueError: Two options contradict each other; the message names both.
        """
        super().__post_init__()
        if self.scenario.name == GENERATE and self.backend.http is not None:
            raise ValueError(
                "scenario=generate: runs a model in this process only; use backend=eager"
            )
        if self.scenario.name == GENERATE and self.beside is not None:
            raise ValueError(
                f"beside={self.beside.name}: compares the latency of single inputs, which "
                "scenario=generate does not have; use another scenario"
            )
        limited = self.placement.has_network or self.placement.memory_limit_bytes is not None
        if limited and self.backend.http is None:
            raise ValueError(
                f"placement={self.placement.name}: needs backend=http; other backends run in this "
                "process, without a network to slow down or a server whose memory can be limited"
            )
        if self.skew is not None and not self.check_skew:
            raise ValueError(
                f"check_skew=false: skew={self.skew.kind} is planted to be found; leave one out"
            )
        if self.backend.serves_elsewhere:
            self._refuse_own_server(limited)

    def _refuse_own_server(self, limited: bool) -> None:
        """Refuse what only a server that this command starts can have."""
        if limited:
            raise ValueError(
                f"placement={self.placement.name}: only for a server that this command starts; use "
                "placement=local with backend.http.url"
            )
        if self.compression.method != "none":
            raise ValueError(
                f"compression={self.compression.method}: only for a server that this command "
                "starts; your own (backend.http.url) already has its model, so use compression=none"
            )
        if self.skew is not None:
            raise ValueError(
                f"skew={self.skew.kind}: can only be planted in a server that this command starts; "
                "use skew=none with backend.http.url"
            )

    @property
    def num_threads(self) -> int | None:
        """Threads of the model: the smaller of the backend's and the placement's limits."""
        # The placement stands for a smaller machine, so it cannot give more threads than the
        # backend asks.
        limits = (self.backend.num_threads, self.placement.num_threads)
        return min((number for number in limits if number is not None), default=None)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """Check resolved values and make the dataclass; groups with a `_target_` stay dicts.

        Raises:
            ValueError: A value is wrong; the message names the key and the remedy.
        """
        refuse_contradictions(values, {"codecarbon.country_iso_code": "grid.country_iso_code"})
        values = without_key(dict(values), CHOICES)
        # A backend of the user's own has keys of its own.
        if "_target_" in values["backend"]:
            custom = CustomBackend.from_dict(values["backend"], f"{above}backend.")
            values = {**values, "backend": custom}
        return super().from_dict(values, above)
