"""The keys that every run has, in bench.train and in bench.serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Strict

from bench.config.trust import ModuleName
from bench.core.checks import (
    MISSING,
    Amount,
    CheckedAs,
    Count,
    Folder,
    KeyGroup,
    PositiveAmount,
    Seed,
    one_of,
    refuse_texts,
)
from bench.core.objective import require_objective

_Repeat = Annotated[
    Count,
    Strict(),
    refuse_texts(
        "must be a whole number or, in a sweep (-m), auto",
        auto="only our sweepers repeat runs by themselves; add -m",
    ),
]


@dataclass(kw_only=True)
class SamplerConfig(KeyGroup):
    """The thread that samples utilization."""

    period_s: PositiveAmount = 0.5


@dataclass(kw_only=True)
class MeterConfig(KeyGroup):
    """The energy meters to try."""

    sources: dict[str, Any] = field(default_factory=dict)
    required: bool = False
    idle_s: Amount = 0.0


@dataclass(kw_only=True)
class GridConfig(KeyGroup):
    """The country that the electricity comes from."""

    country_iso_code: str = MISSING


@dataclass(kw_only=True)
class WindowConfig(KeyGroup):
    """The keys of everything that is measured; groups that Hydra instantiates stay dicts."""

    meter: MeterConfig = field(default_factory=MeterConfig)
    codecarbon: Any = None
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    price: Any = MISSING
    grid: Any = MISSING
    results: Folder = "results"
    shared: bool = False


@dataclass(kw_only=True)
class RunConfig(WindowConfig):
    """The keys of every run of our own: a training, a serving, a deployment."""

    seed: Seed = 0
    repeat: Annotated[Any, CheckedAs(_Repeat)] = 0  # Any, so that a sweeper may be given `auto`
    resume: Annotated[Any, one_of((False, True, "comparable"))] = False
    progress: bool = True
    objective: str | None = None
    trust: list[ModuleName] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse an objective that no sweeper can go by.

        Raises:
            ValueError: There is no such quantity, or it has no better direction.
        """
        if self.objective is not None:
            require_objective(self.objective)
