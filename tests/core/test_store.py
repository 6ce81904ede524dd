from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.core import store
from bench.core.files import StoreError
from bench.core.outcome import outcome_record
from bench.core.records import NOT_STARTED, SCHEMA_VERSION, RunIdentity, RunRecord
from tests.rows import curve

CONFIG: dict[str, Any] = {
    "seed": 3,
    "repeat": 1,
    "target": {"metric": "accuracy", "value": 0.9, "eval_every_samples": 100, "ladder": [0.5]},
}


@pytest.fixture
def identity() -> RunIdentity:
    return store.new_identity("train", "0123456789ab", 3, 1)


@pytest.fixture
def folder(tmp_path: Path, identity: RunIdentity) -> Path:
    return store.create_run_folder(tmp_path, identity, CONFIG)


def record(identity: RunIdentity) -> RunRecord:
    return outcome_record(identity, CONFIG, curve([0.5, 0.95]), status="ok")


def test_a_record_reads_as_it_was_written(folder: Path, identity: RunIdentity) -> None:
    written = record(identity)
    assert store.write_record(folder, written) == folder / "run.json"
    assert store.read_record(folder) == written
    assert list(folder.glob("*.tmp")) == []


def test_a_killed_run_keeps_its_curve_and_reads_as_interrupted(
    folder: Path, identity: RunIdentity
) -> None:
    writer = store.CurveWriter(folder)
    for row in curve([0.5, 0.6]):
        writer.append(row)
    with (folder / "curve.jsonl").open("a") as file:
        file.write('{"time_s": 6.0, "train')  # cut in the middle of a line

    read = store.read_record(folder)

    assert read.status == "interrupted"
    assert (read.run_id, read.command) == (identity.run_id, "train")
    assert (read.seed, read.repeat, read.config_hash) == (3, 1, "0123456789ab")
    assert read.started_utc == identity.started_utc
    assert read.target is not None
    assert read.target.censored_at_s == 4.0
    assert read.phases.wall_time_s == 4.0
    assert [rung.reached for rung in read.ladder] == [True]


def test_a_run_that_never_began_says_so(folder: Path) -> None:
    """Nothing but the configuration: it waited for the host's lock when it was interrupted."""
    read = store.read_record(folder)
    assert read.status == "interrupted"
    assert read.error is not None
    assert read.error.kind == NOT_STARTED
    (folder / "log.txt").write_text("")  # the first thing that a job does
    assert store.read_record(folder).error is None


def test_a_run_killed_before_its_first_evaluation_has_cost_nobody_knows_what(
    identity: RunIdentity,
) -> None:
    killed = outcome_record(identity, CONFIG, [], status="killed")
    assert set(asdict(killed.phases).values()) == {None}
    assert killed.energy_total_j is None
    assert killed.target is not None
    assert killed.target.censored_at_s is None


@pytest.mark.parametrize(
    ("command", "phases", "expected"),
    [
        ("train", {"wall_time_s": 3.0, "train_s": 3.0, "eval_s": 0.0, "serve_s": 0.0}, 3.0),
        # Written by the parent of a process that was killed: nobody knows.
        ("train", {"wall_time_s": 0.0, "train_s": 0.0, "eval_s": 0.0, "serve_s": 0.0}, None),
        # Written by a process that failed in set-up: its clock never started.
        ("train", {"launch_s": 0.1, "wall_time_s": 0.0, "train_s": 0.0, "eval_s": 0.0}, 0.0),
    ],
)
def test_a_record_of_schema_1_has_no_zero_for_what_was_absent(
    folder: Path,
    identity: RunIdentity,
    command: str,
    phases: dict[str, float],
    expected: float | None,
) -> None:
    written = store.write_record(folder, record(identity))
    raw = json.loads(written.read_text())
    written.write_text(json.dumps({**raw, "schema_version": 1, "phases": phases}))
    read = store.read_record(folder)
    assert read.schema_version == SCHEMA_VERSION
    assert (read.phases.wall_time_s, read.phases.train_s) == (expected, expected)
    assert read.phases.serve_s is None
    assert read.phases.launch_s == phases.get("launch_s")
    # Known to be 0 where the clock ran: no evaluation had ended yet.
    assert read.phases.eval_s == (None if expected is None else 0.0)


def test_runs_started_in_the_same_second_never_share_a_folder(tmp_path: Path) -> None:
    folders = {
        store.create_run_folder(tmp_path, store.new_identity("train", "h", 0, 0), CONFIG)
        for _ in range(50)
    }
    assert len(folders) == 50


def test_an_existing_run_folder_is_never_used_again(
    tmp_path: Path, folder: Path, identity: RunIdentity
) -> None:
    with pytest.raises(StoreError, match=r"cannot write there \(Directory not empty\)"):
        store.create_run_folder(tmp_path, identity, CONFIG)


def test_a_results_folder_that_cannot_be_made_is_named(
    tmp_path: Path, identity: RunIdentity
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"results=.*file: cannot write there"):
        store.create_run_folder(tmp_path / "file", identity, CONFIG)


# /dev/full takes no byte: what a full disk does to a write.
def test_a_full_disk_stops_the_curve_loudly(folder: Path) -> None:
    (folder / "curve.jsonl").symlink_to("/dev/full")
    writer = store.CurveWriter(folder)
    with pytest.raises(OSError, match="No space left"):
        writer.append(curve([0.5])[0])


def fill_disk_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up tells so when what was written is flushed to it, at the latest."""
    flush = os.fsync

    def full(file: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{file}")).is_relative_to(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(file)

    monkeypatch.setattr("os.fsync", full)


def test_a_record_that_does_not_fit_goes_to_the_temporary_folder(
    folder: Path, identity: RunIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk_of(folder, monkeypatch)
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))

    written = store.write_record(folder, record(identity))

    assert written.parent == elsewhere
    assert json.loads(written.read_text())["run_id"] == identity.run_id
    assert not (folder / "run.json").exists()


def test_a_full_disk_everywhere_is_one_error(
    folder: Path, identity: RunIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk_of(folder, monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", "/proc/no-such-folder")
    with pytest.raises(StoreError, match="No space left on device"):
        store.write_record(folder, record(identity))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a run record"),
        ("[]", "not a run record"),
        ('{"schema_version": 999}', "schema 999 is newer"),
        ('{"schema_version": 1}', "run_id: Field required"),
    ],
)
def test_a_damaged_record_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "run.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        store.read_record(folder)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run here"):
        store.read_record(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path, identity: RunIdentity) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        store.create_run_folder(tmp_path, identity, CONFIG)
