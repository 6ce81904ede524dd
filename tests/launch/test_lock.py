from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from bench.launch.lock import lock_path, measuring_lock


def hold(path: Path, held: Event, release: Event) -> None:
    with measuring_lock(path, "the first run", on_wait=print):
        held.set()
        release.wait(30)


def test_a_second_process_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    path = tmp_path / "lock"
    first = context.Process(target=hold, args=(path, held, release))
    first.start()
    assert held.wait(30)
    waited_for: list[str] = []

    def on_wait(holder: str) -> None:
        waited_for.append(holder)
        assert first.is_alive()
        release.set()

    with measuring_lock(path, "the second run", on_wait, poll_s=0.01):
        assert waited_for == ["the first run"]
    first.join()


def test_a_dead_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    path = tmp_path / "lock"
    first = context.Process(target=hold, args=(path, held, release))
    first.start()
    assert held.wait(30)
    first.kill()
    first.join()
    with measuring_lock(path, "next", on_wait=lambda holder: pytest.fail(f"waited for {holder}")):
        pass


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with measuring_lock(tmp_path / "lock", "failing", on_wait=pytest.fail):
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    with measuring_lock(tmp_path / "lock", "next", on_wait=pytest.fail):
        pass


def test_the_lock_can_be_put_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_LOCK", "/somewhere/lock")
    assert lock_path() == Path("/somewhere/lock")
