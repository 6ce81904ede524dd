"""What a click on a run shows: its record, curve and telemetry, thinned, joules, and log's end."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from analysis.figures.prepare import evenly
from analysis.load.records import FOLDER, Lists
from analysis.load.runs import NO_LISTS, load_curves, load_energy, load_telemetry, load_windows
from analysis.page.rows import plain
from bench.core.arrays import Floats
from bench.core.files import last_lines, require_file
from bench.core.printable import printable
from bench.core.quality_rows import VALIDATION
from bench.core.records.phases import Phases

MOST_DETAILED = 150  # runs; with more, the file would be too large to send to a colleague
_CURVE_POINTS = 100
_TELEMETRY_POINTS = 100
_ALL_PHASES = "wall_time"  # their sum
_CURVE = ("time_s", "energy_total_j", "samples", "train_loss")
_OF_A_WINDOW = ("first", "accuracy", "known_accuracy", "retrain_j")
_TELEMETRY = (
    *("cpu_busy_frac", "gpu_busy_frac", "gpu_power_w", "rss_bytes"),
    *("gpu_sm_active_frac", "gpu_tensor_active_frac", "gpu_dram_active_frac"),
)
_LOG_LINES, _LOG_BYTES = 25, 3000  # of the end of a log
_LONGEST_TEXT = 2000  # characters of a value; of a traceback, the end matters


def detailed_runs(runs: DataFrame) -> DataFrame:
    """Select the runs with details: all, or in turn the first, second, ... of each configuration.

    Args:
        runs: As loaded.
    """
    if len(runs) <= MOST_DETAILED:
        return runs
    turn = runs.groupby(["command", "configuration"], sort=False).cumcount()
    return runs.loc[turn.sort_values(kind="stable").index[:MOST_DETAILED]]


def details(runs: DataFrame, lists: Lists = NO_LISTS) -> dict[str, dict[str, Any]]:
    """Collect what the page shows of each run, by its ID, in types that JSON has.

    Args:
        runs: Of detailed_runs.
        lists: Of load_runs; without them, the records are read again.

    Returns:
        curve and windows: values by column. telemetry: for each series `name`, `t_s`, `value`.
        phases: triples of name, seconds and joules. components: triples of name, joules and label.
        log: the last lines of its log. record: pairs of dotted name and value, without missing
        values.
    """
    curves, telemetry = _by_run(load_curves(runs)), _telemetry(load_telemetry(runs))
    served, joules = _by_run(load_windows(runs)), _by_run(load_energy(runs, lists))
    by_run = {}
    for row in runs.to_dict("records"):
        run_id = str(row["run_id"])
        metric = row.get("target.metric")
        by_run[run_id] = {
            "curve": _curve(curves.get(run_id), metric if isinstance(metric, str) else "loss"),
            "telemetry": telemetry.get(run_id, []),
            "windows": _windows(served.get(run_id)),
            "phases": _phases(row),
            "components": _components(joules.get(run_id)),
            "log": _log_end(Path(row[FOLDER])),
            "record": record_pairs(row),
        }
    return by_run


def _by_run(frame: DataFrame) -> dict[str, DataFrame]:
    if frame.empty:
        return {}
    return {str(run_id): rows for run_id, rows in frame.groupby("run_id", sort=False)}


def _curve(rows: DataFrame | None, metric: str) -> dict[str, list[Any]]:
    if rows is None or rows.empty:
        return {}
    thin = rows.iloc[evenly(list(range(len(rows))), _CURVE_POINTS)]
    qualities = dict.fromkeys((f"{VALIDATION}.{metric}", f"{VALIDATION}.loss"))
    names = [name for name in (*_CURVE, *qualities) if name in thin]
    columns = {name: [plain(value) for value in thin[name]] for name in names}
    return {name: values for name, values in columns.items() if any(v is not None for v in values)}


def _windows(rows: DataFrame | None) -> dict[str, list[Any]]:
    """The windows of a deployment: where each begins, its accuracy, what its policy could see."""
    if rows is None or rows.empty:
        return {}
    thin = rows.iloc[evenly(list(range(len(rows))), _CURVE_POINTS)]
    return {name: [plain(value) for value in thin[name]] for name in _OF_A_WINDOW}


def _telemetry(samples: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The series of each run that has any."""
    found: dict[str, list[dict[str, Any]]] = {}
    kept = samples[samples["metric"].isin(_TELEMETRY)]
    # All runs at once: to group the samples of each run takes several times as long.
    for (run_id, device, metric), part in kept.groupby(["run_id", "device", "metric"], sort=True):
        t_s, value = (part[name].to_numpy(dtype=float) for name in ("t_s", "value"))
        order = t_s.argsort()
        series = {"t_s": _averaged(t_s[order]), "value": _averaged(value[order])}
        found.setdefault(str(run_id), []).append({"name": f"{device} {metric}", **series})
    return found


def _averaged(values: Floats) -> list[Any]:
    """Average consecutive samples, so that a spike raises a mean instead of being skipped."""
    num = min(len(values), _TELEMETRY_POINTS)
    sizes = np.full(num, len(values) // num)
    sizes[: len(values) % num] += 1
    means = np.add.reduceat(values, sizes.cumsum() - sizes) / sizes
    return [plain(each) for each in means.tolist()]


def _phases(row: dict[Any, Any]) -> list[list[Any]]:
    """The phases that the run had, in their order, with their joules where they are known."""
    found = []
    for field in fields(Phases):
        name = field.name.removesuffix("_s")
        seconds, joules = plain(row.get(f"phases.{name}_s")), row.get(f"phase_energy.{name}_j")
        if name != _ALL_PHASES and seconds is not None:
            found.append([name, seconds, plain(joules)])
    return found


def _components(rows: DataFrame | None) -> list[list[Any]]:
    if rows is None:
        return []
    names = ["component", "energy_j", "label"]
    return [[plain(value) for value in row] for row in rows[names].itertuples(index=False)]


def _log_end(folder: Path) -> list[str]:
    """The last lines of the run's log; none if there is no file that can be read."""
    path = folder / "log.txt"
    try:
        require_file(path)
        lines = last_lines(path, _LOG_LINES, most_bytes=_LOG_BYTES)
    except (OSError, ValueError):  # a log decides nothing, and a folder may be without one
        return []
    return [printable(line) for line in lines]


def record_pairs(row: dict[Any, Any]) -> list[list[Any]]:
    """List dotted name and value of everything in a run's record."""
    pairs = []
    for name, value in row.items():
        kept = plain(value)
        if kept is None or kept == "":
            continue
        if isinstance(kept, str) and len(kept) > _LONGEST_TEXT:
            kept = "... " + kept[-_LONGEST_TEXT:]
        pairs.append([str(name), kept])
    return pairs
