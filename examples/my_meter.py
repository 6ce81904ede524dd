"""An energy meter of one's own: `+meter.sources.mine._target_=my_meter.ConstantPower` uses it.

This one knows the power and needs the time only; yours reads a sensor or a counter.
"""

import time

from bench.measure.meters.base import Component, Reading


class ConstantPower:
    def __init__(self, *, watts: float = 100.0) -> None:
        self.watts = watts
        # Off by up to 1% of what it reads, and by 0.1 J at the two ends of a window together.
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
        """Joules since it was opened, by component."""
        return {"wall": Reading(self.watts * (time.perf_counter() - self.opened_s))}

    def close(self) -> None:
        pass
