"""An energy meter of your own.

Start a command in this folder with `+meter.sources.mine._target_=my_meter.ConstantPower` to use it.
This one assumes a constant power, so it only needs the time; yours reads a sensor or a counter.
"""

import time

from bench.measure.meters.base import Component, Reading


class ConstantPower:
    def __init__(self, *, watts: float = 100.0) -> None:
        self.watts = watts
        # The error bound has two parts: 1% of the value read, whatever the length of a window, and
        # 0.1 J for its two ends together.
        component = Component(
            name="wall",
            source="my_meter",
            label="modelled",
            refresh_s=0.001,
            error_frac=0.01,
            edge_error_j=0.1,
        )
        self.components = [component]

    def open(self) -> None:
        self.opened_s = time.perf_counter()

    def read(self) -> dict[str, Reading]:
        """Joules since open(), by component; the suite takes differences."""
        return {"wall": Reading(self.watts * (time.perf_counter() - self.opened_s))}

    def close(self) -> None:
        pass
