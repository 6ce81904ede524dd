from __future__ import annotations

import errno
import json
import math
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bench.core import store
from bench.core.counting import start_order
from bench.core.files import StoreError
from bench.core.find import runs_below
from bench.core.outcome import outcome_record
from bench.core.records.phases import Phases
from bench.core.records.run import NOT_STARTED, SCHEMA_VERSION, RunIdentity, RunRecord
from bench.core.records.serving import Stage
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


def test_run_ids_sort_by_start_within_a_second_too() -> None:
    ids = [store.new_identity("train", digest * 12, 0, 0).run_id for digest in "ba"]
    assert sorted(ids, key=start_order) == ids


def test_a_record_reads_as_it_was_written(folder: Path, identity: RunIdentity) -> None:
    written = record(identity)
    assert store.write_record(folder, written) == folder / "run.json"
    assert store.read_record(folder) == written
    assert list(folder.glob("*.tmp")) == []


def test_a_time_is_never_negative_but_the_unexplained_part_of_a_latency_may_be(
    folder: Path, identity: RunIdentity
) -> None:
    stages = [Stage(stage="unexplained", mean_ms=0.2, p50_ms=-0.1)]
    written = replace(record(identity), stages=stages)
    store.write_record(folder, written)
    assert store.read_record(folder).stages == stages
    store.write_record(folder, replace(written, phases=Phases(train_s=-1.0)))
    with pytest.raises(StoreError, match=r"phases\.train_s=-1\.0: cannot be"):
        store.read_record(folder)


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


@pytest.mark.parametrize("step", ["bench.core.store.replace_file", "pathlib.Path.rename"])
def test_a_process_killed_while_it_makes_a_folder_leaves_no_run(
    tmp_path: Path, identity: RunIdentity, step: str
) -> None:
    """Before any step of it: nothing is there that a reader takes for a run."""
    child = os.fork()
    if not child:
        with mock.patch(step, side_effect=lambda *_, **__: os._exit(9)):
            store.create_run_folder(tmp_path, identity, CONFIG)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list(runs_below(str(tmp_path))) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_folder_that_cannot_be_made_whole_is_not_made(
    tmp_path: Path, identity: RunIdentity, error: BaseException
) -> None:
    with (
        mock.patch("pathlib.Path.rename", side_effect=error),
        pytest.raises((KeyboardInterrupt, StoreError)),
    ):
        store.create_run_folder(tmp_path, identity, CONFIG)
    assert list((tmp_path / "train").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phases": {"init_s": -1.0}}, "phases.init_s=-1.0: cannot be"),
        ({"energy_total_j": math.inf}, "energy_total_j=inf: cannot be"),
        ({"target": {"time_to_target_s": -5}}, "target.time_to_target_s=-5.0: cannot be"),
        ({"model": {"name": "x", "size_bytes": -1}}, "model.size_bytes=-1: cannot be"),
        ({"schema_version": None}, "schema_version: must be a whole number"),
        ({"schema_version": "2"}, "schema_version: must be a whole number"),
        ({"target": "0.9"}, "target: "),
        ({"config": None}, "config: "),
    ],
)
def test_numbers_that_cannot_be_and_other_types_are_named(
    folder: Path, identity: RunIdentity, change: dict[str, Any], message: str
) -> None:
    store.write_record(folder, record(identity))
    raw = json.loads((folder / "run.json").read_text())
    for key, value in change.items():
        raw[key] = {**(raw[key] or {}), **value} if isinstance(value, dict) else value
    (folder / "run.json").write_text(json.dumps(raw))
    with pytest.raises(StoreError, match=re.escape(message)):
        store.read_record(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"", "none of a run"),
        (b"[1]", "none of a run"),
        (b"x: 1", "no seed or repeat"),
        (b"{seed: [1], repeat: 0}", "no seed or repeat"),
        (b"{seed: 1, repeat: 0, target: 5}", "not a readable run"),
        (b"{seed: 1, repeat: 0, target: {metric: accuracy, value: x}}", "not a readable run"),
        (b"a: &a [*a, *a]\n: [", "not a readable run"),
        (b"!!python/object/apply:os.system [true]", "not a readable run"),
        (b"\xff\xfe\x00", "not a readable run"),
    ],
)
def test_a_folder_without_a_record_and_with_odd_keys_is_one_line(
    folder: Path, config: bytes, message: str
) -> None:
    (folder / "config.yaml").write_bytes(config)
    with pytest.raises(StoreError, match=message) as error:
        store.read_record(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "curve.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_pipes_devices_and_folders_in_place_of_a_file_are_refused(
    folder: Path, name: str, kind: str
) -> None:
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    with pytest.raises(StoreError, match=f"{name}: not a file"):
        store.read_record(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -5), ("repeat", 2**63), ("started_utc", "yesterday")]
)
def test_an_identity_that_cannot_be_is_named(
    folder: Path, identity: RunIdentity, name: str, value: object
) -> None:
    store.write_record(folder, record(identity))
    raw = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(raw | {name: value}))
    with pytest.raises(StoreError, match=f"{name}={value}: "):
        store.read_record(folder)


def test_a_renamed_folder_without_a_record_is_not_a_run(folder: Path) -> None:
    with pytest.raises(StoreError, match="not named like a run"):
        store.read_record(folder.rename(folder.with_name("mine")))


def test_a_damaged_curve_is_named_with_its_line(folder: Path) -> None:
    (folder / "curve.jsonl").write_text('{"time_s": "x"}\n')
    with pytest.raises(StoreError, match=r"curve.jsonl: line 1: time_s: Input should be"):
        store.read_curve(folder)


def test_a_record_in_the_temporary_folder_counts_if_it_is_ours_and_of_this_run(
    folder: Path, identity: RunIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody may write there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written = store.write_record(folder, record(identity))
    planted = written.rename(tmp_path / f"{identity.run_id}.run.json")
    assert store.read_record(folder).status == "ok"
    other = planted.read_text().replace(identity.run_id, "20260101T000000Z-0123456789ab-00000000")
    planted.write_text(other)
    with pytest.raises(StoreError, match="of another run"):
        store.read_record(folder)
    target = planted.rename(tmp_path / "elsewhere")
    planted.symlink_to(target)
    assert store.record_path(folder) is None
    planted.unlink()
    target.rename(planted)
    if os.geteuid() == 0:
        os.chown(planted, 65534, 65534)
        assert store.record_path(folder) is None


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
