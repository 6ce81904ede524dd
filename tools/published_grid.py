"""Stores all runs of a grid as one small table, for benchmarks/search_cost.py.

    python -m tools.published_grid results --name search_grid \
        --command "python -m bench.train -m experiment=search_grid"

It writes results/published/<name>.csv, one row per run, and <name>.json with how, when and on which
hosts the runs were made.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pandas import DataFrame

from analysis.load.runs import Loaded, load_ladder, load_runs
from analysis.stats.outcomes import counted_runs, outcomes, with_target
from tools.published import PUBLISHED, provenance

_DIGITS = 6  # significant; a cost is not known any better


def grid_table(loaded: Loaded) -> DataFrame:
    """One row per run that counts.

    Args:
        loaded: The runs of one grid, all with the same target.

    Returns:
        `configuration`, `seed`, `reached`, `failed`; `time_s` and `energy_j` until the target, or
        all that was spent without it; `energy_label`; and for each rung of the ladder, a column
        `rung_<threshold>` with the time in seconds at which the run reached it, if it did.

    Raises:
        ValueError: There is no run with a target, or several targets.
    """
    runs = counted_runs(with_target(loaded.runs))
    targets = runs[["target.metric", "target.value"]].drop_duplicates()
    if len(targets) != 1:
        raise ValueError(f"{len(targets)} targets: publish the runs of one grid, with one target")
    ended = outcomes(runs, "time_s")
    table = DataFrame(
        {
            "configuration": runs["configuration"],
            "seed": runs["config.seed"].astype(int),
            "reached": ended.hit,
            "failed": ended.failed,
            "time_s": ended.cost,
            "energy_j": outcomes(runs, "energy_j").cost,
            "energy_label": runs["energy_label"],
        },
    ).set_axis(runs["run_id"], axis="index")
    ladder = load_ladder(runs)
    times: DataFrame = ladder.pivot(index="run_id", columns="value", values="time_s")
    rungs = times.reindex(table.index).rename(columns=lambda value: f"rung_{value:g}")
    table = table.join(rungs).sort_values(["configuration", "seed"]).reset_index(drop=True)
    return table.map(_rounded)


def _rounded(value: object) -> object:
    if isinstance(value, float) and np.isfinite(value):
        return float(f"{value:.{_DIGITS}g}")
    return value


def store(loaded: Loaded, name: str, command: str, folder: Path) -> list[Path]:
    """Write the table of a grid and its provenance, and return the files."""
    table = grid_table(loaded)
    folder.mkdir(parents=True, exist_ok=True)
    path, facts = folder / f"{name}.csv", folder / f"{name}.json"
    table.to_csv(path, index=False)
    told = provenance(loaded.runs, command, [], num_unread=len(loaded.unread))
    facts.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return [path, facts]


def main(arguments: Sequence[str] | None = None) -> int:
    """Store, and return the exit code: 0, or 2 for wrong input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", help="folders of runs, or globs")
    parser.add_argument("--name", required=True)
    parser.add_argument("--command", required=True, help="the command that made the runs")
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    try:
        paths = store(load_runs(given.results), given.name, given.command, given.out)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, paths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
