"""The thread that samples utilization while a run is measured.

It is one daemon thread, woken at absolute deadlines; after a late tick it skips the deadlines it
missed. The samples need no exact times, because CPU use comes from differences of cumulative times.
The thread also reads energy meters that must be read regularly (power to integrate, counters that
wrap). These are chores: calls without samples, each with its own period. The thread measures what
all of this costs, and the record stores it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure.clock import Clock
from bench.measure.gpu import Sample

# Returns the samples of one moment. An attribute `kind` is its name in the report of costs.
Source = Callable[[], Iterable[Sample]]

# Code that holds the interpreter may delay a tick by this much; a longer delay is a disturbance.
LATENESS_S = 0.1

# Of the time, what each source that costs much may take: less than half of the goal for the whole
# sampler, 0.5% of a core.
SELDOM_FRAC = 0.002

_EARLY_FRAC = 0.01  # of a period: by this much a wait may end too early


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryRow:
    """One value of one metric of one device; t_s is relative to the start of the run's clock."""

    t_s: float
    device: str
    metric: str
    value: float


@dataclass(slots=True)
class CallCost:
    """What the calls of one source cost: their number, CPU seconds and elapsed seconds.

    A call may wait in a driver. Only elapsed_s has that, and it has waiting for a core, too.
    """

    num_calls: int = 0
    cpu_s: float = 0.0
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerReport:
    """What the sampler cost, and whether something held it up.

    Attributes:
        call_costs: What the calls of each source cost, by the source's kind.
        overhead_frac: CPU time of its thread over elapsed time, chores and waking up included.
        tick_cost_s: CPU time of one call of all readers, on average.
        num_ticks: How often the readers were called.
        failure: What failed first; None if nothing did.
        held_up_s: Time in which a tick was overdue by more than LATENESS_S.
    """

    overhead_frac: float | None
    tick_cost_s: float | None
    num_ticks: int
    failure: str | None
    held_up_s: float = 0.0
    call_costs: Mapping[str, CallCost] = field(default_factory=dict)


@dataclass(slots=True)
class _Job:
    """A call with a period; its deadlines are multiples of the period, from a common start."""

    period_s: float
    call: Callable[[], None]
    started_s: float
    num_periods: int = 0

    @property
    def due_s(self) -> float:
        return self.started_s + self.num_periods * self.period_s

    def move_on(self, now_s: float) -> None:
        """Move to the next deadline that has not passed."""
        elapsed = math.ceil((now_s - self.started_s) / self.period_s)
        self.num_periods = max(self.num_periods + 1, elapsed)


