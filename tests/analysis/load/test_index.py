"""The cache of many runs: as quick as it may be, it never says what is not there any more."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.load import index
from analysis.load.runs import load_runs
from bench.core.store import read_record
from tests.analysis.made import Made, make_run, make_sweep, make_unreadable


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five runs, enough for a cache here, and old enough to be in it."""
    monkeypatch.setattr(index, "MIN_INDEXED", 3)
    monkeypatch.setattr(index, "_SETTLED_NS", -(10**12))
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(5), failed=[1], interrupted=[2])
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders whose record was read, rather than taken from the cache."""
    names: list[str] = []

    def noting(folder: Path) -> object:
        names.append(folder.name)
        return read_record(folder)

    monkeypatch.setattr(index, "read_record", noting)
    return names


def rewrite(folder: Path, seconds: float) -> None:
    """Changes a number in place; the size of the file stays the same."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["phases"]["launch_s"] = seconds
    path.write_text(json.dumps(record))


def interrupted(results: Path) -> Path:
    """Loads the runs; the folder of the one that was cut off."""
    runs = load_runs([results]).runs
    return Path(runs["folder"][runs["status"] == "interrupted"].item())


def test_the_second_load_reads_no_record_and_gives_the_same_frame(
    results: Path, read: list[str]
) -> None:
    cold = load_runs([results]).runs
    assert len(read) == 5
    read.clear()
    warm = load_runs([results]).runs
    assert read == []
    pd.testing.assert_frame_equal(cold, warm)


def test_a_changed_run_is_read_again_alone(results: Path, read: list[str]) -> None:
    folder = sorted((results / "train").iterdir())[0]
    rewrite(folder, 1.5)
    load_runs([results])
    read.clear()
    size = (folder / "run.json").stat().st_size
    rewrite(folder, 2.5)
    assert (folder / "run.json").stat().st_size == size
    runs = load_runs([results]).runs.set_index("run_id")
    assert read == [folder.name]
    assert runs.loc[folder.name, "phases.launch_s"] == 2.5


def test_a_change_that_hides_its_time_is_seen(results: Path, read: list[str]) -> None:
    """os.utime puts the time of the content back, but nothing sets that of the inode."""
    folder = sorted((results / "train").iterdir())[0]
    rewrite(folder, 1.5)
    load_runs([results])
    before = (folder / "run.json").stat()
    rewrite(folder, 2.5)
    os.utime(folder / "run.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    runs = load_runs([results]).runs.set_index("run_id")
    assert runs.loc[folder.name, "phases.launch_s"] == 2.5


def test_deleted_replaced_and_new_runs_are_noticed(results: Path, read: list[str]) -> None:
    load_runs([results])
    read.clear()
    folders = sorted((results / "train").iterdir())
    shutil.rmtree(folders[0])
    shutil.rmtree(folders[3])
    shutil.copytree(folders[4], folders[3])
    new = make_run(results, Made(batch_size=64))
    loaded = load_runs([results])
    assert set(read) == {folders[3].name, new.name}
    assert set(loaded.runs["folder"]) == {str(f) for f in (folders[1], folders[2], folders[4], new)}
    told = dict(zip(loaded.unread["folder"], loaded.unread["reason"], strict=True))
    assert "its folder is gone" in told[str(folders[0])]
    assert f"a copy of {folders[4]}" in told[str(folders[3])]


def test_an_interrupted_run_that_ends_after_all_is_noticed(results: Path, read: list[str]) -> None:
    cut = interrupted(results)
    finished = make_run(results / "other", Made(seed=2, outcome="hit"))
    shutil.copy(finished / "run.json", cut / "run.json")
    read.clear()
    assert "interrupted" not in set(load_runs([results / "train"]).runs["status"])
    assert read == [cut.name]


def test_a_growing_curve_of_a_run_that_goes_on_is_noticed(results: Path) -> None:
    curve = interrupted(results) / "curve.jsonl"
    line = json.loads(curve.read_text().splitlines()[-1]) | {"time_s": 99.0}
    with curve.open("a") as file:
        file.write(json.dumps(line) + "\n")
    runs = load_runs([results]).runs.set_index("status")
    assert runs.loc["interrupted", "phases.wall_time_s"] == 99.0


def test_a_run_that_has_begun_since_is_noticed(results: Path) -> None:
    """A folder without a log is one of a run that never began."""
    cut = interrupted(results)
    for name in ("log.txt", "curve.jsonl"):
        (cut / name).unlink()
    assert load_runs([results]).num_not_started == 1
    assert load_runs([results]).num_not_started == 1  # from the cache
    (cut / "log.txt").write_text("began\n")
    assert load_runs([results]).num_not_started == 0


def test_a_run_written_just_now_is_not_kept(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tick of the file system's clock a second change has the same time as the first."""
    monkeypatch.setattr(index, "MIN_INDEXED", 1)
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2))
    load_runs([tmp_path])
    read.clear()
    load_runs([tmp_path])
    assert len(read) == 2


def test_unreadable_runs_are_looked_at_every_time(results: Path, read: list[str]) -> None:
    folders = make_unreadable(results)
    first = load_runs([results]).unread
    read.clear()
    second = load_runs([results]).unread
    assert set(read) == {folder.name for folder in folders.values()}
    pd.testing.assert_frame_equal(first, second)


def test_loading_a_part_keeps_what_is_known_of_the_rest(results: Path, read: list[str]) -> None:
    load_runs([results])
    folders = sorted((results / "train").iterdir())
    rewrite(folders[0], 3.0)
    load_runs(folders[:3])
    read.clear()
    load_runs([results])
    assert read == []


@pytest.mark.parametrize("damage", ["cut", "other_form", "folder"])
def test_a_cache_that_is_damaged_or_of_another_form_is_made_anew(
    results: Path, read: list[str], damage: str
) -> None:
    expected = load_runs([results]).runs
    path = results / index.INDEX_NAME
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "other_form":
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({b"operational-metrics-bench": b"0"}), path)
    else:
        path.unlink()
        path.mkdir()
    pd.testing.assert_frame_equal(load_runs([results]).runs, expected)


def test_a_folder_that_cannot_be_written_to_is_no_error(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert len(load_runs([results]).runs) == 5
    assert not (results / index.INDEX_NAME).exists()


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    assert len(load_runs([results]).runs) == 5
    assert [path.name for path in results.iterdir() if path.name.startswith(".")] == []


def test_few_runs_leave_no_cache(tmp_path: Path) -> None:
    make_run(tmp_path, Made())
    load_runs([tmp_path])
    assert not (tmp_path / index.INDEX_NAME).exists()
