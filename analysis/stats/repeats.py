"""Which runs are repeats of one another, and which of those may be compared with which others."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.load.values import numbers
from analysis.stats.comparable import groups
from analysis.stats.outcomes import hosts

# What repeats have in common; `compared` is the title of the runs that may be compared with them.
KEYS = ("command", "configuration", "host", "compared")
_RATE = "config.scenario.rate_per_s"
_SEARCHED = "largest rate searched for"


def with_keys(runs: DataFrame) -> DataFrame:
    """The runs with the columns of KEYS that loading does not give."""
    return runs.assign(host=hosts(runs), compared=_titles(runs))


def _titles(runs: DataFrame) -> Series:
    """The title of the group that each run may be compared in, among those of its command."""
    titles = Series("", index=runs.index, dtype=object)
    # A serving that failed has no record of its scenario, and a pass that was asked for a rate is
    # no rival of one that was asked for another.
    scenario = runs["serving.scenario"].astype(object)
    if "config.scenario.name" in runs:
        scenario = scenario.fillna(runs["config.scenario.name"].astype(object))
    known = runs.assign(**{"serving.scenario": scenario})
    for command in runs["command"].unique():
        found = groups(known, only=known["command"] == command, more={"rate": _rates(known)})
        for group in found:
            titles[group.runs.index] = group.title
    return titles


def is_asked(runs: DataFrame) -> Series:
    """Whether a serving was asked for its rate, so that its throughput only echoes the request."""
    return _asked_rate(runs).notna()


def _asked_rate(runs: DataFrame) -> Series:
    return numbers(runs, _RATE)


def _rates(runs: DataFrame) -> Series:
    """Whether a rate was asked for or searched for, in words; empty where neither was."""
    asked = _asked_rate(runs).map(lambda rate: f"{rate:g} per s asked for", na_action="ignore")
    searched = Series("", index=runs.index).mask(runs["serving.scenario"] == "server", _SEARCHED)
    return asked.astype(object).where(asked.notna(), searched)
