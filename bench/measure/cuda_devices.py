"""Prints the UUIDs of the devices that CUDA sees here, a line each, in CUDA's order.

Run in a process of its own: CUDA keeps its device order and what is visible from its first call on,
and a process that has called it cannot be forked for CUDA any more. Only the standard library is
imported, so that this takes as long as CUDA's own start.

Source: CUDA driver API reference, "Initialization" and "Device Management".
"""

from __future__ import annotations

import ctypes
import uuid
from collections.abc import Iterator
from typing import Any

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def device_uuids(cuda: Any) -> Iterator[str]:
    """Give the UUID of each device, without a prefix; of an instance of MIG, that of the instance.

    Args:
        cuda: The driver's library.

    Raises:
        OSError: A call failed.
    """
    count = ctypes.c_int()
    code = cuda.cuInit(0)
    if code == _NO_DEVICE:
        return
    _require("cuInit", code)
    _require("cuDeviceGetCount", cuda.cuDeviceGetCount(ctypes.byref(count)))
    # The first version, of older drivers, gives the card's UUID for an instance of MIG.
    get_uuid = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid
    for ordinal in range(count.value):
        device, found = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        _require("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), ordinal))
        _require("cuDeviceGetUuid", get_uuid(ctypes.byref(found), device))
        yield str(uuid.UUID(bytes=bytes(found)))


def _require(call: str, code: int) -> None:
    if code != 0:
        raise OSError(f"{call} failed with error {code}")


def main() -> None:
    """Print them, or end with the reason."""
    try:
        print("\n".join(device_uuids(ctypes.CDLL("libcuda.so.1"))))
    except OSError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
