"""What benchmarks claim without timing anything."""

from __future__ import annotations

import pytest

from benchmarks.energy_accuracy import CASES, Case, Result, complaints, measured


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_joules_are_within_their_bound_and_no_worse_than_the_others(case: Case) -> None:
    assert complaints(measured(case)) == []


def test_a_worse_meter_is_complained_of() -> None:
    result = Result(
        case="",
        exact=True,
        true_j=100.0,
        ours_frac=-0.0021,
        within_bound=False,
        bound_frac=0.001,
        codecarbon_frac=0.5,
        zeus_frac=0.001,
    )
    assert complaints(result) == [
        "off by 0.210% on a counter without quantisation",
        "off by more than its bound",
        "worse than the best of the others",
    ]
