"""The configuration of our sweepers: hydra/sweeper=checked, the default, and hydra/sweeper=race."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Gt, Lt

from bench.core.checks import (
    MISSING,
    CheckedAs,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    Seed,
    one_of,
)


@dataclass(kw_only=True)
class RepeatsConfig(KeyGroup):
    """When repeat=auto ends; see bench.search.repeats."""

    width_frac: PositiveAmount = MISSING
    statistic: Annotated[str, one_of(("median", "expected_cost"))] = MISSING
    max_runs: PositiveCount = MISSING
    max_spent: PositiveAmount | None = None
    alpha: Annotated[float, Gt(0), Lt(1)] = MISSING


@dataclass(kw_only=True)
class SweeperConfig(KeyGroup):
    """The keys of every sweeper of ours."""

    _target_: str = MISSING
    # Any: the sweeper refuses a wrong number with its own words.
    max_batch_size: Any = None
    # As Hydra's own sweeper takes it: further overrides, by their keys.
    params: Annotated[Any, CheckedAs(dict[str, Any] | None)] = None


@dataclass(kw_only=True)
class CheckedConfig(SweeperConfig):
    """The keys of a sweep over all combinations."""

    _target_: str = "hydra_plugins.checked_sweeper.CheckedSweeper"
    repeats: RepeatsConfig = MISSING


@dataclass(kw_only=True)
class RaceConfig(SweeperConfig):
    """The keys of a race; see bench.search.race."""

    _target_: str = "hydra_plugins.race_sweeper.RaceSweeper"
    beta: Annotated[float, Gt(1)] = MISSING
    suggest: Annotated[str, one_of(("random", "optuna"))] = MISSING
    order_seed: Seed = MISSING
    max_seeds: PositiveCount = MISSING
    max_candidates: PositiveCount | None = None
    max_spent: PositiveAmount | None = None
    alpha: Annotated[float, Gt(0), Lt(1)] = MISSING
