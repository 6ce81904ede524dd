"""Recomputes what a deployment needed and achieved, from its windows and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.core.maintenance_files import read_events, read_windows
from bench.core.maintenance_summary import UPKEEP, spent, summarise
from bench.core.outcome import has_doubtful_joules
from bench.core.records.maintenance import WindowRow
from bench.core.records.run import RunRecord
from bench.verification.model import Findings
from bench.verification.raw import RawRun

# Added later: money, and the comparison with the best schedule in hindsight.
_ADDED = ("cost_usd", "emissions_gco2e", "regret_reason", "matrix_run_id")


def verify_maintenance(run: RawRun, found: Findings) -> None:
    """Verify the summary of a deployment."""
    record, stored = run.record, run.record.maintenance
    if stored is None:
        return
    windows, events = read_windows(run.folder), read_events(run.folder)
    with run.reading_config():
        made = asdict(summarise(record.config, windows, events))
    doubtful = has_doubtful_joules(record)
    for name, value in made.items():
        is_added = name in _ADDED or name.startswith(("oracle", "regret"))
        if not is_added and not (doubtful and name.endswith("_j")):
            found.compare(f"maintenance.{name}", getattr(stored, name), value)
    if record.status == "ok":
        _phases(record, windows, found)
    found.cannot("maintenance.cost_usd", "regret and money need the matrix of all windows")


def _phases(record: RunRecord, windows: Sequence[WindowRow], found: Findings) -> None:
    """Verify that times and joules of the windows add up to those of the phases."""
    for phase in ("serve", *UPKEEP):
        parts: list[tuple[Any, str, str]] = [(record.phases, f"{phase}_s", "phases.")]
        if record.phase_energy is not None:
            parts.append((record.phase_energy, f"{phase}_j", "phase_energy."))
        for stored, name, prefix in parts:
            total = spent(windows, (phase,), name[-1])
            found.compare(f"{prefix}{name} (sum of windows)", getattr(stored, name), total)
