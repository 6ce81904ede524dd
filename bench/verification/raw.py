"""Reads the raw data of a run: evaluations, samples, readings of the meters, requests."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError

from bench.core.errors import first_error
from bench.core.files import StoreError, read_file
from bench.core.records.curve import CurveRow
from bench.core.records.phases import MaintenancePhase, Phase, ProgramPhase, TrainingPhase
from bench.core.records.run import SCHEMA_VERSION, RunRecord
from bench.core.store import read_curve, read_record, record_path
from bench.measure.clock import PhaseTimes
from bench.measure.meter_set import EnergyReading
from bench.measure.meters.base import Component, Reading
from bench.measure.os.cgroup import CgroupReading
from bench.measure.os.cpu_use import CpuReading
from bench.measure.phase_energy import START, Edge
from bench.measure.raw_files import METADATA, raw_names
from bench.measure.sampler import TelemetryRow

T = TypeVar("T")

_DAMAGED = "measure the run again, or leave it out"
_PHASES = {*get_args(TrainingPhase), *get_args(MaintenancePhase), *get_args(ProgramPhase)}
_REQUESTED = ("query", "scheduled_s", "latency_ms")
_OPTIONAL = ("ttft_ms", "tpot_ms", "ok")
_Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of readings.parquet, without the times of the phases."""

    t_s: _Number
    mark: str
    component: str
    shown_j: _Number | None
    energy_j: _Number
    missed_j: _Number
    resets: int
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Constants:
    """The metadata of readings.parquet."""

    components: list[Component]
    failed: list[str]
    whole: bool
    cpu: list[CpuReading]
    cgroup: list[CgroupReading | None]


