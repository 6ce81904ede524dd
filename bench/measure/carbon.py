"""Runs CodeCarbon for a second estimate, and reads its tables; the only module that uses it.

CodeCarbon's estimate is never part of our totals. Only its offline tracker is used, without output,
and with every setting given here: neither a configuration file nor an environment variable can make
it write files or use the network.

The span: CodeCarbon counts energy from a moment inside start(), after it has looked for hardware
(1 to 2 s the first time), to the beginning of stop(), before it computes emissions. prepare() looks
for the hardware beforehand, so start() takes milliseconds, and the two spans differ by no more. The
last stretch is not counted if its own periodic measurement fell within the 50 ms before stop().

CodeCarbon swallows its exceptions and reports a missing reading as 0. A result that is missing or 0
is therefore recorded here as unavailable, with what CodeCarbon logged.
"""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from typing import Any, Literal

import cpuinfo
from codecarbon import OfflineEmissionsTracker
from codecarbon.core import cpu, hardware_cache, util
from codecarbon.core.cpu import TDP
from codecarbon.core.emissions import Emissions
from codecarbon.core.units import Energy
from codecarbon.external.geography import GeoMetadata
from codecarbon.external.hardware import GPU
from codecarbon.input import DataSource
from typing_extensions import override

from bench.core.host import cpu_name
from bench.core.price import JOULES_PER_KWH
from bench.core.records.energy import UnavailableMeter

TRACKING_MODES = ("machine", "process")

# CodeCarbon's power of a processor that its table lacks, and the share that an idle one draws.
# Source: codecarbon 3.3.2, core/cpu.py (DEFAULT_POWER_PER_CORE) and external/hardware.py
# (CPU._get_power_from_cpu_load).
DEFAULT_W_PER_THREAD = 4.0
IDLE_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonEstimate:
    """CodeCarbon's estimate for the same span: joules, grams of CO2 equivalent, and how."""

    energy_j: float
    emissions_gco2e: float
    version: str
    tracking_mode: str

    def record_fields(self) -> dict[str, Any]:
        """The fields of a record that hold it."""
        return {f"codecarbon_{name}": value for name, value in asdict(self).items()}


def carbon_intensity_gco2e_per_kwh(country_iso_code: str) -> float:
    """Grams of CO2 equivalent of a kilowatt hour in this country, from CodeCarbon's own data.

    Raises:
        ValueError: There is no such country in the data.
    """
    data = DataSource()  # type: ignore[no-untyped-call]
    if country_iso_code not in data.get_global_energy_mix_data():
        # CodeCarbon would take the average of the world and only log that.
        raise ValueError(
            f"grid.country_iso_code={country_iso_code}: no such country; give three capital "
            "letters of ISO 3166 alpha-3, such as USA, DEU or IND"
        )
    one_kwh = Energy.from_energy(kWh=1)
    place = GeoMetadata(country_iso_code=country_iso_code)
    return float(Emissions(data).get_country_emissions(one_kwh, place)) * 1000  # from kg


@cache  # looking through the table takes 15 ms, and every window of a process asks
def processor_tdp_w(model_name: str) -> float | None:
    """Thermal design power of one processor by its name, from CodeCarbon's table; None if unknown.

    Args:
        model_name: The processor's own name, such as "Intel(R) Core(TM) i7-7600U".
    """
    # The constructor would take a second to detect the processor of this machine.
    table = TDP.__new__(TDP)
    watts = table._get_cpu_power_from_registry(model_name)
    return None if watts is None else float(watts)


# The kernel's name of the processor that CodeCarbon has been asked about ahead of time.
_looked_up: str | None = None
# The environment variable that tells programs which this one starts: both names, as JSON.
_PROCESSOR = "BENCH_PROCESSOR"


def look_up_processor() -> None:
    """Have CodeCarbon identify the processor, which takes it a second.

    It keeps the answer for all trackers of this process, and of those that are forked from it.
    Programs that this one starts take the answer from an environment variable.
    """
    global _looked_up
    _redirect_log()
    kernel_name = cpu_name()
    known, name = json.loads(os.environ.get(_PROCESSOR, "[null, null]"))
    if known == kernel_name:
        with _identified_as(name):
            hardware_cache.get_cached_tdp(cpu)  # type: ignore[no-untyped-call]
    else:
        hardware_cache.get_cached_tdp(cpu)  # type: ignore[no-untyped-call]
        os.environ[_PROCESSOR] = json.dumps([kernel_name, util.detect_cpu_model()])
    processor_tdp_w(kernel_name)  # for the meters of those processes
    _looked_up = kernel_name


@contextmanager
def _identified_as(name: str) -> Iterator[None]:
    """Give CodeCarbon this name of the processor, in place of what another program finds out."""
    find_out = cpuinfo.get_cpu_info
    cpuinfo.get_cpu_info = lambda: {"brand_raw": name}
    try:
        yield
    finally:
        cpuinfo.get_cpu_info = find_out


def _forget_another_processor() -> None:
    """Have CodeCarbon look again if a virtual machine has moved to another processor since."""
    if _looked_up not in (None, cpu_name()):
        hardware_cache.clear_cache()
        util.detect_cpu_model.cache_clear()


