"""The configuration of bench.ab and bench.noise: what is measured, how, and how it is judged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.core.checks import (
    MISSING,
    build_config,
    dotted_keys,
    require_at_least,
    require_positive,
    require_writable,
)
from bench.core.files import expanded
from bench.gate.config import JudgeConfig, OutputConfig, judging_keys, require_floors
from bench.gate.settings import CONFIG, GateSettings

RUNS_PER_ROUND = 2  # of each side: base, head, head, base
_ROUNDS_PER_LOOK = 2


def _whole_rounds(num_runs: int) -> int:
    """Rounded up to the runs per side of whole rounds."""
    return -(-num_runs // RUNS_PER_ROUND) * RUNS_PER_ROUND


@dataclass(kw_only=True)
class MeasuredConfig:
    """How a revision is run; of both commands."""

    module: str = "bench.train"
    install: str | None = None
    python: str | None = None
    warmup: int = 1
    results: str = "results"
    allow_dirty: bool = False

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        if not all(part.isidentifier() for part in self.module.split(".")):
            raise ValueError(
                f"module={self.module}: must be a module as `python -m` takes it, "
                "for example bench.train"
            )
        for key in ("install", "python"):
            if getattr(self, key) == "":
                raise ValueError(f"{key}: must not be empty; leave it out, or give null")
        require_at_least("warmup", self.warmup, 0, 1000)
        if not self.results:
            raise ValueError("results: must name a folder")
        self.results = str(expanded(self.results))


@dataclass(kw_only=True)
class AbConfig(JudgeConfig, OutputConfig, MeasuredConfig):
    """All of bench.ab; min_runs is also where the first look is."""

    base: str = MISSING
    head: str = "HEAD"
    min_runs: int = 6
    max_runs: int = 16
    budget_s: float | None = None

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        JudgeConfig.__post_init__(self)
        OutputConfig.__post_init__(self)
        MeasuredConfig.__post_init__(self)
        for key in ("base", "head"):
            _require_revision(key, getattr(self, key))
        require_at_least("max_runs", self.max_runs, 1, 1000)
        if self.max_runs < self.min_runs:
            raise ValueError(f"max_runs={self.max_runs}: must be at least min_runs={self.min_runs}")
        require_positive("budget_s", self.budget_s)

    def settings(self) -> GateSettings:
        """As the gate takes it; both revisions are given the same, so a new key is no difference.

        Raises:
            ValueError: A value is out of range or a name unknown; the message names the key.
        """
        judged = super().settings()
        return replace(judged, force=[*judged.force, CONFIG])

    @property
    def looks(self) -> list[int]:
        """Runs per side at each look, in order; whole rounds."""
        first, last = _whole_rounds(self.min_runs), _whole_rounds(self.max_runs)
        return [*range(first, last, _ROUNDS_PER_LOOK * RUNS_PER_ROUND), last]

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> AbConfig:
        """The checked configuration from its resolved form.

        Raises:
            ValueError: A value is missing, unknown or out of range.
        """
        if config.get("base", MISSING) == MISSING:
            raise ValueError(
                "base: must be given: the revision to compare with, as in base=origin/main"
            )
        return build_config(cls, config)


@dataclass(kw_only=True)
class NoiseConfig(MeasuredConfig):
    """All of bench.noise."""

    ref: str = "HEAD"
    runs: int = 10
    noise: str = "results/noise.json"

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        super().__post_init__()
        _require_revision("ref", self.ref)
        require_at_least("runs", self.runs, RUNS_PER_ROUND, 1000)
        if not self.noise:
            raise ValueError("noise: must name a file")
        path = expanded(self.noise)
        self.noise = str(path)
        if os.path.exists(path):
            require_floors(path)
        require_writable("noise", path)

    @property
    def num_runs(self) -> int:
        """Runs per side; whole rounds."""
        return _whole_rounds(self.runs)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> NoiseConfig:
        """The checked configuration from its resolved form.

        Raises:
            ValueError: A value is unknown or out of range.
        """
        return build_config(cls, config)


def _require_revision(key: str, ref: str) -> None:
    if not ref:
        raise ValueError(f"{key}: must name a revision, for example origin/main or HEAD~1")


def known_ab_keys() -> list[str]:
    """Every key of bench.ab, dotted."""
    return judging_keys(AbConfig)


def known_noise_keys() -> list[str]:
    """Every key of bench.noise."""
    return dotted_keys(NoiseConfig, {})
