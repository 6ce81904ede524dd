"""The configuration of bench.measure: every key, its type and range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from bench.config.run import WindowConfig
from bench.core.checks import Count

COMMAND = "measure"  # its folder in results
_MOST_RUNS = 1000


@dataclass(kw_only=True)
class MeasureConfig(WindowConfig):
    """The keys of bench.measure.

    Attributes:
        runs: How often the program is run.
        repeat: The repeat of the first run; None for the first that no run in results has.
    """

    runs: Annotated[int, Ge(1), Le(_MOST_RUNS)] = 1
    repeat: Count | None = None
