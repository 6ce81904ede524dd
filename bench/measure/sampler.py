"""The thread that watches utilization beside a run.

One daemon thread, woken at absolute deadlines; a late tick is not followed by hurried ones. The
values need no exact times: CPU use comes from differences of cumulative times, and energy does
not depend on this thread at all. What it costs is measured in the thread itself and stored.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure.clock import Clock
from bench.measure.nvml import Sample
from bench.measure.system import CpuMeter, CpuReading, ProcessTree, cpu_use

Probe = Callable[[], Iterable[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryRow:
    """One value of one metric of one device; t_s is relative to the start of the run's clock."""

    t_s: float
    device: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerReport:
    """How the sampler did: what it cost, its largest gap, and why it ended if it failed."""

    overhead_frac: float | None
    largest_gap_s: float | None
    num_ticks: int
    failure: str | None


class CpuProbe:
    """CPU use since the previous tick, and memory now."""

    def __init__(self, meter: CpuMeter, tree: ProcessTree) -> None:
        self._meter = meter
        self._tree = tree
        self._previous: CpuReading | None = None

    def __call__(self) -> list[Sample]:
        """The samples of this tick; the first has no use, for want of a difference."""
        now = self._meter.read()
        samples: list[Sample] = [("process_tree", "rss_bytes", float(self._tree.rss_bytes()))]
        use = cpu_use(self._previous, now) if self._previous else None
        self._previous = now
        if use is not None:
            samples.append(("process_tree", "cpu_busy_frac", use.process_frac))
            samples.append(("machine", "cpu_busy_frac", use.machine_frac))
            if use.steal_frac is not None:
                samples.append(("machine", "steal_frac", use.steal_frac))
        return samples


class Sampler:
    """Calls its probes every period from start() to stop()."""

    def __init__(
        self,
        probes: Sequence[Probe],
        *,
        period_s: float = 0.5,
        clock: Clock = time.perf_counter,
        wait: Callable[[float], bool] | None = None,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        """Nothing runs yet.

        Args:
            probes: What is asked at each tick.
            period_s: Time between ticks.
            clock: Monotonic seconds, the same as the run's clock.
            wait: Waits so many seconds; True when it is to stop. By default until stop() is called.
            thread_time: CPU seconds of the calling thread.
        """
        self._probes = probes
        self._period_s = period_s
        self._clock = clock
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._thread_time = thread_time
        self._thread: threading.Thread | None = None
        self._samples: list[tuple[float, Sample]] = []
        self._tick_s: list[float] = []
        self._cpu_s = 0.0
        self._ended_s: float | None = None
        self._failure: str | None = None

    def start(self) -> None:
        """Start the thread; before the clock, so that its start is not in a measured span."""
        self._thread = threading.Thread(target=self.run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> SamplerReport:
        """Stop the thread and wait for it; stopping again gives the same report."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        return self.report()

    def run(self) -> None:
        """What the thread does; it never raises into the run."""
        try:
            self._loop()
        except Exception as error:  # Whatever breaks here must not break the run.
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            self._ended_s = self._clock()

    def rows(self, *, origin_s: float) -> list[TelemetryRow]:
        """All samples so far, with times relative to origin_s on the sampler's clock."""
        return [
            TelemetryRow(t_s=at_s - origin_s, device=device, metric=metric, value=value)
            for at_s, (device, metric, value) in self._samples
        ]

    def report(self) -> SamplerReport:
        """Cost and gaps; the time from the last tick to the end is a gap like others."""
        edges = self._tick_s + ([] if self._ended_s is None else [self._ended_s])
        gaps = [later - earlier for earlier, later in itertools.pairwise(edges)]
        elapsed_s = edges[-1] - edges[0] if edges else 0.0
        return SamplerReport(
            overhead_frac=self._cpu_s / elapsed_s if elapsed_s > 0 else None,
            largest_gap_s=max(gaps, default=None),
            num_ticks=len(self._tick_s),
            failure=self._failure,
        )

    def _loop(self) -> None:
        started_s = self._clock()
        ticks = 0
        while True:
            at_s = self._clock()
            self._tick_s.append(at_s)
            for probe in self._probes:
                self._samples += [(at_s, sample) for sample in probe()]
            self._cpu_s = self._thread_time()
            # The next deadline that has not passed, whatever this tick and waiting took.
            ticks = max(ticks + 1, math.ceil((self._clock() - started_s) / self._period_s))
            if self._wait(max(0.0, started_s + ticks * self._period_s - self._clock())):
                return


def write_telemetry(path: Path, rows: Sequence[TelemetryRow]) -> None:
    """Write rows as parquet, long: t_s, device, metric, value."""
    table = pa.table(
        {
            "t_s": pa.array([row.t_s for row in rows], pa.float64()),
            "device": pa.array([row.device for row in rows], pa.string()),
            "metric": pa.array([row.metric for row in rows], pa.string()),
            "value": pa.array([row.value for row in rows], pa.float64()),
        }
    )
    pq.write_table(table, path)
