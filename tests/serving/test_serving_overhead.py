"""The parts of benchmarks/serving_overhead.py that can be checked without timing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.serving_overhead import (
    Case,
    Cost,
    cases,
    cost,
    in_process,
    over_http,
    spread,
    worst_p90_us,
)
from tests.forked_children import forked_children

COST = Cost(
    system="in process",
    scenario="single_stream",
    raw_latencies=True,
    p50_us=1.0,
    p90_us=2.0,
    per_sample_us=3.0,
)


def test_the_verdict_is_on_the_worse_median_of_the_two_ways() -> None:
    with_trace = [replace(COST, p90_us=value) for value in (2.0, 3.0, 100.0)]
    without = [replace(COST, raw_latencies=False, p90_us=value) for value in (1.0, 7.0, 8.0)]
    others = [replace(COST, scenario="server", p90_us=200.0), replace(COST, system="http")]
    assert worst_p90_us([*with_trace, *without, *others]) == 7.0


def test_a_spread_is_median_smallest_and_largest() -> None:
    assert spread([3.0, 1.0, 2.5]) == "2.5 (1 to 3)"
    assert spread([None, None]) == ""


@pytest.mark.parametrize("case", cases(raw_latencies=False), ids=lambda case: case.scenario)
def test_the_null_model_goes_through_every_scenario(case: Case) -> None:
    short = replace(case, num_queries=700)
    with in_process(short) as system:
        found = cost("in process", system, short)
    assert found.scenario == short.scenario
    assert (found.p90_us is None) == (short.scenario == "offline")


def test_the_null_model_is_asked_over_http_too() -> None:
    case = replace(cases(raw_latencies=True, over_http=True)[0], num_queries=100)
    with forked_children(), over_http(case) as system:
        found = cost("over HTTP", system, case)
    assert found.p90_us is not None
