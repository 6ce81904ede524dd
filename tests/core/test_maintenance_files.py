"""Windows and events survive a kill, and damaged files are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.core.files import StoreError
from bench.core.maintenance_files import MaintenanceWriter, read_events, read_windows
from bench.core.records.maintenance import MaintenanceEvent, WindowRow

ROW = WindowRow(
    window=0,
    first=0,
    num_predictions=100,
    num_judged=97,
    errors=9,
    accuracy=88 / 97,
    num_known=0,
    known_accuracy=None,
    model=0,
)
EVENT = MaintenanceEvent(kind="alarm", window=1, prediction=137, is_false=False, delay=37)


def test_what_was_added_is_read_before_the_files_are_closed(tmp_path: Path) -> None:
    writer = MaintenanceWriter(tmp_path)
    writer.add_window(ROW)
    writer.add_event(EVENT)
    assert read_windows(tmp_path) == [ROW]
    assert read_events(tmp_path) == [EVENT]
    writer.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        writer.add_window(ROW)


def test_a_run_without_the_files_has_no_rows(tmp_path: Path) -> None:
    assert read_windows(tmp_path) == []
    assert read_events(tmp_path) == []


def test_a_line_that_was_cut_is_left_out_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    writer = MaintenanceWriter(tmp_path)
    writer.add_window(ROW)
    writer.close()
    path = tmp_path / "windows.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert read_windows(tmp_path) == [ROW]
    path.write_bytes(whole + b'{"window": "x"}\n')
    with pytest.raises(StoreError, match=r"windows\.jsonl: line 2: "):
        read_windows(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not a file"):
        read_windows(tmp_path)
