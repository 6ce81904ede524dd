"""Adds what a deployment achieved and needed to its record, from its windows and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config.maintain import MaintainConfig
from bench.core.maintenance_files import read_events, read_windows
from bench.core.maintenance_summary import UPKEEP, spent, summarise
from bench.core.records.maintenance import Maintenance, MaintenanceEvent, WindowRow
from bench.core.records.run import RunRecord
from bench.runs.charges import charge


def with_windows(folder: Path, record: RunRecord) -> RunRecord:
    """Complete the record of a deployment whose job could not write it.

    Args:
        folder: The run folder.
        record: Its record, without what its windows say.

    Raises:
        StoreError: The windows or the events are damaged.
        ValueError: The configuration of the record cannot be read.
    """
    rows, events = read_windows(folder), read_events(folder)
    return replace(record, maintenance=maintenance(record.config, rows, events)) if rows else record


def maintenance(
    values: Mapping[str, Any], rows: Sequence[WindowRow], events: Sequence[MaintenanceEvent]
) -> Maintenance:
    """Sum up a deployment, with its costs.

    Args:
        values: The configuration of the record, with the options that were chosen.
        rows: Its windows so far.
        events: Its events so far.

    Raises:
        ValueError: The configuration is wrong, or its prices are.
    """
    config = MaintainConfig.from_dict(values)
    summary = summarise(values, rows, events)
    upkeep_s = spent(rows, UPKEEP, "s") or 0.0
    usd, gco2e = charge(values, upkeep_s, summary.upkeep_j)
    people_usd = summary.manual_hours * config.retrain.usd_per_person_hour
    if usd is not None:
        usd += people_usd + (summary.labels_cost_usd or 0.0)
    return replace(summary, cost_usd=usd, emissions_gco2e=gco2e, regret_reason=config.why_no_oracle)
