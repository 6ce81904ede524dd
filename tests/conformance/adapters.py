"""Adapters of our meters, CodeCarbon's and Zeus's, each used as its authors intend.

Ours are ticked as often as they ask, CodeCarbon measures once a second, and Zeus reads at both ends
of a window, while a process of its own looks for wraps.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest import mock

import pynvml
from codecarbon.core import gpu as codecarbon_gpu
from codecarbon.core import gpu_nvidia
from codecarbon.core.config import normalize_gpu_ids
from codecarbon.core.cpu import IntelRAPL
from codecarbon.core.units import Time
from codecarbon.external.hardware import GPU
from codecarbon.external.logger import logger as codecarbon_logger
from typing_extensions import override

from bench.core.errors import install_hint
from bench.core.price import JOULES_PER_KWH
from bench.measure import visible_gpus
from bench.measure.energy import EnergyWindow
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Meter
from bench.measure.meters.counter_scope import could_be_module
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.meters.rapl import RaplMeter
from bench.measure.settle import GpuScope
from tests.conformance.judge import ToolFactory
from tests.conformance.tool import EnergyTool, Machine, Measured, NotRun, Refused


class Ours(EnergyTool):
    """The meters of this suite."""

    @override
    def open(self, machine: Machine) -> None:
        clock, sleep = machine.clock, machine.sleep
        meters: dict[str, Meter] = {
            "nvml": NvmlMeter(clock=clock, sleep=sleep),
            "rapl": RaplMeter(machine.powercap, clock=clock, sleep=sleep),
        }
        self._meters = MeterSet(meters, clock=clock)
        # CUDA is asked in a process of its own, which the simulated driver does not reach.
        with mock.patch.object(visible_gpus, "ask_cuda", return_value=machine.cuda_uuids):
            self._meters.open(GpuScope(uuids=machine.gpu_uuids, num_gpus=machine.num_gpus))
        self._window = EnergyWindow(self._meters)
        self.tick_s = self._meters.tick_s

    @override
    def start(self) -> None:
        self._window.start()

    @override
    def tick(self) -> None:
        self._meters.tick()

    @override
    def stop(self) -> Measured:
        energy = self._window.read()
        if energy.total_j is None or energy.error_frac is None:
            raise Refused("; ".join(one.reason for one in self._meters.unavailable))
        doubts = [
            name
            for name in ("below_resolution", "counter_reset", "counter_gap")
            if any(getattr(row, name) for row in energy.rows)
        ]
        bound_j = energy.error_frac * energy.total_j
        return Measured(energy_j=energy.total_j, bound_j=bound_j, doubts=tuple(doubts))

    @override
    def close(self) -> None:
        self._meters.close()


class CodeCarbon(EnergyTool):
    """CodeCarbon's readers of RAPL and GPUs, without its estimates."""

    tick_s = 1.0

    @override
    def open(self, machine: Machine) -> None:
        self._stack = ExitStack()
        put = self._stack.enter_context
        # It drops the library at import on a machine without a GPU.
        put(mock.patch.object(gpu_nvidia, "pynvml", pynvml))
        put(mock.patch.object(codecarbon_gpu, "PYNVML_AVAILABLE", True))
        put(mock.patch.object(codecarbon_logger, "disabled", True))
        self._clock = machine.clock
        self._at_s: float | None = None  # the last reading of the window
        self._rapl: IntelRAPL | None = None
        self._gpu: GPU | None = None
        if machine.has_zones:
            self._rapl = IntelRAPL(rapl_dir=str(machine.powercap))  # type: ignore[no-untyped-call]
        if machine.num_gpus:
            # As its tracker does: the numbers that a user states, or else CUDA_VISIBLE_DEVICES.
            stated = _numbers(machine.gpu_uuids or ())
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            ids: list[int | str] | None = normalize_gpu_ids(stated or visible)
            self._gpu = GPU.from_utils(ids)

    @override
    def start(self) -> None:
        self._kwh = 0.0
        self._at_s = self._clock()
        if self._rapl:
            self._rapl.start()
        if self._gpu:
            self._gpu.start()

    @override
    def tick(self) -> None:
        if self._at_s is None:
            return
        now_s = self._clock()
        elapsed_s, self._at_s = now_s - self._at_s, now_s
        if self._rapl:
            details = self._rapl.get_cpu_details(Time.from_seconds(elapsed_s))
            self._kwh += sum(kwh for name, kwh in details.items() if "Energy" in name)
        if self._gpu:
            self._gpu.monitor_power()
            self._kwh += self._gpu.measure_power_and_energy(elapsed_s)[1].kWh

    @override
    def stop(self) -> Measured:
        self.tick()
        return Measured(energy_j=self._kwh * JOULES_PER_KWH)

    @override
    def close(self) -> None:
        self._stack.close()


