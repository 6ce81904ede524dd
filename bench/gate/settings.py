"""What a user may set about a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.core.checks import require_at_least
from bench.core.metric import Metric
from bench.gate.metrics import METRICS, metric_named, nearest
from bench.gate.sides.facts import FACTS, is_forced

HEALTH = "health"
CONFIG = "config"


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """Level, selection and what is allowed.

    Attributes:
        alpha: Chance of any false alarm in a check.
        min_runs: Fewest runs per side that a measured metric is judged from.
        metrics: Names of the metrics to compare; None for all that the runs have.
        min_effect: Least loss that counts, by name of the metric, in place of its own.
        force: Facts that may differ: exact names (`host.name`) or groups (`host`); `health` keeps
            runs that are unfit, and servings that are not valid; `config` takes configurations for
            one that differ only in keys that one side lacks.
        allow_missing: Whether what one side lacks is only remarked on.
        noise: File of noise floors; None for none.
    """

    alpha: float = 0.05
    min_runs: int = 5
    metrics: list[str] | None = None
    min_effect: Mapping[str, float] = field(default_factory=dict)
    force: list[str] = field(default_factory=list)
    allow_missing: bool = False
    noise: Path | None = None

    def __post_init__(self) -> None:
        """Check ranges and names.

        Raises:
            ValueError: A value is out of range or a name unknown; the message names the key.
        """
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha={self.alpha}: must lie between 0 and 0.5, for example 0.05")
        require_at_least("min_runs", self.min_runs, 1, 1000)
        if self.metrics is not None and not self.metrics:
            raise ValueError("metrics=[]: name at least one, or leave it out for all")
        for name in self.metrics or []:
            metric_named(name)
        for name, effect in self.min_effect.items():
            metric_named(name, key="min_effect")
            if not 0 <= effect < math.inf:
                raise ValueError(
                    f"min_effect.{name}={effect}: must be at least 0, for example 0.1 for 10%"
                )
        for name in self.force:
            _require_fact(name)

    def selected(self) -> list[Metric]:
        """The metrics to compare, in the order of METRICS, with the least effects wanted."""
        wanted = None if self.metrics is None else set(self.metrics)
        return [
            replace(
                metric, least_effect_frac=self.min_effect.get(metric.name, metric.least_effect_frac)
            )
            for metric in METRICS
            if wanted is None or metric.name in wanted
        ]


def _require_fact(name: str) -> None:
    known = (HEALTH, CONFIG, *FACTS)
    if not any(is_forced(fact, [name]) for fact in known):
        groups = dict.fromkeys(fact.partition(".")[0] for fact in known)
        raise ValueError(f"force=[{name}]: no such fact; {nearest(name, [*groups, *known])}")
