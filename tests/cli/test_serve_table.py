"""The table that ends bench.serve."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from bench.cli.serve_table import serve_tables
from bench.core.outcome import outcome_record
from bench.core.records import Quality, RunRecord
from bench.core.serving_records import Serving
from bench.core.store import new_identity

QUALITY = Quality(
    at="served",
    loss=0.1,
    accuracy=0.95,
    macro_f1=0.94,
    worst_class_recall=0.9,
    expected_calibration_error=0.01,
    num_samples=360,
)
SERVING = Serving(
    num_requests=1000,
    headline="latency_p99_ms",
    valid=True,
    latency_p99_ms=12.5,
    throughput_per_s=50.0,
    cost_per_million_usd=0.25,
)
OWN = {"usd_per_hour": None, "usd_per_kwh": 0.15}


def record(
    serving: Serving = SERVING, quality: Quality = QUALITY, price: dict[str, Any] | None = None
) -> RunRecord:
    config = {"price": price or OWN, "seed": 0, "repeat": 0}
    made = outcome_record(new_identity("serve", "0123456789ab", 0, 0), config, [], status="ok")
    return replace(made, serving=serving, quality_test=quality)


def cells(one: RunRecord) -> dict[str, str]:
    """Of the one row, by heading; lines of a cell joined."""
    (table,) = serve_tables([(["backend=eager"], one)], Console(width=1000))
    console = Console(width=1000, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    rows = {edge: [line.split(edge)[1:-1] for line in lines if edge in line] for edge in "┃│"}
    heading, row = (
        [" ".join(" ".join(parts).split()) for parts in zip(*rows[edge], strict=True)]
        for edge in "┃│"
    )
    return dict(zip(heading, row, strict=True))


def test_a_pass_that_counts_shows_what_it_is_judged_by() -> None:
    assert cells(record())["headline"] == "latency p99 12.5 ms"
    searched = replace(SERVING, headline="max_rate_per_s", max_rate_per_s=956.0)
    assert cells(record(searched))["headline"] == "max rate 956 per s"


def test_a_pass_that_does_not_count_has_no_headline() -> None:
    one = record(replace(SERVING, valid=False, invalid_reasons=["p99 over the bound"]))
    assert cells(one)["headline"] == "-"
    assert cells(one)["outcome"] == "INVALID see below"


@pytest.mark.parametrize(
    ("price", "basis"),
    [
        (OWN, "electricity"),
        ({"usd_per_hour": 1.0, "usd_per_kwh": None}, "rental"),
        ({"usd_per_hour": 1.0, "usd_per_kwh": 0.2}, "rental and electricity"),
    ],
)
def test_costs_say_what_they_pay_for(price: dict[str, Any], basis: str) -> None:
    assert cells(record(price=price))["USD per 1e6 pred (paid for)"] == f"0.25 ({basis})"


def test_costs_that_are_not_known_have_no_basis() -> None:
    unknown = replace(SERVING, cost_per_million_usd=None)
    assert cells(record(unknown))["USD per 1e6 pred (paid for)"] == "-"


def test_quality_that_is_no_number_is_absent() -> None:
    shown = cells(record(quality=replace(QUALITY, accuracy=None, worst_class_recall=None)))
    assert (shown["accuracy (change)"], shown["worst recall"]) == ("-", "-")
    assert cells(record())["accuracy (change)"] == "0.9500"
