"""Derives a record from the curve of a run, in the same way for finished and for killed runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from bench.core.labels import ENERGY_FLAGS
from bench.core.metric import CARBON, MONEY, PER_PREDICTION
from bench.core.metrics import METRICS
from bench.core.price import known_basis
from bench.core.records.curve import CurveRow
from bench.core.records.energy import PhaseEnergy
from bench.core.records.phases import Phases
from bench.core.records.run import RunError, RunIdentity, RunRecord, Status
from bench.core.target import Spent, TargetConfig, ladder, target_result


def _phases_at(row: CurveRow) -> Phases:
    return Phases(
        train_s=row.train_time_s,
        eval_s=row.eval_time_s,
        checkpoint_s=row.checkpoint_time_s,
        wall_time_s=row.time_s,
    )


def _phase_energy_at(row: CurveRow) -> PhaseEnergy | None:
    parts = (row.energy_total_j, row.eval_energy_j, row.checkpoint_energy_j)
    if any(joules is None for joules in parts):
        return None
    total_j, eval_j, checkpoint_j = (float(joules or 0.0) for joules in parts)
    return PhaseEnergy(
        train_j=total_j - eval_j - checkpoint_j, eval_j=eval_j, checkpoint_j=checkpoint_j
    )


_JOULES_OF_TARGET = (
    "energy_to_target_j",
    "energy_to_target_error_frac",
    "energy_per_sample_j",
    "censored_at_j",
)
_JOULES_OF_RUN = ("energy_total_j", "energy_label", "energy_error_frac", "phase_energy", "idle")
_JOULES_OF_PREDICTION = (
    "energy_per_prediction_label",
    "energy_per_prediction_error_frac",
    # Money and carbon are derived from these later.
    *(
        metric.path.removeprefix("serving.")
        for metric in METRICS.values()
        if metric.joules == PER_PREDICTION and metric.unit not in (MONEY, CARBON)
    ),
)
_DEPLOYMENT = "maintain"  # the command
_OF_MAINTENANCE = "maintenance."
_JOULES_OF_MAINTENANCE = tuple(
    path.removeprefix(_OF_MAINTENANCE)
    for path, metric in METRICS.items()
    if path.startswith(_OF_MAINTENANCE) and metric.joules
)


def without_doubtful_joules(record: RunRecord) -> RunRecord:
    """Drop the joules of a record if one of its health flags speaks against them.

    A meter may be found to have failed only at the end. What was read before is then part of what
    was used, and would look like a saving. Components that were measured keep their rows.
    """
    return without_joules(record) if has_doubtful_joules(record) else record


def has_doubtful_joules(record: RunRecord) -> bool:
    """Whether a health flag of a run speaks against its joules."""
    return record.health is not None and not set(ENERGY_FLAGS).isdisjoint(record.health.flags)


def without_joules(record: RunRecord) -> RunRecord:
    """Drop the joules of a record, except the rows of the components that were measured."""
    target, serving, maintenance = record.target, record.serving, record.maintenance
    of_run: dict[str, Any] = dict.fromkeys(_JOULES_OF_RUN)
    of_target: dict[str, Any] = dict.fromkeys(_JOULES_OF_TARGET)
    of_prediction: dict[str, Any] = dict.fromkeys(_JOULES_OF_PREDICTION)
    of_prediction["energy_per_prediction_components"] = []
    of_maintenance: dict[str, Any] = dict.fromkeys(_JOULES_OF_MAINTENANCE)
    if maintenance and known_basis(record.config.get("price")) == "rental":
        of_maintenance["cost_usd"] = maintenance.cost_usd  # no part of it is for joules
    return replace(
        record,
        **of_run,
        target=target and replace(target, **of_target),
        ladder=[replace(rung, energy_j=None) for rung in record.ladder],
        serving=serving and replace(serving, **of_prediction),
        maintenance=maintenance and replace(maintenance, **of_maintenance),
    )


def outcome_record(
    identity: RunIdentity,
    config: Mapping[str, Any],
    rows: Sequence[CurveRow],
    *,
    status: Status,
    error: RunError | None = None,
    host: Mapping[str, Any] | None = None,
    phases: Phases | None = None,
    phase_energy: PhaseEnergy | None = None,
    spent: Spent | None = None,
    finished: bool = False,
    cut_off_by: str | None = None,
) -> RunRecord:
    """Make a record from the curve of a run and from what else is known.

    Without `phases` and `spent` (and the `phase_energy` that belongs to it), the values at the last
    evaluation count as the end of the run. `finished` says that the schedule ran to its end,
    `cut_off_by` which limit of a search ended the run before.
    """
    last = rows[-1] if rows else None
    if spent is None and last is not None:
        spent, phase_energy = Spent.at(last), _phase_energy_at(last)
    facts: dict[str, Any] = {}
    # A run of bench.serve has none, and in a deployment each training has one of its own.
    if identity.command != _DEPLOYMENT and (target_keys := config.get("target")):
        target = TargetConfig.from_dict(target_keys, "target.").build()
        # A run that failed or was killed would not have hit later.
        censored = status in ("ok", "interrupted")
        result = target_result(
            rows,
            target,
            finished=finished,
            spent=spent,
            censored=censored,
            cut_off_by=cut_off_by,
        )
        facts = {"target": result, "ladder": ladder(rows, target)}
    return RunRecord(
        **asdict(identity),
        **facts,
        status=status,
        error=error,
        config=dict(config),
        host=dict(host or {}),
        phases=phases or (_phases_at(last) if last else Phases()),
        energy_total_j=spent.energy_j if spent else None,
        energy_label=last.energy_label if last else None,
        phase_energy=phase_energy,
    )


def best_value(record: RunRecord) -> float | None:
    """The best value of its target's metric that a run reached; in old records the last value."""
    if record.target is None:
        return None
    if record.target.best_value is not None or record.quality is None:
        return record.target.best_value
    return record.quality.values.get(record.target.metric)
