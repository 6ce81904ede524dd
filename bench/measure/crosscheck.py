"""Compares the joules that counters gave for a window with the power sampled during it.

A counter can work and still count at the wrong rate; only a second sensor of the same card shows
that. Two readings that contradict each other are no measurement, whichever of them is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from bench.core.records.energy import EnergyRow
from bench.measure.meters.base import Component
from bench.measure.meters.refresh import contradict
from bench.measure.sampler import TelemetryRow

# With fewer samples, the mean of a load that comes and goes is not known.
MIN_SAMPLES = 20
# No card draws more than this, and none that is on draws nothing: such a sample is a sensor fault.
_MAX_W = 10_000.0


def contradicted(
    energy: Sequence[EnergyRow],
    components: Sequence[Component],
    telemetry: Sequence[TelemetryRow],
    total_s: float,
) -> dict[str, str]:
    """Find components whose counter contradicts the power of the card, with the reason.

    Args:
        energy: Energy rows of a window.
        components: Components of the same meters.
        telemetry: Samples of the same window; those in [0, total_s] count.
        total_s: Length of the window.
    """
    by_name = {one.name: one for one in components}
    reasons: dict[str, str] = {}
    for row in energy:
        if row.label != "counter" or total_s <= 0:
            continue
        # The power in the same scope, of the card or of its module; a driver may not offer it.
        is_module = bool(by_name[row.component].includes)
        scoped = "gpu_module_power_w" if is_module else "gpu_power_w"
        watts = _watts(telemetry, row.component, scoped, total_s)
        holds_more = is_module and not watts
        if holds_more:
            watts = _watts(telemetry, row.component, "gpu_power_w", total_s)
        if len(watts) < MIN_SAMPLES:
            continue
        counted_w, drawn_w = row.energy_j / total_s, fmean(watts)
        if contradict(counted_w, drawn_w, first_holds_more=holds_more):
            reasons[row.component] = (
                f"its counter says {counted_w:g} W on average, its power sensor {drawn_w:g} W"
            )
    return reasons


def _watts(
    telemetry: Sequence[TelemetryRow], device: str, metric: str, total_s: float
) -> list[float]:
    return [
        sample.value
        for sample in telemetry
        if sample.metric == metric
        and sample.device == device
        and 0 <= sample.t_s <= total_s
        and 0 < sample.value <= _MAX_W
    ]
