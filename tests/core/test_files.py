from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.core.files import expand_path, replace_file, write_whole


def test_replacing_a_file_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    assert replace_file(path, b"new") == path
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_flush_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_short_write_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.write", lambda file, data: len(data) - 1)
    with pytest.raises(OSError, match="only 4 of 5 bytes fitted on the disk"):
        write_whole(0, b"12345")


def test_a_path_is_expanded_as_a_shell_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    assert expand_path("~/x") == Path("/home/me/x")
    assert expand_path("$DATA/${DATA}x") == Path("/data//datax".replace("//", "/"))
    assert expand_path("$UNKNOWN/a b") == Path("$UNKNOWN/a b")
    assert expand_path(Path("relative")) == Path("relative")
    assert "UNKNOWN" not in os.environ
