"""The tables of many configurations: the best, the worst, and a count of the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli.sweep_report import Command, Run, print_errors, print_runs
from bench.core.records.run import RunRecord
from bench.runs.table.selection import ENDS, MOST_ROWS
from bench.serving.table import serve_tables
from bench.training.table import run_line, sweep_tables
from tests.cli.shown import rows_under_rule, shown
from tests.serving.test_table import INVALID, SERVING
from tests.serving.test_table import record as served
from tests.training.test_table import record as trained

MISS = (0.5, 0.6)


def sweep(records: Sequence[RunRecord]) -> list[tuple[list[str], RunRecord]]:
    return [([f"lr={place}"], record) for place, record in enumerate(records)]


def names(text: str, start: str = "lr=") -> list[int]:
    """The numbers of the configurations of the first table, in order; -1 for a gap."""
    lines = [line for line in rows_under_rule(text) if line.startswith((start, "... "))]
    numbers = [re.match(rf"{start}(\d+)", line) for line in lines]
    return [int(each[1]) if each else -1 for each in numbers]


def failed(num: int, seed: int = 0) -> RunRecord:
    """A run that ended before its target."""
    return trained(f"f{num}", seed, status="failed", message="broke", accuracies=MISS)


def prose(text: str) -> str:
    return " ".join(text.split())


def test_a_table_of_forty_configurations_shows_all_of_them_in_their_order() -> None:
    """The largest TTA comes first, so an order by TTA would show."""
    records = [trained(str(num), scale=100.0 - num) for num in range(MOST_ROWS)]
    text = shown(sweep_tables, sweep(records))
    assert names(text) == list(range(MOST_ROWS))
    assert "Shown:" not in text


@pytest.mark.parametrize("width", [80, 1000])
def test_a_larger_table_shows_both_ends_from_the_best_to_the_worst(width: int) -> None:
    records = [trained(str(num), scale=100.0 - num) for num in range(MOST_ROWS + 1)]
    text = shown(sweep_tables, sweep(records), width)
    # The largest number has the smallest TTA.
    assert names(text) == [*range(40, 30, -1), -1, *range(9, -1, -1)]
    assert "\n... 21 more" in text
    assert "Shown: the 10 best and the 10 worst of 41 configurations by TTA." in prose(text)
    assert "The file or the folder named below has all runs." in prose(text)
    assert "41 runs of 41 configurations" in text


def test_misses_come_after_hits_and_failures_are_counted() -> None:
    """Misses are ordered by what they had spent, which is the bound that the table shows."""
    hits = [trained(f"h{num}", scale=50.0 + num) for num in range(30)]
    misses = [trained(f"m{num}", accuracies=MISS, scale=9.0 - num) for num in range(3)]
    text = shown(sweep_tables, sweep([*map(failed, range(8)), *misses, *hits]))
    # Numbers: failures 0 to 7, misses 8 to 10 (the last one spent least), hits 11 to 40.
    assert names(text) == [*range(11, 21), -1, *range(34, 41), 10, 9, 8]
    assert "of 33 configurations by TTA. Not shown: 8 configurations without TTA" in prose(text)


def test_a_median_of_failed_runs_is_no_bound() -> None:
    """Two of its three runs failed, so nobody knows how much more they would have needed."""
    hits = [([f"lr={num}"], trained(f"h{num}")) for num in range(MOST_ROWS)]
    runs = [trained("f0", 0), failed(0, seed=1), failed(0, seed=2)]
    mixed = [(["lr=99"], run) for run in runs]
    text = shown(sweep_tables, [*hits, *mixed])
    assert 99 not in names(text)
    assert "Not shown: 1 configuration without TTA" in prose(text)


def test_without_any_value_the_first_configurations_are_shown() -> None:
    text = shown(sweep_tables, sweep([*map(failed, range(50))]))
    assert names(text) == list(range(2 * ENDS))
    assert "Shown: the first 20 of 50 configurations." in prose(text)


def test_of_a_rate_the_largest_is_the_best_and_an_invalid_pass_has_no_place() -> None:
    rates = [
        served(replace(SERVING, headline="throughput_per_s", throughput_per_s=num), name=str(num))
        for num in range(1, 42)
    ]
    text = shown(serve_tables, sweep([served(INVALID, name="invalid"), *rates]))
    assert names(text) == [*range(41, 31, -1), -1, *range(10, 0, -1)]
    assert "the 10 worst of 41 configurations by throughput." in prose(text)
    assert "Not shown: 1 configuration without throughput" in prose(text)


def test_scenarios_with_headlines_of_their_own_are_not_ranked_together() -> None:
    p99 = [
        served(replace(SERVING, latency_p99_ms=100.0 - num), name=f"a{num}") for num in range(25)
    ]
    p90 = [
        served(replace(SERVING, headline="latency_p90_ms", latency_p90_ms=num), name=f"b{num}")
        for num in range(1, 18)
    ]
    text = shown(serve_tables, sweep([*p99, *p90]))
    # 25 of the first kind, without the 5 in the middle; all 17 of the second one.
    assert names(text) == [*range(24, 14, -1), -1, *range(9, -1, -1), *range(25, 42)]
    assert "Shown: the 10 best and the 10 worst of 25 configurations by p99 latency." in prose(text)
    assert "by p90 latency" not in prose(text)


def test_of_very_many_reasons_those_of_the_most_runs_are_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    messages = [f"nan at step {num}" for num in range(30)] + ["disk full"] * 2
    runs = [
        Run([f"lr={num}"], tmp_path, trained(str(num), status="failed", message=message))
        for num, message in enumerate(messages)
    ]
    command = Command(
        name="train",
        job="",
        plan=lambda _: [],
        check=lambda _: None,
        tables=lambda *_: [],
        line=run_line,
        columns=(),
    )
    print_runs(command, runs, Console(width=1000))
    *lines, last = capsys.readouterr().out.splitlines()
    assert (len(lines), last) == (20, "11 more reasons: run.json of each run has its own")
    assert lines[0].endswith("failed: nan at step 0")
    assert lines[-1].endswith(" and 1 more: failed: disk full")


@pytest.mark.parametrize(
    ("num", "last"),
    [(20, "error: job 19"), (22, "error: 2 more jobs or runs have errors like these")],
)
def test_of_very_many_errors_the_first_are_printed(
    num: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_errors([f"job {each}" for each in range(num)], Console(width=1000))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:20] == [f"error: job {each}" for each in range(20)]
    assert lines[-1] == last
