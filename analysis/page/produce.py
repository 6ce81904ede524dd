"""What report and plot do after their keys are checked and the runs are read: draw and write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pandas import DataFrame, concat

from analysis.figures.choice import chosen_figures, left_out
from analysis.figures.entries import DEFAULT, TRADEOFF, entry_of
from analysis.figures.registry import Frames
from analysis.figures.write import write_figure
from analysis.load.forked import Forked, Lost, num_processes
from analysis.load.history import load_history
from analysis.load.once import settle
from analysis.load.runs import UNREAD_COLUMNS, Loaded
from analysis.page.attempts import Attempts, CaughtWarnings, catch_warnings
from analysis.page.drawn import Drawn, add_up, draw_all, lost
from analysis.stats.outcomes import counted_runs, refused
from analysis.stats.peer_keys import peer_keys
from analysis.stats.qualities import main_qualities
from analysis.stats.search_cost import COLUMNS as COST_COLUMNS
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import COLUMNS, summarise
from analysis.tables.files import Make, writing
from analysis.tables.tables import summary_tables, write_tables
from analysis.tables.text_table import TextTable
from bench.config.report import PlotConfig, ReportConfig
from bench.core.files import expand_path
from bench.core.printable import printable

NOTHING_READ = 3
FAILED = 5  # a part failed, which is a defect; the rest is written
_MOST_LISTED = 20  # unread folders on the terminal; the page lists all of them
Progress = Callable[[str], None]


def report(
    loaded: Loaded,
    config: ReportConfig,
    *,
    progress: Progress = lambda _: None,
    wants_traceback: bool = False,
) -> int:
    """Write figures, tables and the page of some runs.

    Args:
        loaded: What was read.
        config: What to write.
        progress: Called with what is made next, and with an empty text at the end.
        wants_traceback: Whether to print the traceback of a defect.

    Returns:
        Exit code: 0, 3 if no run could be read, or 5 if something failed that should not.

    Raises:
        CannotWrite: The files cannot be written.
        ValueError: There is no history where the configuration names one.
    """
    _print_unread(loaded.unread)
    if loaded.runs.empty:
        return _nothing_read(config.results)
    out = expand_path(config.out)
    with writing(out):
        pass  # find out before anything is drawn
    attempts = Attempts(wants_traceback=wants_traceback)
    with catch_warnings() as caught, ExitStack() as stack:
        stack.callback(progress, "")  # clear the line about progress, even after an error
        attempts.make("what all parts need", partial(_prepare, loaded.runs), None)
        history = load_history(config.history)
        frames = Frames(loaded.runs, loaded.lists, history)
        names = chosen_figures(config.figures, loaded.runs, has_history=config.history is not None)
        drawing = _figures(names, frames, config, out / "figures", wants_traceback)
        figures = stack.enter_context(drawing)
        # Meanwhile, other processes draw the figures, so what they don't need is imported only now.
        from analysis.page.build import Listed, prepare_page, write_page

        progress("tables")
        tables, summary, written = _tables(loaded.runs, out / "tables", attempts.make)
        progress("report.html")
        prepared = prepare_page(
            loaded.runs, summary, attempts.make, lists=loaded.lists, history=history
        )
        written[:0] = add_up(_drawn(figures, names, progress), attempts, caught)
        attempts.not_made += _left_out(names, loaded.runs) if DEFAULT in config.figures else []
        progress("report.html")
        listed = Listed(
            title=config.title,
            unread=_with_files(loaded.unread, caught),
            not_drawn=attempts.not_made,
            summary=summary,
            tables=tables,
            num_not_started=loaded.num_not_started,
        )
        page = partial(
            write_page, loaded.runs, listed, out / "report.html", attempts.make, prepared
        )
        written += attempts.make("report.html", lambda: [page()], [])
    return _finish(loaded, attempts, written, caught)


def _prepare(runs: DataFrame) -> None:
    """Compute what all parts need of the runs, before there are several processes."""
    for function in (peer_keys, main_qualities, counted_runs):
        function(settle(runs))


def _finish(
    loaded: Loaded, attempts: Attempts, written: Sequence[Path], caught: CaughtWarnings
) -> int:
    """Print what was written and what was not, and return the exit code."""
    _print_unread(_with_files(loaded.unread, caught).iloc[len(loaded.unread) :])
    _print_written(written, attempts.not_made, loaded.runs, caught)
    return FAILED if attempts.num_failed else 0


def _figures(
    figures: Sequence[str], frames: Frames, config: ReportConfig, out: Path, wants_traceback: bool
) -> Forked[list[Drawn]]:
    """The drawing of figures, in processes of their own."""
    tasks = [
        partial(draw_all, names, frames, out, config, wants_traceback=wants_traceback)
        for names in _tasks(figures)
    ]
    return Forked(tasks, num_processes(config.workers))


def _drawn(figures: Forked[list[Drawn]], names: Sequence[str], progress: Progress) -> list[Drawn]:
    """Wait for the figures; return what became of each, in their order."""
    tasks = _tasks(names)
    by_name: dict[str, Drawn] = {}
    progress(f"drawing figures: 0 of {len(names)} done")
    for place, outcome in figures.outcomes():
        drawn = lost(tasks[place], outcome) if isinstance(outcome, Lost) else outcome
        by_name |= zip(tasks[place], drawn, strict=True)
        progress(f"drawing figures: {len(by_name)} of {len(names)} done")
    return [by_name[name] for name in names]


def _left_out(drawn: Sequence[str], runs: DataFrame) -> list[tuple[str, str]]:
    """Figures that were not asked for, with the keys that draw them; empty if all were."""
    names = left_out(drawn, runs)
    example = ",".join(names[:2])
    reason = f"not among the default; figures=all draws them, figures=[default,{example}] some"
    return [(", ".join(names), reason)] if names else []


def _tasks(names: Sequence[str]) -> list[list[str]]:
    """Figures, and together those that share a process; these take longest, so they come first."""
    tasks: dict[str, list[str]] = {}
    for name in names:
        tasks.setdefault(entry_of(name).process or name, []).append(name)
    return sorted(tasks.values(), key=len, reverse=True)


def _with_files(unread: DataFrame, caught: CaughtWarnings) -> DataFrame:
    """Add the files that could not be read to the folders that could not."""
    pairs = [(printable(folder), reason) for folder, reason in caught.unread.items()]
    files = DataFrame(pairs, columns=list(UNREAD_COLUMNS)).astype(str)
    return concat([unread, files], ignore_index=True)


def _tables(
    runs: DataFrame, folder: Path, make: Make
) -> tuple[list[TextTable], DataFrame, list[Path]]:
    """Write the tables; return them, the summary behind them, and the files."""
    # What the other parts go on with if one of these fails through a defect.
    no_summary, no_costs = (DataFrame(columns=list(names)) for names in (COLUMNS, COST_COLUMNS))
    summary = make("summary of the tables", lambda: summarise(runs), no_summary)
    costs = make("cost of the search", lambda: search_cost(runs), no_costs)
    made: dict[str, TextTable] = make(
        "tables", lambda: summary_tables(summary, costs, runs, make), {}
    )
    write = partial(write_tables, made, summary, costs, folder)
    written: list[Path] = make("files of the tables", write, [])
    return list(made.values()), summary, written


def plot(loaded: Loaded, config: PlotConfig, *, wants_traceback: bool = False) -> int:
    """Write one figure of some runs.

    Args:
        loaded: What was read.
        config: What to draw.
        wants_traceback: Whether to print the traceback of a defect.

    Returns:
        Exit code: 0, 3 if no run could be read or the runs lack what the figure shows, or 5 if
        drawing failed.

    Raises:
        CannotWrite: The files cannot be written.
    """
    _print_unread(loaded.unread)
    if loaded.runs.empty:
        return _nothing_read(config.results)
    options: dict[str, Any] = {}
    if config.figure == TRADEOFF:
        # Other figures have no such keys.
        options = {"x": config.x, "y": config.y, "area": config.area}
    attempts = Attempts(wants_traceback=wants_traceback)
    history = load_history(config.history)
    frames, out = Frames(loaded.runs, loaded.lists, history), expand_path(config.out)
    draw = partial(
        write_figure, config.figure, frames, out, config, run=config.run, options=options
    )
    with catch_warnings() as caught:
        written: list[Path] = attempts.make(config.figure, draw, [])
    _print_unread(_with_files(loaded.unread, caught).iloc[len(loaded.unread) :])
    if attempts.not_made:
        ((name, reason),) = attempts.not_made
        print(f"{name}: not drawn: {reason}", file=sys.stderr)
        return FAILED if attempts.num_failed else NOTHING_READ
    _print_written(written, [], loaded.runs, caught)
    return 0


def _nothing_read(roots: Sequence[str]) -> int:
    print(f"results={printable(','.join(roots))}: no run could be read", file=sys.stderr)
    return NOTHING_READ


def _print_unread(unread: DataFrame) -> None:
    for row in unread.head(_MOST_LISTED).to_dict("records"):
        print(f"not read: {row['folder']}: {row['reason']}", file=sys.stderr)
    if len(unread) > _MOST_LISTED:
        print(f"not read: {len(unread) - _MOST_LISTED} more", file=sys.stderr)


def _print_written(
    written: Sequence[Path],
    not_made: Sequence[tuple[str, str]],
    runs: DataFrame,
    caught: CaughtWarnings,
) -> None:
    for name, reason in not_made:
        print(f"not drawn: {name}: {reason}")
    for folder in dict.fromkeys(path.parent for path in written):
        names = [path.name for path in written if path.parent == folder]
        what = f"/{names[0]}" if len(names) == 1 else f": {len(names)} files"
        print(f"written: {printable(folder)}{what}")
    if caught.has_boxes:
        print("font: some characters have no glyph; they are boxes in pdf and png, but not in svg")
    num_refused = int(refused(runs).sum())
    print(f"runs: {len(runs)}{f', {num_refused} of them refused' if num_refused else ''}")
