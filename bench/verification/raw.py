"""Reads the raw data of a run: evaluations, samples, readings of the meters, requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.files import StoreError, read_file
from bench.core.records.curve import CurveRow
from bench.core.records.phases import Phase
from bench.core.records.run import SCHEMA_VERSION, RunRecord
from bench.core.store import read_curve, read_record, record_path
from bench.measure.clock import PhaseTimes
from bench.measure.meter_set import EnergyReading
from bench.measure.meters.base import Component, Reading
from bench.measure.os.cgroup import CgroupReading
from bench.measure.os.cpu_use import CpuReading
from bench.measure.phase_energy import Edge
from bench.measure.raw_files import METADATA, raw_names
from bench.measure.sampler import TelemetryRow

_DAMAGED = "measure the run again, or leave it out"


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
        table = self._table(raw_names()[0])
        return None if table is None else [TelemetryRow(**row) for row in table.to_pylist()]

    @cached_property
    def readings(self) -> Readings | None:
        """The readings of the meters; None if there is no such file.

        Raises:
            StoreError: The file is damaged.
        """
        name = raw_names()[1]
        table = self._table(name)
        if table is None:
            return None
        try:
            return _readings(table)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.folder / name}: not readings ({error}); {_DAMAGED}") from error

    @cached_property
    def requests(self) -> pd.DataFrame | None:
        """The requests of the reported pass; None if there is no such file.

        Raises:
            StoreError: The file is damaged.
        """
        table = self._table("requests.parquet")
        return None if table is None else table.to_pandas()

    def _table(self, name: str) -> pa.Table | None:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {_DAMAGED}") from error


def _readings(table: pa.Table) -> Readings:
    constants = json.loads(table.schema.metadata[METADATA])
    fixed = {"t_s", "mark", "component", "shown_j", "energy_j", "missed_j", "resets", "gaps"}
    phases: list[Any] = [
        name.removesuffix("_s") for name in table.schema.names if name not in fixed
    ]
    rows = table.to_pylist()
    # One reading has a row for each component, one after the other.
    groups = groupby(rows, key=lambda row: (row["t_s"], row["mark"]))
    return Readings(
        components=[Component(**each) for each in constants["components"]],
        failed=frozenset(constants["failed"]),
        whole=constants["whole"],
        phases=phases,
        edges=[_edge(list(group), phases) for _, group in groups],
        cpu=[CpuReading(**each) for each in constants["cpu"]],
        cgroup=[each and CgroupReading(**each) for each in constants["cgroup"]],
    )


def _edge(rows: Sequence[dict[str, Any]], phases: Sequence[Phase]) -> Edge:
    first = rows[0]
    times = {phase: first[f"{phase}_s"] for phase in phases}
    is_of_clock = None not in times.values()
    total_s = 0.0
    for seconds in times.values() if is_of_clock else ():
        total_s += seconds  # in the order of the clock, so to the last bit
    names = ("energy_j", "missed_j", "resets", "gaps", "shown_j")
    by_component = {
        row["component"]: Reading(**{name: row[name] for name in names}) for row in rows
    }
    return Edge(
        reading=EnergyReading(first["t_s"], by_component),
        mark=first["mark"],
        times=PhaseTimes(total_s, times) if is_of_clock else None,
    )
