"""Chooses one meter for each part of the machine, so that no joule is added twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.core.labels import STRENGTH
from bench.measure.meters.base import Component


@dataclass(frozen=True, slots=True)
class GpuScope:
    """The GPUs that a run is charged for.

    Attributes:
        uuids: Their UUIDs as the run states them; None for all visible GPUs.
        names: Components that the run may be charged for, such as "gpu0"; None for any.
        num_gpus: How many GPUs must be measured.
    """

    uuids: Sequence[str] | None = None
    names: frozenset[str] | None = None
    num_gpus: int = 0

    def misses_some(self, measured: Iterable[Component]) -> bool:
        """Whether a GPU of the run is missing among these components, constants aside."""
        parts = {part(one) for one in measured if one.label != "constant" and is_gpu(one)}
        return len(parts) < self.num_gpus

    def excludes(self, component: Component) -> bool:
        """Whether a component is a GPU that the run does not use."""
        return self.names is not None and is_gpu(component) and part(component) not in self.names


def part(component: Component) -> str:
    """The part of the machine that a component belongs to; each GPU is a part of its own."""
    match = re.match(r"gpu\d+|[a-z]+", component.name)
    return match.group() if match else component.name


def is_gpu(component: Component) -> bool:
    """Whether a component is a GPU."""
    return re.match(r"gpu(\d|$)", component.name) is not None


def settle(
    offers: Mapping[str, Sequence[Component]], scope: GpuScope
) -> tuple[dict[str, list[Component]], dict[str, str]]:
    """Choose one meter for each part: the one with the strongest label, and then the first.

    Left out are parts whose joules another component includes, and GPUs that the run does not use.

    Args:
        offers: Components by meter, in order of preference.
        scope: The GPUs of the run.

    Returns:
        The components to use by meter, and the reason for each meter that is not used.
    """
    pairs = [(name, one) for name, offered in offers.items() for one in offered]
    chosen: dict[str, str] = {}
    # Sorting is stable, so meters of equal strength stay in the order of the configuration.
    for name, one in sorted(pairs, key=lambda pair: STRENGTH.index(pair[1].label)):
        if not scope.excludes(one):
            chosen.setdefault(part(one), name)
    holders = {
        included: one.name
        for name, one in pairs
        if chosen.get(part(one)) == name
        for included in one.includes
    }
    kept: dict[str, list[Component]] = {}
    reasons: dict[str, str] = {}
    for name, offered in offers.items():
        wanted = [one for one in offered if chosen.get(part(one)) == name]
        wanted = [one for one in wanted if part(one) not in holders]
        if wanted:
            kept[name] = wanted
        else:
            reasons[name] = _why_not(offered, chosen, holders)
    return kept, reasons


def _why_not(
    offered: Sequence[Component], chosen: Mapping[str, str], holders: Mapping[str, str]
) -> str:
    reasons: dict[str, None] = {}  # each once, in order
    for one in map(part, offered):
        if one in holders:
            reasons[f"the joules of {holders[one]} include {one}"] = None
        elif one in chosen:
            reasons[f"{one} is measured by {chosen[one]}"] = None
        else:
            reasons[f"{one} is no GPU of this run"] = None
    return ", ".join(reasons) or "it measures nothing"
