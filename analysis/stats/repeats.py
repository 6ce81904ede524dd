"""Which runs are repeats of one another, and which of those may be compared with which others."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.load.once import once
from analysis.load.values import numbers, rows_by_key
from analysis.stats.deployments import stream_words
from analysis.stats.outcomes import counted_runs, cut_off, hosts, reached
from analysis.stats.peer_keys import peer_keys, texts
from analysis.stats.peers import titled_rows

# What repeats have in common. `peer_group` is the title of the group.
KEYS = ("command", "configuration", "host", "peer_group")
_RATE = "config.scenario.rate_per_s"
_SEARCHED = "largest rate searched for"


@once
def with_keys(runs: DataFrame) -> DataFrame:
    """Add the columns of KEYS that loading does not give."""
    return runs.assign(host=hosts(runs), peer_group=_titles(runs))


@once
def counted_with_keys(runs: DataFrame) -> DataFrame:
    """Select the runs that count, with the columns of KEYS.

    Args:
        runs: Of load_runs.
    """
    return with_keys(counted_runs(runs))


def _titles(runs: DataFrame) -> Series:
    """The title of each run's group of peers, among the runs of its command."""
    # A serving that failed has no record of its scenario; its configuration names it.
    scenario = runs["serving.scenario"].astype(object)
    if "config.scenario.name" in runs:
        scenario = scenario.fillna(runs["config.scenario.name"].astype(object))
    # A pass at one rate does not compete with a pass at another, nor do deployments on two streams.
    keys = peer_keys(runs).assign(
        scenario=texts(scenario).fillna(""),
        rate=_rates(runs, scenario),
        stream=stream_words(runs),
    )
    titles = Series("", index=runs.index, dtype=object)
    # Trainings and servings are never compared, so they do not have to be told apart by titles.
    for rows in rows_by_key(runs[["command"]]).values():
        part = keys.iloc[rows]
        for title, places in titled_rows(part):
            titles[part.index[places]] = title
    return titles


def has_fixed_rate(runs: DataFrame) -> Series:
    """Whether each serving ran at a rate from its configuration, which its throughput repeats."""
    return numbers(runs, _RATE).notna()


def _rates(runs: DataFrame, scenario: Series) -> Series:
    """Whether a rate was fixed or searched for, in words; empty where neither was."""
    fixed = numbers(runs, _RATE).map(lambda rate: f"{rate:g} per s asked for", na_action="ignore")
    searched = Series("", index=runs.index).mask(scenario == "server", _SEARCHED)
    return fixed.astype(object).where(fixed.notna(), searched)


def run_counts(runs: DataFrame) -> DataFrame:
    """Count the runs of each configuration, and those with something against them.

    Args:
        runs: Of load_runs; one run counts per configuration, seed and repeat.

    Returns:
        `KEYS, num_runs, num_with_target, num_hits, num_failed, num_incomparable, num_invalid,
        num_cut_off, nodes`: incomparable by their health (see health.flags), invalid by the load
        generator, stopped by a search before the end of their budget, and the names of their
        machines, in alphabetical order.
    """
    counted = counted_with_keys(runs)
    rows = counted[list(KEYS)].assign(
        num_runs=1,
        num_with_target=counted["target.metric"].notna().astype(int),
        num_hits=reached(counted).astype(int),
        # Refused runs are not among the counted ones.
        num_failed=(~counted["status"].isin(["ok", "interrupted"])).astype(int),
        num_incomparable=counted["health.comparable"].eq(False).astype(int),
        num_invalid=counted["serving.valid"].eq(False).astype(int),
        num_cut_off=cut_off(counted).astype(int),
    )
    grouped: DataFrame = rows.groupby(list(KEYS), sort=False).sum()
    by_row = counted["host.name"].groupby([counted[key] for key in KEYS], sort=False)
    grouped["nodes"] = by_row.agg(lambda names: sorted(names.dropna().unique()))
    return grouped.reset_index()
