"""The rows of `make gpu-check` that read a card, on a simulated driver whose card draws 100 W."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest
import torch

from tests.fake_nvml import FakeGpu, FakeNvml, install
from tests.gpu import check


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    started_s = time.perf_counter()
    gpu = FakeGpu(
        "GPU-aaaa-bbbb",
        energy_j=lambda: 100.0 * (time.perf_counter() - started_s),
        power_w=lambda: 100.0,
        limit_w=300.0,
        temperature_c=40,
        sm_clock_mhz=1500,
        reasons=0,
        pids=[],
    )
    fake = FakeNvml([gpu])
    install(monkeypatch, fake)
    facts = SimpleNamespace(name="Fake RTX", uuid="aaaa-bbbb")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch, "randn", lambda *_, device: torch.zeros(2, 2))
    monkeypatch.setattr(check, "_IDLE_S", 0.1)
    monkeypatch.setattr(check, "_LOAD_S", 0.1)
    return fake


def test_the_rows_of_a_card(card: FakeNvml) -> None:
    rows = {
        row.check: row
        for part in (check.check_machine, check.check_counter, check.check_cost_of_calls)
        for row in check._guarded(part)
    }
    assert rows["CUDA device 0"].seen == "Fake RTX, UUID aaaa-bbbb"
    assert "power_limit_w 300.0" in rows["its settings"].seen
    assert rows["joules idle, 0 s"].ok
    assert rows["joules under load, 0 s"].ok
    assert rows["call: processes"].seen.startswith("median ")
    assert card.num_open == 0  # the library is closed as often as it is opened


@pytest.mark.usefixtures("card")
def test_joules_that_disagree_and_a_check_that_breaks_off_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "_both_joules", lambda *_, load: (115.0, 100.0))
    assert [row.ok for row in check._guarded(check.check_counter)] == [False, False]
    (broken,) = check._guarded(lambda: iter([1 // 0]))  # type: ignore[list-item]
    seen = "ZeroDivisionError: integer division or modulo by zero"
    assert (broken.ok, broken.seen) == (False, seen)


def test_without_a_gpu_nothing_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check.main() == 3
    assert capsys.readouterr().err == "no GPU that torch can use; nothing was checked\n"
