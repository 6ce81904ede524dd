"""Writes what a window read, so that everything derived from it can be computed again.

telemetry.parquet has the samples: `t_s, device, metric, value`. readings.parquet has a row for each
component of each reading of the meters at an edge:

    t_s        when it was read, relative to the start of the clock
    mark       the phase that ended there; `open`, `init` or `start` before the first one
    component  as in `energy[]` of the record
    shown_j    what the counter itself showed; null if the joules are not those of a counter
    energy_j   joules since the meter was opened, through wraps and resets of the counter
    missed_j   bound on the joules that were not seen so far
    resets, gaps   how often the counter began anew, or may have wrapped unseen
    <phase>_s  time of each phase so far; null where no phase ended

The metadata of the file, under the key `window`, hold as JSON what does not change from row to
row: the components with the bounds on their errors, and CPU times at both ends of the clock.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.measure.meters.base import Component, Reading
from bench.measure.phase_energy import Edge
from bench.measure.sampler import write_table, write_telemetry
from bench.measure.window import Window

METADATA = b"window"
# Marks of a pass of bench.serve, within the window around it.
FIRST_QUERY, LAST_ANSWER = "first_query", "last_answer"
_TYPES = {
    "t_s": pa.float64(),
    "mark": pa.string(),
    "component": pa.string(),
    "shown_j": pa.float64(),
    "energy_j": pa.float64(),
    "missed_j": pa.float64(),
    "resets": pa.int64(),
    "gaps": pa.int64(),
}


def raw_names(node: int = 0) -> tuple[str, str]:
    """The names of both files: of the samples, and of the readings.

    Args:
        node: Rank of the node, in a training over several nodes.
    """
    suffix = f".node{node}" if node else ""
    return f"telemetry{suffix}.parquet", f"readings{suffix}.parquet"


def write_raw(folder: Path, window: Window, node: int = 0) -> None:
    """Write both files into the folder of a run.

    Args:
        folder: The folder.
        window: The window; its clock has started.
        node: Rank of the node, in a training over several nodes.
    """
    telemetry, readings = raw_names(node)
    write_telemetry(folder / telemetry, window.telemetry())
    rows = [
        _row(edge, window.clock.started_s, name, reading)
        for edge in window.phases.edges
        for name, reading in edge.reading.by_component.items()
    ]
    types = _TYPES | {f"{phase}_s": pa.float64() for phase in window.clock.phases}
    schema = pa.schema(types.items(), metadata={METADATA: json.dumps(_constants(window))})
    write_table(pa.Table.from_pylist(rows, schema=schema), folder / readings)


def _row(edge: Edge, started_s: float, component: str, reading: Reading) -> dict[str, Any]:
    times = {} if edge.times is None else edge.times.by_phase_s
    return {
        "t_s": edge.reading.at_s - started_s,
        "mark": edge.mark,
        "component": component,
        "shown_j": reading.shown_j,
        "energy_j": reading.energy_j,
        "missed_j": reading.missed_j,
        "resets": reading.resets,
        "gaps": reading.gaps,
        **{f"{phase}_s": seconds for phase, seconds in times.items()},
    }


def _constants(window: Window) -> dict[str, Any]:
    return {
        "components": [_facts(each) for each in window.meters.components],
        "failed": sorted(window.meters.failed),
        "whole": window.meters.whole,
        "cpu": [asdict(cpu) for cpu, _ in window.cpu_edges],
        "cgroup": [cgroup and asdict(cgroup) for _, cgroup in window.cpu_edges],
    }


def _facts(component: Component) -> dict[str, Any]:
    """What bounds the error of its joules."""
    names = ("name", "source", "label", "refresh_s", "error_frac", "edge_error_j", "range_j")
    return {name: getattr(component, name) for name in names}