class CodeCarbonTracker:
    """One span of the tracker: prepare() early, start() and stop() at the edges of the clock."""

    def __init__(
        self,
        *,
        country_iso_code: str,
        measure_period_s: float = 15.0,
        tracking_mode: Literal["machine", "process"] = "machine",
    ) -> None:
        """Nothing is read yet.

        Args:
            country_iso_code: ISO 3166 alpha-3, for the emissions.
            measure_period_s: Time between two measurements. A second timer of CodeCarbon always
                runs at 1 Hz. Both cost 0.8 ms of CPU time a second at 15 s, and 8.6 ms at 0.1 s.
            tracking_mode: Whether to estimate for the machine or for this process.

        Raises:
            ValueError: A value is out of range.
        """
        if not 0 < measure_period_s < math.inf:
            raise ValueError(f"codecarbon.measure_period_s={measure_period_s}: must be positive")
        if tracking_mode not in TRACKING_MODES:
            raise ValueError(
                f"codecarbon.tracking_mode={tracking_mode}: must be one of "
                f"{', '.join(TRACKING_MODES)}"
            )
        self.result: CarbonEstimate | None = None
        self.unavailable: UnavailableMeter | None = None
        self._country_iso_code = country_iso_code
        self._measure_period_s = measure_period_s
        self._tracking_mode = tracking_mode
        self._tracker: Any = None
        self._log: _LogToRun | None = None

    def prepare(self, gpus: Sequence[int] | None = None) -> None:
        """Make the tracker and let it look for hardware, before the clock.

        That takes one to two seconds, or some milliseconds after look_up_processor().

        Args:
            gpus: NVML's numbers of the GPUs to track; None for those that CodeCarbon finds.
        """
        # Before the constructor, which gives its logger a handler that writes to the terminal.
        self._log = _redirect_log()
        self._log.last_error = None
        _forget_another_processor()
        tracker = OfflineEmissionsTracker(
            country_iso_code=self._country_iso_code,
            tracking_mode=self._tracking_mode,
            measure_power_secs=self._measure_period_s,
            **_fence(),
        )
        try:
            tracker.get_detected_hardware()
        except Exception as error:  # its detection runs other programs, so anything can fail
            self._refuse(f"cannot look for hardware: {error!r}")
            return
        # Its setting gpu_ids (3.3.2) mistakes UUIDs, takes CUDA's numbers for NVML's, and its cache
        # makes all of none.
        for part in tracker._hardware:
            if gpus is not None and isinstance(part, GPU):
                part.gpu_ids, part._gpu_ids_resolved = list(gpus), True
        self._tracker = tracker

    def start(self) -> None:
        """Begin the span; call it right before the clock starts."""
        if self._tracker is not None:
            self._tracker.start()

    def stop(self) -> CarbonEstimate | None:
        """End the span right after the clock stopped; without a result, `unavailable` says why."""
        if self._tracker is None:
            if self.result is None and self.unavailable is None:
                self._refuse("was not prepared")
            return self.result
        self._tracker.stop()
        data = getattr(self._tracker, "final_emissions_data", None)
        self._tracker = None
        if data is None:
            self._refuse("gave no result")
        elif not data.energy_consumed > 0:
            self._refuse(f"counted {data.energy_consumed} kWh")
        else:
            self.result = CarbonEstimate(
                energy_j=data.energy_consumed * JOULES_PER_KWH,
                emissions_gco2e=data.emissions * 1000,  # from kg
                version=metadata.version("codecarbon"),
                tracking_mode=self._tracking_mode,
            )
        return self.result

    def _refuse(self, reason: str) -> None:
        if self._log is not None and self._log.last_error is not None:
            reason += f"; it logged {self._log.last_error!r}"
        self.unavailable = UnavailableMeter(meter="codecarbon", reason=reason)


class _LogToRun(logging.Filter):
    """Passes CodeCarbon's log records to this module's logger, as information.

    Its own handlers would write to the terminal; they receive no record.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_error: BaseException | None = None

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            self.last_error = record.exc_info[1]
        logging.getLogger(__name__).info(
            "CodeCarbon: %s", record.getMessage(), exc_info=record.exc_info
        )
        return False


def _redirect_log() -> _LogToRun:
    """Return the one filter on CodeCarbon's logger; a second would hide records from the first."""
    logger = logging.getLogger("codecarbon")
    for present in logger.filters:
        if isinstance(present, _LogToRun):
            return present
    added = _LogToRun()
    logger.addFilter(added)
    return added


def _fence() -> dict[str, Any]:
    """Settings that keep CodeCarbon off the terminal, the network and the disk.

    Given here, they override its configuration files and CODECARBON_* variables.
    """
    return {
        "output_methods": [],
        "output_handlers": [],
        "output_dir": tempfile.gettempdir(),  # must exist; a file in it only on old Intel Macs
        "emissions_endpoint": None,
        # None would let it look for a token elsewhere, and a token means network access.
        "electricitymaps_api_token": "",
        "allow_multiple_runs": True,  # no lock file, and no signal handlers
        "log_level": "warning",
        "logger_preamble": "",
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
        "country_2letter_iso_code": None,
        "force_cpu_power": None,
        "force_ram_power": None,
        "force_carbon_intensity_g_co2e_kwh": None,
        "force_mode_cpu_load": False,
        "pue": 1.0,
        "rapl_include_dram": False,
        "rapl_prefer_psys": False,
    }
