"""The least joules with at most some percent more time: chosen by medians, doubted by intervals."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pandas import DataFrame

from analysis.stats.slack import least_energy
from analysis.stats.summary import COLUMNS
from analysis.tables.slack import slack_table

# Seconds and joules: b needs 4% more time than a, c 10%, d 25%.
COSTS = {"a": (10.0, 100.0), "b": (10.4, 80.0), "c": (11.0, 60.0), "d": (12.5, 10.0)}


def summary(scatter: float = 0.0, num: int = 6, **more: Any) -> DataFrame:
    """What summarise() gives of runs with these medians, whose interval is this share each way."""
    rows = [
        {
            "command": "train",
            "configuration": name,
            "host": "made",
            "peer_group": "",
            "metric": metric,
            "statistic": "to_target",
            "label": label,
            "components": label and "gpu",
            "num": num,
            "value": value,
            "low": value * (1 - scatter),
            "high": value * (1 + scatter),
            "kind": "interval" if num >= 6 else "range",
            **more,
        }
        for name, costs in COSTS.items()
        for metric, label, value in zip(
            ("time_to_target_s", "energy_to_target_j"), (None, "counter"), costs, strict=True
        )
    ]
    return DataFrame(rows, columns=list(COLUMNS))


def counts(num_incomparable: int = 0) -> DataFrame:
    return DataFrame({"configuration": list(COSTS), "num_incomparable": num_incomparable})


def test_more_time_allows_fewer_joules() -> None:
    rows = least_energy(summary())
    assert list(rows["configuration"]) == ["a", "b", "c", "c"]  # d would need 25%
    assert list(rows["time_ratio"]) == pytest.approx([1.0, 1.04, 1.1, 1.1])
    assert list(rows["energy_ratio"]) == pytest.approx([1.0, 0.8, 0.6, 0.6])
    assert list(rows["alike"]) == [[], [], [], []]


def test_what_intervals_do_not_separate_is_named() -> None:
    """Intervals of 10% each way begin at 9, 9.36, 9.9 and 11.25 s; that of a ends at 11 s.

    So with no more time b and c may be as fast as a, and take at most the joules of a. With 5% more
    (11.55 s), d may be as well, and b takes at most 88 J, which a (from 90 J on) does not. With 10%
    more (12.1 s), c takes at most 66 J, which b (from 72 J on) does not.
    """
    rows = least_energy(summary(0.1)).set_index("more_time_frac")
    assert rows["alike"].to_dict() == {0.0: ["b", "c"], 0.05: ["c", "d"], 0.1: ["d"], 0.2: ["d"]}


def test_an_interval_without_an_end_separates_nothing() -> None:
    """More than a few runs have missed: how long they would have taken is not known."""
    rows = least_energy(summary(high=math.nan))
    assert rows["alike"].iloc[0] == ["b", "c", "d"]


def test_the_table_shows_what_more_time_saves() -> None:
    table = slack_table(summary(0.1), counts())
    assert table is not None
    (_, second, *_) = ([cell.text for cell in row] for row in table.rows)
    assert dict(zip(table.columns, second, strict=True)) == {
        "more time allowed": "5%",
        "least joules": "b",
        "TTA (s)": "10.4 [9.4, 11.4]",
        "more time": "4.0%",
        "ETA (J)": "80 [72, 88]",
        "joules saved": "20.0%",
        "joules": "counter of gpu",
        "runs": "6",
        "cannot be told apart from": "c, d",
    }


def test_few_runs_separate_nothing_and_doubtful_ones_are_marked() -> None:
    table = slack_table(summary(num=2), counts(num_incomparable=1))
    assert table is not None
    assert {row[-1].text for row in table.rows} == {"too few runs"}
    assert [row[1].text for row in table.rows] == ["a †", "b †", "c †", "c †"]
    assert "Intervals need 6 runs of each configuration." in table.notes


def test_only_peers_with_joules_of_one_kind_are_compared() -> None:
    made = summary()
    apart = made.assign(label=[f"label {n // 2}" for n in range(len(made))])
    others = made.assign(peer_group=made["configuration"])
    all_missed = made.assign(value=math.nan)
    for rows in (apart, others, all_missed, made.iloc[:0]):
        assert least_energy(rows).empty
        assert slack_table(rows, counts()) is None
