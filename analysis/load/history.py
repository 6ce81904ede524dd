"""The history of the gate: `series.json` in the folder that `bench.compare history=` keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pandas import DataFrame

from bench.core.files import expand_path, read_file
from bench.core.printable import printable

_FILE = "series.json"
_KIND, _FORMAT = "perf history", 1
COLUMNS = (
    *("metric", "title", "unit", "shown", "factor", "better", "configuration"),
    *("place", "commit", "utc", "value", "accepted"),
    *("is_change", "loss_frac", "p", "last_before"),
)


def load_history(folder: str | Path | None) -> DataFrame:
    """Load all checks: one row for each metric, configuration and check, in order.

    Args:
        folder: Of the history; None for none.

    Returns:
        `metric`, `title`, `unit`, `shown` and `factor` (the unit of tables, and how many of it are
        one of `unit`), `better`, `configuration`, `place` (from 0, in its series), `commit`, `utc`,
        `value` (median of the check), `accepted` (as a baseline), `is_change` (whether the series
        changes with this check), and of a change `loss_frac` (negative for better), `p` and
        `last_before` (the commit of the check before). Without rows if there is no folder.

    Raises:
        ValueError: The folder has no history, or another version of it; the message names the key.
    """
    if folder is None:
        return DataFrame(columns=list(COLUMNS))
    path = expand_path(folder) / _FILE
    try:
        tree = json.loads(read_file(path))
        if tree["kind"] != _KIND or tree["format"] != _FORMAT:
            raise ValueError(f"kind {tree['kind']}, format {tree['format']}")
        rows = [row for series in tree["series"] for row in _rows(series)]
    except OSError as error:
        raise ValueError(
            f"history={folder}: {_FILE} cannot be read ({error.strerror}); python -m bench.compare "
            "... history=DIR makes it"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"history={folder}: {_FILE} is not a history of this version "
            f"({printable(str(error))}); python -m bench.compare ... history=DIR makes it anew"
        ) from error
    return DataFrame(rows, columns=list(COLUMNS))


def _rows(series: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    metric = series["metric"]
    shown, factor = metric["shown"]
    changes = {change["index"]: change for change in series["changes"]}
    for place, point in enumerate(series["points"]):
        change = changes.get(place, {})
        yield {
            "metric": printable(metric["name"]),
            "title": printable(metric["title"]),
            "unit": metric["unit"],
            "shown": shown,
            "factor": float(factor),
            "better": metric["better"],
            "configuration": printable(series["configuration"]),
            "place": place,
            "commit": point["commit"],
            "utc": point["utc"],
            "value": float(point["value"]),
            "accepted": bool(point["accepted"]),
            "is_change": bool(change),
            "loss_frac": change.get("loss_frac"),
            "p": change.get("p"),
            "last_before": change.get("last_before"),
        }
