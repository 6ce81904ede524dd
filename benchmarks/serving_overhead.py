"""What the harness costs a query: `python -m benchmarks.serving_overhead [--rounds N]`.

Queries a null model, which always returns the same array, in each of LoadGen's scenarios, in this
process and over HTTP, with and without a trace of every sample. What remains is the harness:
LoadGen, its Python binding, and our code between it and the model. Cases take turns in a different
order each round. The numbers are medians over rounds, with the smallest and the largest. The exit
code is 1 if the p90 of single_stream is above its goal. Run it on an idle machine.

single_stream and multi_stream measure the latency of a query, of one sample and of eight. server
measures it from the scheduled time, at a rate at which nothing queues; it includes waking two
threads. offline measures the time per sample.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.compression.artifact import Artifact
from bench.config.serve import HttpConfig
from bench.core.arrays import Inputs
from bench.core.host import host_facts
from bench.serving.backend import Backend, Outputs
from bench.serving.http.client import HttpSystem
from bench.serving.http.features import write_features
from bench.serving.http.process import HttpServer
from bench.serving.http.protocols import FeaturesProtocol
from bench.serving.http.spec import ServerSpec
from bench.serving.in_process import InProcessSystem
from bench.serving.loadgen import run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.system import System

TARGET_US = 5.0  # goal for the p90 of single_stream in process, with our Python code
NUM_INPUTS, SHAPE, NUM_CLASSES = 1024, (1, 28, 28), 10
SEED = 0
HTTP = "over HTTP"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One scenario, with or without the trace."""

    scenario: str
    raw_latencies: bool
    num_queries: int
    max_batch_size: int = 1
    samples_per_query: int = 1
    rate_per_s: float = 1.0
    latency_bound_ms: float | None = None

    @property
    def settings(self) -> PassSettings:
        """Settings of the pass: a number of queries, however long they take."""
        return PassSettings(
            scenario=self.scenario,
            num_inputs=NUM_INPUTS,
            seed=SEED,
            min_queries=self.num_queries,
            samples_per_query=self.samples_per_query,
            rate_per_s=self.rate_per_s,
            latency_bound_ms=self.latency_bound_ms,
            raw_latencies=self.raw_latencies,
        )


def cases(raw_latencies: bool, *, over_http: bool = False) -> list[Case]:
    """All scenarios, each for about a second; over HTTP with fewer queries."""
    if over_http:
        rate: dict[str, Any] = {"rate_per_s": 200.0, "latency_bound_ms": 1000.0}
        return [
            Case(scenario="single_stream", raw_latencies=raw_latencies, num_queries=1000),
            Case(scenario="server", raw_latencies=raw_latencies, num_queries=700, **rate),
            Case(scenario="offline", raw_latencies=raw_latencies, num_queries=2000),
        ]
    server: dict[str, Any] = {"max_batch_size": 8, "rate_per_s": 2000.0, "latency_bound_ms": 1000.0}
    eight: dict[str, Any] = {"max_batch_size": 8, "samples_per_query": 8}
    return [
        Case(scenario="single_stream", raw_latencies=raw_latencies, num_queries=50_000),
        Case(scenario="multi_stream", raw_latencies=raw_latencies, num_queries=10_000, **eight),
        Case(scenario="server", raw_latencies=raw_latencies, num_queries=2_000, **server),
        Case(
            scenario="offline", raw_latencies=raw_latencies, num_queries=200_000, max_batch_size=64
        ),
    ]


class NullBackend(Backend):
    """A model that takes no time."""

    name = "null"
    kind = "torch"

    def __init__(
        self, *, device: str = "cpu", num_threads: int | None = None, max_batch_size: int = 1
    ) -> None:
        """Make its one answer."""
        super().__init__(device=device, num_threads=num_threads)
        self._logits = np.zeros((max_batch_size, NUM_CLASSES), dtype=np.float32)

    def open(self, artifact: Artifact) -> None:
        """There is nothing to open."""

    def predict(self, inputs: Inputs) -> Outputs:
        """Return the same array for any inputs."""
        return self._logits

    def close(self) -> None:
        """There is nothing to close."""


@contextmanager
def in_process(case: Case) -> Iterator[System]:
    """The null model in this process."""
    inputs = np.zeros((NUM_INPUTS, *SHAPE), dtype=np.float32)
    yield InProcessSystem(
        NullBackend(max_batch_size=case.max_batch_size),
        inputs,
        max_batch_size=case.max_batch_size,
        queued=case.scenario == "server",
    )


