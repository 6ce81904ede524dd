"""The group `skew`: a fault of the serving path, planted to see whether it would be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from bench.core.checks import MISSING, CheckedAs, KeyGroup, one_of

CELSIUS, STALE_SCALER, MISSING_VALUE, SWAPPED = "celsius", "stale_scaler", "missing", "swapped"
SKEWS = (CELSIUS, STALE_SCALER, MISSING_VALUE, SWAPPED)


@dataclass(kw_only=True)
class SkewConfig(KeyGroup):
    """Which fault is planted, and in which feature: its name or its number."""

    kind: Annotated[str, one_of(SKEWS)] = MISSING
    feature: Any = None
    other_feature: Any = None
    fill: Annotated[str, one_of(("mean", "zero"))] = "mean"

    def __post_init__(self) -> None:
        """Refuse keys that this fault would ignore.

        Raises:
            ValueError: A key is superfluous; the message names it.
        """
        ignored = {
            "feature": self.kind == STALE_SCALER and self.feature is not None,
            "other_feature": self.kind != SWAPPED and self.other_feature is not None,
            "fill": self.kind != MISSING_VALUE and self.fill != "mean",
        }
        for key, is_ignored in ignored.items():
            if is_ignored:
                raise ValueError(
                    f"skew.{key}={getattr(self, key)}: skew={self.kind} ignores it; leave it out"
                )


# Hydra gives an empty mapping for skew=none.
Skew = Annotated[
    Any, CheckedAs(Annotated[SkewConfig | None, BeforeValidator(lambda node: node or None)])
]
