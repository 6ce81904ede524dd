"""Zeus as a meter, for hardware that is not read here directly: AMD GPUs, Apple chips, Jetson.

Its processor counters are not used: its reader of RAPL can run backwards after a wrap, and
bench.measure.meters.rapl reads them. Source: https://ml.energy/zeus; an optional extra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.core.labels import EnergyLabel
from bench.measure.meters.base import Component, MeterUnavailable, Reading

# Of GPU counters; as found for NVIDIA's by card (bench.measure.meters.nvml), the only ones studied.
GPU_ERROR_FRAC = 0.13
GPU_REFRESH_S = 0.1
# A chip's own estimate that nobody has held against a wall meter in print: no more is claimed than
# that the truth is not more than twice as far.
SOC_ERROR_FRAC = 1.0
SOC_REFRESH_S = 0.1
SOC_MAX_W = 200.0  # above the power supply of any of these machines but the largest desktops
# A power limit is an average: short peaks go beyond it.
PEAK_OVER_LIMIT = 1.7

# Fields of its measurements by our names of components. A sum over the whole board is left out: it
# holds the others.
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


class ZeusMeter:
    """GPUs and the system on a chip, as far as Zeus finds them."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.components: Sequence[Component] = ()
        self._readers: list[Callable[[], dict[str, float]]] = []
        self._opened_j: dict[str, float] = {}
        self._failures: tuple[type[Exception], ...] = (OSError,)

    def open(self) -> None:
        """Find the devices and read each of them once.

        Raises:
            MeterUnavailable: Zeus is not installed or finds nothing that it can read.
        """
        try:
            import zeus.device.gpu as zeus_gpu
            import zeus.device.soc as zeus_soc
            from zeus.exception import ZeusBaseError
        except ImportError as error:
            raise MeterUnavailable(
                "zeus is not installed; pip install 'operational-metrics-bench[zeus]'"
            ) from error
        self._failures = (ZeusBaseError, OSError)
        components: list[Component] = []
        reasons: list[str] = []
        finds: tuple[tuple[Callable[[Any], list[Component]], Callable[[], Any]], ...] = (
            (self._gpus, zeus_gpu.get_gpus),
            (self._soc, zeus_soc.get_soc),
        )
        for read_once, find in finds:
            try:
                components += read_once(find())
            except self._failures as error:
                reasons.append(str(error))
        if not components:
            raise MeterUnavailable("; ".join(reasons) or "zeus finds no device")
        self.components = components
        self._opened_j = self._joules()

    def read(self) -> Mapping[str, Reading]:
        """Joules since open().

        Raises:
            MeterUnavailable: A device cannot be read any more.
        """
        try:
            now_j = self._joules()
        except self._failures as error:
            raise MeterUnavailable(str(error)) from error
        return {name: Reading(now_j[name] - self._opened_j[name]) for name in self._opened_j}

    def close(self) -> None:
        """Zeus keeps its devices for the life of the process."""
        self._readers = []

    def _joules(self) -> dict[str, float]:
        return {name: joules for read in self._readers for name, joules in read().items()}

    def _gpus(self, gpus: Any) -> list[Component]:
        for index in range(len(gpus)):
            if not gpus.supports_get_total_energy_consumption(index):
                raise OSError(f"gpu{index} ({gpus.get_name(index)}) has no energy counter")

        def read() -> dict[str, float]:
            return {
                f"gpu{index}": gpus.get_total_energy_consumption(index) / 1e3
                for index in range(len(gpus))
            }

        self._readers.append(read)
        return [
            Component(
                name=f"gpu{index}",
                source=f"zeus({gpus.get_name(index)})",
                label="counter",
                refresh_s=GPU_REFRESH_S,
                error_frac=GPU_ERROR_FRAC,
                edge_error_j=GPU_REFRESH_S
                * PEAK_OVER_LIMIT
                * gpus.get_power_management_limit(index)
                / 1e3,
            )
            for index in range(len(gpus))
        ]

    def _soc(self, soc: Any) -> list[Component]:
        def read() -> dict[str, float]:
            measured = soc.get_total_energy_consumption()
            return {
                name: value / 1e3
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
