"""The system that a run of bench.serve measures: a backend in this process, or a server."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from bench.compression.artifact import Artifact
from bench.config.serve import HttpConfig, ServeConfig
from bench.core.arrays import Inputs
from bench.core.records.placement import Placement
from bench.core.records.serving import Stage
from bench.serving.backend import Backend, call_once
from bench.serving.find_backend import find_backend, make_backend
from bench.serving.http.client import HttpSystem
from bench.serving.http.features import read_features, write_features
from bench.serving.http.limits import require_connections
from bench.serving.http.network import Network
from bench.serving.http.process import HttpServer
from bench.serving.http.protocols import choose_protocol
from bench.serving.http.spec import ServerSpec
from bench.serving.http.stages import client_complaints, decompose
from bench.serving.in_process import InProcessSystem
from bench.serving.model import TrainedModel
from bench.serving.pass_result import PassResult
from bench.serving.sources import TestSplit
from bench.serving.system import System


@dataclass(kw_only=True)
class UnderTest:
    """A system that is ready to be measured, with its facts.

    answers_at_once tells whether a query has been answered when issue() returns. features gives the
    inputs of the test split as they reach the model, or None if nobody can see them.
    """

    system: System
    runtime: str | None
    max_batch_size: int
    answers_at_once: bool
    placement: Placement
    features: Callable[[], Inputs | None] = lambda: None
    facts: Mapping[str, str] = field(default_factory=dict)
    load_s: float | None = None
    stages: list[Stage] = field(default_factory=list)
    backend: Backend | None = None
    server_compile_s: float | None = None
    _seen_compile_s: float | None = field(init=False)

    def __post_init__(self) -> None:
        """Remember what compiling took so far: any more of it disturbs a measurement."""
        self._seen_compile_s = self.compile_s

    @property
    def compile_s(self) -> float | None:
        """Seconds that compiling took so far."""
        return self.server_compile_s if self.backend is None else self.backend.compile_s

    @property
    def gpus(self) -> list[str]:
        """UUIDs of the GPUs that run the model; none on a CPU, or for a server elsewhere."""
        return [self.facts["gpu_uuid"]] if "gpu_uuid" in self.facts else []

    def complaints(self, result: PassResult) -> list[str]:
        """Reasons against a pass that has just ended, besides LoadGen's verdict."""
        reasons = list(self.system.failure_reasons())
        if self.compile_s != self._seen_compile_s:
            self._seen_compile_s = self.compile_s
            reasons.append(
                "the model was compiled for a new batch size in the middle of the measurement"
            )
        if isinstance(self.system, HttpSystem) and result.scenario == "server":
            reasons += client_complaints(
                result.columns,
                latency_p99_ms=result.latency_p99_ms,
                concurrency=self.system.concurrency,
            )
        return reasons

    def keep(self, result: PassResult) -> None:
        """Keep the stages of the pass that has just ended: it is the best one so far."""
        if isinstance(self.system, HttpSystem) and result.samples is not None:
            latency_ms = result.samples["latency_ms"].tolist()
            self.stages = decompose(latency_ms, result.columns, self.system.network_ms)


@contextmanager
def open_system(
    config: ServeConfig, artifact: Artifact | None, trained: TrainedModel, work: Path, log: Path
) -> Iterator[UnderTest]:
    """Open the system of a configuration, until the end of the block.

    Args:
        config: The configuration.
        artifact: The model on disk; None for a server of the user's own.
        trained: The model's training run, with the test split.
        work: A folder for temporary files.
        log: A folder for the output of servers.

    Raises:
        ValueError: It cannot be opened; the message has the reason: a runtime that is not
            installed, a model that gives other outputs, a port in use, a server that is not ready.
        PassFailed: The model failed at its first call.
        ServerDied: The server ended.
    """
    http: HttpConfig | None = config.backend.http
    test = trained.test
    with ExitStack() as stack:
        if http is None:
            assert artifact is not None
            yield stack.enter_context(_in_process(config, artifact, trained))
            return
        # Check before a server starts: too few open files would only show as failed requests.
        require_connections(http.concurrency)
        if http.url is not None:
            yield _over_http(config, http, http.url, None, test, log, stack)
            return
        assert artifact is not None
        # The stack stops the client first, then the network, then the server.
        store = work / "features.sqlite"
        server = stack.enter_context(_server(config, http, artifact, test, store, log))
        under_test = _over_http(config, http, server.url, server, test, log, stack)
        if http.protocol == "features":
            under_test.features = partial(read_features, store)
        yield under_test


