"""The notes below a table: how its numbers were computed, and what they may be used for."""

from __future__ import annotations

from collections.abc import Iterator

from pandas import DataFrame

from analysis.stats.best import runs_needed
from analysis.stats.summary import NO_LABEL
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS
from bench.core.stats.ranks import ALPHA

INCOMPARABLE, INVALID = "†", "‡"
UNKNOWN = "unknown"


def table_notes(
    summary: DataFrame, rows: DataFrame, listed: DataFrame, num_uncounted: int, num_refused: int = 0
) -> Iterator[str]:
    """The notes of the table of one topic, a sentence or two each.

    Args:
        summary: Of summarise, all of it: a best value is one of all columns.
        rows: Those of the topic.
        listed: The table's rows, of counts.
        num_uncounted: Runs that are in none of them.
        num_refused: Runs that were refused, and are in none of them either.
    """
    yield (
        "Medians over runs; n is given where it is not the number of runs. A run that missed its"
        " target or failed counts as the worst; inf where that leaves no upper bound."
    )
    yield from _bounds_notes(rows)
    yield from _best_notes(summary, rows)
    if (rows["statistic"] == "expected").any():
        yield from _expected_notes(rows, listed)
    if (rows["metric"] == "accuracy").any():
        yield (
            "Bounds of an accuracy are never narrower than the sampling error of the test split"
            " (Wilson's interval of one run)."
        )
    yield from _label_notes(rows)
    if num_uncounted:
        yield (
            f"Of each configuration, seed and repeat one run counts: {_runs(num_uncounted)} not in"
            " these tables, interrupted or measured again since. The cost of the search has all."
        )
    if num_refused:
        yield _refused_note(num_refused)
    if listed["num_incomparable"].any():
        yield f"{INCOMPARABLE} holds runs that are not comparable (health.flags)."
    if listed["num_invalid"].any():
        yield f"{INVALID} holds passes that the load generator calls invalid."


def _bounds_notes(rows: DataFrame) -> Iterator[str]:
    kinds = set(rows["kind"].dropna())
    if "interval" in kinds:
        yield f"[low, high]: {CONFIDENCE:.0%} interval, from {MIN_RUNS} runs on."
    if "range" in kinds:
        yield (
            f"(low to high): the smallest and the largest of fewer than {MIN_RUNS} runs, which are"
            " no interval."
        )


def _best_notes(summary: DataFrame, rows: DataFrame) -> Iterator[str]:
    num_columns = int(summary["p_best"].notna().sum())
    if not num_columns or rows["p_best"].isna().all():
        yield (
            "No value is bold: in no column are there enough runs that were comparable to"
            " name its best value."
        )
        return
    runs = runs_needed(num_columns)
    yield (
        "Bold: the best of its column among rows that may be compared. It is better than every"
        f" other one by a one-sided rank test, doubled because the data chose it: p < {ALPHA} by"
        f" Holm over the {num_columns} columns of all tables that can be tested, which takes at"
        f" least {runs} runs of each configuration. Runs that are not comparable are left out of"
        " the test, and a configuration that holds any is never bold; nor are modelled joules."
        " Joules with a flag of their own (energy[], such as below_resolution) make a run not"
        " comparable."
    )


def _expected_notes(rows: DataFrame, listed: DataFrame) -> Iterator[str]:
    yield (
        "ERT, expected with restarts: what all runs spent, misses included, / number of hits. It"
        f" has an interval from {MIN_RUNS} runs on, of which two hit and one did not: without a"
        " miss, it is not known how often runs miss and at what cost."
    )
    expected = rows[rows["statistic"] == "expected"]
    if expected["num_missing"].any() and listed["num_hits"].any():
        yield f"{UNKNOWN}: a run was cut off before it recorded what it had cost."


def _label_notes(rows: DataFrame) -> Iterator[str]:
    labels = sorted(set(rows["label"].dropna()))
    if not labels:
        return
    yield (
        f"How joules were obtained, and what money is for: {'; '.join(labels)}. Only values of one"
        " kind may be compared. The systematic bound is not scatter and is alike for runs on one"
        " machine."
    )
    if NO_LABEL in labels:
        yield f"{NO_LABEL}: runs that failed before any meter was read."


def search_notes(costs: DataFrame, num_refused: int = 0) -> Iterator[str]:
    """The notes of the table of search_cost."""
    yield (
        "Over all training runs in the order of their start, with those that failed, missed, were"
        " interrupted or measured again. Times are sums of the runs' own clocks, not of a clock on"
        " the wall; time with launch adds what lies before each run's clock."
    )
    if costs["num_unknown"].any():
        yield (
            "> is a lower bound: the cost of some runs is not known, because they were cut off too"
            " early or had no meter."
        )
    if num_refused:
        yield _refused_note(num_refused)


def _refused_note(num: int) -> str:
    return (
        f"{num} refused: {_runs(num)} in no table. The combination that was asked for does not"
        " exist, so that nothing was measured."
    )


def _runs(num: int) -> str:
    return "1 run is" if num == 1 else f"{num} runs are"
