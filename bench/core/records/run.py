"""The record of one run: the schema of run.json.

Rules for all records: the name of a quantity ends in its unit; a value that was not measured is
None, never 0 or -1; every derived value can be derived again from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from bench.core.labels import EnergyLabel
from bench.core.records.compression import Compression
from bench.core.records.energy import EnergyRow, Idle, PhaseEnergy, UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.core.records.maintenance import Maintenance
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.node import NodeFacts
from bench.core.records.phases import Phases
from bench.core.records.placement import Placement
from bench.core.records.program import Program
from bench.core.records.recipe import Recipe
from bench.core.records.serving import RateStep, Serving, Stage, TrainedRun
from bench.core.records.skew import Skew
from bench.core.records.target import LadderRung, TargetResult
from bench.core.records.task import TaskFacts

SCHEMA_VERSION = 2
# The kind of error of a run that was interrupted before its process began.
NOT_STARTED = "not_started"
# refused: the combination that was asked for does not exist, so nothing was measured.
Status = Literal["ok", "failed", "out_of_memory", "killed", "interrupted", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What identifies a run before anything is measured."""

    run_id: str
    command: str
    config_hash: str
    seed: int
    repeat: int
    started_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run did not end as ok.

    Attributes:
        kind: Kind of the error, such as `diverged`, `no_metrics`, `not_evaluated`, `no_batches`,
            `node_failed` or `not_started`.
        message: One line. For a refused run, it says what does not exist and what exists instead.
        traceback: Traceback, if an exception ended the run.
    """

    kind: str
    message: str
    traceback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """run.json: everything about one run, written last and atomically.

    Attributes:
        schema_version: Version of the record's form.
        run_id: Name of the run and of its folder.
        command: Command that made the run, such as `train`.
        config_hash: Hash of the resolved configuration, except for a few keys; see Identity and the
            ledger.
        seed: Sets the initial weights, the order of the data and dropout.
        repeat: Counts runs of the same configuration and seed.
        started_utc: Wall clock at launch, to the second.
        status: How the run ended: `ok` (by itself, reached or missed), `failed`, `out_of_memory`,
            `killed`, `interrupted` or `refused`; see How a run ends.
        error: Why the run did not end as `ok`: `kind`, `message` and `traceback`.
        config: Resolved configuration.
        host: Name, system, CPU, memory, batch job, threads, Python, libraries, GPUs, git commit and
            whether it was dirty; for `bench.serve` also the runtime. See Identity and the ledger.
        task: What was learned, from which data.
        target: The target, and the cost of reaching it.
        ladder: For each further threshold, the first evaluation that met it.
        phases: Wall time by phase.
        energy: Joules by component, one row each.
        energy_total_j: Sum of the components over the clock, without constants. None if any part
            failed, or if a GPU of the run has no joules.
        energy_label: Weakest label of the components in the total.
        energy_error_frac: Bound on the systematic error of the total, as a share of it. The errors
            of the parts are added, since nothing says that they cancel.
        phase_energy: The total by phase.
        idle: Power of the idle machine before and after the run, and the net energy, if
            `meter.idle_s` is above 0.
        unavailable_meters: Meters and other counters that could not be read, or failed.
        codecarbon_energy_j: CodeCarbon's own estimate of the joules; never mixed with ours.
        codecarbon_emissions_gco2e: CodeCarbon's own estimate of the emissions.
        codecarbon_version: Version of CodeCarbon.
        codecarbon_tracking_mode: `machine` or `process`.
        utilization: Use of CPUs, memory and GPUs.
        quality: Quality on the validation split, of the model as it was saved.
        quality_test: Quality on the test split, on which nothing was chosen, of the model as it was
            saved or served.
        model: Size of the model.
        serving: Latency, throughput and cost of predictions.
        recipe: The run that this one builds on, with `recipe=distill` or `recipe=prune`.
        trained: The training run whose model is served.
        compression: The compressed model against the uncompressed.
        skew: What the training and the serving path make of the same inputs.
        placement: Where the model was served.
        stages: Parts of the latency over HTTP; one row each.
        rate_search: Every pass of the search for the largest rate, in order.
        maintenance: What it cost to keep a deployed model accurate (`bench.maintain`).
        program: What `bench.measure` ran, and how it ended.
        health: Whether the run may be compared with others.
        nodes: Each node of a training over several nodes. The fields above that are measured are
            sums over the nodes (joules, powers, emissions), means (shares of utilization) or the
            largest (peaks of memory, overhead of the sampler); the clock and `host` are those of
            node 0. Empty for a training on one node.
    """

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
    task: TaskFacts | None = None
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
    skew: Skew | None = None
    placement: Placement | None = None
    stages: list[Stage] = field(default_factory=list)
    rate_search: list[RateStep] = field(default_factory=list)
    maintenance: Maintenance | None = None
    program: Program | None = None
    health: Health | None = None
    nodes: list[NodeFacts] = field(default_factory=list)

    @property
    def identity(self) -> RunIdentity:
        """What identified the run before anything was measured."""
        names = (each.name for each in fields(RunIdentity))
        return RunIdentity(**{name: getattr(self, name) for name in names})
