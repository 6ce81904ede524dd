"""Facts that differ, facts that one side does not record, and how both are reported."""

from __future__ import annotations

from typing import Any

import pytest

from bench.gate.sides.facts import (
    ENVIRONMENT,
    FACTS,
    HOST_CLASS,
    NOTED,
    SM_CLOCK,
    difference,
    host_class,
)
from bench.gate.sides.medians import lasting_facts
from tests.gate.made import FACT_VALUES, made_side, side_of
from tests.gate.made_matches import FIVE, kinds, matched, times

GPU_FACTS = [fact for fact in FACTS if fact.startswith(("host.gpus.", "host.cuda."))]


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ([["a"], ["a", "a"]], None),
        ([["a"], ["b", "c", "b"]], "a / b and c"),
        ([["a"], [None]], None),  # not recorded: it may be the same
        ([["a", "b"], [None]], "a and b / not recorded"),
        ([[None], [None]], None),
        ([[[]], [["Card"]]], "[] / ['Card']"),
        ([[{"A": "1", "B": "2"}], [{"B": "2", "A": "1"}]], None),  # in whatever order
        ([[{"A": "1", "B": "2"}], [{"A": "2", "B": "2"}]], "A 1 / 2"),
        ([[{"A": "1"}], [{}]], "A 1 / none"),
        ([[{"A": ""}], [{}]], "A '' / none"),
        ([[{}], [{}]], None),
        ([[{"A": "1"}], [{"A": "2"}, {"A": "3"}]], "A 1 / 2 and 3"),
        ([[{"A": "1"}], [None]], None),
    ],
)
def test_a_difference_is_named_with_both_values(sides: list[list[Any]], told: str | None) -> None:
    assert difference("some.fact", sides) == told


def test_a_variable_missing_on_one_side_counts_as_unset() -> None:
    sides: list[list[dict[str, str]]] = [[{"OMP_NUM_THREADS": "1"}], [{}]]
    assert difference("host.environment", sides) == "OMP_NUM_THREADS 1 / unset"


def without(*facts: str) -> dict[str, Any]:
    return dict.fromkeys(facts)


@pytest.mark.parametrize("older", ["base", "candidate"])
def test_facts_that_only_one_side_records_are_a_remark(older: str) -> None:
    old, new = times(FIVE, facts=without(*ENVIRONMENT)), times(FIVE)
    sides = (old, new) if older == "base" else (new, old)
    rows, problems, remarks = matched(*sides)
    assert set(rows) == {"time_to_target_s"}
    assert problems == []
    assert remarks == [
        f"{older}: not all runs record host.num_threads, host.num_interop_threads, "
        "host.environment, host.scheduler, which may differ"
    ]


@pytest.mark.parametrize("fact", ["host.name", "host.gpus", "target.rule", "data", "precision"])
def test_older_facts_are_read_like_present_ones(fact: str) -> None:
    value = FACT_VALUES[fact] if FACT_VALUES[fact] is not None else "first"
    _, problems, remarks = matched(
        times(FIVE, facts={fact: value}), times(FIVE, facts={fact: None})
    )
    assert problems == []
    assert remarks == [f"candidate: not all runs record {fact}, which may differ"]


def test_facts_that_no_side_records_are_no_remark() -> None:
    old = times(FIVE, facts=without(*ENVIRONMENT))
    assert matched(old, old)[1:] == ([], [])


def test_facts_that_only_some_runs_record_are_compared_among_those() -> None:
    some = [*times(FIVE[:2], facts=without("host.num_threads")).runs]
    mixed = side_of([*some, *times(FIVE).runs[2:]])
    _, problems, remarks = matched(times(FIVE), mixed)
    assert (problems, len(remarks)) == ([], 1)
    other = times(FIVE, facts={"host.num_threads": 2})
    _, problems, _ = matched(other, mixed)
    assert kinds(problems) == [("incomparable", 4)]
    assert problems[0].message.startswith("host.num_threads differs: 2 / 1; ")


def test_several_differences_are_each_reported_and_forced_together() -> None:
    other = {"host.num_threads": 2, "host.environment": {"OMP_NUM_THREADS": "2"}}
    candidate = made_side({"time_to_target_s": FIVE}, facts=other)
    _, problems, _ = matched(times(FIVE), candidate)
    assert [problem.message for problem in problems] == [
        "host.num_threads differs: 1 / 2; measure both alike, or force=[host.num_threads]",
        "host.environment differs: OMP_NUM_THREADS 1 / 2; measure both alike, or "
        "force=[host.environment]",
    ]
    rows, problems, remarks = matched(times(FIVE), candidate, force=["host"])
    assert (set(rows), problems, len(remarks)) == ({"time_to_target_s"}, [], 2)


@pytest.mark.parametrize("fact", GPU_FACTS)
def test_gpus_that_are_set_up_differently_are_not_compared(fact: str) -> None:
    _, problems, _ = matched(times(FIVE, facts={fact: "350"}), times(FIVE, facts={fact: "300"}))
    assert kinds(problems) == [("incomparable", 4)]
    assert problems[0].message.startswith(f"{fact} differs: 350 / 300; ")


@pytest.mark.parametrize("fact", NOTED)
def test_other_versions_of_gpu_software_are_a_remark(fact: str) -> None:
    rows, problems, remarks = matched(
        times(FIVE, facts={fact: "9.1.0"}), times(FIVE, facts={fact: "9.2.0"})
    )
    assert (set(rows), problems) == ({"time_to_target_s"}, [])
    assert remarks == [f"{fact} differs: 9.1.0 / 9.2.0"]
    # A record of an older version does not say.
    assert matched(times(FIVE, facts={fact: "9.1.0"}), times(FIVE))[1:] == ([], [])
    # Nor does it end a history, or the medians that were accepted.
    assert fact not in lasting_facts(times(FIVE, facts={fact: "9.1.0"}).runs[0])


@pytest.mark.parametrize(
    ("base_mhz", "candidate_mhz", "remarks"),
    [
        (1980.0, 1890.0, []),  # 4.5% slower: a warmer card
        (1980.0, 1410.0, ["the GPUs ran at 1980 / 1410 MHz in the median; a clock may be locked"]),
        (1410.0, 1980.0, ["the GPUs ran at 1410 / 1980 MHz in the median; a clock may be locked"]),
        (None, 1980.0, []),
    ],
)
def test_a_clock_that_may_be_locked_on_one_side_is_a_remark(
    base_mhz: float | None, candidate_mhz: float | None, remarks: list[str]
) -> None:
    sides = [times(FIVE, facts={SM_CLOCK: mhz}) for mhz in (base_mhz, candidate_mhz)]
    rows, problems, found = matched(*sides)
    assert (set(rows), problems) == ({"time_to_target_s"}, [])
    assert [text.partition(": ")[2].removesuffix(" on one side") for text in found] == remarks
    assert SM_CLOCK not in lasting_facts(sides[1].runs[0])


def test_threads_and_variables_are_no_part_of_the_kind_of_host() -> None:
    """Noise floors hold for a machine, not for a way of starting the command."""
    assert not set(ENVIRONMENT) & set(HOST_CLASS)
    names = {name.removeprefix("host.") for name in HOST_CLASS}
    assert set(host_class(FACT_VALUES)) == names
