"""What the gate knows of its configuration: names of metrics and facts, and files of floors."""

from __future__ import annotations

from dataclasses import field, make_dataclass, replace
from pathlib import Path

from bench.config.gate import JudgeConfig
from bench.core.checks import keys_of
from bench.core.metric import Metric
from bench.gate.metrics import GATE_METRICS, is_own, metric_named, nearest
from bench.gate.sides.facts import FACTS, is_forced
from bench.gate.sides.noise import read_noise

HEALTH = "health"
CONFIG = "config"
_KNOWN = (HEALTH, CONFIG, *FACTS)


def least_effects() -> dict[str, float]:
    """Least loss that counts, by name of the metric: what `min_effect.NAME=` changes."""
    return {metric.name: metric.least_effect_frac for metric in GATE_METRICS}


def with_least_effects(config: type[JudgeConfig]) -> type[JudgeConfig]:
    """The schema of a command that judges, which shows the least effect of every metric."""
    effects = field(default_factory=least_effects)
    schema = make_dataclass(
        config.__name__, [("min_effect", dict[str, float], effects)], bases=(config,), kw_only=True
    )
    made: type[JudgeConfig] = schema
    return made


def known_keys(config: type[JudgeConfig]) -> list[str]:
    """Every key of a command that judges, dotted."""
    return [*keys_of(config), *(f"min_effect.{metric.name}" for metric in GATE_METRICS)]


def require_known(config: JudgeConfig) -> None:
    """Refuse metrics and facts that do not exist, and a file that holds no noise floors.

    Raises:
        ValueError: One is not known; the message names the key and the nearest names.
    """
    for name in config.metrics or []:
        metric_named(name)
    # Hydra checks the names on the command line; a configuration made in Python is checked here.
    for name in config.min_effect:
        metric_named(name, key="min_effect.")
    for name in config.force:
        if not any(is_forced(fact, [name]) for fact in _KNOWN):
            groups = (fact.partition(".")[0] for fact in _KNOWN)
            known = dict.fromkeys([*groups, *_KNOWN])  # each once: a fact may be its own group
            raise ValueError(f"force=[{name}]: no such fact; {nearest(name, known)}")
    if config.noise is not None:
        require_floors(config.noise)


def require_floors(path: str) -> None:
    """Refuse a file that holds no noise floors, before anything is measured.

    Raises:
        ValueError: It holds something else; the message names the key.
    """
    try:
        read_noise(Path(path))
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"noise={error}") from error


def selected(config: JudgeConfig) -> list[Metric]:
    """The metrics to compare, in the order of GATE_METRICS, with the least effects wanted.

    Those of a user's own follow. Their directions are not known yet.
    """
    own = [metric_named(name) for name in config.metrics or [] if is_own(name)]
    return [
        _with_effect(metric, config.min_effect.get(metric.name, metric.least_effect_frac))
        for metric in (*GATE_METRICS, *own)
        if config.metrics is None or metric.name in config.metrics
    ]


def _with_effect(metric: Metric, effect_frac: float) -> Metric:
    """A metric with the least effect that is wanted; one of the user's holds without a floor."""
    if effect_frac == metric.least_effect_frac:
        return metric
    return replace(metric, least_effect_frac=effect_frac, least_effect_abs=0.0)
