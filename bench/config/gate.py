"""The configuration of bench.compare, bench.ab and bench.noise: every key, its type and range.

Names of metrics and facts, and files of noise floors, are the gate's own: it checks them in
bench/gate/settings.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Le, Lt

from bench.core.checks import (
    EXPANDED,
    MISSING,
    Folder,
    KeyGroup,
    PositiveAmount,
    Selection,
    Texts,
    matching,
    not_blank,
    require_writable,
)

OUTPUTS = ("markdown", "json", "junit")
RUNS_PER_ROUND = 2  # of each side: base, head, head, base
_ROUNDS_PER_LOOK = 2
_MOST_RUNS = 1000

_Effect = Annotated[float, Ge(0)]
_Runs = Annotated[int, Ge(1), Le(_MOST_RUNS)]
_Revision = Annotated[str, not_blank("must name a revision, for example origin/main or HEAD~1")]
_Side = Annotated[str, not_blank("must name a results folder or a baseline file"), EXPANDED]
_Output = Annotated[str, not_blank("must name a file, or be null"), EXPANDED] | None
_Program = Annotated[str, not_blank("must not be empty; leave it out, or give null")] | None
_Module = Annotated[
    str,
    matching(
        r"[^\W\d]\w*(\.[^\W\d]\w*)*$",
        "must be a module as `python -m` takes it, for example bench.train",
    ),
]


@dataclass(kw_only=True)
class JudgeConfig(KeyGroup):
    """What counts as a regression, and what is overlooked; of all commands that judge.

    Attributes:
        alpha: Chance of any false alarm in a check.
        min_runs: Fewest runs per side that a measured metric is judged from.
        metrics: Names of the metrics to compare; None for all that the runs have.
        min_effect: Least loss that counts, by name of the metric, in place of its own.
        force: Facts that may differ: exact names (`host.name`) or groups (`host`); `health` keeps
            runs that are not comparable and servings that are not valid; `config` treats
            configurations as one that differ only in keys which one side does not have.
        allow_missing: Whether it is only remarked on that one side does not have something.
        noise: File of noise floors; None for none.
    """

    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    min_runs: _Runs = 5
    metrics: Selection = None
    min_effect: dict[str, _Effect] = field(default_factory=dict)
    force: Texts = field(default_factory=list)
    allow_missing: bool = False
    noise: Annotated[str, EXPANDED] | None = None


@dataclass(kw_only=True)
class OutputConfig(KeyGroup):
    """Files that the outcome is written to, beside the terminal; of all commands that judge."""

    markdown: _Output = None
    json: _Output = None
    junit: _Output = None

    def __post_init__(self) -> None:
        """Check that each is a file of its own.

        Raises:
            ValueError: One is a folder, named twice, or cannot be written; the message names the
                key.
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
        """Files to write, by key."""
        given = {key: getattr(self, key) for key in OUTPUTS}
        return {key: Path(path) for key, path in given.items() if path is not None}


@dataclass(kw_only=True)
class CompareConfig(JudgeConfig, OutputConfig):
    """All of bench.compare."""

    baseline: _Side = MISSING
    candidate: _Side = MISSING
    accept: bool = False

    def __post_init__(self) -> None:
        """Check that nothing would overwrite what is compared.

        Raises:
            ValueError: A file would; the message names the key.
        """
        super().__post_init__()
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
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """The checked configuration from its resolved values.

        Raises:
            ValueError: A value is missing, unknown or out of range.
        """
        missing = [key for key in ("baseline", "candidate") if values.get(key, MISSING) == MISSING]
        if missing:
            raise ValueError(
                f"{', '.join(missing)}: must be given: a results folder or a baseline file each, "
                "as in baseline=perf/baseline.json candidate=results"
            )
        return super().from_dict(values, above)


@dataclass(kw_only=True)
class MeasuredConfig(KeyGroup):
    """How a revision is run; of bench.ab and bench.noise."""

    module: _Module = "bench.train"
    install: _Program = None
    python: _Program = None
    warmup: Annotated[int, Ge(0), Le(_MOST_RUNS)] = 1
    results: Annotated[Folder, EXPANDED] = "results"
    allow_dirty: bool = False


@dataclass(kw_only=True)
class AbConfig(JudgeConfig, OutputConfig, MeasuredConfig):
    """All of bench.ab; min_runs is also where the first look is."""

    base: _Revision = MISSING
    head: _Revision = "HEAD"
    min_runs: _Runs = 6
    max_runs: _Runs = 16
    budget_s: PositiveAmount | None = None

    def __post_init__(self) -> None:
        """Check that there is a look, and the files to write.

        Raises:
            ValueError: There is none, or a file cannot be written; the message names the key.
        """
        super().__post_init__()
        if self.max_runs < self.min_runs:
            raise ValueError(f"max_runs={self.max_runs}: must be at least min_runs={self.min_runs}")

    @property
    def looks(self) -> list[int]:
        """Runs per side at each look, in order; whole rounds."""
        first, last = _whole_rounds(self.min_runs), _whole_rounds(self.max_runs)
        return [*range(first, last, _ROUNDS_PER_LOOK * RUNS_PER_ROUND), last]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """The checked configuration from its resolved values.

        Raises:
            ValueError: A value is missing, unknown or out of range.
        """
        if values.get("base", MISSING) == MISSING:
            raise ValueError(
                "base: must be given: the revision to compare with, as in base=origin/main"
            )
        return super().from_dict(values, above)


@dataclass(kw_only=True)
class NoiseConfig(MeasuredConfig):
    """All of bench.noise."""

    ref: _Revision = "HEAD"
    runs: Annotated[int, Ge(RUNS_PER_ROUND), Le(_MOST_RUNS)] = 10
    noise: Annotated[str, not_blank("must name a file"), EXPANDED] = "results/noise.json"

    def __post_init__(self) -> None:
        """Check that the floors can be stored, before runs are made for them.

        Raises:
            ValueError: The file cannot be written; the message names the key.
        """
        require_writable("noise", Path(self.noise))

    @property
    def num_runs(self) -> int:
        """Runs per side; whole rounds."""
        return _whole_rounds(self.runs)


def _whole_rounds(num_runs: int) -> int:
    """Rounded up to the runs per side of whole rounds."""
    return -(-num_runs // RUNS_PER_ROUND) * RUNS_PER_ROUND
