"""Which meters work, and what is said to help where they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.diagnosis.meters import remedy_for, try_meters
from bench.diagnosis.surroundings import Surroundings, surroundings
from bench.measure.meters.cpu_model import CpuModelMeter
from bench.measure.meters.rapl import RaplMeter
from tests.fake_powercap import FakePowercap
from tests.fakes import FakeClock
from tests.power import EnergyCounter, constant

BARE = Surroundings(
    virtual=False, container=False, nvidia_cards=0, nvidia_driver=False, rapl_driver=False
)


@pytest.fixture
def rapl(tmp_path: Path) -> RaplMeter:
    tree = FakePowercap(tmp_path / "powercap", FakeClock(now_s=1000.0))
    tree.add("intel-rapl:0", "package-0", EnergyCounter(constant(50.0)))
    return RaplMeter(tree.root, clock=tree.clock, sleep=tree.advance)


def test_each_meter_is_tried_by_itself(rapl: RaplMeter) -> None:
    """In a run the counter would hide the model, which measures the same processor."""
    counter, model = try_meters({"rapl": rapl, "cpu_model": CpuModelMeter()}, BARE)
    (package,) = counter.components
    assert (package.component, package.label) == ("cpu0", "counter")
    # A register that changes every millisecond, and 50 changes for a window.
    assert (package.refresh_s, package.shortest_s) == (0.001, 0.05)
    assert package.error_frac == 0.05
    assert [each.label for each in model.components] == ["modelled"]
    assert not counter.reasons
    assert not counter.remedy


def test_a_meter_that_does_not_work_has_its_reason(tmp_path: Path) -> None:
    (finding,) = try_meters({"rapl": RaplMeter(tmp_path / "none")}, BARE)
    assert not finding.components
    assert finding.reasons[0].startswith("no processor package in")
    assert finding.remedy.startswith("sudo modprobe intel_rapl_msr")


@pytest.mark.parametrize(
    ("meter", "around", "remedy"),
    [
        # The counters are there: the meter's own reason has the command that grants them.
        ("rapl", replace(BARE, rapl_driver=True), ""),
        ("rapl", replace(BARE, virtual=True, container=True), "none: hypervisors hide"),
        ("rapl", replace(BARE, container=True), "start the container with --volume /sys/dev"),
        ("nvml", BARE, "none: there is no NVIDIA card"),
        ("nvml", replace(BARE, nvidia_cards=1), "install NVIDIA's driver"),
        ("nvml", replace(BARE, nvidia_cards=1, nvidia_driver=True), ""),
        ("nvml", replace(BARE, nvidia_cards=1, container=True), "start the container with --gpus"),
        ("cpu_model", BARE, ""),
        ("my_own", BARE, ""),
    ],
)
def test_the_remedy_suits_the_surroundings(meter: str, around: Surroundings, remedy: str) -> None:
    found = remedy_for(meter, around)
    assert found.startswith(remedy)
    assert bool(found) == bool(remedy)


def test_surroundings_of_made_up_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert surroundings(tmp_path) == BARE
    for name, text in {
        "proc/cpuinfo": "processor : 0\nflags : fpu hypervisor lahf_lm\n",
        ".dockerenv": "",
        "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
        "sys/bus/pci/devices/0000:02:00.0/vendor": "0x8086\n",
        "proc/driver/nvidia/version": "NVRM version\n",
        "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert surroundings(tmp_path) == Surroundings(
        virtual=True, container=True, nvidia_cards=1, nvidia_driver=True, rapl_driver=True
    )
