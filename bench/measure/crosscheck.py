"""Compares what counters said of a window with the power that was sampled meanwhile.

A counter can be alive and still count at the wrong pace; only a second reading of the same card
shows it. Two readings that contradict one another are no measurement, whichever is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from bench.core.records.energy import EnergyRow
from bench.measure.meters.base import Component
from bench.measure.meters.refresh import contradict
from bench.measure.sampler import TelemetryRow

# Fewer samples of a load that comes and goes are not its mean.
MIN_SAMPLES = 20
# No card draws more, and none that is on draws nothing: such a sample tells of its sensor.
_MAX_W = 10_000.0


def contradicted(
    energy: Sequence[EnergyRow],
    components: Sequence[Component],
    telemetry: Sequence[TelemetryRow],
    total_s: float,
) -> dict[str, str]:
    """Components whose counter cannot be right if the card's power is, with the reason.

    Args:
        energy: Rows of a window.
        components: Of the same meters.
        telemetry: Of the same window; samples in [0, total_s] count.
        total_s: Its length.
    """
    by_name = {one.name: one for one in components}
    found: dict[str, str] = {}
    for row in energy:
        watts = [
            sample.value
            for sample in telemetry
            if sample.metric == "gpu_power_w"
            and sample.device == row.component
            and 0 <= sample.t_s <= total_s
            and 0 < sample.value <= _MAX_W
        ]
        if row.label != "counter" or len(watts) < MIN_SAMPLES or total_s <= 0:
            continue
        counted_w, drawn_w = row.energy_j / total_s, fmean(watts)
        holds_more = bool(by_name[row.component].includes)
        if contradict(counted_w, drawn_w, first_holds_more=holds_more):
            found[row.component] = (
                f"its counter says {counted_w:g} W on average, its power sensor {drawn_w:g} W"
            )
    return found
