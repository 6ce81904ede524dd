"""What no run can have, refused of one run: it would end the comparison of all, or win it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.printable import printable
from bench.gate.metrics import METRICS
from bench.gate.model import GateRun

# Far more than anything measured; sums and ratios of larger numbers overflow.
_LARGEST = 1e100
# Far more than any configuration has; Python itself gives up at some hundred.
_DEEPEST = 32
_COMPONENTS = frozenset(each.joules.components for each in METRICS if each.joules)


def require_sound(run: GateRun) -> None:
    """Refuse a run with a value that cannot be.

    Raises:
        ValueError: A metric is negative or not finite, the components of joules are not counted, or
            the configuration or a fact is nested too deep; the message names what it is.
    """
    for name, value in run.values.items():
        if not is_possible(value):
            raise ValueError(f"{printable(name)}={value}: cannot be")
    for name in _COMPONENTS & run.facts.keys():
        if not _counted(run.facts[name]):
            raise ValueError(f"{name}={printable(run.facts[name])}: cannot be")
    for what, tree in (("configuration", run.config), ("facts", run.facts)):
        if not _is_shallow(tree, _DEEPEST):
            raise ValueError(f"{what}: nested more than {_DEEPEST} levels deep")


def is_possible(value: float) -> bool:
    """Whether a metric can have this value."""
    return 0 <= value < _LARGEST


def _counted(components: Any) -> bool:
    """Whether it is the number of components: of one part, or of each."""
    counts = components.values() if isinstance(components, Mapping) else [components]
    return components is None or all(type(num) is int for num in counts)


def _is_shallow(tree: Any, levels: int) -> bool:
    if not isinstance(tree, (Mapping, list, tuple)):
        return True
    each = tree.values() if isinstance(tree, Mapping) else tree
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in each)
