"""A job that tells what it has from its fork server."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from bench.core.host import cpu_name
from bench.measure import carbon


def tell(argument: Any, send: Callable[[Any], None], launched_s: float) -> None:
    send(
        {
            "looked_up": carbon._looked_up,
            "cpu_name": cpu_name(),
            "num_frozen": gc.get_freeze_count(),
        }
    )
