"""The rows behind the page's table and charts, one per run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pandas import NA, DataFrame, NaT, Series

from analysis.figures.prepare import architectures, are_comparable
from analysis.figures.quantities import cost_bases
from analysis.load.values import column, numbers
from analysis.page.titles import COSTS, NUMBERS
from analysis.stats.outcomes import REFUSED, counted_runs, hosts, outcomes, with_target
from analysis.stats.qualities import main_qualities, main_values
from analysis.stats.repeats import with_keys

# Texts of a row: column of the runs, and name on the page.
_TEXTS = {
    "run_id": "run_id",
    "command": "command",
    "configuration": "configuration",
    "status": "status",
    "error.message": "error",
    "health.flags": "flags",
    "energy_label": "label",
    "serving.scenario": "scenario",
    "maintenance.policy": "policy",
    "started_utc": "started_utc",
    "folder": "folder",
}
# More than a chart or a table shows; all digits are in the files of the tables.
_DIGITS = 5
ALL = "all runs"  # the title of the group if there is only one


def page_rows(runs: DataFrame) -> list[dict[str, Any]]:
    """Make a plain dict for each run, in their order; missing values are None.

    Args:
        runs: As loaded.

    Returns:
        Numbers with five digits. `time_s`, `energy_j` and `cost_usd` are costs to the target or, if
        the run did not reach it, what it spent. `outcome` is reached, missed or failed, served for
        a run of bench.serve, and interrupted, refused or superseded for a run that does not count.
        `group` is the title of its peers, `basis` what its money pays for. `quality` is its main
        quality on the test split, whose name is `metric`.
    """
    table = DataFrame({short: numbers(runs, name) for short, name in NUMBERS.items()})
    table = table.assign(**{short: column(runs, name) for name, short in _TEXTS.items()})
    table = table.assign(quality=main_values(runs), metric=main_qualities(runs))
    table["sample"] = column(runs, "task.sample")
    table["comparable"] = are_comparable(runs)
    table["host"] = hosts(runs)
    table["architecture"] = architectures(runs)
    table["outcome"] = _outcomes(runs)
    table["group"] = _groups(runs)
    trained = with_target(runs)
    for quantity in COSTS:
        cost = Series(np.nan, index=runs.index)
        if len(trained):
            cost.loc[trained.index] = outcomes(trained, quantity).cost
        table[quantity] = cost
    table["basis"] = cost_bases(runs).where(table["cost_usd"].notna(), None)
    return [
        {str(key): plain(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def _groups(runs: DataFrame) -> Series:
    """The title of each run's peers as in the tables, with the command if there are several."""
    titles = with_keys(runs)["peer_group"]
    if runs["command"].nunique() < 2:
        return titles.replace("", ALL)
    commands = runs["command"].astype(str)
    return commands.where(titles == "", commands + ": " + titles)


def _outcomes(runs: DataFrame) -> Series:
    shown = Series("served", index=runs.index, dtype=object)
    shown[~runs["status"].isin(["ok", "interrupted"])] = "failed"
    trained = with_target(runs)
    if len(trained):
        ended = outcomes(trained)
        names = np.select([ended.hit, ended.failed], ["reached", "failed"], "missed")
        shown.loc[trained.index] = names
    # The table shows every run, also those that count nowhere, and says so.
    left_out = ~runs.index.isin(counted_runs(runs).index)
    shown[left_out] = "superseded"
    for status in ("interrupted", REFUSED):
        shown[left_out & (runs["status"] == status)] = status
    return shown


def plain(value: Any) -> Any:
    """Convert a value to a type that JSON has: rounded, and None if missing or infinite."""
    if value is None or value is NA or value is NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if not math.isfinite(number):
            return None
        rounded = float(f"{number:.{_DIGITS}g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
    return str(value)
