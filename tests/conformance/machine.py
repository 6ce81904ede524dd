"""Simulated machines: a powercap tree of real files, and GPUs beneath the real pynvml."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pynvml

from tests.fake_nvml import FakeGpu, FakeInstance, FakeNvml
from tests.fake_powercap import FakePowercap
from tests.fakes import FakeClock
from tests.power import EnergyCounter, PowerCurve, PowerSensor

OPENED_S = 990.0  # ten seconds before the first window, because a tool may watch its counters first
POWER_REFRESH_S = 0.1
GPU_LIMIT_W = 400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone of the powercap tree; limit_w is its long-term power limit."""

    folder: str
    name: str
    counter: EnergyCounter
    limit_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU.

    Attributes:
        curve: What its power sensor sees.
        counter: Its energy counter; None if it has none.
        averaged_s: The sensor shows the mean of this much of each refresh of 0.1 s.
        module: Power of the module that it is on; None if the driver does not show that.
        instances: Instances of MIG that it is divided into.
        lost_s: When it falls off the bus.
    """

    curve: PowerCurve
    counter: EnergyCounter | None
    uuid: str = "GPU-a"
    averaged_s: float = POWER_REFRESH_S
    product: str = "Fake RTX"
    architecture: int = pynvml.NVML_DEVICE_ARCH_ADA
    module: PowerCurve | None = None
    instances: tuple[FakeInstance, ...] = ()
    lost_s: float | None = None


class SimulatedMachine:
    """The hardware of a case, as tests.conformance.tool.Machine describes it."""

    def __init__(
        self,
        powercap: Path,
        *,
        zones: Sequence[Zone],
        cards: Sequence[Card],
        gpu_uuids: Sequence[str] | None,
        cuda_uuids: Sequence[str],
        num_gpus: int,
    ) -> None:
        self.powercap = powercap
        self.has_zones = bool(zones)
        self.clock: Callable[[], float]
        self.clock = self._clock = FakeClock(OPENED_S)
        self.gpu_uuids = gpu_uuids
        self.cuda_uuids = cuda_uuids
        self.num_gpus = num_gpus
        self._cards = cards
        self._tree = FakePowercap(powercap, self._clock)
        for zone in zones:
            self._tree.add(zone.folder, zone.name, zone.counter, limit_w=zone.limit_w)
        no_driver = int(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        self.nvml = FakeNvml(
            [_gpu(card, self._clock) for card in cards], init_code=0 if cards else no_driver
        )

    def restart(self) -> None:
        """Go back to the beginning of time, for the next window."""
        self._clock.now_s = OPENED_S
        self.sleep(0.0)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.advance(seconds)
        self._tree.update()
        for card, gpu in zip(self._cards, self.nvml.gpus, strict=True):
            gpu.lost = card.lost_s is not None and self._clock() >= card.lost_s

    def sleep_until(self, moment_s: float, tick: Callable[[], None], tick_s: float | None) -> None:
        """Let time pass until a moment, ticking every tick_s but not at the end."""
        while tick_s is not None and self._clock() + tick_s < moment_s - 1e-9:
            self.sleep(tick_s)
            tick()
        self.sleep(moment_s - self._clock())


def _gpu(card: Card, clock: FakeClock) -> FakeGpu:
    sensor = PowerSensor(card.curve, POWER_REFRESH_S, card.averaged_s)
    counter = card.counter
    # Of a card that is on no module this is not offered.
    module = PowerSensor(card.module or card.curve, POWER_REFRESH_S, card.averaged_s)

    def averaged_w() -> float:
        """Mean of the sensor's values over the last second, as nvmlDeviceGetPowerUsage has it."""
        return sum(sensor.watts(clock() - POWER_REFRESH_S * i) for i in range(10)) / 10

    return FakeGpu(
        card.uuid,
        card.product,
        card.architecture,
        limit_w=GPU_LIMIT_W,
        temperature_c=50,
        pids=[],
        energy_j=None if counter is None else lambda: counter.joules(clock()),
        power_w=lambda: sensor.watts(clock()),
        averaged_w=averaged_w,
        module_w=None if card.module is None else lambda: module.watts(clock()),
        mig_enabled=bool(card.instances),
        instances=card.instances,
    )


@contextlib.contextmanager
def simulated(
    *,
    zones: Sequence[Zone],
    cards: Sequence[Card],
    environment: Mapping[str, str],
    gpu_uuids: Sequence[str] | None,
    cuda_uuids: Sequence[str],
    num_gpus: int,
) -> Iterator[SimulatedMachine]:
    """Put a simulated machine in place of this one, with these environment variables."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict("os.environ"),
        mock.patch.object(pynvml, "_nvmlGetFunctionPointer_cache", {}),
    ):
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
            os.environ.pop(name, None)
        os.environ.update(environment)
        made = SimulatedMachine(
            Path(folder),
            zones=zones,
            cards=cards,
            gpu_uuids=gpu_uuids,
            cuda_uuids=cuda_uuids,
            num_gpus=num_gpus,
        )
        with mock.patch.object(pynvml, "nvmlLib", made.nvml):
            yield made
