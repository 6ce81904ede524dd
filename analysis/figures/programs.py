"""The runs of bench.measure, for figures: programs of any kind, which have no target."""

from __future__ import annotations

from pandas import DataFrame

from analysis.figures.prepare import NothingToDraw, are_comparable, counted_copy, with_host
from analysis.load.values import column


def program_runs(runs: DataFrame) -> DataFrame:
    """Select the runs that count and ended with exit code 0, and add `comparable`.

    Raises:
        NothingToDraw: There are none.
    """
    kept = counted_copy(runs[column(runs, "program.exit_code").eq(0)])
    if kept.empty:
        raise NothingToDraw("no program that ended with exit code 0")
    kept["comparable"] = are_comparable(kept)
    return with_host(kept)
