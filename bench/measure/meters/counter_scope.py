"""Finds out what the energy counter of a GPU counts: the card alone, or a whole module.

On Grace-Hopper it counts the module, with the processor and its memory (ml-energy/zeus, pull
request #172). Grace-Blackwell has modules of several GPUs, and there nothing is documented. So the
counter's pace is compared with the power in both scopes (NVML_POWER_SCOPE_GPU and _MODULE), and it
counts what it is closer to. A driver that offers no power of the module leaves the card's name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from bench.measure.clock import Clock
from bench.measure.gpu import Gpu, NvmlError
from bench.measure.meters.refresh import Watch, contradict

# Capping power takes a while. Source: the plausibility limit of the ML.ENERGY benchmark.
PEAK_OVER_LIMIT = 1.7
DEFAULT_MAX_W = 1500.0
LEAST_W = 0.5  # a card that is on draws more, even asleep
MODULE_PARTS = ("cpu", "dram")

# Modules with one GPU, whose counter is known to count the module, and modules with several GPUs.
_COUNTS_MODULE = re.compile(r"\bGH[2-9]00\b")
_SEVERAL_GPUS = re.compile(r"\bGB[23]00\b")
# Below this, the power of the module is that of the card, as far as two sensors can tell.
_DISTINCT = 1.1


@dataclass(frozen=True, slots=True)
class CounterScope:
    """What a counter counts.

    Attributes:
        included: Other parts of the machine whose joules it has.
        max_w: The most power that can flow.
        fault: Why it cannot be used; None if it can.
    """

    included: tuple[str, ...]
    max_w: float
    fault: str | None


class WatchedCounter:
    """The energy counter of a card, watched beside the power of the card and of its module.

    Attributes:
        watch: The counter; let it be watched before its scope is asked for.
    """

    def __init__(self, gpu: Gpu, clock: Clock) -> None:
        """Read the counter for the first time."""
        references = (gpu.power_w, gpu.module_power_w)
        self.watch = Watch(gpu.energy_j, clock, errors=NvmlError, references=references)
        self._gpu = gpu

    def scope(self, card_max_w: float) -> CounterScope:
        """Judge by what was seen while the counter was watched.

        Args:
            card_max_w: The most power that the card alone can draw.
        """
        is_module = self._counts_module()
        max_w = self._module_max_w(card_max_w) if is_module else card_max_w
        included = MODULE_PARTS if is_module else ()
        return CounterScope(included, max_w, self._fault(is_module=is_module, max_w=max_w))

    def _counts_module(self) -> bool:
        card_w, module_w = self.watch.mean_references
        counted_w = self.watch.rate
        is_named = could_be_module(self._gpu.device.name)
        if not (card_w and module_w and counted_w) or min(card_w, module_w, counted_w) <= 0:
            return is_named
        if module_w < _DISTINCT * card_w:
            return is_named
        return abs(math.log(counted_w / module_w)) < abs(math.log(counted_w / card_w))

    def _module_max_w(self, card_max_w: float) -> float:
        limit_w = self._gpu.module_power_limit_w()
        return PEAK_OVER_LIMIT * limit_w if limit_w else max(card_max_w, DEFAULT_MAX_W)

    def _fault(self, *, is_module: bool, max_w: float) -> str | None:
        counted_w = self.watch.rate
        if counted_w is None:
            return None
        if not LEAST_W <= counted_w <= max_w:
            return f"counts {counted_w:g} W, which cannot be"
        if is_module and _SEVERAL_GPUS.search(self._gpu.device.name):
            return "counts a whole module, of which the card is one of several GPUs"
        card_w, module_w = self.watch.mean_references
        power_w = module_w if is_module and module_w is not None else card_w
        if power_w is None or not LEAST_W <= power_w <= max_w:
            return None
        # Without the power of the module, the counter holds more than the sensor sees.
        holds_more = is_module and module_w is None
        if contradict(counted_w, power_w, first_holds_more=holds_more):
            what = "module" if power_w == module_w else "card"
            return f"counts {counted_w:g} W while the {what} draws {power_w:g} W"
        return None


def could_be_module(name: str) -> bool:
    """Whether the counter of a card with this name counts its module, for all that is known."""
    return _COUNTS_MODULE.search(name) is not None
