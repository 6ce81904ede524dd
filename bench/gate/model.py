"""What the gate speaks of: metrics, runs reduced to them, and what became of each comparison.

A *row* is one metric of one configuration, compared between two sides: `base` and `candidate`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.core.arrays import Floats, Ints
from bench.core.metric import Metric
from bench.core.stats.intervals import Estimate

# exact: the same whenever the same work is done, compared from a single run on; measured: takes
# evidence; modelled: shown, never judged; sum: shown, because each of its parts is judged.
Kind = Literal["exact", "measured", "modelled", "sum"]
Verdict = Literal["regression", "improvement", "no change", "underpowered", "not judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRun:
    """A run, reduced to what the gate needs; of a run folder or of a baseline file.

    Attributes:
        values: By name of the metric; without those that the run does not have.
        modelled: Names of metrics whose value was modelled in this run.
        missed: Whether it missed its target; None where there is none.
        facts: What has to be the same on both sides, by dotted name: host, target, data, schema,
            how joules were obtained and of what. Nothing momentary; None for what is not recorded.
        config: What went into config_hash, for saying what differs.
        choices: The option that was chosen for each group of the configuration, as it was written.
        served_model: Which repeat of its training a served model is of, such as `seed 0`; part of
            what pairs runs. None for a training.
        invalid: Why its serving does not count by the rules of its scenario.
        unavailable: Meters that could not be read, with the reason.
        num_finished: How many runs of this configuration, seed and repeat ended as ok; this is the
            one of them that counts.
    """

    run_id: str
    command: str
    config_hash: str
    seed: int
    repeat: int
    started_utc: str
    status: str
    comparable: bool | None = None
    flags: list[str] = field(default_factory=list)
    missed: bool | None = None
    values: dict[str, float] = field(default_factory=dict)
    modelled: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    git_commit: str | None = None
    served_model: str | None = None
    invalid: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    unavailable: list[str] = field(default_factory=list)
    num_finished: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The values of one row, as the rule takes them: paired by seed and repeat, misses infinite.

    Attributes:
        base: Shape (n,), no NaN; infinite (of the bad sign) for a run that missed.
        candidate: Shape (n,), likewise.
        strata: Shape (n,), a number per pair: runs are exchangeable within one, not across.
    """

    metric: Metric
    kind: Kind
    configuration: str
    command: str
    config_hash: str
    base: Floats
    candidate: Floats
    strata: Ints
    floor_frac: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one metric of one configuration.

    Attributes:
        kind: exact, demoted to measured where an A/A pair differs; modelled by its label; sum
            where the parts of a total are judged in its place.
        base: Median; None where it is infinite: most runs missed.
        candidate: Likewise.
        ratio: candidate over base, seed by seed, with its interval or range.
        loss_frac: How much worse the candidate is, as a share of the base; negative for better;
            None where it is infinite or not known.
        threshold_frac: The least loss that counts here: minimum effect or noise floor.
        p: One-sided, that the candidate is not worse; None for an exact metric.
        p_holm: The same, adjusted over all measured rows.
        smallest_seen_frac: The smallest loss that would have been called a regression with this
            many runs of this spread; None where none would have been.
        more_runs: So many more per side would be needed; None where that is not the matter.
        note: A word on this row: demoted, most runs missed, ...
    """

    metric: Metric
    kind: Kind
    configuration: str
    command: str
    config_hash: str
    num_base: int
    num_candidate: int
    base: float | None
    candidate: float | None
    ratio: Estimate | None
    loss_frac: float | None
    threshold_frac: float
    p: float | None
    p_holm: float | None
    verdict: Verdict
    smallest_seen_frac: float | None = None
    more_runs: int | None = None
    note: str = ""


EXIT_PASS, EXIT_REGRESSION = 0, 1
EXIT_WRONG = 2  # a key, a value or a path of the command line, as Hydra's commands have it
EXIT_TOO_LITTLE, EXIT_INCOMPARABLE, EXIT_FAILED, EXIT_NOT_INSTALLED = 3, 4, 5, 6
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_GRAVEST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_WRONG,
    EXIT_INCOMPARABLE,
    EXIT_NOT_INSTALLED,
    EXIT_FAILED,
    EXIT_REGRESSION,
    EXIT_TOO_LITTLE,
)


ProblemKind = Literal[
    "failed",
    "incomparable",
    "missing",
    "health",
    "repeated",
    "unreadable",
    "empty",
    "wrong",
    "interrupted",
    "broken",
]


def gravest(codes: Collection[int]) -> int:
    """Of several exit codes that apply, the one that is returned."""
    return next((code for code in _GRAVEST_FIRST if code in codes), EXIT_PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong with a comparison as a whole, and the exit code that it asks for.

    kind is one of: failed (a run did not end as ok), incomparable, missing (a configuration, seed
    or metric that only one side has), health (dropped for its health flags), repeated (too few runs
    count, because several have the same seed and repeat), unreadable, empty; and where there is no
    comparison: wrong (the command line), interrupted, broken (the command itself).
    """

    kind: ProblemKind
    message: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All rows of two sides, and all that has to be said beside them.

    Attributes:
        base_name: Where the base is from: a path, or a revision.
        candidate_name: Likewise.
        problems: What is wrong; the gravest decides the exit code.
        remarks: What is only to be known: forced, allowed to be missing, drift of the baseline.
        alpha: Level of the whole check (of this look, where there are several).
        provenance: Of both sides: commit, host, number of runs, when.
    """

    base_name: str
    candidate_name: str
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    alpha: float
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """130 before 2 before 4 before 6 before 5 before 1 before 3 before 0."""
        codes = {problem.exit_code for problem in self.problems}
        verdicts = {row.verdict for row in self.rows}
        if "regression" in verdicts:
            codes.add(EXIT_REGRESSION)
        judged = verdicts - {"not judged"}
        if "underpowered" in verdicts or not judged:
            codes.add(EXIT_TOO_LITTLE)
        return gravest(codes)
