"""Reads the power of an NVIDIA GPU by NVML's fields, of the card alone or of its whole module.

Power is the instantaneous reading and not nvmlDeviceGetPowerUsage, which from Ampere on is a mean
over one second.
"""

from __future__ import annotations

import re
from typing import Any

import pynvml

# The card alone, and a module with its own processor. Source: NVML API reference,
# nvmlPowerScopeType_t.
GPU_SCOPE = int(pynvml.NVML_POWER_SCOPE_GPU)
MODULE_SCOPE = int(pynvml.NVML_POWER_SCOPE_MODULE)

# Some power sensors look at only 10 of 20 ms, or at 25 of 100 ms. The GA100 is an Ampere chip, but
# the sensors of other Ampere chips see everything, so it is recognised by its card names.
# Source: Z. Yang, K. Adamek, W. Armour, "Accurate and Convenient Energy Measurements for GPUs",
# SC24.
_SEEN_FRAC = {
    pynvml.NVML_DEVICE_ARCH_PASCAL: 0.5,
    pynvml.NVML_DEVICE_ARCH_VOLTA: 0.5,
    pynvml.NVML_DEVICE_ARCH_HOPPER: 0.25,
}
_LEAST_SEEN_FRAC = min(_SEEN_FRAC.values())
_GA100 = re.compile(r"\b(A100|A30|A800)\b")


def read_power_w(handle: Any, scope: int) -> float:
    """Instantaneous power in a scope.

    Raises:
        pynvml.NVMLError: The card does not offer it, or it is not understood.
    """
    return _read_w(handle, pynvml.NVML_FI_DEV_POWER_INSTANT, scope)


def read_power_limit_w(handle: Any, scope: int) -> float:
    """The power limit in a scope.

    Raises:
        pynvml.NVMLError: The card does not offer it, or it is not understood.
    """
    return _read_w(handle, pynvml.NVML_FI_DEV_POWER_CURRENT_LIMIT, scope)


def _read_w(handle: Any, name: int, scope: int) -> float:
    (field,) = pynvml.nvmlDeviceGetFieldValues(handle, [(name, scope)])
    if field.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(field.nvmlReturn)
    if field.valueType != pynvml.NVML_VALUE_TYPE_UNSIGNED_INT:
        # NVML documents milliwatts as an unsigned integer; anything else is not understood.
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return float(field.value.uiVal) / 1e3


def power_seen_frac(handle: Any, name: str) -> float:
    """The share of the time in which its power sensor looks; the least if that is unknown."""
    try:
        architecture = pynvml.nvmlDeviceGetArchitecture(handle)
    except pynvml.NVMLError:
        return _LEAST_SEEN_FRAC
    if architecture == pynvml.NVML_DEVICE_ARCH_AMPERE and _GA100.search(name):
        return 0.25
    return _SEEN_FRAC.get(architecture, 1.0)