@contextmanager
def _in_process(
    config: ServeConfig, artifact: Artifact, trained: TrainedModel
) -> Iterator[UnderTest]:
    scenario, test = config.scenario, trained.test
    queued = scenario.name == "server"
    began_s = time.perf_counter()
    backend = make_backend(
        config.backend.runtime, device=config.backend.device, num_threads=config.num_threads
    )
    backend.open(artifact)
    load_s = time.perf_counter() - began_s
    # A runtime may do extra work at the first call of a batch size, so call it before any
    # measurement. A queue makes batches of all sizes; without one there are full batches and
    # single samples.
    largest = min(scenario.max_batch_size, len(test.inputs))
    call_once(
        backend,
        lambda size: test.inputs[:size].copy(),
        range(1, largest + 1) if queued else sorted({1, largest}),
        model=trained.name,
        output_shape=test.output_shape,
    )
    try:
        yield UnderTest(
            system=InProcessSystem(
                backend, test.served, max_batch_size=scenario.max_batch_size, queued=queued
            ),
            runtime=backend.name,
            max_batch_size=scenario.max_batch_size,
            answers_at_once=not queued,
            placement=_placement(config),
            features=lambda: test.served,
            facts=backend.facts,
            load_s=load_s,
            backend=backend,
        )
    finally:
        backend.close()


def _over_http(
    config: ServeConfig,
    http: HttpConfig,
    url: str,
    server: HttpServer | None,
    test: TestSplit,
    log: Path,
    stack: ExitStack,
) -> UnderTest:
    """A client of a server; if the server is ours, with an emulated network in between."""
    network = stack.enter_context(
        Network(config.placement, url, log=log / "network.log", seed=config.seed)
    )
    num_outputs = None if test.output_shape is None else math.prod(test.output_shape)
    protocol = choose_protocol(http, url, test.served, num_outputs=num_outputs)
    system = stack.enter_context(
        HttpSystem(
            network.url,
            protocol,
            concurrency=http.concurrency,
            request_timeout_s=http.request_timeout_s,
            max_timeouts=http.max_timeouts,
            delays=network.delays,
            gone=lambda: (server.gone() if server else None) or network.gone(),
        )
    )
    return UnderTest(
        system=system,
        runtime=find_backend(http.runtime).name if server else None,
        max_batch_size=http.max_batch_size,
        answers_at_once=False,
        placement=_placement(config, network.description, server.memory_limit if server else None),
        # With the other protocol, the features are in the requests.
        features=lambda: None if http.protocol == "features" else test.served,
        facts=server.facts if server else {},
        load_s=server.load_s if server else None,
        server_compile_s=server.compile_s if server else None,
    )


def _server(
    config: ServeConfig,
    http: HttpConfig,
    artifact: Artifact,
    test: TestSplit,
    features: Path,
    log: Path,
) -> HttpServer:
    """Our server, not started yet, with the test split in its feature store."""
    if test.raw is None:
        write_features(features, test.inputs, skew=test.skew)
    else:
        pixels, mean, std = (x.numpy() for x in (test.raw.images, test.raw.mean, test.raw.std))
        write_features(features, pixels, mean=mean, std=std, skew=test.skew)
    spec = ServerSpec(
        http=http,
        # The server resolves `auto` itself: it may see other devices than this process.
        device=config.backend.device,
        num_threads=config.num_threads,
        artifact=artifact,
        features_path=features,
        output_shape=test.output_shape,
    )
    limit_bytes = config.placement.memory_limit_bytes
    return HttpServer(spec, log=log / "server.log", memory_limit_bytes=limit_bytes)


def _placement(
    config: ServeConfig, network: str | None = None, memory_limit: str | None = None
) -> Placement:
    settings = {**asdict(config.placement), "num_threads": config.num_threads}
    return Placement(**settings, network=network, memory_limit=memory_limit)