class Sampler:
    """Calls its sources every period, and each chore at its own period, until stop()."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        seldom: Sequence[tuple[float, Source]] = (),
        period_s: float = 0.5,
        clock: Clock = time.perf_counter,
        wait: Callable[[float], bool] | None = None,
        thread_time: Callable[[], float] = time.thread_time,
        chores: Sequence[tuple[float, Callable[[], None]]] = (),
    ) -> None:
        """Nothing runs yet.

        Args:
            sources: Called at each tick for samples.
            seldom: Sources that cost too much for each tick, with the seconds between two calls. If
                they take more than SELDOM_FRAC of the time, some calls are left out. The first
                call comes after that time: call sample_now() at the start.
            period_s: Time between ticks.
            clock: Monotonic seconds, the same as the run's clock.
            wait: Waits for a number of seconds and returns whether to stop; by default it stops
                when stop() is called.
            thread_time: CPU seconds of the calling thread.
            chores: Calls without samples, each with its own period in seconds.
        """
        self._sources = sources
        self._seldom = seldom
        self._given_up: list[Source] = []
        self._costs: dict[str, CallCost] = {}
        self._period_s = period_s
        self._clock = clock
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._thread_time = thread_time
        self._chores = chores
        self._thread: threading.Thread | None = None
        self._samples: list[tuple[float, Sample]] = []
        self._tick_s: list[float] = []
        self._tick_costs_s: list[float] = []
        self._cpu_s = 0.0
        self._started_s: float | None = None
        self._first_due_s = 0.0
        self._ended_s: float | None = None
        self._failure: str | None = None

    def start(self) -> None:
        """Start the thread; call it before the clock, so that its start is not measured."""
        self._started_s = self._clock()
        self._thread = threading.Thread(target=self.run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self, span: tuple[float, float] | None = None) -> SamplerReport:
        """Stop the thread and wait for it; stopping again gives the same report.

        Args:
            span: As in report().
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        return self.report(span)

    def run(self) -> None:
        """Run in the thread; no exception reaches the run."""
        try:
            self._loop()
        except Exception as error:  # nothing that breaks here may break the run
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            self._ended_s = self._clock()

    def rows(self, *, origin_s: float) -> list[TelemetryRow]:
        """All samples so far, with times relative to origin_s on the sampler's clock."""
        return [
            TelemetryRow(t_s=at_s - origin_s, device=device, metric=metric, value=value)
            for at_s, (device, metric, value) in self._samples
        ]

    def report(self, span: tuple[float, float] | None = None) -> SamplerReport:
        """Report the cost, and for how long ticks were overdue until the end of the thread.

        Args:
            span: Moments on the sampler's clock between which held_up_s counts; None for all.
        """
        elapsed_s = 0.0
        if self._started_s is not None and self._ended_s is not None:
            elapsed_s = self._ended_s - self._started_s
        return SamplerReport(
            overhead_frac=self._cpu_s / elapsed_s if elapsed_s > 0 else None,
            tick_cost_s=fmean(self._tick_costs_s) if self._tick_costs_s else None,
            num_ticks=len(self._tick_s),
            failure=self._failure,
            held_up_s=self._held_up_s(*(span or (-math.inf, math.inf))),
            call_costs={kind: replace(cost) for kind, cost in self._costs.items()},
        )

    def _held_up_s(self, first_s: float, last_s: float) -> float:
        """How long ticks were overdue: each is due at the first deadline after the one before."""
        held_s, due_s = 0.0, self._started_s or 0.0
        for edge_s in self._tick_s + ([] if self._ended_s is None else [self._ended_s]):
            held_s += max(0.0, min(edge_s, last_s) - max(due_s + LATENESS_S, first_s))
            # A wait may end slightly before its deadline, which has then been met.
            passed = math.floor((edge_s - self._first_due_s) / self._period_s + _EARLY_FRAC)
            due_s = self._first_due_s + (passed + 1) * self._period_s
        return held_s

    def _loop(self) -> None:
        started_s = self._first_due_s = self._clock()
        if self._started_s is None:
            self._started_s = started_s
        began_s = self._thread_time()
        # Chores first: integrated power depends on when it is read, the sources' values do not.
        calls = [*self._chores, (self._period_s, self._tick)]
        jobs = [_Job(period_s, call, started_s) for period_s, call in calls]
        for period_s, source in self._seldom:
            jobs.append(
                _Job(period_s, partial(self._sample_seldom, source), started_s, num_periods=1)
            )
        nearest_s = started_s
        while True:
            for job in jobs:
                # A wait may end slightly before its deadline; the job is due nevertheless.
                if job.due_s <= max(nearest_s, self._clock()):
                    job.call()
                    job.move_on(self._clock())
            self._cpu_s = self._thread_time() - began_s
            nearest_s = min(job.due_s for job in jobs)
            if self._wait(max(0.0, nearest_s - self._clock())):
                return

    def _tick(self) -> None:
        began_s = self._thread_time()
        at_s = self._clock()
        self._tick_s.append(at_s)
        for source in self._sources:
            self._take(source, at_s)
        self._tick_costs_s.append(self._thread_time() - began_s)

    def sample_now(self, source: Source) -> None:
        """Take the samples of one source at this moment; any thread may call it."""
        self._take(source, self._clock())

    def _sample_seldom(self, source: Source) -> None:
        """Take the samples of a source, unless its calls so far have taken their share."""
        cost = self._costs.get(_kind(source), CallCost())
        since_s = self._clock() - (self._started_s or 0.0)
        if cost.elapsed_s <= SELDOM_FRAC * since_s:
            self.sample_now(source)

    def _take(self, source: Source, at_s: float) -> None:
        if source in self._given_up:
            return
        began_s, began_cpu_s = self._clock(), self._thread_time()
        try:
            self._samples += [(at_s, sample) for sample in source()]
        except Exception as error:  # a lost GPU must not stop the other sources
            self._given_up.append(source)
            self._failure = self._failure or f"{type(error).__name__}: {error}"
        cost = self._costs.setdefault(_kind(source), CallCost())
        cost.num_calls += 1
        cost.cpu_s += self._thread_time() - began_cpu_s
        cost.elapsed_s += self._clock() - began_s


def _kind(source: Source) -> str:
    name: str = getattr(source, "kind", "") or getattr(source, "__name__", type(source).__name__)
    return name


def write_telemetry(path: Path, rows: Sequence[TelemetryRow]) -> None:
    """Write rows as parquet in long form: t_s, device, metric, value."""
    table = pa.table(
        {
            "t_s": pa.array([row.t_s for row in rows], pa.float64()),
            "device": pa.array([row.device for row in rows], pa.string()),
            "metric": pa.array([row.metric for row in rows], pa.string()),
            "value": pa.array([row.value for row in rows], pa.float64()),
        }
    )
    write_table(table, path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as parquet, whole or not at all: a reader may look while a run ends."""
    new = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, new)
    new.replace(path)
