"""The table that ends bench.maintain, one row per configuration, and the line that ends a run.

Every number of the table is a median over repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console, RenderableType

from bench.core.price import known_basis
from bench.core.records.maintenance import Maintenance
from bench.core.records.run import RunRecord
from bench.core.regret import deployment_of, paying_prices_usd, regrets
from bench.core.scales import COUNT, ENERGY, MONEY, PERCENT, PLAIN, TIME, quantity
from bench.runs.table.columns import Column, fit_table, legend, number_column
from bench.runs.table.fields import field_column, field_medians, joules_column, joules_of
from bench.runs.table.groups import (
    Finished,
    Group,
    ending_line,
    flag_notes,
    group_runs,
    headline,
    incomparable_column,
    name_columns,
    outcome_column,
)
from bench.runs.table.medians import median_of
from bench.runs.table.nodes import node_columns, node_notes
from bench.runs.table.selection import rank_of, select_rows

_SHARE, _EXCESS = "maintenance.on_target_frac", "maintenance.excess_errors"
_UPKEEP, _RETRAIN = "maintenance.energy_per_1000_on_target_j", "phase_energy.retrain_j"
_COST = "maintenance.cost_usd"
_UPKEEP_HEADING = "upkeep per\n1,000\non target"
_NEVER = "(never)"
# The fields that sweep.csv has for deployments only.
SWEEP_COLUMNS = (
    "maintenance.policy",
    "maintenance.detector",
    "maintenance.target_value",
    "maintenance.on_target_frac",
    "maintenance.excess_errors",
    "maintenance.num_errors",
    "maintenance.mean_accuracy",
    "maintenance.worst_accuracy",
    "maintenance.num_retrains",
    "maintenance.num_promoted",
    "maintenance.num_wasted",
    "maintenance.labels_used",
    "maintenance.held_out_errors",
    "maintenance.manual_hours",
    "maintenance.cost_usd",
    "maintenance.upkeep_j",
    "maintenance.energy_per_1000_on_target_j",
    "maintenance.detect_time_per_prediction_s",
    "maintenance.num_alarms",
    "maintenance.num_false_alarms",
    "maintenance.detection_delay_mean",
    "maintenance.staleness_mean",
    "maintenance.swap_delay_mean",
    "maintenance.regret_reason",
    "phases.retrain_s",
    "phase_energy.retrain_j",
    "phase_energy.retrain_error_frac",
)


class Compared:
    """What follows where runs meet, by run id.

    Attributes:
        regrets: Of each run that served anything.
        paying_usd: The price of an error from which on it is cheaper than never retraining; None
            if it never is.
    """

    def __init__(self, records: Sequence[RunRecord]) -> None:
        """Compare runs with the oracle, and with never retraining, on the same stream."""
        runs = [run for record in records if (run := deployment_of(record)) is not None]
        ids = [run.run_id for run in runs]
        self.regrets = dict(zip(ids, regrets(runs), strict=True))
        self.paying_usd = dict(zip(ids, paying_prices_usd(runs), strict=True))


def maintain_tables(runs: Sequence[Finished], console: Console) -> Sequence[RenderableType]:
    """Show the runs: a headline, a row per configuration, and what the columns mean.

    Of many configurations, the table shows those with the fewest and the most excess errors.

    Args:
        runs: Records, each with the overrides it was started with.
        console: Where the table is printed; a wider one shows more columns.
    """
    records = [record for _, record in runs]
    compared = Compared(records)
    groups = group_runs(runs)
    ranks = [rank_of("excess errors", each) for each in field_medians(groups, _EXCESS)]
    rows, gaps, note = select_rows(groups, ranks)
    columns = [
        *_outcome_columns(rows, console),
        incomparable_column(rows),
        *node_columns(rows),
        *_columns(rows, compared),
    ]
    table = fit_table(name_columns(rows, console), columns, console, gaps=gaps)
    notes = [note, *_regret_notes(records, compared), *flag_notes(records), *node_notes(records)]
    return [
        headline("maintain", runs, groups, console, _target_text(records)),
        table.table,
        *legend([table], console, *notes),
    ]


def maintain_line(record: RunRecord) -> str:
    """How a run ended, in one line: `on target 93% of 4000 predictions, 3 retrainings, 12 J`."""
    kept = record.maintenance
    if record.status != "ok" or kept is None:
        return ending_line(record)
    parts = [_share_text(kept), _count(kept.num_retrains, "retraining")]
    if kept.upkeep_j is not None:
        parts.append(f"{quantity(kept.upkeep_j, ENERGY)} of upkeep")
    return ", ".join(parts)


def _share_text(kept: Maintenance) -> str:
    served = _count(kept.num_predictions, "prediction")
    if kept.on_target_frac is None:
        return f"{served} of unknown accuracy"
    if not kept.on_target_frac:
        worst = "" if kept.mean_accuracy is None else f", mean accuracy {kept.mean_accuracy:.4g}"
        return f"never on target ({kept.target_value:g}) in {served}{worst}"
    return f"on target ({kept.target_value:g}) for {100 * kept.on_target_frac:.3g}% of {served}"


def _outcome_columns(groups: Sequence[Group], console: Console) -> list[Column]:
    """The outcomes, if any run did not serve its whole stream."""
    if all(run.status == "ok" for group in groups for run in group.runs):
        return []
    return [outcome_column(groups, "served", _outcome, console)]


def _outcome(record: RunRecord) -> str | None:
    """Whether a run served its whole stream; None if its status says what happened."""
    return "served" if record.status == "ok" else None


def _target_text(records: Sequence[RunRecord]) -> str:
    """The accuracy to hold and the predictions, if all runs share them."""
    texts = {
        f"accuracy >= {kept.target_value:g} over {kept.num_predictions:,} predictions"
        for record in records
        if (kept := record.maintenance) is not None
    }
    return texts.pop() if len(texts) == 1 else ""


def _columns(groups: Sequence[Group], compared: Compared) -> list[Column]:
    """All columns but the outcome, in the order in which they are shown."""
    upkeep_note = (
        "Upkeep: joules of detecting, deciding, retraining and promoting, per 1,000 predictions in "
        "windows on target."
    )
    excess_note = "Excess errors: errors beyond those that the target allows."
    return [
        _share_column(groups),
        field_column(groups, _EXCESS, PLAIN, rank=2, note=excess_note),
        field_column(groups, "maintenance.num_retrains", PLAIN, rank=1),
        joules_column(_UPKEEP_HEADING, joules_of(groups, _UPKEEP), rank=2, note=upkeep_note),
        _regret_column(groups, compared),
        joules_column("retraining", joules_of(groups, _RETRAIN), rank=4),
        field_column(groups, "phases.retrain_s", TIME, rank=5),
        field_column(groups, "maintenance.labels_used", COUNT, rank=6),
        field_column(groups, "maintenance.detect_time_per_prediction_s", TIME, rank=7),
        _paying_column(groups, compared),
        _cost_column(groups),
        field_column(groups, "maintenance.mean_accuracy", PERCENT, rank=9),
        field_column(groups, "maintenance.num_wasted", PLAIN, rank=10),
        field_column(groups, "maintenance.num_false_alarms", PLAIN, rank=11),
        field_column(groups, "maintenance.detection_delay_mean", PLAIN, rank=12),
    ]


def _share_column(groups: Sequence[Group]) -> Column:
    """The share of predictions in windows on target; a policy that never was is marked."""
    medians = field_medians(groups, _SHARE)
    shares = [[run.maintenance for run in group.measured if run.maintenance] for group in groups]
    marks = [
        _NEVER if runs and not any(run.on_target_frac for run in runs) else "" for runs in shares
    ]
    note = "On target: share of the predictions that were served in windows at or above the target."
    if any(marks):
        note += " (never): no window was, so there is no upkeep per 1,000 on target."
    return number_column("on target", medians, PERCENT, rank=1, note=note, suffixes=marks)


def _regret_column(groups: Sequence[Group], compared: Compared) -> Column:
    medians = [
        median_of(
            regret.usd for run in group.measured if (regret := compared.regrets.get(run.run_id))
        )
        for group in groups
    ]
    note = (
        "Regret: cost of upkeep and errors, minus that of the oracle on the same stream with the "
        "same seed."
    )
    return number_column("regret", medians, MONEY, rank=3, note=note)


def _paying_column(groups: Sequence[Group], compared: Compared) -> Column:
    medians = [
        median_of(compared.paying_usd.get(run.run_id) for run in group.measured) for group in groups
    ]
    note = "Pays from: price of an error from which on a policy is cheaper than policy=never."
    return number_column("pays from", medians, MONEY, rank=7, note=note)


def _cost_column(groups: Sequence[Group]) -> Column:
    """Dollars of the upkeep, and what their part for the machine pays for."""
    bases = {known_basis(run.config.get("price")) for group in groups for run in group.measured}
    basis = ", ".join(sorted(filter(None, bases)))
    note = f"Cost: {basis} of the upkeep, labels and people." if basis else ""
    return number_column("cost", field_medians(groups, _COST), MONEY, rank=8, note=note)


def _regret_notes(records: Sequence[RunRecord], compared: Compared) -> list[str]:
    """Why runs have no regret, and what an error costs."""
    ended = [record for record in records if record.status == "ok" and record.maintenance]
    reasons = Counter(compared.regrets[each.run_id].reason for each in ended)
    known = reasons.pop("", 0)
    notes = [
        f"Regret is unknown for {_count(num, 'run')}: {text}." for text, num in reasons.items()
    ]
    prices = {record.config["error_price_usd"] for record in ended}
    if known and prices == {0}:
        notes.append("An error costs nothing (error_price_usd=0), so regret compares upkeep alone.")
    return notes


def _count(num: int, word: str) -> str:
    return f"{num:,} {word}{'s' * (num != 1)}"
