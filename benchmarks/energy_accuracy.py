"""Joules of counters whose truth is known: `python -m benchmarks.energy_accuracy [--out FILE]`.

Our meters, CodeCarbon's and Zeus's read the same simulated hardware, in simulated time: a powercap
tree of real files, and a stand-in for the NVML library beneath the real pynvml. Each is used as its
authors intend: ours is ticked as often as it asks, CodeCarbon measures once a second, Zeus reads at
both ends of a window.

Two things of Zeus follow real time, in processes of their own, so they are left out: integrating
power (shown as -) and looking for wraps of RAPL. This benchmark reads at once after a wrap, when
that process would not have seen it either; a second later it would have.

Where a window begins within a refresh is luck. So each case is measured in ten windows that begin
at different moments, and the largest error is shown. Nothing here is timed, and any machine gives
the same numbers. The exit code is 1 if ours is off by more than 0.1% on a counter without
quantisation, by more than its own bound, or by more than the best of the others (and 0.1%).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest import mock

import pynvml
from codecarbon.core import gpu_nvidia
from codecarbon.core.cpu import IntelRAPL
from codecarbon.core.units import Time
from rich.console import Console
from rich.table import Table

from bench.core.errors import install_hint
from bench.core.price import JOULES_PER_KWH
from bench.measure.energy import EnergyWindow, WindowEnergy
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.meters.rapl import RaplMeter
from tests.fake_nvml import FakeGpu, FakeNvml
from tests.fake_powercap import FakePowercap
from tests.fakes import FakeClock
from tests.power import EnergyCounter, PowerCurve, PowerSensor, constant, ramp, square_wave, step

OPENED_S = 990.0  # our GPU meter watches the counter for up to a second
START_S = 1000.0
LENGTH_S = 30.0
WINDOWS = 10
WINDOW_STEP_S = 0.137  # each window begins this much later than the one before
PERIOD_S = 1.0  # CodeCarbon's measuring period
LIMIT_W = 400.0
EXACT_FRAC = 0.001

Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Simulated hardware, and what happens to it."""

    name: str
    curve: PowerCurve
    gpu: bool = False
    refresh_s: float = 0.0
    range_j: float | None = None
    offset_j: float = 0.0
    reset_s: float | None = None  # when the counter starts again from zero
    twin: bool = False  # the zone appears a second time
    psys: bool = False  # a zone that includes the package
    sensor: bool = False  # no counter, only a power sensor
    averaged_s: float = 0.1
    product: str = "Fake RTX"
    architecture: int = pynvml.NVML_DEVICE_ARCH_ADA

    @property
    def exact(self) -> bool:
        """Whether the counter is free of quantisation that a meter could suffer from."""
        return not self.sensor and self.refresh_s <= 0.001 and self.reset_s is None


@dataclass(slots=True)
class Hardware:
    """The hardware of a case: files, GPUs and the clock that they follow."""

    case: Case
    root: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(OPENED_S))
    tree: FakePowercap = field(init=False)
    nvml: FakeNvml = field(init=False)
    _package: Path | None = field(default=None, init=False)
    _counter: EnergyCounter = field(init=False)

    def __post_init__(self) -> None:
        """Build the files and the GPU."""
        case = self.case
        self._counter = EnergyCounter(
            case.curve, case.refresh_s, range_j=case.range_j, offset_j=case.offset_j
        )
        self.tree = FakePowercap(self.root, self.clock)
        self.nvml = FakeNvml([self._gpu()])
        if not case.gpu:
            self._package = self.tree.add(
                "intel-rapl/intel-rapl:0", "package-0", self._counter, limit_w=LIMIT_W / 2
            )
            if case.twin:
                self.tree.add("intel-rapl-mmio/intel-rapl-mmio:0", "package-0", self._counter)
            if case.psys:
                self.tree.add("intel-rapl/intel-rapl:1", "psys", self._counter)

    def _gpu(self) -> FakeGpu:
        case = self.case
        sensor = PowerSensor(case.curve, 0.1, case.averaged_s)

        def averaged_w() -> float:
            """Mean of the sensor's values over the last second."""
            return sum(sensor.watts(self.clock() - 0.1 * i) for i in range(10)) / 10

        return FakeGpu(
            "GPU-a",
            case.product,
            case.architecture,
            limit_w=LIMIT_W,
            temperature_c=50,
            pids=[],
            energy_j=None if case.sensor else lambda: self._counter.joules(self.clock()),
            power_w=lambda: sensor.watts(self.clock()),
            averaged_w=averaged_w,
        )

    def advance(self, seconds: float) -> None:
        """Let time pass, and reset the counter when the case says so."""
        reset_s = self.case.reset_s
        if reset_s is not None and self.clock() < reset_s <= self.clock() + seconds:
            since_j = -self.case.curve.energy_j(0.0, reset_s)
            self._counter = EnergyCounter(self.case.curve, offset_j=since_j)
            self.clock.advance(seconds)
            if self._package is not None:
                self.tree.replace(self._package, self._counter)
        else:
            self.clock.advance(seconds)
        self.tree.update()

    def advance_to(self, moment_s: float, *, every_s: float, tick: Callable[[], None]) -> None:
        """Let time pass until a moment, ticking every `every_s` but not at the end."""
        while self.clock() + every_s < moment_s - 1e-9:
            self.advance(every_s)
            tick()
        self.advance(moment_s - self.clock())


