"""A comparison on wide and narrow terminals, and in files beside one another."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.config.gate import OutputConfig
from bench.gate.model import Comparison, Exit
from bench.gate.report.output import SUMMARY, report
from bench.gate.report.writers import print_comparison
from tests.gate.made_rows import (
    EXACT,
    FAILED,
    IMPROVED,
    LACKING,
    MODELLED,
    REGRESSED,
    UNCHANGED,
    UNDERPOWERED,
    comparison,
)

ROWS = [UNCHANGED, REGRESSED, EXACT, UNDERPOWERED, IMPROVED, MODELLED]


def printed(made: Comparison, width: int = 1000) -> list[str]:
    """Lines on a console of this width."""
    file = io.StringIO()
    print_comparison(made, Console(width=width, file=file))
    return [line.strip() for line in file.getvalue().splitlines()]


def test_the_verdict_is_first_then_failing_rows_then_other_rows_then_notes() -> None:
    lines = printed(comparison(ROWS, [LACKING], ["drifted, see force=[host]"]))
    assert lines[0] == "REGRESSION: 1 of 5 rows, worst time_to_target_s +12% (train batch_size=32)"
    starts = [
        "all rows: train batch_size=32",
        "metric ",
        "time_to_target_s ",
        "latency_p99_ms ",
        "throughput_per_s ",
        "latency_p50_ms ",
        "samples_to_target ",
        "energy_to_target_j ",
        f"missing: {LACKING.message}",
        "note: drifted, see force=[host]",
        "base: perf/baseline.json, ",
        "candidate: results, ",
        "change: ",
    ]
    found = [next(n for n, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert found == sorted(found)


def test_a_problem_that_the_verdict_names_is_reported_once() -> None:
    lines = printed(comparison([], [FAILED]))
    assert lines[0] == f"A RUN FAILED: {FAILED.message}"
    assert sum(FAILED.message in line for line in lines) == 1


def test_several_configurations_have_a_column() -> None:
    lines = printed(comparison([UNCHANGED, replace(REGRESSED, configuration="train [x] lr=0.1")]))
    assert any(line.startswith("train [x] lr=0.1 ") for line in lines)
    assert not any(line.startswith("all rows:") for line in lines)


@pytest.mark.parametrize("width", [80, 110])
def test_nothing_is_cut_off_on_a_narrow_terminal(width: int) -> None:
    file = io.StringIO()
    print_comparison(comparison(ROWS), Console(width=width, file=file))
    table = file.getvalue().partition("base: perf")[0]
    assert max(map(len, table.splitlines()[1:])) <= width
    shown = set(table.split())
    for word in ("455", "510", "[+8%,", "+16%]", "0.0012", "regression:", "-1.9%,", "modelled,"):
        assert any(word in each for each in shown), word


def test_without_room_beside_the_rows_configurations_are_above_them() -> None:
    other = replace(REGRESSED, configuration="train batch_size=256 model.width=64 [x]")
    lines = printed(comparison([UNCHANGED, other]), width=80)
    # No wider than the longest name of a metric.
    above = lines.index("batch_size=256") - 1
    assert lines[above : above + 4] == ["train", "batch_size=256", "model.width=64", "[x]"]
    assert lines[above + 4].startswith("time_to_target_s ")
    assert "configuration" not in "".join(lines[:above])
    for name in ("time_to_target_s", "latency_p50_ms"):
        assert any(line.startswith(f"{name} ") for line in lines), lines


def test_all_files_are_written_and_the_summary_is_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv(SUMMARY, str(summary))
    files = {key: tmp_path / "new" / key for key in ("markdown", "json", "junit")}
    assert report(comparison(ROWS), files) == Exit.REGRESSION
    markdown = files["markdown"].read_text()
    assert markdown.startswith("## REGRESSION: ")
    assert summary.read_text() == "before\n" + markdown
    assert files["json"].read_text().startswith("{")
    assert files["junit"].read_text().startswith("<?xml")
    out = capsys.readouterr().out
    assert [f"written: {path}" in out for path in files.values()] == [True] * 3


def test_a_file_that_cannot_be_written_does_not_keep_the_others_from_being(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SUMMARY, str(tmp_path))
    config = OutputConfig(markdown=str(tmp_path / "file" / "m.md"), json=str(tmp_path / "j.json"))
    (tmp_path / "file").touch()  # since it was checked
    assert report(comparison(ROWS), config.output_files()) == Exit.FAILED
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: markdown={tmp_path}/file/m.md: cannot write there (")
    assert second.startswith(f"error: {SUMMARY}={tmp_path}: cannot write there (")
    assert (tmp_path / "j.json").exists()
