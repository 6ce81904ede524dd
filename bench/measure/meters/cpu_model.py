"""Models CPU energy if nothing measures it: a straight line from idle to full load.

    energy = idle_w * elapsed + (full_w - idle_w) * busy CPU seconds / number of CPUs

of the whole machine, so a run is charged for idle cores too. The model knows nothing of clock
speed, vector instructions and memory traffic. It ranks configurations on one machine like a mixture
of time and CPU time, and therefore its joules have the label `modelled`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.core.host import cpu_name
from bench.measure.carbon import DEFAULT_W_PER_THREAD, IDLE_SHARE, processor_tdp_w
from bench.measure.clock import Clock
from bench.measure.meters.base import Component, MeterConfigError, MeterUnavailable, Reading
from bench.measure.os.system import machine_busy_s, num_cpus, num_sockets, tick_s

# The stated error, as a share of what the model says. Source: Fischer 2025 compares such a model
# (CodeCarbon, thermal design power by load) with a wall meter, for training on a CPU: median -32%,
# worst -67%. If the model is 67% too low, the truth is three times what it says.
ERROR_FRAC = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuWatts:
    """Power of all processors together, idle and with every CPU busy, and where it is from."""

    idle_w: float
    full_w: float
    origin: str


def choose_watts(
    idle_w: float | None,
    full_w: float | None,
    *,
    cpu_name: str,
    num_cpus: int,
    num_sockets: int = 1,
    tdp_w: Callable[[str], float | None] = processor_tdp_w,
) -> CpuWatts:
    """Take the watts from the configuration, or CodeCarbon's table, or its default.

    The table has the thermal design power of one processor. A virtual machine, which may have only
    a share of a processor, is charged for a whole one.

    Raises:
        MeterConfigError: The watts contradict each other or are no watts.
    """
    if full_w is not None:
        origin = "config"
    elif (table_w := tdp_w(cpu_name)) is not None:
        full_w, origin = table_w * num_sockets, f"codecarbon table: {cpu_name}"
    else:
        full_w = DEFAULT_W_PER_THREAD * num_cpus
        origin = f"default {DEFAULT_W_PER_THREAD:g} W per thread"
    if idle_w is None:
        idle_w = IDLE_SHARE * full_w
    elif origin != "config":
        origin += ", idle from config"
    _refuse_wrong(idle_w, full_w, origin)
    return CpuWatts(idle_w=idle_w, full_w=full_w, origin=origin)


def _refuse_wrong(idle_w: float | None, full_w: float | None, origin: str) -> None:
    for field, value in (("idle_w", idle_w), ("full_w", full_w)):
        if value is not None and not 0 <= value < math.inf:
            raise MeterConfigError(
                f"meter.sources.cpu_model.{field}={value}: must be a number of at least 0"
            )
    if idle_w is not None and full_w is not None and idle_w > full_w:
        raise MeterConfigError(
            f"meter.sources.cpu_model.idle_w={idle_w:g}: must not be above full_w={full_w:g} "
            f"({origin})"
        )


class CpuModelMeter:
    """A meter of component `cpu` from CPU seconds and watts."""

    def __init__(
        self,
        idle_w: float | None = None,
        full_w: float | None = None,
        *,
        clock: Clock = time.perf_counter,
        busy_s: Callable[[], float] = machine_busy_s,
    ) -> None:
        """Nothing is read yet.

        Args:
            idle_w: Power of all processors when idle; None for a tenth of full_w.
            full_w: Power with every CPU busy; None to look the processor up.
            clock: Monotonic seconds.
            busy_s: Cumulative busy CPU seconds of the machine.

        Raises:
            MeterConfigError: The configured watts contradict each other or are no watts.
        """
        _refuse_wrong(idle_w, full_w, "config")
        self.components: Sequence[Component] = []
        self._idle_w = idle_w
        self._full_w = full_w
        self._clock = clock
        self._busy_s = busy_s
        self._watts: CpuWatts | None = None
        self._num_cpus = 1
        self._opened_s = 0.0
        self._opened_busy_s = 0.0

    def open(self) -> None:
        """Choose the watts and read both times once.

        Raises:
            MeterUnavailable: The system does not give CPU times.
            MeterConfigError: The watts that were looked up contradict the configured ones.
        """
        try:
            self._num_cpus = num_cpus()
            self._opened_busy_s = self._busy_s()
        except OSError as error:
            raise MeterUnavailable(f"no CPU times: {error}") from error
        self._opened_s = self._clock()
        self._watts = choose_watts(
            self._idle_w,
            self._full_w,
            cpu_name=cpu_name(),
            num_cpus=self._num_cpus,
            num_sockets=num_sockets(),
        )
        self.components = [
            Component(
                name="cpu",
                source=f"cpu_model({self._watts.origin})",
                label="modelled",
                refresh_s=tick_s(),
                error_frac=ERROR_FRAC,
                edge_error_j=tick_s() * self._watts.full_w,
            )
        ]

    def read(self) -> Mapping[str, Reading]:
        """Joules since open().

        Raises:
            MeterUnavailable: It is not open.
            OSError: The system does not give CPU times any more.
        """
        if self._watts is None:
            raise MeterUnavailable("the meter is not open")
        elapsed_s = self._clock() - self._opened_s
        busy_s = self._busy_s() - self._opened_busy_s
        span_w = self._watts.full_w - self._watts.idle_w
        energy_j = self._watts.idle_w * elapsed_s + span_w * busy_s / self._num_cpus
        return {"cpu": Reading(energy_j)}

    def close(self) -> None:
        """Nothing is held."""