def _numbers(uuids: Sequence[str]) -> list[int | str]:
    """NVML's numbers of these GPUs."""
    pynvml.nvmlInit()
    handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    return [i for i, one in enumerate(handles) if pynvml.nvmlDeviceGetUUID(one) in uuids]


class Zeus(EnergyTool):
    """Zeus's readers of RAPL and GPUs, as its monitor reads them; the sum of what it lists."""

    tick_s = 0.1

    @override
    def open(self, machine: Machine) -> None:
        self._stack = ExitStack()
        self._polls: list[_Wraps] = []
        self._devices: list[Any] = []  # the processors and GPUs that it lists
        if importlib.util.find_spec("zeus") is None:
            raise NotRun(f"not installed; {install_hint('zeus')}")
        if machine.has_zones:
            self._open_cpus(machine)
        if machine.num_gpus:
            self._open_gpus(machine.gpu_uuids)

    def _open_cpus(self, machine: Machine) -> None:
        from zeus.device.cpu import rapl

        def tracker(path: str, range_uj: float) -> _Wraps:
            self._polls.append(_Wraps(Path(path), range_uj, machine.clock))
            return self._polls[-1]

        put = self._stack.enter_context
        put(mock.patch.object(rapl, "RaplWraparoundTracker", tracker))
        put(mock.patch.object(rapl, "rapl_is_available", return_value=True))
        put(mock.patch.object(rapl, "RAPL_DIR", str(machine.powercap / "intel-rapl")))
        self._devices += rapl.RAPLCPUs().cpus

    def _open_gpus(self, uuids: Sequence[str] | None) -> None:
        from zeus.device.gpu.nvidia import NVIDIAGPUs
        from zeus.exception import ZeusBaseError

        try:
            gpus = NVIDIAGPUs().gpus
        except ZeusBaseError as error:
            raise Refused(str(error)) from error
        if self._devices and any(could_be_module(gpu.get_name()) for gpu in gpus):
            raise NotRun("on the Arm processor of such a module it finds no zones to add")
        self._devices += [
            gpu for gpu in gpus if uuids is None or pynvml.nvmlDeviceGetUUID(gpu.handle) in uuids
        ]

    def _read_j(self) -> float:
        from zeus.exception import ZeusBaseError

        try:
            shown = [device.get_total_energy_consumption() for device in self._devices]
        except ZeusBaseError as error:
            raise Refused(str(error)) from error
        # A processor shows its memory, too; a GPU shows a number.
        return sum(float(getattr(one, "cpu_mj", one)) for one in shown) / 1e3

    @override
    def start(self) -> None:
        self._start_j = self._read_j()

    @override
    def tick(self) -> None:
        for wraps in self._polls:
            wraps.poll()

    @override
    def stop(self) -> Measured:
        return Measured(energy_j=self._read_j() - self._start_j)

    @override
    def close(self) -> None:
        self._stack.close()


class _Wraps:
    """Looks for wraps as Zeus's process does, which follows real time, but in simulated time.

    Source: zeus.device.cpu.rapl._polling_process of Zeus 0.16.0.
    """

    def __init__(self, path: Path, range_uj: float, clock: Callable[[], float]) -> None:
        self._path = path
        self._range_uj = range_uj
        self._clock = clock
        self._shown_uj = float(path.read_text())
        self._next_s = clock()
        self._num = 0

    def poll(self) -> None:
        """Look, if it is time to."""
        from zeus.device.cpu.rapl import RAPL_COUNTER_MAX_INCREASE

        if self._clock() < self._next_s - 1e-9:
            return
        shown_uj = float(self._path.read_text())
        self._num += shown_uj < self._shown_uj
        self._shown_uj = shown_uj
        is_near = self._range_uj - shown_uj < RAPL_COUNTER_MAX_INCREASE
        self._next_s = self._clock() + (0.1 if is_near else 1.0)

    def get_num_wraparounds(self) -> int:
        """How many wraps it has seen."""
        return self._num


TOOLS: dict[str, ToolFactory] = {"ours": Ours, "CodeCarbon": CodeCarbon, "Zeus": Zeus}


def find_tool(name: str) -> ToolFactory:
    """Find an adapter: one of the kit by its name, or any by MODULE:CLASS.

    Raises:
        ValueError: There is none, with the reason.
    """
    if name in TOOLS:
        return TOOLS[name]
    if ":" not in name:
        raise ValueError(f"{name}: must be MODULE:CLASS, or one of {', '.join(TOOLS)}")
    try:
        found: ToolFactory = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
    return found
