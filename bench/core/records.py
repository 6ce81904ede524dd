"""What a run writes down: the schema of run.json, of a row of curve.jsonl and of the ledger.

Field by field, docs/metrics.md gives definition, unit, clock boundary and source. Rules that hold
for all of them: every quantity ends in its unit; what was not measured is None, never 0 or -1;
what was derived can be derived again from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bench.core.labels import EnergyLabel
from bench.core.serving_records import (
    Compression,
    Placement,
    RateStep,
    Recipe,
    Serving,
    Stage,
    TrainedRun,
)

SCHEMA_VERSION = 2
# The kind of error of a run that was interrupted before its process began.
NOT_STARTED = "not_started"

# refused: what was asked for does not exist in this combination, so that nothing was measured.
Status = Literal["ok", "failed", "out_of_memory", "killed", "interrupted", "refused"]
TargetMode = Literal["max", "min"]
TargetRule = Literal["first", "consecutive", "final"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What names a run before anything is measured."""

    run_id: str
    command: str
    config_hash: str
    seed: int
    repeat: int
    started_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRow:
    """One evaluation on the validation split.

    Times and joules are cumulative since the clock started; what eval_energy_j and
    checkpoint_energy_j leave of energy_total_j went into training. bench.train measures all
    qualities; a user's own loop may measure only the one that its target is about. samples is None
    where the size of a batch cannot be known.
    """

    time_s: float
    train_time_s: float
    eval_time_s: float
    checkpoint_time_s: float
    samples: int | None
    steps: int
    epochs: float | None
    energy_total_j: float | None
    energy_label: EnergyLabel | None
    energy_error_frac: float | None = None
    eval_energy_j: float | None = None
    checkpoint_energy_j: float | None = None
    train_loss: float | None
    loss: float | None = None
    accuracy: float | None = None
    macro_f1: float | None = None
    worst_class_recall: float | None = None
    expected_calibration_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """The target, whether and at what cost it was reached; censored_at_* when it was not."""

    metric: str
    value: float
    mode: TargetMode
    rule: TargetRule
    consecutive: int
    reached: bool
    best_value: float | None = None  # over all evaluations: how near a run that missed came
    time_to_target_s: float | None = None
    last_miss_s: float | None = None
    train_time_to_target_s: float | None = None
    energy_to_target_j: float | None = None
    energy_to_target_error_frac: float | None = None
    samples_to_target: int | None = None
    steps_to_target: int | None = None
    epochs_to_target: float | None = None
    cost_to_target_usd: float | None = None
    emissions_to_target_gco2e: float | None = None
    censored_at_s: float | None = None
    censored_at_j: float | None = None
    # The hardware factor: time_per_sample_s * samples_to_target == time_to_target_s. Known for a
    # run that missed too, over all its samples.
    time_per_sample_s: float | None = None
    energy_per_sample_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRung:
    """Time, joules and samples at the first evaluation that met this threshold."""

    value: float
    reached: bool
    time_s: float | None = None
    energy_j: float | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Wall time by phase: launch_s and init_s before the clock, the others sum to wall_time_s.

    A phase that the command does not have, or whose time is not known, is None: that of a run which
    was killed before its first evaluation, say. 0 is known: the clock never started.
    """

    launch_s: float | None = None
    init_s: float | None = None
    train_s: float | None = None
    eval_s: float | None = None
    checkpoint_s: float | None = None
    serve_s: float | None = None
    wall_time_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRow:
    """Joules of one component over the clock, with where they came from and how far to trust them.

    label says how: read from a counter, integrated from power, modelled, or a constant.
    energy_error_frac bounds the systematic error, as a share of energy_j.
    """

    component: str
    energy_j: float
    source: str
    label: EnergyLabel
    refresh_s: float | None = None
    energy_error_frac: float | None = None
    below_resolution: bool = False
    counter_reset: bool = False
    counter_gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnergy:
    """Joules by phase, without constants: train, eval and checkpoint sum to energy_total_j.

    init_j lies before the clock and is not in that sum; it is of the last init_metered_s seconds
    of set-up, from when the meters were open. *_error_frac bound the systematic error, as a share
    of the joules: that of a window, with the edges of every stretch of the phase. below_resolution
    names the phases whose edges alone can shift more than 2%. Both are None where only the curve
    is known.
    """

    init_j: float | None = None
    train_j: float
    eval_j: float
    checkpoint_j: float
    init_metered_s: float | None = None
    init_error_frac: float | None = None
    train_error_frac: float | None = None
    eval_error_frac: float | None = None
    checkpoint_error_frac: float | None = None
    below_resolution: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableMeter:
    """A meter that was asked for and could not be read, with the reason."""

    meter: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """Mean use over the clock and peaks over the run; fractions are of all CPUs, 0 to 1."""

    cpu_process_frac: float | None = None
    cpu_machine_frac: float | None = None
    memory_peak_bytes: int | None = None
    gpu_busy_frac: float | None = None
    gpu_memory_peak_bytes: int | None = None
    cgroup_cpu_frac: float | None = None
    gpu_power_cap_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Power of the idle machine around a run, and what the run took beyond it.

    net_error_frac bounds the error of net_energy_j, as a share of it.
    """

    each_s: float
    before_w: float | None = None
    after_w: float | None = None
    net_energy_j: float | None = None
    net_error_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Quality on one split: at the crossing, at the end of a run that missed, or as it was served.

    Fractions lie in 0 to 1; loss is the mean cross-entropy in nats per sample. A quality that is
    not a finite number is None.
    """

    at: Literal["crossing", "end", "served"]
    loss: float | None
    accuracy: float | None
    macro_f1: float | None
    worst_class_recall: float | None
    expected_calibration_error: float | None
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Size of the trained model; FLOPs are of one forward pass of one sample."""

    name: str
    num_parameters: int | None = None
    size_bytes: int | None = None
    flops_per_sample: int | None = None
    flops_uncounted_ops: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the run is fit to be compared, and what speaks against it.

    Flags of ENERGY_FLAGS speak against its joules only and leave it fit.
    """

    fit: bool
    flags: list[str] = field(default_factory=list)
    sampler_overhead_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run did not end as ok."""

    kind: str
    message: str
    traceback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """run.json: everything about one run, written last and atomically."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    command: str
    config_hash: str
    seed: int
    repeat: int
    started_utc: str
    status: Status
    error: RunError | None = None
    config: dict[str, Any]
    host: dict[str, Any]
    target: TargetResult | None = None
    ladder: list[LadderRung] = field(default_factory=list)
    phases: Phases = field(default_factory=Phases)
    energy: list[EnergyRow] = field(default_factory=list)
    energy_total_j: float | None = None
    energy_label: EnergyLabel | None = None
    energy_error_frac: float | None = None
    phase_energy: PhaseEnergy | None = None
    idle: Idle | None = None
    unavailable_meters: list[UnavailableMeter] = field(default_factory=list)
    codecarbon_energy_j: float | None = None
    codecarbon_emissions_gco2e: float | None = None
    codecarbon_version: str | None = None
    codecarbon_tracking_mode: str | None = None
    utilization: Utilization | None = None
    quality: Quality | None = None
    quality_test: Quality | None = None
    model: ModelFacts | None = None
    serving: Serving | None = None
    recipe: Recipe | None = None
    trained: TrainedRun | None = None
    compression: Compression | None = None
    placement: Placement | None = None
    stages: list[Stage] = field(default_factory=list)
    rate_search: list[RateStep] = field(default_factory=list)
    health: Health | None = None
