"""Make figures, tables and a page from runs: `python -m analysis.report results=results`.

Writes out/figures, out/tables and out/report.html. Prints what was written, and what could not be
drawn or read, with the reasons. Exit code: 0, 2 for a wrong key, value, folder or figure, 3 if no
run could be read, 5 for a defect in one part: it is listed, and the rest is written.
"""

from __future__ import annotations

import gc
import os
import sys
from functools import partial

from analysis.figures.entries import ALL, DEFAULT
from analysis.figures.registry import figure_titles, require_figures
from bench.cli.help import print_help
from bench.cli.start import start
from bench.config.report import ReportConfig

_OBJECTS = 100_000  # new ones before garbage is collected; Python's 700 take a tenth of the time


def main() -> int:
    """Make the report."""
    if (code := print_help("analysis.report", lists={"figures": figure_titles})) is not None:
        return code
    gc.set_threshold(_OBJECTS)
    from bench.cli.app import run_once  # slow to import, and not needed for help

    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    return run_once("report", ReportConfig, partial(_report, wants_traceback=wants_traceback))


def _report(plain: dict[str, object], *, wants_traceback: bool) -> int:
    config = ReportConfig.from_dict(plain)
    require_figures(config.figures, also=(DEFAULT, ALL))
    from analysis.load.forked import num_processes
    from analysis.load.runs import load_runs  # imports pandas, so only once keys are checked

    gc.freeze()  # what was imported stays, and need not be looked at while runs are read
    loaded = load_runs(config.results, num_processes(config.workers), _import_libraries)
    from analysis.page.produce import report

    return report(loaded, config, progress=_show_progress, wants_traceback=wants_traceback)


def _import_libraries() -> None:
    """Import the plotting libraries."""
    import analysis.page.produce  # noqa: F401


def _show_progress(words: str) -> None:
    """Redraw the line about progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{words}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    start(main)
