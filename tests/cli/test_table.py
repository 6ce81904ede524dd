"""The table that ends a command, on wide and narrow terminals."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bench.cli.table import sweep_tables
from bench.core.outcome import outcome_record
from bench.core.records import RunRecord
from bench.core.store import new_identity
from tests.rows import curve

TARGET = {"metric": "accuracy", "value": 0.9, "eval_every_samples": 100, "ladder": [0.5]}


def record(seed: int) -> RunRecord:
    """A run that crossed at its second evaluation, after 4 s and 200 samples."""
    identity = new_identity("train", "0123456789ab", seed, 0)
    config = {"seed": seed, "repeat": 0, "target": TARGET}
    return outcome_record(identity, config, curve([0.5, 0.95]), status="ok")


def printed(width: int, num_runs: int) -> list[str]:
    """What a console of this width shows, a string for each table."""
    runs = [([f"seed={seed}", "lr=0.1"], record(seed)) for seed in range(num_runs)]
    shown = []
    for table in sweep_tables(runs, Console(width=width)):
        console = Console(width=width, file=io.StringIO())
        console.print(table)
        assert isinstance(console.file, io.StringIO)
        shown.append(console.file.getvalue())
    return shown


def test_a_wide_terminal_has_one_row_per_run() -> None:
    (text,) = printed(1000, 5)
    (row,) = [line for line in text.splitlines() if "seed=4" in line]
    assert [cell.strip() for cell in row.split("│")][2:6] == ["reached", "4", "20", "200"]
    assert "lr=0.1" not in text  # shared by all runs, so it tells nothing apart


def test_the_end_of_a_schedule_lies_between_nothing() -> None:
    identity = new_identity("train", "0123456789ab", 0, 0)
    config = {"seed": 0, "repeat": 0, "target": {**TARGET, "rule": "final"}}
    ended = outcome_record(identity, config, curve([0.5, 0.95]), status="ok", finished=True)
    (table,) = sweep_tables([(["seed=0"], ended)], Console(width=1000))
    console = Console(width=1000, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert ended.target is not None
    assert ended.target.time_to_target_s == 4.0
    assert "(start, 4" not in text


def test_a_narrow_terminal_has_runs_as_columns_and_nothing_folded() -> None:
    texts = printed(80, 5)
    # 80 // 26 - 1 = 2 runs beside the headings.
    assert len(texts) == 3
    assert [[f"seed={n}" in text for n in range(5)] for text in texts] == [
        [True, True, False, False, False],
        [False, False, True, True, False],
        [False, False, False, False, True],
    ]
    for text in texts:
        assert "latency ms p50/p90/p99" in text
        assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("error_frac", "shown"),
    [(0.0513, "(counter ±5.1%)"), (2.004, "(counter ±200%)"), (None, "(counter)")],
)
def test_energy_stands_with_its_label_and_the_bound_of_its_error(
    error_frac: float | None, shown: str
) -> None:
    run = record(0)
    assert run.target is not None
    target = replace(run.target, energy_to_target_error_frac=error_frac)
    run = replace(run, target=target, energy_label="counter", energy_error_frac=None)
    (table,) = sweep_tables([(["seed=0"], run)], Console(width=1000))
    console = Console(width=1000, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    assert shown in console.file.getvalue()