@contextmanager
def over_http(case: Case) -> Iterator[System]:
    """The null model behind our server, over the loopback interface."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write_features(folder / "features", np.zeros((NUM_INPUTS, *SHAPE), dtype=np.float32))
        spec = ServerSpec(
            http=HttpConfig(
                runtime=f"{__spec__.name if __spec__ else __name__}.{NullBackend.__name__}"
            ),
            device="cpu",
            num_threads=1,
            artifact=Artifact(kind="torch", folder=folder, compression="none"),
            features_path=folder / "features",
        )
        server = stack.enter_context(HttpServer(spec, log=folder / "server.log"))
        yield stack.enter_context(HttpSystem(server.url, FeaturesProtocol(), gone=server.gone))


# The systems under test by name; each value makes the system for a case.
SYSTEMS: Mapping[str, Callable[[Case], AbstractContextManager[System]]] = {
    "in process": in_process,
    HTTP: over_http,
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Microseconds of one pass: percentiles per query, and the whole time per sample.

    The time per sample means nothing in server, where the schedule sets the length of the pass.
    """

    system: str
    scenario: str
    raw_latencies: bool
    p50_us: float | None
    p90_us: float | None
    per_sample_us: float | None


def cost(name: str, system: System, case: Case) -> Cost:
    """Measure one pass over a system that does nothing.

    Raises:
        RuntimeError: The system failed, or LoadGen did not find the pass valid.
    """
    result: PassResult = run_pass(system, case.settings)
    if not result.valid:
        raise RuntimeError(f"{name}, {case.scenario}: {'; '.join(result.invalid_reasons)}")
    p50_ms, p90_ms = result.latency_p50_ms, result.latency_p90_ms
    each_s = None if case.scenario == "server" else result.duration_s / result.num_samples
    return Cost(
        system=name,
        scenario=case.scenario,
        raw_latencies=case.raw_latencies,
        p50_us=None if p50_ms is None else p50_ms * 1e3,
        p90_us=None if p90_ms is None else p90_ms * 1e3,
        per_sample_us=None if each_s is None else each_s * 1e6,
    )


def measured(rounds: int, log: Console) -> list[Cost]:
    """Measure every system in every case, in rounds."""
    turns = [
        (name, make, case)
        for name, make in SYSTEMS.items()
        for raw_latencies in (True, False)
        for case in cases(raw_latencies, over_http=name == HTTP)
    ]
    rng = np.random.default_rng(SEED)
    costs = []
    for turn in range(rounds):
        for index in rng.permutation(len(turns)):
            name, make, case = turns[index]
            with make(case) as system:
                costs.append(cost(name, system, case))
        log.print(f"round {turn + 1} of {rounds}")
    return sorted(costs, key=lambda one: (one.system, one.scenario, one.raw_latencies))


def spread(values: Sequence[float | None]) -> str:
    """Median, smallest and largest."""
    given = [value for value in values if value is not None]
    if not given:
        return ""
    return f"{np.median(given):.3g} ({min(given):.3g} to {max(given):.3g})"


def table(costs: Sequence[Cost]) -> Table:
    """One row for each system and scenario, with and without the trace."""
    result = Table("system, scenario", "p50 us", "p90 us", "us per sample", "rounds")
    for key in dict.fromkeys((one.system, one.scenario, one.raw_latencies) for one in costs):
        chosen = [one for one in costs if (one.system, one.scenario, one.raw_latencies) == key]
        result.add_row(
            f"{key[0]}, {key[1]}{', trace' if key[2] else ''}",
            spread([one.p50_us for one in chosen]),
            spread([one.p90_us for one in chosen]),
            spread([one.per_sample_us for one in chosen]),
            str(len(chosen)),
        )
    result.title = "median (smallest to largest)"
    return result


def worst_p90_us(costs: Sequence[Cost]) -> float:
    """The larger median p90 of single_stream in process, of those with and without a trace."""
    chosen = [one for one in costs if (one.system, one.scenario) == ("in process", "single_stream")]
    medians = (
        np.median([one.p90_us for one in chosen if one.raw_latencies == raw_latencies])
        for raw_latencies in (True, False)
    )
    return float(max(medians))


def main() -> int:
    """Measure, print and write the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="a JSON file for the raw times")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error(f"--rounds {chosen.rounds}: must be at least 1")
    console = Console()
    costs = measured(chosen.rounds, console)
    console.print(table(costs))
    worst_us = worst_p90_us(costs)
    met = worst_us <= TARGET_US
    console.print(
        f"target, p90 of single_stream in process at most {TARGET_US:g} us: "
        f"{'met' if met else 'MISSED'} ({worst_us:.2f} us)"
    )
    if chosen.out:
        result = {"host": host_facts(), "costs": [asdict(one) for one in costs]}
        chosen.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
