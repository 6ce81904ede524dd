"""Power limits and clocks of GPUs are set for a run and put back, whatever happens to it.

The driver library is simulated, with NVML's return codes; no card was at hand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

import pynvml
import pytest

from bench.core.gpu_notes import has_notes, left_notes
from bench.launch.child import Interrupted
from bench.measure.gpu_control import GpuControls, applied, require_settable, restore_left
from tests.fake_nvml import FakeGpu, FakeNvml, install

LIMIT = GpuControls(power_limit_w=200.0)
CLOCK = GpuControls(clock_mhz=1410)
BOTH = GpuControls(power_limit_w=200.0, clock_mhz=1410)
Driver = Callable[..., FakeNvml]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path / "operational-metrics-bench" / "gpu-settings"


@pytest.fixture
def card() -> FakeGpu:
    return FakeGpu(
        "GPU-a", limit_w=300.0, limit_range_w=(100.0, 450.0), clocks_mhz=[1395, 1410, 1980]
    )


@pytest.fixture
def driver(card: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml([card, FakeGpu("GPU-b", limit_w=310.0)])
    install(monkeypatch, fake)
    return fake


@pytest.fixture(autouse=True)
def _closed(driver: FakeNvml) -> Iterator[None]:
    yield
    assert driver.num_open == 0


def restored() -> list[str]:
    lines: list[str] = []
    restore_left(None, lines.append, 0.0)
    return lines


def test_the_cards_of_a_run_are_set_for_the_block_and_no_other(
    driver: FakeNvml, card: FakeGpu
) -> None:
    with applied(BOTH, ["a"]):
        assert (card.limit_w, card.locked_mhz) == (200.0, (1410, 1410))
        assert driver.gpus[1].limit_w == 310.0
        assert has_notes()
    assert (card.limit_w, card.locked_mhz) == (300.0, None)
    assert not has_notes()


@pytest.mark.parametrize("error", [ValueError, Interrupted, KeyboardInterrupt, OSError])
def test_an_error_or_a_signal_puts_the_card_back(card: FakeGpu, error: type[BaseException]) -> None:
    with pytest.raises(error, match="from the run"), applied(BOTH, ["GPU-a"]):
        raise error("from the run")
    assert (card.limit_w, card.locked_mhz, has_notes()) == (300.0, None, False)


def test_nothing_to_set_needs_no_driver(driver: FakeNvml) -> None:
    driver.init_code = int(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    with applied(GpuControls(), ["GPU-a"]):
        assert not has_notes()


def killed(settings: GpuControls) -> None:
    """Set the card in a process that ends without a word, and do here what it did to the card."""
    child = get_context("fork").Process(target=_set_and_die, args=(settings,))
    child.start()
    child.join()


def _set_and_die(settings: GpuControls) -> None:
    with applied(settings, ["GPU-a"]):
        os._exit(0)


def test_after_a_kill_the_note_puts_the_card_back(card: FakeGpu) -> None:
    killed(BOTH)
    card.limit_w, card.locked_mhz = 200.0, (1410, 1410)  # of the simulation in the other process
    (line,) = restored()
    assert line.startswith("gpu0 (Fake RTX): the power limit is 300 W again and the clock is")
    assert line.endswith("had been killed")
    assert (card.limit_w, has_notes()) == (300.0, False)
    assert card.locked_mhz is None
    assert restored() == []


def test_a_limit_that_somebody_has_changed_since_stays(card: FakeGpu) -> None:
    """After a reboot, too, the card has its default and not the limit of the run."""
    killed(LIMIT)
    card.limit_w = 250.0
    (line,) = restored()
    assert "is not that of the run, and stays" in line
    assert (card.limit_w, has_notes()) == (250.0, False)


def test_what_cannot_be_put_back_is_reported_with_the_command_and_kept(card: FakeGpu) -> None:
    killed(BOTH)
    card.limit_w, card.codes = 200.0, {"set": int(pynvml.NVML_ERROR_UNKNOWN)}
    (line,) = restored()
    assert "sudo nvidia-smi -i GPU-a -pl 300 and sudo nvidia-smi -i GPU-a -rgc" in line
    assert has_notes()
    card.codes = {}
    with pytest.raises(ValueError, match="another run has set it"), applied(CLOCK, ["GPU-a"]):
        pass
    assert restored() != []
    assert card.limit_w == 300.0


def test_a_card_of_another_machine_and_a_note_that_was_not_finished(folder: Path) -> None:
    killed(LIMIT)
    note = folder / "GPU-a.json"
    values = json.loads(note.read_text())
    (folder / "GPU-z.json").write_text(json.dumps({**values, "uuid": "GPU-z"}))
    (folder / "GPU-y.json").write_text(note.read_text()[:20])
    assert len(restored()) == 1
    assert [path.name for path in folder.iterdir()] == ["GPU-z.json"]


def test_the_note_of_a_run_that_is_alive_is_left_alone(card: FakeGpu) -> None:
    """Another process must look: a process does not lock itself out."""

    def look(seen: list[object]) -> None:
        seen.append([path.name for path, _ in left_notes()])
        try:
            with applied(LIMIT, ["GPU-a"]):  # the card has this limit, but will not keep it
                seen.append("set")
        except ValueError as error:
            seen.append(str(error))

    with applied(BOTH, ["GPU-a"]), get_context("fork").Manager() as manager:
        seen = manager.list()
        child = get_context("fork").Process(target=look, args=(seen,))
        child.start()
        child.join()
        nothing, refusal = seen
    assert nothing == []
    assert refusal.startswith("gpu0 (Fake RTX): another run has set it")


@pytest.mark.parametrize(
    ("settings", "is_root", "message"),
    [
        (
            LIMIT,
            False,
            r"trainer.gpu_power_limit_w=200: only root may set gpu0 \(Fake RTX\); start the command"
            " as root, or set it first, and keep the key: sudo nvidia-smi -i GPU-a -pl 200",
        ),
        (
            CLOCK,
            False,
            "trainer.gpu_clock_mhz=1410: only root .*leave the key out: "
            "sudo nvidia-smi -i GPU-a -lgc 1410,1410",
        ),
        (
            GpuControls(power_limit_w=50.0),
            True,
            r"trainer.gpu_power_limit_w=50: gpu0 \(Fake RTX\) takes from 100 to 450 W",
        ),
        (
            GpuControls(clock_mhz=1400),
            True,
            "trainer.gpu_clock_mhz=1400: .* does not take this clock; it takes 1395 and 1410 MHz, "
            "and others from 1395 to 1980 MHz",
        ),
    ],
)
def test_what_a_card_does_not_take_is_refused_before_the_run(
    driver: FakeNvml,
    card: FakeGpu,
    monkeypatch: pytest.MonkeyPatch,
    settings: GpuControls,
    is_root: bool,
    message: str,
) -> None:
    driver.is_root = is_root
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    with pytest.raises(ValueError, match=message):
        require_settable(settings, ["GPU-a"])
    with pytest.raises(ValueError, match=message), applied(settings, ["GPU-a"]):
        pass
    assert (card.limit_w, card.locked_mhz, has_notes()) == (300.0, None, False)


def test_other_refusals(driver: FakeNvml, card: FakeGpu, folder: Path) -> None:
    card.limit_w = None
    with pytest.raises(ValueError, match="it cannot be set on this card; leave it out"):
        require_settable(LIMIT, ["GPU-a"])
    with pytest.raises(ValueError, match="limit_w=200: the run uses no GPU; leave it out"):
        require_settable(LIMIT, [])
    card.limit_w, card.mig_enabled = 300.0, True
    with pytest.raises(ValueError, match="limit_w=200: gpu0: it is divided"):
        require_settable(LIMIT, ["GPU-a"])
    card.mig_enabled = False
    folder.parent.mkdir(parents=True)
    folder.touch()
    with pytest.raises(ValueError, match="cannot note what to undo"), applied(LIMIT, ["GPU-a"]):
        pass
    assert card.limit_w == 300.0


def test_a_limit_that_the_card_has_already_needs_no_right_and_is_not_undone(
    driver: FakeNvml, card: FakeGpu
) -> None:
    driver.is_root, card.limit_w = False, 200.0
    with applied(LIMIT, ["GPU-a"]):
        assert has_notes()  # another run must not change it meanwhile
    assert (card.limit_w, has_notes()) == (200.0, False)


def test_root_in_a_container_without_the_right_undoes_the_limit_and_leaves_no_note(
    driver: FakeNvml, card: FakeGpu
) -> None:
    """There, the driver refuses root as well."""
    driver.is_root = False
    with pytest.raises(ValueError, match="only root may set"), applied(CLOCK, ["GPU-a"]):
        pass
    assert not has_notes()


def test_a_limit_that_the_driver_took_but_does_not_report_is_refused(
    driver: FakeNvml, card: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.measure.gpu_control._READ_BACK_S", 0.0)
    monkeypatch.setattr(driver, "nvmlDeviceSetPowerManagementLimit", lambda *_: 0)
    with pytest.raises(ValueError, match="took it, but reports 300 W"), applied(LIMIT, ["a"]):
        pass
    assert not has_notes()
