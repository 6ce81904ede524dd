"""The configuration of bench.compare, and what the commands of the gate share of theirs.

As in bench/config/train.py, the classes are the schema that Hydra checks names and types against;
their `__post_init__` checks ranges once the configuration is converted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config.report import texts
from bench.core.checks import MISSING, build_config, dotted_keys, require_writable
from bench.core.files import expanded
from bench.gate.metrics import METRICS
from bench.gate.settings import GateSettings
from bench.gate.sides.noise import read_floors

ALL = "all"
OUTPUTS = ("markdown", "json", "junit")


def least_effects() -> dict[str, float]:
    """Least loss that counts, by name of the metric: what `min_effect.NAME=` changes."""
    return {metric.name: metric.least_effect_frac for metric in METRICS}


@dataclass(kw_only=True)
class JudgeConfig:
    """What counts as a regression, and what is overlooked; of all commands that judge."""

    alpha: float = 0.05
    min_runs: int = 5
    metrics: Any = ALL
    min_effect: dict[str, float] = field(default_factory=least_effects)
    force: Any = field(default_factory=list)
    allow_missing: bool = False
    noise: str | None = None

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range or a name unknown; the message names the key.
        """
        if self.noise is not None:
            self.noise = str(expanded(self.noise))
            if not os.path.isfile(self.noise):
                raise ValueError(
                    f"noise={self.noise}: no such file; python -m bench.noise writes one"
                )
            require_floors(Path(self.noise))
        self.settings()

    def settings(self) -> GateSettings:
        """As the gate takes it.

        Raises:
            ValueError: A value is out of range or a name unknown; the message names the key.
        """
        names = texts("metrics", self.metrics)
        return GateSettings(
            alpha=self.alpha,
            min_runs=self.min_runs,
            metrics=None if names == [ALL] else names,
            min_effect=self.min_effect,
            force=[] if self.force == [] else texts("force", self.force),
            allow_missing=self.allow_missing,
            noise=None if self.noise is None else Path(self.noise),
        )


def require_floors(path: Path) -> None:
    """Refuse a file that is none of noise floors, before anything is measured.

    Raises:
        ValueError: It is none; the message names the key.
    """
    try:
        read_floors(path)
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"noise={error}") from error


@dataclass(kw_only=True)
class OutputConfig:
    """Files that the outcome is written to, beside the terminal; of all commands that judge."""

    markdown: str | None = None
    json: str | None = None
    junit: str | None = None

    def __post_init__(self) -> None:
        """Check that each is a file of its own.

        Raises:
            ValueError: One is empty, a folder, named twice, or cannot be written; the message names
                the key.
        """
        seen: dict[str, str] = {}
        for key, path in self.output_files().items():
            if os.path.isdir(path):
                raise ValueError(f"{key}={path}: is a folder; name a file")
            require_writable(key, path)
            other = seen.setdefault(os.path.realpath(path), key)
            if other != key:
                raise ValueError(f"{key}={path}: is what {other}= writes; name another file")

    def output_files(self) -> dict[str, Path]:
        """Files to write, by key.

        Raises:
            ValueError: One is empty.
        """
        given = {key: getattr(self, key) for key in OUTPUTS if getattr(self, key) is not None}
        for key, value in given.items():
            if not value:
                raise ValueError(f"{key}: must name a file, or be null")
        return {key: expanded(value) for key, value in given.items()}


@dataclass(kw_only=True)
class CompareConfig(JudgeConfig, OutputConfig):
    """All of bench.compare."""

    baseline: str = MISSING
    candidate: str = MISSING
    accept: bool = False

    def __post_init__(self) -> None:
        """Check values, and that no output would overwrite what is compared.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        JudgeConfig.__post_init__(self)
        OutputConfig.__post_init__(self)
        for key in ("baseline", "candidate"):
            if not getattr(self, key):
                raise ValueError(f"{key}: must name a results folder or a baseline file")
            setattr(self, key, str(expanded(getattr(self, key))))
        sides = {os.path.realpath(self.baseline): "baseline"}
        sides.setdefault(os.path.realpath(self.candidate), "candidate")
        for key, path in self.output_files().items():
            if (side := sides.get(os.path.realpath(path))) is not None:
                raise ValueError(f"{key}={path}: is the {side}; name another file")
        if self.accept and len(sides) == 1:
            raise ValueError(
                f"candidate={self.candidate}: is the baseline itself; nothing to accept"
            )
        if self.accept and os.path.isdir(self.baseline):
            raise ValueError(
                f"baseline={self.baseline}: accept=true stores a file, and this is a folder; "
                "name a file, for example baseline=perf/baseline.json"
            )
        if self.accept:
            require_writable("baseline", Path(self.baseline))

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> CompareConfig:
        """The checked configuration from its resolved form.

        Raises:
            ValueError: A value is missing, unknown or out of range.
        """
        missing = [key for key in ("baseline", "candidate") if config.get(key, MISSING) == MISSING]
        if missing:
            raise ValueError(
                f"{', '.join(missing)}: must be given: a results folder or a baseline file each, "
                "as in baseline=perf/baseline.json candidate=results"
            )
        return build_config(cls, config)


def judging_keys(schema: type[JudgeConfig]) -> list[str]:
    """Every key of a command that judges, dotted."""
    return dotted_keys(schema, {}) + [f"min_effect.{metric.name}" for metric in METRICS]


def known_compare_keys() -> list[str]:
    """Every key of bench.compare, dotted."""
    return judging_keys(CompareConfig)
