"""The energy meters of a window, opened, read and closed together.

The set of components is fixed when the meters are opened: a total whose parts come and go could
not be compared with another. A meter that cannot be opened is listed with its reason, and the run
goes on without it. A component that fails later is listed too, and is not read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.core.records.energy import UnavailableMeter
from bench.measure.clock import Clock
from bench.measure.guard import GuardedMeter, reason_of
from bench.measure.meters.base import (
    Component,
    GpuMeter,
    Meter,
    MeterConfigError,
    MeterUnavailable,
    PartialMeter,
    Reading,
)
from bench.measure.settle import GpuScope, settle

_ANY_GPU = GpuScope()


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """A reading of all meters at one moment; components that failed are missing."""

    at_s: float
    by_component: Mapping[str, Reading]


class MeterSet:
    """Meters that are read together, from any thread."""

    def __init__(
        self,
        meters: Mapping[str, Meter],
        *,
        required: bool = False,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Nothing is read yet.

        Args:
            meters: Meters by name. If two measure the same part of the machine, the one with the
                stronger label counts, and of equal ones the first.
            required: Whether a meter that cannot be opened is an error, and so is a GPU of the run
                without joules.
            clock: Monotonic seconds.
        """
        self.unavailable: list[UnavailableMeter] = []
        self.components: Sequence[Component] = ()
        self.whole = True  # whether every GPU of the run has a meter
        self._configured = meters
        self._required = required
        self._clock = clock
        self._scope = GpuScope()
        self._guarded: dict[str, GuardedMeter] = {}
        self._stack = ExitStack()
        # The sampler's thread ticks meters while the main thread reads them at an edge.
        self._lock = threading.Lock()

    @property
    def refresh_s(self) -> float | None:
        """Refresh period of the slowest counter in the total; None without a counter."""
        summed = (c for c in self.components if c.label != "constant")
        return max((component.refresh_s for component in summed), default=None)

    @property
    def tick_s(self) -> float | None:
        """Longest time between two calls of tick(), in seconds; None if none are needed."""
        ticks_s = (meter.tick_s for meter in self._guarded.values())
        return min((tick_s for tick_s in ticks_s if tick_s is not None), default=None)

    def open(self, scope: GpuScope = _ANY_GPU) -> None:
        """Open every meter and choose the components to measure; slow, so before the clock.

        Args:
            scope: The GPUs of the run.

        Raises:
            MeterUnavailable: A meter, or one of its components, cannot be opened, or a GPU of the
                run has no meter, and they are required.
            MeterConfigError: The configuration of a meter contradicts itself.
        """
        self._scope = scope
        opened: dict[str, Meter] = {}
        try:
            for name, meter in self._configured.items():
                self._open_one(name, meter, opened)
        except (MeterUnavailable, MeterConfigError):
            self.close()
            raise
        # Only opened meters know what they can measure here.
        offers = {name: meter.components for name, meter in opened.items()}
        kept, reasons = settle(offers, scope)
        for name, reason in reasons.items():
            self._refuse(name, reason)
        for name, components in kept.items():
            refuse = partial(self._refuse, name)
            self._guarded[name] = GuardedMeter(opened[name], components, self._clock, refuse)
        self.components = [c for components in kept.values() for c in components]
        self.whole = not scope.misses_some(self.components)
        if self._required and not self.whole:
            self.close()
            raise MeterUnavailable(self._why_not_whole())

    def _why_not_whole(self) -> str:
        configured = ", ".join(self._configured) or "none"
        reasons = [f"{one.meter}: {one.reason}" for one in self.unavailable]
        if self._scope.uuids is None:
            reasons.append("hide GPUs that are not used: CUDA_VISIBLE_DEVICES=")
        return "; ".join([f"{configured}: a GPU of the run would have no joules", *reasons])

    def _open_one(self, name: str, meter: Meter, opened: dict[str, Meter]) -> None:
        try:
            if isinstance(meter, GpuMeter):
                meter.choose_gpus(self._scope.uuids)
            meter.open()
        except MeterConfigError:
            raise
        except Exception as error:  # a user's own meter may raise anything: that is the reason
            if self._required:
                raise MeterUnavailable(f"{name}: {reason_of(error)}") from error
            self._refuse(name, reason_of(error))
            return
        self._stack.callback(meter.close)
        opened[name] = meter
        for component, reason in (meter.refused if isinstance(meter, PartialMeter) else {}).items():
            # Whether the run uses that GPU, and so needs its joules, is asked when all are open.
            if self._required and not isinstance(meter, GpuMeter):
                raise MeterUnavailable(f"{name}: {component}: {reason}")
            self._refuse(name, f"{component}: {reason}")

    def read(self) -> EnergyReading:
        """Read all components that have not failed."""
        with self._lock:
            readings: dict[str, Reading] = {}
            for meter in self._guarded.values():
                readings |= meter.read()
            return EnergyReading(self._clock(), readings)

    def tick(self) -> None:
        """Read the meters that must be read regularly; for the sampler's thread."""
        with self._lock:
            for meter in self._guarded.values():
                if meter.tick_s is not None:
                    meter.read()

    @property
    def failed(self) -> set[str]:
        """Names of the components that have failed since they were opened."""
        return {name for meter in self._guarded.values() for name in meter.failed}

    @property
    def misses_gpu(self) -> bool:
        """Whether a GPU of the run has no joules, or has none any more."""
        failed = self.failed
        return self._scope.misses_some(one for one in self.components if one.name not in failed)

    @property
    def complete(self) -> bool:
        """Whether everything that a total needs can still be read."""
        failed = self.failed
        return self.whole and not any(
            one.name in failed for one in self.components if one.label != "constant"
        )

    def fail(self, name: str, reason: str) -> None:
        """Stop reading a component, because something has contradicted its joules."""
        with self._lock:
            for meter in self._guarded.values():
                if name in {one.name for one in meter.components} - meter.failed:
                    meter.fail(name, reason)

    def close(self) -> None:
        """Close all meters, even if one of them fails to close."""
        self._stack.close()

    def _refuse(self, name: str, reason: str) -> None:
        self.unavailable.append(UnavailableMeter(meter=name, reason=reason))
