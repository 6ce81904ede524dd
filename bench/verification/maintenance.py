"""Recomputes what a deployment needed and achieved, from its windows and events."""

from __future__ import annotations

from dataclasses import asdict

from bench.core.labels import ENERGY_FLAGS
from bench.core.maintenance_files import read_events, read_windows
from bench.core.maintenance_summary import summarise
from bench.verification.model import Findings
from bench.verification.raw import RawRun

# Added later: money, and the comparison with the best schedule in hindsight.
_ADDED = ("cost_usd", "emissions_gco2e", "regret_reason")


def verify_maintenance(run: RawRun, found: Findings) -> None:
    """Verify the summary of a deployment."""
    record, stored = run.record, run.record.maintenance
    if stored is None:
        return
    made = asdict(summarise(record.config, read_windows(run.folder), read_events(run.folder)))
    doubtful = record.health is not None and bool(set(record.health.flags) & set(ENERGY_FLAGS))
    for name, value in made.items():
        is_added = name in _ADDED or name.startswith(("oracle", "regret"))
        if not is_added and not (doubtful and name.endswith("_j")):
            found.compare(f"maintenance.{name}", getattr(stored, name), value)
    found.cannot("maintenance.cost_usd", "regret and money need the matrix of all windows")
