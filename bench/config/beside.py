"""The group `beside`: what else runs on the machine while a model is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import BeforeValidator

from bench.core.checks import (
    MISSING,
    CheckedAs,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    Threads,
    one_of,
)


@dataclass(kw_only=True)
class BesideConfig(KeyGroup):
    """A training of the same model on the same machine, and how it is compared with none."""

    name: Annotated[str, one_of(("retraining",))] = MISSING
    num_threads: Threads | None = None
    nice: Annotated[int, Ge(0), Le(19)] = 0
    start_timeout_s: PositiveAmount = 120.0
    compare_rounds: Annotated[PositiveCount, Ge(2)] = 10


# Hydra gives an empty mapping for beside=none.
Beside = Annotated[
    Any, CheckedAs(Annotated[BesideConfig | None, BeforeValidator(lambda node: node or None)])
]
