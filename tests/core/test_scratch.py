"""Temporary folders end with their block; those of a killed process end with the next command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.core.scratch import remove_left_folders, scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def left(folder: Path, *, age_s: float = 3600.0, held: bool = True) -> Path:
    """A folder as a killed process leaves it: nothing holds its lock."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    if held:
        (folder / ".held").touch()
    made_s = folder.stat().st_mtime - age_s
    os.utime(folder, (made_s, made_s))
    return folder


def test_a_folder_is_removed_at_the_end_of_its_block() -> None:
    with scratch_folder() as folder:
        (folder / "a").touch()
    assert not folder.exists()


def test_a_folder_of_a_killed_process_is_removed_and_no_other(tmp_path: Path) -> None:
    killed = left(tmp_path / "bench-scratch-killed")
    others = [
        left(tmp_path / "bench-scratch-new", age_s=1.0),
        left(tmp_path / "bench-scratch-unlocked", held=False),
        left(tmp_path / "somebody-else"),
    ]
    (tmp_path / "bench-scratch-link").symlink_to(others[2])
    with scratch_folder() as used:
        os.utime(used, (0, 0))
        remove_left_folders()
        assert used.exists()
    assert not killed.exists()
    assert all(each.exists() for each in others)
