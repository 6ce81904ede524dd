"""Measures by Zeus what is not read here directly: AMD GPUs, Apple chips, Jetson.

Its processor counters are not used: its reader of RAPL can run backwards after a wrap, and
bench.measure.meters.rapl reads them instead. Zeus itself compares the counters of AMD cards with
their power when it opens them. Source: https://ml.energy/zeus; an optional extra.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.core.errors import needs_extra
from bench.core.labels import EnergyLabel
from bench.measure.clock import Clock
from bench.measure.gpu import Gpu, NvmlError, close_library
from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.counter_scope import (
    PEAK_OVER_LIMIT,
    CounterScope,
    WatchedCounter,
    could_be_module,
)
from bench.measure.meters.refresh import watch
from bench.measure.run_gpus import open_gpus

# Error of GPU counters, as found for NVIDIA cards (bench.measure.meters.nvml); only those were
# studied.
GPU_ERROR_FRAC = 0.13
GPU_REFRESH_S = 0.1
GPU_TICK_S = 1.0  # often enough to notice a counter that stands still
# No publication compares the chip's own estimate with a wall meter, so the bound is wide: the truth
# is at most twice the estimate.
SOC_ERROR_FRAC = 1.0
SOC_REFRESH_S = 0.1
SOC_MAX_W = 200.0  # above the power supply of any of these machines but the largest desktops

# Fields of its measurements, with our names of components. The sum over the whole board is left out
# because it includes the others.
_SOC_FIELDS = {
    "cpu_total_mj": "cpu",
    "dram_mj": "dram",
    "gpu_mj": "gpu0",
    "ane_mj": "ane",
    "cpu_energy_mj": "cpu",
    "gpu_energy_mj": "gpu0",
}
# Apple's counters are filled by a model of activity; on a Jetson Zeus integrates power itself.
_SOC_LABELS: dict[str, EnergyLabel] = {"AppleSilicon": "modelled", "Jetson": "integrated"}

# Joules of components by name, or the reason why one cannot be read.
_Joules = dict[str, float | str]


class ZeusMeter:
    """Measures the GPUs of the run and the system on a chip, as far as Zeus finds them."""

    def __init__(
        self,
        *,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read yet.

        Args:
            clock: Monotonic seconds.
            sleep: Waits for a number of seconds, while what the counter of a module counts is
                found.
        """
        self._clock = clock
        self._sleep = sleep
        self._scopes: dict[str, CounterScope] = {}
        self.components: Sequence[Component] = ()
        self.refused: dict[str, str] = {}
        self._uuids: Sequence[str] | None = None
        self._readers: list[Callable[[], _Joules]] = []
        self._opened_j: dict[str, float] = {}
        self._failures: tuple[type[Exception], ...] = (OSError,)
        self._has_library = False

    def choose_gpus(self, uuids: Sequence[str] | None) -> None:
        """Do as GpuMeter says; without a choice, CUDA_VISIBLE_DEVICES decides."""
        self._uuids = uuids

    def open(self) -> None:
        """Find the devices and read each of them once.

        Raises:
            MeterUnavailable: Zeus is not installed or finds nothing that it can read.
        """
        with needs_extra("zeus", "zeus", MeterUnavailable):
            import zeus.device.soc as zeus_soc
            from zeus.exception import ZeusBaseError
        self._failures = (ZeusBaseError, OSError)
        expected = (*self._failures, MeterUnavailable)
        components: list[Component] = []
        reasons: list[str] = []
        for find in (self._gpus, lambda: self._soc(zeus_soc.get_soc())):
            try:
                components += find()
            except expected as error:
                reasons.append(str(error))
        reasons += [f"{name}: {reason}" for name, reason in self.refused.items()]
        if not components:
            self.close()
            raise MeterUnavailable("; ".join(reasons) or "zeus finds no device")
        self.components = components
        self._opened_j = {n: j for n, j in self._joules().items() if isinstance(j, float)}

    def read(self) -> Mapping[str, Reading]:
        """Read the joules since open(); for a device that cannot be read, the reason.

        Raises:
            MeterUnavailable: No device can be read any more.
        """
        try:
            now_j = self._joules()
        except self._failures as error:
            raise MeterUnavailable(str(error)) from error
        return {
            name: Reading.failed(joules)
            if isinstance(joules, str)
            else Reading(joules - self._opened_j[name])
            for name, joules in now_j.items()
        }

    def close(self) -> None:
        """Zeus keeps its devices for the life of the process."""
        self._readers = []
        if self._has_library:
            self._has_library = False
            close_library()

    def _joules(self) -> _Joules:
        return {name: joules for read in self._readers for name, joules in read().items()}

    def _gpus(self) -> list[Component]:
        cards = self._cards()
        for name, card in list(cards.items()):
            joules = self._counter_j(card)
            scope = self._scopes.get(name)
            fault = joules if isinstance(joules, str) else scope and scope.fault
            if fault:
                self.refused[name] = fault
                del cards[name]

        def read() -> _Joules:
            return {name: self._counter_j(card) for name, card in cards.items()}

        self._readers.append(read)
        return [_gpu_component(name, card, self._scopes.get(name)) for name, card in cards.items()]

    def _cards(self) -> dict[str, Any]:
        """Zeus's objects for the GPUs of the run, by component; NVIDIA's by NVML's index."""
        import zeus.device.gpu as zeus_gpu
        from zeus.device.gpu.nvidia import NVIDIAGPU

        if self._uuids is not None and not self._uuids:
            return {}
        if zeus_gpu.nvml_is_available():
            opened = open_gpus(self._uuids)
            self._has_library = True
            self.refused |= opened.problems
            self._scopes = self._find_scopes(opened.gpus)
            return {gpu.name: NVIDIAGPU(gpu.index) for gpu in opened.gpus}
        cards = zeus_gpu.get_gpus().gpus
        if self._uuids is not None and len(self._uuids) != len(cards):
            raise MeterUnavailable(
                f"which {len(self._uuids)} of {len(cards)} GPUs the run uses is not known to zeus; "
                "hide the others by HIP_VISIBLE_DEVICES"
            )
        return {f"gpu{index}": card for index, card in enumerate(cards)}

    def _find_scopes(self, gpus: Sequence[Gpu]) -> dict[str, CounterScope]:
        """Find what the counters of cards count that are part of a module, by name."""
        watched = {gpu: WatchedCounter(gpu, self._clock) for gpu in gpus if _is_in_module(gpu)}
        watch([one.watch for one in watched.values()], self._clock, self._sleep)
        return {
            gpu.name: one.scope(PEAK_OVER_LIMIT * (gpu.power_limit_w() or 0.0))
            for gpu, one in watched.items()
        }

    def _counter_j(self, card: Any) -> float | str:
        try:
            if not card.supports_get_total_energy_consumption():
                return f"{card.get_name()} has no energy counter"
            return float(card.get_total_energy_consumption()) / 1e3
        except self._failures as error:
            return str(error)

    def _soc(self, soc: Any) -> list[Component]:
        def read() -> _Joules:
            measured = soc.get_total_energy_consumption()
            return {
                name: float(value) / 1e3
                for field, name in _SOC_FIELDS.items()
                if (value := getattr(measured, field, None)) is not None
            }

        kind = type(soc).__name__
        self._readers.append(read)
        return [
            Component(
                name=name,
                source=f"zeus({kind})",
                label=_SOC_LABELS.get(kind, "modelled"),
                refresh_s=SOC_REFRESH_S,
                error_frac=SOC_ERROR_FRAC,
                edge_error_j=SOC_REFRESH_S * SOC_MAX_W,
            )
            for name in read()
        ]


def _is_in_module(gpu: Gpu) -> bool:
    try:
        return gpu.module_power_w() > 0
    except NvmlError:
        return could_be_module(gpu.device.name)


def _gpu_component(name: str, card: Any, scope: CounterScope | None) -> Component:
    included = scope.included if scope else ()
    max_w = PEAK_OVER_LIMIT * card.get_power_management_limit() / 1e3
    if scope:
        max_w = max(max_w, scope.max_w)
    return Component(
        name=name,
        source=f"zeus({card.get_name()}{', the whole module' if included else ''})",
        label="counter",
        refresh_s=GPU_REFRESH_S,
        error_frac=GPU_ERROR_FRAC,
        edge_error_j=GPU_REFRESH_S * max_w,
        tick_s=GPU_TICK_S,
        max_w=max_w,
        includes=included,
    )
