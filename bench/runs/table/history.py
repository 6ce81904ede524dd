"""Writes what a search did: its result, and a row for each of its trials."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.cli.adaptive import Step
from bench.core.files import replace_file
from bench.core.printable import csv_safe
from bench.core.stats.intervals import finite

_COLUMNS = (
    *("num", "configuration", "seed", "limit", "spent", "outcome", "found"),
    *("spent_so_far", "best_so_far", "folder"),
)


def write_search(
    folder: Path, summary: Mapping[str, Any], history: Sequence[Step], names: Sequence[str]
) -> Path:
    """Write search.json, the result of a search, and search.csv, a row for each trial.

    Args:
        folder: Of the sweep.
        summary: The result.
        history: The trials, as they ended.
        names: Of each configuration.

    Returns:
        The path of search.json.

    Raises:
        OSError: They cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=_COLUMNS)
    writer.writeheader()
    writer.writerows(_rows(history, names))
    replace_file(folder / "search.csv", text.getvalue().encode())
    content = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    return replace_file(folder / "search.json", content.encode())


def _rows(history: Sequence[Step], names: Sequence[str]) -> list[dict[str, object]]:
    spent = accumulate(step.result.spent or 0.0 for step in history)
    best = best_so_far(history)
    rows = []
    for num, (step, total, lowest) in enumerate(zip(history, spent, best, strict=True)):
        values = {
            "num": num,
            "configuration": csv_safe(names[step.trial.candidate]),
            "seed": step.seed,
            "limit": None if step.found else step.trial.limit,
            "spent": step.result.spent,
            "outcome": step.ending,
            "found": str(step.found).lower(),
            "spent_so_far": total,
            "best_so_far": finite(lowest),
            "folder": None if step.folder is None else csv_safe(str(step.folder)),
        }
        rows.append(values)
    return rows


def best_so_far(history: Sequence[Step]) -> list[float]:
    """The lowest expected cost with restarts of any configuration, after each trial.

    It is what a configuration has spent so far, divided by its runs that reached the target;
    infinite as long as none has.
    """
    totals: dict[int, float] = {}
    hits: dict[int, int] = {}
    curve = []
    for step in history:
        place, result = step.trial.candidate, step.result
        totals[place] = totals.get(place, 0.0) + (result.spent or 0.0)
        hits[place] = hits.get(place, 0) + (result.reached and result.spent is not None)
        curve.append(min((totals[one] / num for one, num in hits.items() if num), default=math.inf))
    return curve
