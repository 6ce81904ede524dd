from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from bench.core import lock as module
from bench.core.lock import (
    UNKNOWN,
    LockError,
    holder_of,
    is_free,
    lock_path,
    measuring_lock,
    require_lock,
    try_lock,
)

NOBODY = 65534


def hold(path: Path, held: Event, release: Event) -> None:
    with measuring_lock(path, "the first run", on_wait=print):
        held.set()
        release.wait(30)


@contextmanager
def held_by_another(path: Path) -> Iterator[tuple[multiprocessing.process.BaseProcess, Event]]:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(path, held, release))
    other.start()
    assert held.wait(30)
    try:
        yield other, release
    finally:
        if other.is_alive():  # one that was killed never takes notice, and set() waits for it
            release.set()
        other.join()


def fails(holder: str) -> None:
    pytest.fail(f"waited for {holder}")


def test_a_second_process_waits_and_names_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waited_for: list[str] = []
    with held_by_another(path) as (first, release):

        def on_wait(holder: str) -> None:
            waited_for.append(holder)
            assert first.is_alive()
            release.set()

        assert not is_free(path)
        with measuring_lock(path, "the second run", on_wait):
            assert waited_for == ["the first run"]
    assert is_free(path)


def test_a_dead_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as (first, _):
        first.kill()
        first.join()
        with measuring_lock(path, "next", fails):
            pass


def test_a_process_that_inherited_the_lock_keeps_it(tmp_path: Path) -> None:
    """A job goes on for a while after its command was killed: nothing is measured beside it."""
    path = tmp_path / "lock"
    with measuring_lock(path, "the command", fails) as file:
        job = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            pass_fds=[file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert job.stdout is not None
        job.stdout.readline()
    assert try_lock(path, "beside it") is None
    job.communicate()
    with measuring_lock(path, "next", fails):
        pass


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with measuring_lock(tmp_path / "lock", "failing", fails):
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    with measuring_lock(tmp_path / "lock", "next", fails):
        pass


def test_everybody_may_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        require_lock(tmp_path / "lock")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o644


def test_a_file_removed_meanwhile_is_created_again(tmp_path: Path) -> None:
    """Temporary folders are cleaned: two runs must not hold two files of the same name."""
    path = tmp_path / "lock"
    with held_by_another(path) as (_, release):

        def on_wait(holder: str) -> None:
            path.unlink()
            release.set()

        with measuring_lock(path, "the second run", on_wait):
            assert try_lock(path, "a third run") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_another_users_lock_file_in_a_sticky_folder_works(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    path = tmp_path / "lock"
    path.touch(0o644)
    os.chown(path, NOBODY, NOBODY)
    with measuring_lock(path, "mine", fails):
        assert try_lock(path, "beside it") is None


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "loop"])
def test_a_path_that_is_not_a_file_is_refused_untouched(tmp_path: Path, kind: str) -> None:
    path, victim = tmp_path / "lock", tmp_path / "victim"
    victim.write_text("precious")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(LockError, match=r"cannot be used .* set BENCH_LOCK"):
        require_lock(path)
    assert victim.read_text() == "precious"


def test_a_note_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock.holder").symlink_to(victim)
    with measuring_lock(tmp_path / "lock", "mine", fails):
        assert holder_of(tmp_path / "lock") == "mine"
    assert victim.read_text() == "precious"
    assert not (tmp_path / "lock.holder").is_symlink()


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("ME results [/x] \x1b[2J", r"results [/x] \x1b[2J"),
        ("999999999 a process that is gone", UNKNOWN),
        ("no number", UNKNOWN),
        ("", UNKNOWN),
        ("ME/../1 x", UNKNOWN),
    ],
)
def test_a_note_counts_while_its_process_is_alive(tmp_path: Path, note: str, shown: str) -> None:
    (tmp_path / "lock.holder").write_text(note.replace("ME", str(os.getpid())))
    assert holder_of(tmp_path / "lock") == shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_text_of_another_user_is_not_shown(tmp_path: Path) -> None:
    note = tmp_path / "lock.holder"
    process = subprocess.Popen(["sleep", "60"], user=NOBODY)
    try:
        note.write_text(f"{process.pid} call 555-1234")
        os.chown(note, NOBODY, NOBODY)
        assert holder_of(tmp_path / "lock") == f"process {process.pid} of nobody"
        # Nor is a process believed that the writer does not own.
        note.write_text(f"{os.getpid()} mine")
        os.chown(note, NOBODY, NOBODY)
        assert holder_of(tmp_path / "lock") == UNKNOWN
    finally:
        process.kill()
        process.wait()


def test_a_process_may_measure_in_several_windows_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    outer = try_lock(path, "outer")
    inner = try_lock(path, "inner")
    assert outer is not None
    assert inner is not None
    inner()
    assert module._held is not None
    outer()
    assert module._held is None
    with held_by_another(path):
        assert try_lock(path, "mine") is None


def test_the_path_of_the_lock_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/somewhere")
    monkeypatch.setenv("BENCH_LOCK", "$PLACE/lock")
    assert lock_path() == Path("/somewhere/lock")


def test_the_lock_does_not_follow_the_temporary_folder_of_a_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BENCH_LOCK", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert lock_path() == Path("/tmp/bench-measuring.lock")
