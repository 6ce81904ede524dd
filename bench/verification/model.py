"""What recomputing a record gives: values that agree, that differ, and that nothing can check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The arithmetic is repeated in the same order, so only decimal digits of files may differ.
_ROUNDING_FRAC = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value that is not what the raw data give.

    Attributes:
        key: Its place in the record, dotted.
        stored: The value in the record.
        recomputed: The value from raw data; a bound in words where only a bound is known.
    """

    key: str
    stored: Any
    recomputed: Any


@dataclass(slots=True)
class Findings:
    """What was found out about one record.

    Attributes:
        num_agree: Values that agree.
        differences: Values that do not.
        unknown: By key, why a value that is stored cannot be recomputed.
        missing: Files with raw data that a run of this kind writes, and that are not there.
    """

    num_agree: int = 0
    differences: list[Difference] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def compare(self, key: str, stored: Any, recomputed: Any, *, rounding: float = 0.0) -> None:
        """Compare a stored value with the one that raw data give.

        Args:
            key: Its place in the record.
            stored: The value in the record.
            recomputed: The value from raw data.
            rounding: By how much it may differ, if the record rounds it.
        """
        if _agree(stored, recomputed, rounding):
            self.num_agree += 1
        else:
            self.differences.append(Difference(key=key, stored=stored, recomputed=recomputed))

    def compare_all(self, prefix: str, stored: Any, recomputed: Mapping[str, Any]) -> None:
        """Compare several attributes of a part of the record; as compare()."""
        for name, value in recomputed.items():
            self.compare(f"{prefix}{name}", getattr(stored, name), value)

    def require(self, key: str, stored: Any, holds: bool, expected: str) -> None:
        """Count a value as agreeing if something holds for it, and else as differing.

        Args:
            key: Its place in the record.
            stored: The value in the record.
            holds: Whether it is as it has to be.
            expected: In words, what it has to be.
        """
        if holds:
            self.num_agree += 1
        else:
            self.differences.append(Difference(key=key, stored=stored, recomputed=expected))

    def cannot(self, key: str, reason: str) -> None:
        """Note that a value, or all below a key, cannot be recomputed."""
        self.unknown[key] = reason


def _agree(stored: Any, recomputed: Any, rounding: float) -> bool:
    if isinstance(stored, bool) or isinstance(recomputed, bool):
        return stored is recomputed
    if isinstance(stored, int | float) and isinstance(recomputed, int | float):
        return math.isclose(stored, recomputed, rel_tol=_ROUNDING_FRAC, abs_tol=rounding)
    if _is_list(stored) and _is_list(recomputed):
        return len(stored) == len(recomputed) and all(
            _agree(one, other, rounding) for one, other in zip(stored, recomputed, strict=True)
        )
    return bool(stored == recomputed)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
