"""Finished runs are found by their folders; the ledger is not asked."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bench.core.files import StoreError
from bench.core.finished import FinishedRuns
from bench.core.store import create_run_folder, new_identity

HASH, OTHER_HASH = "0123456789ab", "ba9876543210"


def make_run(
    results: Path, *, seed: int = 0, repeat: int = 0, digest: str = HASH, record: str | None = "{}"
) -> Path:
    """Make the folder of a run; its record is not read here, so it may say anything."""
    # Keys and texts that only look like those of a run.
    config: dict[str, Any] = {
        "data": {"seed": 8, "repeat": 8},
        "note": "two lines\nseed: 9\nrepeat: 9\n",
        "seed": seed,
        "seed: 7": 7,
        "repeat": repeat,
    }
    folder = create_run_folder(results, new_identity("train", digest, seed, repeat), config)
    if record is not None:
        (folder / "run.json").write_text(record)
    return folder


def test_runs_are_found_by_command_configuration_seed_and_repeat(tmp_path: Path) -> None:
    finished = FinishedRuns(tmp_path)
    assert finished.find("train", HASH, 3, 1) == []  # there is no folder yet
    folder = make_run(tmp_path, seed=3, repeat=1)
    make_run(tmp_path, seed=3, repeat=1, digest=OTHER_HASH)
    make_run(tmp_path, seed=4, repeat=1)
    make_run(tmp_path, seed=3, repeat=0)
    assert finished.find("train", HASH, 3, 1) == [folder]
    assert finished.find("serve", HASH, 3, 1) == []
    assert finished.find("train", HASH, 3, 2) == []


def test_what_is_added_meanwhile_is_found_and_the_latest_is_the_first(tmp_path: Path) -> None:
    finished = FinishedRuns(tmp_path)
    first = make_run(tmp_path)
    assert finished.find("train", HASH, 0, 0) == [first]
    second = make_run(tmp_path)
    assert finished.find("train", HASH, 0, 0) == [second, first]
    shutil.rmtree(second)
    assert finished.find("train", HASH, 0, 0) == [first]


def test_questions_about_one_moment_list_the_folder_once(tmp_path: Path) -> None:
    """Listing 2,000 runs for each of 2,000 jobs would take seconds, and minutes over a network."""
    first = make_run(tmp_path)
    finished = FinishedRuns(tmp_path, at_once=True)
    assert finished.find("train", HASH, 1, 0) == []
    make_run(tmp_path, seed=1)
    assert finished.find("train", HASH, 1, 0) == []
    assert finished.find("train", HASH, 0, 0) == [first]


def test_a_run_is_finished_once_it_has_its_record(tmp_path: Path) -> None:
    """Whatever the record says: whoever reads it decides."""
    folder = make_run(tmp_path, record=None)
    finished = FinishedRuns(tmp_path)
    assert finished.find("train", HASH, 0, 0) == []
    (folder / "run.json").write_text("damaged")
    assert finished.find("train", HASH, 0, 0) == [folder]


def test_each_configuration_is_read_once_and_only_if_its_hash_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep of 2,000 seeds would otherwise read 2,000 x 2,000 files."""
    for seed in range(3):
        make_run(tmp_path, seed=seed)
    make_run(tmp_path, digest=OTHER_HASH)
    num_read = 0

    def count(path: Path) -> bytes:
        nonlocal num_read
        num_read += 1
        return path.read_bytes()

    monkeypatch.setattr("bench.core.finished.read_file", count)
    finished = FinishedRuns(tmp_path)
    assert [len(finished.find("train", HASH, seed, 0)) for seed in range(3)] == [1, 1, 1]
    assert num_read == 3


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (tmp_path / "train" / "notes.txt").write_text("seed: 0\nrepeat: 0\n")
    (tmp_path / "train" / f".{folder.name}.new").mkdir()
    empty = make_run(tmp_path)
    (empty / "config.yaml").unlink()
    pipe = make_run(tmp_path)
    (pipe / "config.yaml").unlink()
    os.mkfifo(pipe / "config.yaml")  # opening it would wait for a writer
    assert FinishedRuns(tmp_path).find("train", HASH, 0, 0) == [folder]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("no folder")
    with pytest.raises(StoreError, match="train: cannot be read"):
        FinishedRuns(tmp_path).find("train", HASH, 0, 0)


def test_a_configuration_that_could_not_be_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path)
    finished = FinishedRuns(tmp_path)
    error = OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    with monkeypatch.context() as patch:
        patch.setattr("bench.core.finished.read_file", mock.Mock(side_effect=error))
        assert finished.find("train", HASH, 0, 0) == []
    assert finished.find("train", HASH, 0, 0) == [folder]
