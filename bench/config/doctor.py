"""The configuration of bench.doctor: every key, its type and range."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from bench.config.run import MeterConfig
from bench.core.checks import EXPAND_PATH, KeyGroup, not_blank, require_writable

_MOST = 1000


@dataclass(kw_only=True)
class DoctorConfig(KeyGroup):
    """The keys of bench.doctor.

    Attributes:
        meter: The meters to try.
        repeats: How often the short steps are timed.
        runs: Runs on each side, for the smallest slowdown that the gate would find.
        json: The file for everything that was found, or None.
    """

    meter: MeterConfig = field(default_factory=MeterConfig)
    codecarbon: Any = None
    grid: Any = None
    repeats: Annotated[int, Ge(5), Le(_MOST)] = 20
    runs: Annotated[list[Annotated[int, Ge(2), Le(_MOST)]], MinLen(1)] = field(
        default_factory=lambda: [6, 12, 16]
    )
    json: Annotated[str, not_blank("must name a file, or be null"), EXPAND_PATH] | None = None

    def __post_init__(self) -> None:
        """Check that the file can be written.

        Raises:
            ValueError: It cannot be written; the message names the key.
        """
        if self.json is not None:
            require_writable("json", Path(self.json))