CASES = (
    Case(name="RAPL, constant 100 W", curve=constant(100.0), refresh_s=0.001),
    Case(name="RAPL, step 50 to 150 W", curve=step(50.0, 150.0, at_s=1010.0), refresh_s=0.001),
    Case(name="RAPL, ramp", curve=ramp(0.0, 200.0, 2000.0), refresh_s=0.001),
    Case(
        name="RAPL, square wave 50 ms",
        curve=square_wave(50.0, 150.0, 0.05, 1040.0),
        refresh_s=0.001,
    ),
    Case(
        name="RAPL, square wave 100 ms",
        curve=square_wave(50.0, 150.0, 0.1, 1040.0),
        refresh_s=0.001,
    ),
    Case(
        name="RAPL, a wrap within the last two seconds",
        curve=constant(100.0),
        refresh_s=0.001,
        range_j=262143.328850,
        # At 1029.95 s it shows its largest value.
        offset_j=262143.328850 - 100.0 * 1029.95,
    ),
    Case(name="RAPL, a wrap every 10 s", curve=constant(100.0), refresh_s=0.001, range_j=1000.0),
    Case(
        name="RAPL, reset after 15.5 s",
        curve=constant(100.0),
        refresh_s=0.001,
        range_j=262143.328850,
        reset_s=1015.5,
    ),
    Case(name="RAPL, zone there twice", curve=constant(100.0), refresh_s=0.001, twin=True),
    Case(name="RAPL, psys beside package", curve=constant(100.0), refresh_s=0.001, psys=True),
    Case(name="GPU counter, constant 300 W", curve=constant(300.0), gpu=True),
    Case(name="GPU counter, step", curve=step(100.0, 300.0, at_s=1010.0), gpu=True),
    Case(
        name="GPU counter, refreshed every 100 ms",
        curve=square_wave(100.0, 300.0, 0.37, 1040.0),
        gpu=True,
        refresh_s=0.1,
    ),
    Case(name="GPU counter, reset after 15.5 s", curve=constant(300.0), gpu=True, reset_s=1015.5),
    Case(name="GPU power, constant 300 W", curve=constant(300.0), gpu=True, sensor=True),
    Case(name="GPU power, step", curve=step(100.0, 300.0, at_s=1010.25), gpu=True, sensor=True),
    Case(
        name="GPU power, square wave 370 ms",
        curve=square_wave(100.0, 300.0, 0.37, 1040.0),
        gpu=True,
        sensor=True,
    ),
    Case(
        name="GPU power, sensor sees 25 of 100 ms, in step with it",
        curve=square_wave(400.0, 100.0, 0.1, 1040.0),
        gpu=True,
        sensor=True,
        averaged_s=0.025,
        product="NVIDIA A100-SXM4-80GB",
        architecture=pynvml.NVML_DEVICE_ARCH_AMPERE,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Largest errors of one case, signed, as shares of the truth; None if left out."""

    case: str
    exact: bool
    true_j: float  # true energy of the first window
    ours_frac: float
    within_bound: bool
    bound_frac: float  # our bound, as a share of our value
    codecarbon_frac: float
    zeus_frac: float | None


@contextlib.contextmanager
def hardware(case: Case) -> Iterator[Hardware]:
    """Put the hardware of the case in place of this machine's."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict("os.environ"),
        mock.patch.object(pynvml, "_nvmlGetFunctionPointer_cache", {}),
        # CodeCarbon drops the library at import on a machine without a GPU.
        mock.patch.object(gpu_nvidia, "pynvml", pynvml),
    ):
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        made = Hardware(case, Path(folder))
        with mock.patch.object(pynvml, "nvmlLib", made.nvml):
            yield made


def ours(case: Case, start_s: float) -> WindowEnergy:
    """Energy by our meter, ticked as often as it asks."""
    with hardware(case) as made:
        clock = made.clock
        meter: Meter
        if case.gpu:
            meter = NvmlMeter(clock=clock, sleep=made.advance)
        else:
            meter = RaplMeter(made.root, clock=clock)
        meters = MeterSet({"meter": meter}, required=True, clock=clock)
        meters.open()
        every_s = meters.tick_s or LENGTH_S
        made.advance_to(start_s, every_s=every_s, tick=meters.tick)
        window = EnergyWindow(meters)
        window.start()
        made.advance_to(start_s + LENGTH_S, every_s=every_s, tick=meters.tick)
        energy = window.read()
        meters.close()
        return energy


def codecarbon_j(case: Case, start_s: float) -> float:
    """Energy by CodeCarbon's readers, read once a second."""
    period = Time.from_seconds(PERIOD_S)
    deltas_kwh: list[float] = []
    with hardware(case) as made:
        made.advance(start_s - OPENED_S)
        if case.gpu:
            pynvml.nvmlInit()
            device = gpu_nvidia.NvidiaGPUDevice(pynvml.nvmlDeviceGetHandleByIndex(0), 0)
            device.start()

            def measure() -> None:
                device.sample_power()
                deltas_kwh.append(device.delta(period)["delta_energy_consumption"].kWh)
        else:
            rapl = IntelRAPL(rapl_dir=str(made.root))  # type: ignore[no-untyped-call]
            rapl.start()

            def measure() -> None:
                rapl.get_cpu_details(period)
                deltas_kwh.extend(file.energy_delta.kWh for file in rapl._rapl_files)

        made.advance_to(start_s + LENGTH_S, every_s=PERIOD_S, tick=measure)
        measure()
    return sum(deltas_kwh) * JOULES_PER_KWH


def zeus_j(case: Case, start_s: float) -> float | None:
    """Energy by Zeus's readers, read at both ends; None where they follow real time."""
    if case.sensor or importlib.util.find_spec("zeus") is None:
        return None
    from zeus.device.cpu import rapl
    from zeus.device.gpu.nvidia import NVIDIAGPUs

    tracker = mock.Mock(**{"return_value.get_num_wraparounds.return_value": 0})
    with hardware(case) as made, mock.patch.object(rapl, "RaplWraparoundTracker", tracker):
        if case.gpu:
            gpus = NVIDIAGPUs()

            def read_mj() -> float:
                return float(gpus.get_total_energy_consumption(0))
        else:
            cpu = rapl.RAPLCPU(0, str(made.root / "intel-rapl"))

            def read_mj() -> float:
                return float(cpu.get_total_energy_consumption().cpu_mj)

        made.advance(start_s - OPENED_S)
        before_mj = read_mj()
        made.advance(LENGTH_S)
        return (read_mj() - before_mj) / 1e3


def measured(case: Case) -> Result:
    """Measure one case with all meters, in all windows.

    Raises:
        MeterUnavailable: Our meter cannot read the case.
    """
    starts_s = [START_S + i * WINDOW_STEP_S for i in range(WINDOWS)]
    true_j = [case.curve.energy_j(start_s, start_s + LENGTH_S) for start_s in starts_s]

    def largest(joules: Sequence[float]) -> float:
        errors = [shown / true - 1 for shown, true in zip(joules, true_j, strict=True)]
        return max(errors, key=abs)

    energies = [ours(case, start_s) for start_s in starts_s]
    ours_j = [stated(energy.total_j) for energy in energies]
    bounds_frac = [stated(energy.error_frac) for energy in energies]
    zeus = [joules for start_s in starts_s if (joules := zeus_j(case, start_s)) is not None]
    return Result(
        case=case.name,
        exact=case.exact,
        true_j=true_j[0],
        ours_frac=largest(ours_j),
        within_bound=all(
            abs(shown - true) <= bound * shown
            for shown, true, bound in zip(ours_j, true_j, bounds_frac, strict=True)
        ),
        bound_frac=max(bounds_frac),
        codecarbon_frac=largest([codecarbon_j(case, start_s) for start_s in starts_s]),
        zeus_frac=largest(zeus) if zeus else None,
    )


def stated(value: float | None) -> float:
    """The value of a meter that must have one."""
    if value is None:
        raise MeterUnavailable("it gave no energy")
    return value


def complaints(result: Result) -> list[str]:
    """List every error that is larger than allowed."""
    own = abs(result.ours_frac)
    others = [abs(one) for one in (result.codecarbon_frac, result.zeus_frac) if one is not None]
    texts = []
    if result.exact and own > EXACT_FRAC:
        texts.append(f"off by {own:.3%} on a counter without quantisation")
    if not result.within_bound:
        texts.append("off by more than its bound")
    if own > min(others) + EXACT_FRAC:
        texts.append("worse than the best of the others")
    return texts


def table(results: list[Result]) -> Table:
    """Errors, case by case."""
    shown = Table("case", "true J", "ours", "its bound", "CodeCarbon", "Zeus")
    for one in results:
        errors = (one.ours_frac, one.codecarbon_frac, one.zeus_frac)
        own, carbon, zeus = ("-" if e is None else f"{e:+.2%}" for e in errors)
        shown.add_row(one.case, f"{one.true_j:.0f}", own, f"{one.bound_frac:.0%}", carbon, zeus)
    return shown


def main() -> int:
    """Measure, print and write the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    chosen = parser.parse_args()
    logging.getLogger("codecarbon").disabled = True
    results = [measured(case) for case in CASES]
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(results))
    if importlib.util.find_spec("zeus") is None:
        console.print(f"Zeus is not installed; {install_hint('zeus')}", markup=False)
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(one) for one in results], indent=2) + "\n")
    failed = [(one.case, complaint) for one in results for complaint in complaints(one)]
    for case, complaint in failed:
        console.print(f"{case}: ours is {complaint}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
