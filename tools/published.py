"""Stores the small tables behind published figures, and draws the figures from them again.

    python -m tools.published store results --figures batch_size_time tta_eta \
        --command "python -m bench.train -m batch_size=32,256 seed=0,1,2"
    python -m tools.published draw

`store` writes results/published/<figure>.csv, the tidy frame from which the figure is drawn, and
results/published/provenance.json, which says how, when and on which hosts the runs were made, how
many there are, and from which revisions. `draw` needs only these files, and writes
docs/figures/<figure>.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from analysis.figures.prepare import NothingToDraw
from analysis.figures.registry import Frames, draw_figure, figure_data, require_figures
from analysis.figures.save import FORMATS, save_data, save_figure
from analysis.figures.style import Width
from analysis.load.runs import Loaded, load_runs

PUBLISHED, FIGURES = Path("results/published"), Path("docs/figures")
PROVENANCE = "provenance.json"
_HOST = ("cpu_name", "num_cpus", "memory_bytes", "os", "python", "libraries.torch", "git_commit")


def store(loaded: Loaded, names: Sequence[str], command: str, folder: Path) -> list[Path]:
    """Write the data behind some figures, and their provenance.

    Args:
        loaded: The runs.
        names: Names of figures in the registry.
        command: The command that made the runs.
        folder: Created if it is missing; files of the same name are replaced.

    Returns:
        The files written.

    Raises:
        NothingToDraw: The runs lack the data of a figure.
        ValueError: A figure does not exist, or no run could be read.
    """
    require_figures(names)
    if loaded.runs.empty:
        raise ValueError("no run could be read: there is nothing to publish")
    frames = Frames(loaded.runs)
    data = {name: figure_data(name, frames) for name in names}
    paths = [save_data(each, folder / f"{name}.csv") for name, each in data.items()]
    path = folder / PROVENANCE
    facts = provenance(loaded.runs, command, names, num_unread=len(loaded.unread))
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return [*paths, path]


def provenance(
    runs: DataFrame, command: str, names: Sequence[str], *, num_unread: int
) -> dict[str, Any]:
    """Say how, where and when the runs were made, in plain JSON types."""
    facts = DataFrame(
        {name: runs[f"host.{name}"] for name in _HOST if f"host.{name}" in runs}
    ).dropna(how="all")
    hosts = json.loads(facts.drop_duplicates().to_json(orient="records"))
    return {
        "command": command,
        "measured_utc": [str(runs["started_utc"].min()), str(runs["started_utc"].max())],
        "num_runs": len(runs),
        "num_unread": num_unread,
        "hosts": hosts,
        "figures": list(names),
    }


def draw(
    folder: Path, out: Path, width: Width = "two", formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draw the published figures from their tables.

    Args:
        folder: Has provenance.json, and a CSV file for each figure that it names.
        out: Folder for the figures.
        width: One or two columns.
        formats: Any of pdf, svg and png.

    Returns:
        The files written.

    Raises:
        ValueError: Nothing is published in the folder, or a table is missing.
    """
    source = folder / PROVENANCE
    if not source.is_file():
        raise ValueError(f"{source}: not there; publish figures first (store)")
    paths = []
    for name in json.loads(source.read_text(encoding="utf-8"))["figures"]:
        table = folder / f"{name}.csv"
        if not table.is_file():
            raise ValueError(f"{table}: not there, and {source} names it; publish it again")
        paths += save_figure(draw_figure(name, pd.read_csv(table), width), out / name, formats)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Store or draw, and return the exit code: 0, or 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m tools.published", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parts = parser.add_subparsers(dest="part", required=True)
    storing = parts.add_parser("store", help="write the tables behind figures of some runs")
    storing.add_argument("results", nargs="+", help="folders of runs, or globs")
    storing.add_argument("--figures", nargs="+", required=True)
    storing.add_argument("--command", required=True, help="the command that made the runs")
    storing.add_argument("--out", type=Path, default=PUBLISHED)
    drawing = parts.add_parser("draw", help="draw the figures from their tables")
    drawing.add_argument("--published", type=Path, default=PUBLISHED)
    drawing.add_argument("--out", type=Path, default=FIGURES)
    drawing.add_argument("--width", choices=("one", "two"), default="two")
    drawing.add_argument("--formats", nargs="+", choices=FORMATS, default=["png"])
    given = parser.parse_args(arguments)
    try:
        if given.part == "store":
            loaded = load_runs(given.results)
            paths = store(loaded, given.figures, given.command, given.out)
        else:
            paths = draw(given.published, given.out, given.width, given.formats)
    except (NothingToDraw, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, paths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