_ROWS = TypeAdapter(list[_Row])
_TIMES = TypeAdapter(list[_Number | None])
_CONSTANTS = TypeAdapter(_Constants)
_SAMPLES = TypeAdapter(list[TelemetryRow])


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What readings.parquet holds.

    Attributes:
        components: What the meters measured, with the bounds on their errors.
        failed: Names of those that failed.
        whole: Whether they are all that a total needs.
        phases: The phases of the clock.
        edges: Every reading, in order.
        cpu: CPU times at both ends of the clock.
        cgroup: The control group at both ends; None where there is none.
    """

    components: Sequence[Component]
    failed: frozenset[str]
    whole: bool
    phases: Sequence[Phase]
    edges: Sequence[Edge]
    cpu: Sequence[CpuReading]
    cgroup: Sequence[CgroupReading | None]

    def at(self, mark: str) -> EnergyReading | None:
        """The first reading with a mark; None without one."""
        return next(iter(self.all_at(mark)), None)

    def all_at(self, mark: str) -> list[EnergyReading]:
        """The readings with a mark, in order."""
        return [edge.reading for edge in self.edges if edge.mark == mark]

    @property
    def end(self) -> EnergyReading | None:
        """The reading at the end of the clock; None if the clock never started."""
        ends = [edge.reading for edge in self.edges if edge.mark in self.phases]
        return ends[-1] if ends else None

    @property
    def end_times(self) -> PhaseTimes | None:
        """The times of the phases when the clock stopped; None if no reading has them."""
        known = [edge.times for edge in self.edges if edge.times is not None]
        return known[-1] if known and self.end is not None else None


class RawRun:
    """A run folder; its files are read when they are asked for.

    Attributes:
        folder: The folder.
        record: The record to verify.
        is_older: Whether an earlier form of this project wrote it, by other rules.
    """

    def __init__(self, folder: Path) -> None:
        """Read the record.

        Raises:
            StoreError: It cannot be read.
        """
        self.folder = folder
        self.record: RunRecord = read_record(folder)
        path = record_path(folder)
        written = json.loads(read_file(path))["schema_version"] if path else SCHEMA_VERSION
        self.is_older = written < SCHEMA_VERSION

    @cached_property
    def curve(self) -> list[CurveRow]:
        """The evaluations.

        Raises:
            StoreError: A line is no evaluation.
        """
        return read_curve(self.folder)

    @cached_property
    def telemetry(self) -> list[TelemetryRow] | None:
        """The samples; None if there is no such file.

        Raises:
            StoreError: The file is damaged.
        """
        with self._reading(raw_names()[0]) as table:
            if table is None:
                return None
            rows = _SAMPLES.validate_python(table.to_pylist())
            if not all(math.isfinite(each) for row in rows for each in (row.t_s, row.value)):
                raise ValueError("a time or a value is not finite")
            return rows

    @cached_property
    def readings(self) -> Readings | None:
        """The readings of the meters; None if there is no such file.

        Raises:
            StoreError: The file is damaged.
        """
        with self._reading(raw_names()[1]) as table:
            return None if table is None else _readings(table)

    @cached_property
    def requests(self) -> pd.DataFrame | None:
        """The requests of the reported pass; None if there is no such file.

        Raises:
            StoreError: The file is damaged.
        """
        with self._reading("requests.parquet") as table:
            return None if table is None else _requests(table)

    @contextmanager
    def reading_config(self) -> Iterator[None]:
        """Say that the configuration in the record cannot be used, if it cannot.

        Raises:
            StoreError: A key that the block needs is absent or has a wrong value.
        """
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            place = f"{self.folder / 'run.json'}: config"
            raise StoreError(f"{place} cannot be used ({_reason(error)}); {_DAMAGED}") from error

    @contextmanager
    def _reading(self, name: str) -> Iterator[pa.Table | None]:
        """Read a table; whatever the block raises because of its content is said of the file."""
        path = self.folder / name
        try:
            yield pq.read_table(path) if path.exists() else None
        except (OSError, pa.ArrowException, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({_reason(error)}); {_DAMAGED}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_error(error)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _requests(table: pa.Table) -> pd.DataFrame:
    """Make a frame of the requests.

    Raises:
        ValueError: A column is missing, or holds something else than numbers.
    """
    requests: pd.DataFrame = table.to_pandas()
    for name in (*_REQUESTED, *_OPTIONAL):
        if name not in requests:
            if name in _REQUESTED:
                raise ValueError(f"{name} is missing")
            continue
        values = requests[name]
        is_numeric = pd.api.types.is_numeric_dtype(values)
        if not is_numeric or (name in _REQUESTED and not values.map(math.isfinite).all()):
            raise ValueError(f"{name}: not a number")
    return requests


def _readings(table: pa.Table) -> Readings:
    """Make the readings of a table.

    Raises:
        ValueError: Something is missing, or has a wrong type.
    """
    constants = _CONSTANTS.validate_json((table.schema.metadata or {}).get(METADATA, b""))
    phases: list[Any] = [
        phase for name in table.schema.names if (phase := name.removesuffix("_s")) in _PHASES
    ]
    times = [_TIMES.validate_python(table[f"{phase}_s"].to_pylist()) for phase in phases]
    rows = _ROWS.validate_python(table.to_pylist())
    numbered = [(row, tuple(each[number] for each in times)) for number, row in enumerate(rows)]
    # One reading has a row for each component, one after the other.
    groups = groupby(numbered, key=lambda each: (each[0].t_s, each[0].mark))
    return Readings(
        components=constants.components,
        failed=frozenset(constants.failed),
        whole=constants.whole,
        phases=phases,
        edges=[_edge(list(group), phases) for _, group in groups],
        cpu=constants.cpu,
        cgroup=constants.cgroup,
    )


def _edge(rows: Sequence[tuple[_Row, tuple[float | None, ...]]], phases: Sequence[Phase]) -> Edge:
    """Make an edge of the rows of its components.

    Raises:
        ValueError: Its times are those of a phase that the clock does not have.
    """
    first, times_s = rows[0]
    known_s = [seconds for seconds in times_s if seconds is not None]
    is_of_clock = bool(phases) and len(known_s) == len(phases)
    if is_of_clock and first.mark not in (*phases, START):
        raise ValueError(f"mark {first.mark}: no such phase")
    total_s = 0.0
    for seconds in known_s:
        total_s += seconds  # in the order of the clock, so to the last bit
    by_phase = dict(zip(phases, known_s, strict=False))
    return Edge(
        reading=EnergyReading(first.t_s, {row.component: _reading_of(row) for row, _ in rows}),
        mark=first.mark,
        times=PhaseTimes(total_s, by_phase) if is_of_clock else None,
    )


def _reading_of(row: _Row) -> Reading:
    return Reading(
        energy_j=row.energy_j,
        missed_j=row.missed_j,
        resets=row.resets,
        gaps=row.gaps,
        shown_j=row.shown_j,
    )
