"""The notes below a table: how its numbers were computed, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator

from pandas import DataFrame

from analysis.load.deployments import UNKNOWN_REGRET
from analysis.load.values import column
from analysis.stats.accuracy import is_share
from analysis.stats.best import runs_needed
from analysis.stats.summary import NO_LABEL
from bench.core.quality_rows import TEST
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS
from bench.core.stats.ranks import ALPHA

INCOMPARABLE, INVALID, CUT_OFF = "†", "‡", "§"
UNKNOWN = "unknown"


def table_notes(
    summary: DataFrame, rows: DataFrame, listed: DataFrame, num_uncounted: int, num_refused: int = 0
) -> Iterator[str]:
    """Write the notes of the table of one topic, a sentence or two each.

    Args:
        summary: Of summarise, all of it: the test of a best value is corrected over all columns.
        rows: Those of the topic.
        listed: The table's rows, of counts.
        num_uncounted: Runs in no table because they were interrupted or measured again.
        num_refused: Runs in no table because they were refused.
    """
    yield (
        "Values are medians over runs; n is given if it differs from the number of runs. A run that"
        " missed its target or failed counts as the worst; inf means no upper bound for that"
        " reason."
    )
    yield from _bounds_notes(rows)
    yield from _best_notes(summary, rows)
    if (rows["statistic"] == "expected").any():
        yield from _expected_notes(rows, listed)
    if any(is_share(f"{TEST}.{name}") for name in rows["metric"].unique()):
        yield (
            "The interval of an accuracy, F1 or recall includes at least the sampling error of the"
            " test split (Wilson's interval of one run)."
        )
    yield from _label_notes(rows)
    if num_uncounted:
        yield (
            "One run counts per configuration, seed and repeat."
            f" {_runs(num_uncounted)} not in these tables, because they were interrupted or"
            " measured again later; the cost of the search includes them."
        )
    if num_refused:
        yield _refused_note(num_refused)
    if has_several_nodes(listed):
        yield (
            "Nodes with the same processor, CPUs, memory and GPUs stand for one another in these"
            " tables, though they are never quite alike: a difference between rows may be one"
            " between nodes. bench.compare compares times of different nodes only with"
            " force=[host.name]."
        )
    if listed["num_incomparable"].any():
        yield f"{INCOMPARABLE}: includes runs that are not comparable (health.flags)."
    if listed["num_invalid"].any():
        yield f"{INVALID}: includes passes that the load generator calls invalid."
    if listed["num_cut_off"].any():
        yield (
            f"{CUT_OFF}: includes runs that a search stopped before their budget was used up"
            " (target.cut_off_by). They count as misses, though they might have hit later."
        )


def has_several_nodes(listed: DataFrame) -> bool:
    """Whether any runs that may be compared were measured on different machines.

    Args:
        listed: Rows of run_counts.
    """
    nodes: dict[tuple[str, str], set[str]] = {}
    for command, group, names in zip(
        listed["command"], listed["peer_group"], listed["nodes"], strict=True
    ):
        nodes.setdefault((command, group), set()).update(names)
    return any(len(names) > 1 for names in nodes.values())


def sample_notes(runs: DataFrame) -> Iterator[str]:
    """What samples, throughput and time per sample count, as far as the runs record it."""
    kinds = sorted(set(column(runs, "task.sample").dropna()) - {"sample"})  # nobody knows
    if kinds:
        words = " or ".join(f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}" for kind in kinds)
        more = ", depending on the task" if len(kinds) > 1 else ""
        yield f"A sample is {words}{more}; throughput counts samples."


def maintenance_notes(runs: DataFrame) -> Iterator[str]:
    """What the columns of deployments mean, and why a regret is unknown."""
    yield (
        "On target: share of the predictions in windows at or above the accuracy to hold. Upkeep:"
        " detecting, deciding, retraining and promoting; serving is not part of it. Regret: cost of"
        " upkeep and errors, minus that of the oracle on the same stream with the same seed. Pays"
        " from: price of an error from which on a policy is cheaper than never retraining."
    )
    reasons = column(runs, UNKNOWN_REGRET).astype(object).dropna()
    for reason, num in reasons[reasons != ""].value_counts().items():
        yield f"Regret is unknown for {num} run{'s' * (num != 1)}: {reason}."


def _bounds_notes(rows: DataFrame) -> Iterator[str]:
    kinds = set(rows["kind"].dropna())
    if "interval" in kinds:
        yield f"[low, high]: {CONFIDENCE:.0%} interval, given from {MIN_RUNS} runs on."
    if "range" in kinds:
        yield (
            f"(low to high): smallest and largest of fewer than {MIN_RUNS} runs; this is not an"
            " interval."
        )


def _best_notes(summary: DataFrame, rows: DataFrame) -> Iterator[str]:
    # Over all topics, as the correction is.
    num_columns = int(summary["p_best"].notna().sum())
    if not num_columns or rows["p_best"].isna().all():
        yield "No value is bold: no column has enough comparable runs to name its best value."
        return
    runs = runs_needed(num_columns)
    yield (
        "Bold: the best of its column among rows that may be compared. A one-sided rank test shows"
        f" it to be better than every other value: p < {ALPHA}, with p doubled because the data"
        f" chose the leader, and corrected by Holm over the {num_columns} columns of all tables"
        f" that can be tested. That takes at least {runs} runs per configuration. The test ignores"
        " runs that are not comparable; a configuration with such a run is never bold, nor are"
        " modelled joules. For joules, a run whose joules have a flag (energy[], such as"
        " below_resolution) is not comparable either."
    )


def _expected_notes(rows: DataFrame, listed: DataFrame) -> Iterator[str]:
    yield (
        "ERT (expected with restarts): what all runs spent, including misses, divided by the number"
        f" of hits. It has an interval from {MIN_RUNS} runs on if at least two hit and at least one"
        " did not: without a miss, the data do not show how often runs miss and at what cost."
    )
    # Without a hit the expected cost is infinite, so an unknown cost makes no difference.
    expected = rows[rows["statistic"] == "expected"]
    if expected["num_missing"].any() and listed["num_hits"].any():
        yield f"{UNKNOWN}: a run was cut off before it recorded its cost."


def _label_notes(rows: DataFrame) -> Iterator[str]:
    labels = sorted(set(rows["label"].dropna()))
    if not labels:
        return
    yield (
        f"How joules were obtained, and what money is for: {'; '.join(labels)}. Only values of one"
        " kind may be compared. The systematic bound is not scatter: runs on one machine share it."
    )
    # The label is unexplained otherwise: it is no label of a meter.
    if NO_LABEL in labels:
        yield f"{NO_LABEL}: runs that failed before any meter was read."


def search_notes(costs: DataFrame, num_refused: int = 0) -> Iterator[str]:
    """The notes of the table of search_cost."""
    yield (
        "All training runs in the order of their start, including those that failed, missed, were"
        " interrupted or measured again. Times are sums over the runs' own clocks, so the times"
        " of parallel runs add up; time with launch adds launch and set-up, which lie before the"
        " clock."
    )
    if costs["num_unknown"].any():
        yield (
            ">: a lower bound, since the cost of some runs is unknown: they were cut off too early"
            " or had no meter."
        )
    if num_refused:
        yield _refused_note(num_refused)


def _refused_note(num: int) -> str:
    return (
        f"{num} refused: {_runs(num)} in no table, because that combination of settings does not"
        " exist and nothing was measured."
    )


def _runs(num: int) -> str:
    return "1 run is" if num == 1 else f"{num} runs are"
