"""The record of one run: the schema of run.json.

Rules that hold for all records: every quantity ends in its unit; what was not measured is None,
never 0 or -1; what was derived can be derived again from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bench.core.labels import EnergyLabel
from bench.core.records.compression import Compression
from bench.core.records.energy import EnergyRow, Idle, PhaseEnergy, UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.phases import Phases
from bench.core.records.placement import Placement
from bench.core.records.recipe import Recipe
from bench.core.records.serving import RateStep, Serving, Stage, TrainedRun
from bench.core.records.target import LadderRung, TargetResult

SCHEMA_VERSION = 2
# The kind of error of a run that was interrupted before its process began.
NOT_STARTED = "not_started"
# refused: what was asked for does not exist in this combination, so that nothing was measured.
Status = Literal["ok", "failed", "out_of_memory", "killed", "interrupted", "refused"]


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
