"""Histories of the gate, as bench.compare writes them, with any numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.core.metrics import METRICS

STEP = [1.0, 1.01, 0.99, 1.05, 1.06, 1.04]


def series(name: str, values: list[float], changes: list[int], **fields: Any) -> dict[str, Any]:
    """A series of a metric; `changes` are the places of its change points."""
    metric = next(each for each in METRICS.values() if each.name == name)
    return {
        "metric": {key: getattr(metric, key) for key in ("name", "title", "unit", "better")}
        | {"shown": list(metric.shown)},
        "configuration": "train mlp digits",
        "points": [
            {"commit": f"c0ffee{place:034x}", "utc": f"2026-01-{place + 1:02d}T00:00:00Z"}
            | {"value": value, "num_runs": 5, "accepted": place == 0}
            for place, value in enumerate(values)
        ],
        "changes": [
            {"index": index, "loss_frac": 0.05, "p": 0.001, "last_before": None}
            for index in changes
        ],
        **fields,
    }


def written(folder: Path, *parts: dict[str, Any], **fields: Any) -> Path:
    """Write a history of some series, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = {"kind": "perf history", "format": 1, "series": parts, **fields}
    (folder / "series.json").write_text(json.dumps(tree))
    return folder
