"""Draw one figure: `python -m analysis.plot figure=tta_eta results=results out=figures`.

For any two results of a record, or a result against a setting: figure=tradeoff x=COLUMN y=COLUMN
[area=COLUMN]. Exit code: 0, 2 for a wrong key, value, folder, figure or column, 3 if no run could
be read or nothing could be drawn, 5 for a defect.
"""

from __future__ import annotations

import os
from functools import partial

from analysis.figures.registry import figure_titles, require_figures
from bench.cli.help import print_help
from bench.cli.start import start
from bench.config.report import PlotConfig


def main() -> int:
    """Draw the figure."""
    if (code := print_help("analysis.plot", lists={"figure": figure_titles})) is not None:
        return code
    from bench.cli.app import run_once  # slow to import, and not needed for help

    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    return run_once("plot", PlotConfig, partial(_plot, wants_traceback=wants_traceback))


def _plot(plain: dict[str, object], *, wants_traceback: bool) -> int:
    config = PlotConfig.from_dict(plain)
    require_figures([config.figure], key="figure")
    from analysis.load.runs import load_runs  # imports pandas, so only once keys are checked

    loaded = load_runs(config.results)
    if config.x is not None and config.y is not None and len(loaded.runs):
        from analysis.figures.quantities import require_axes

        require_axes(loaded.runs, config.x, config.y, config.area)
    from analysis.page.produce import plot  # imports the plotting libraries

    return plot(loaded, config, wants_traceback=wants_traceback)


if __name__ == "__main__":
    start(main)
