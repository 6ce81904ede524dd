from __future__ import annotations

from pathlib import Path

import pytest

from bench.core import lock
from bench.core.lock import lock_path
from bench.measure.window import Window
from tests.core.test_lock import held_by_another
from tests.fakes import FakeClock


@pytest.fixture(autouse=True)
def _own_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_LOCK", str(tmp_path / "lock"))


def flags(shared: bool | None = None) -> list[str]:
    with Window({}, period_s=None, clock=FakeClock(), shared=shared) as window:
        pass
    assert window.health is not None
    return window.health.flags


def test_a_window_holds_the_lock_while_it_is_open() -> None:
    window = Window({}, period_s=None, clock=FakeClock())
    window.open()
    assert lock._held is not None
    window.close()
    assert lock._held is None


def test_a_window_beside_a_measured_run_says_so_and_is_marked() -> None:
    with held_by_another(lock_path()), pytest.warns(match=r"\(the first run\); this one is marked"):
        assert flags() == ["shared"]
    assert flags() == []


def test_a_window_that_may_share_is_marked_and_takes_no_lock() -> None:
    assert flags(shared=True) == ["shared"]
    with held_by_another(lock_path()):
        assert flags(shared=False) == []


def test_a_lock_that_cannot_be_used_marks_the_window(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.warns(match="set BENCH_LOCK"):
        assert flags() == ["shared"]
