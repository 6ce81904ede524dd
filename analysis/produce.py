"""What the commands do once their keys are right and the runs are read: draw, write, say so."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame

from analysis.figures.axes import NothingToDraw
from analysis.figures.catalogue import FIGURES, TRADEOFF
from analysis.load import Loaded
from analysis.page.build import Listed, write_page
from analysis.registry import Frames, draw_figure, figure_data
from analysis.save import save_all
from analysis.style import Width
from analysis.summary import summarise
from analysis.tables import tables_of, write_tables
from bench.core.report_config import PlotConfig, ReportConfig

NOTHING_READ = 3
_MOST_LISTED = 20  # unread folders on the terminal; the page has all of them


def report(loaded: Loaded, config: ReportConfig) -> int:
    """Write figures, tables and the page of some runs.

    Args:
        loaded: What was read.
        config: What is asked for.

    Returns:
        Exit code: 0, or 3 if no run could be read.
    """
    _say_unread(loaded.unread)
    if loaded.runs.empty:
        return _nothing_read(config.roots)
    out = Path(config.out)
    frames = Frames(loaded.runs)
    written: list[Path] = []
    not_drawn: list[tuple[str, str]] = []
    for name in config.names or FIGURES:
        try:
            written += write_figure(name, frames, out / "figures", config.formats, config.widths)
        except NothingToDraw as reason:
            not_drawn.append((name, str(reason)))
    summary = summarise(loaded.runs)
    written += write_tables(loaded.runs, summary, out / "tables")
    written.append(_page(loaded, summary, not_drawn, config.title, out / "report.html"))
    _say_written(written, not_drawn, len(loaded.runs))
    return 0


def _page(
    loaded: Loaded,
    summary: DataFrame,
    not_drawn: Sequence[tuple[str, str]],
    title: str,
    path: Path,
) -> Path:
    listed = Listed(
        title=title,
        unread=loaded.unread,
        not_drawn=not_drawn,
        summary=summary,
        tables=list(tables_of(summary, loaded.runs).values()),
        num_not_started=loaded.num_not_started,
    )
    return write_page(loaded.runs, listed, path)


def plot(loaded: Loaded, config: PlotConfig) -> int:
    """Write one figure of some runs.

    Args:
        loaded: What was read.
        config: What is asked for.

    Returns:
        Exit code: 0, or 3 if no run could be read or they do not hold what the figure shows.
    """
    _say_unread(loaded.unread)
    if loaded.runs.empty:
        return _nothing_read(config.roots)
    options: dict[str, Any] = {}
    if config.figure == TRADEOFF:
        options = {"x": config.x, "y": config.y, "area": config.area}
    try:
        written = write_figure(
            config.figure,
            Frames(loaded.runs),
            Path(config.out),
            config.formats,
            config.widths,
            run=config.run,
            options=options,
        )
    except NothingToDraw as reason:
        print(f"{config.figure}: not drawn: {reason}", file=sys.stderr)
        return NOTHING_READ
    _say_written(written, [], len(loaded.runs))
    return 0


def write_figure(
    name: str,
    frames: Frames,
    folder: Path,
    formats: Sequence[str],
    widths: Sequence[str],
    *,
    run: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Path]:
    """One figure in all widths and formats, with its data.

    Args:
        name: Of the registry.
        frames: What was loaded.
        folder: Where it is written.
        formats: Of pdf, svg and png.
        widths: Of one and two.
        run: The run of a timeline.
        options: x, y and area of a tradeoff.

    Returns:
        The files written.

    Raises:
        NothingToDraw: The runs do not hold what the figure shows.
    """
    data = figure_data(name, frames, run=run, options=options)
    figures = {width: draw_figure(name, data, _width(width)) for width in widths}
    return save_all(figures, data, folder / name, formats)


def _width(name: str) -> Width:
    return "one" if name == "one" else "two"


def _nothing_read(roots: Sequence[str]) -> int:
    print(f"results={','.join(roots)}: no run could be read", file=sys.stderr)
    return NOTHING_READ


def _say_unread(unread: DataFrame) -> None:
    for row in unread.head(_MOST_LISTED).to_dict("records"):
        print(f"not read: {row['folder']}: {row['reason']}", file=sys.stderr)
    if len(unread) > _MOST_LISTED:
        print(f"not read: {len(unread) - _MOST_LISTED} more folders", file=sys.stderr)


def _say_written(
    written: Sequence[Path], not_drawn: Sequence[tuple[str, str]], num_runs: int
) -> None:
    for name, reason in not_drawn:
        print(f"not drawn: {name}: {reason}")
    for folder in dict.fromkeys(path.parent for path in written):
        names = [path.name for path in written if path.parent == folder]
        told = names[0] if len(names) == 1 else f"{len(names)} files"
        print(f"written: {folder}/{'' if len(names) > 1 else told}".rstrip("/"), end="")
        print("" if len(names) == 1 else f": {told}")
    print(f"runs: {num_runs}")
