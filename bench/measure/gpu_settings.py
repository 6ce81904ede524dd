"""Reads how an NVIDIA GPU and its driver are set up: what decides speed and joules between runs.

NVML has no call that returns locked clocks (`nvidia-smi --lock-gpu-clocks`), so they cannot be
recorded. Application clocks (`nvidia-smi --applications-clocks`) can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSettings:
    """How one card is set up; None for what it does not tell.

    Attributes:
        memory_bytes: Size of its memory, by NVML.
        power_limit_w: The power limit that is enforced, the lowest of all that apply.
        power_limit_default_w: The limit after the driver was loaded.
        power_limit_min_w: The lowest limit that can be set.
        power_limit_max_w: The highest.
        application_clock_mhz: Graphics clock that is set for applications.
        application_clock_default_mhz: What that clock is unless somebody sets it.
        max_clock_mhz: The highest graphics clock.
        ecc: Whether memory errors are corrected.
        mig: Whether the card is divided into instances of MIG.
        persistence: Whether the driver stays loaded without a user.
        vbios: Version of its firmware.
    """

    memory_bytes: int | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    power_limit_min_w: float | None = None
    power_limit_max_w: float | None = None
    application_clock_mhz: int | None = None
    application_clock_default_mhz: int | None = None
    max_clock_mhz: int | None = None
    ecc: bool | None = None
    mig: bool | None = None
    persistence: bool | None = None
    vbios: str | None = None


def read_settings(handle: Any) -> GpuSettings:
    """Read the settings of a card.

    Args:
        handle: NVML's handle of the card.
    """
    # Application clocks are set for this domain; that of the multiprocessors follows it.
    graphics = pynvml.NVML_CLOCK_GRAPHICS
    power_min, power_max = _told(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle) or (
        None,
        None,
    )
    memory = _told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return GpuSettings(
        memory_bytes=int(memory.total) or None if memory is not None else None,
        power_limit_w=_watts(_told(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        power_limit_default_w=_watts(
            _told(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
        ),
        power_limit_min_w=_watts(power_min),
        power_limit_max_w=_watts(power_max),
        application_clock_mhz=_told(pynvml.nvmlDeviceGetApplicationsClock, handle, graphics),
        application_clock_default_mhz=_told(
            pynvml.nvmlDeviceGetDefaultApplicationsClock, handle, graphics
        ),
        max_clock_mhz=_told(pynvml.nvmlDeviceGetMaxClockInfo, handle, graphics),
        ecc=_is_on(_first(_told(pynvml.nvmlDeviceGetEccMode, handle))),
        mig=_is_on(_first(_told(pynvml.nvmlDeviceGetMigMode, handle))),
        persistence=_is_on(_told(pynvml.nvmlDeviceGetPersistenceMode, handle)),
        vbios=_told(pynvml.nvmlDeviceGetVbiosVersion, handle),
    )


def driver_facts() -> dict[str, str | bool | None]:
    """The driver: its version, the newest CUDA that it supports, and confidential computing.

    The library must be open.
    """
    cuda = _told(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return {
        "driver": _told(pynvml.nvmlSystemGetDriverVersion),
        # NVML gives 1000 x major + 10 x minor.
        "driver_cuda": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        "confidential_computing": is_confidential(),
    }


def is_confidential() -> bool | None:
    """Whether confidential computing is on; None if the call failed.

    Data are then encrypted on their way to the card, and the driver may withhold what it tells.
    """
    try:
        state = pynvml.nvmlSystemGetConfComputeState()
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False  # neither the cards nor the driver know it
    except pynvml.NVMLError:
        return None
    return bool(state.ccFeature == pynvml.NVML_CC_SYSTEM_FEATURE_ENABLED)


def _told(call: Callable[..., _Value], *arguments: Any) -> _Value | None:
    """The answer of a call; None if the card or the driver does not offer it, or fails."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1e3


def _first(states: list[int] | None) -> int | None:
    """The current state, of the current and the one after the next reboot."""
    return None if states is None else states[0]


def _is_on(state: int | None) -> bool | None:
    return None if state is None else bool(state)
