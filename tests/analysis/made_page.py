"""Test data for the page: a sweep with all kinds of runs, and with code in its texts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from analysis.load.once import settle
from analysis.load.runs import Loaded, load_runs
from analysis.page.build import Listed
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.tables.tables import summary_tables
from tests.analysis.made import make_sweep, make_unreadable

EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def listed(loaded: Loaded) -> Listed:
    beside = listed_without_tables(loaded)
    tables = summary_tables(beside.summary, search_cost(loaded.runs), loaded.runs)
    return replace(beside, tables=list(tables.values()))


def listed_without_tables(loaded: Loaded) -> Listed:
    settle(loaded.runs)  # as a report does, so that what is computed of them is kept for the page
    return Listed(
        title=f"Sweep {EVIL}",
        unread=loaded.unread,
        not_drawn=[("latency", f"no run {EVIL}")],
        summary=summarise(loaded.runs),
        tables=[],
    )


def hostile_sweep(results: Path) -> Loaded:
    """Two batch sizes of four seeds: a miss, an incomparable run, one with code in its record."""
    folders = make_sweep(
        results, batch_sizes=(32, 256), seeds=range(4), missed=(7,), unhealthy=(1,)
    )
    record = folders[0] / "run.json"
    raw = json.loads(record.read_text())
    raw["config"]["note"] = EVIL
    raw["host"]["os"] = EVIL
    raw["error"] = {"kind": "odd", "message": EVIL, "traceback": None}
    record.write_text(json.dumps(raw))
    make_unreadable(results)
    return load_runs([results])
