"""Sums up the windows and events of a deployment, in the same way for finished and killed runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from bench.core.identity import part_name
from bench.core.records.maintenance import Maintenance, MaintenanceEvent, WindowRow
from bench.core.stats.intervals import median
from bench.core.target import meets

UPKEEP = ("detect", "decide", "retrain", "promote")
# A gain of less than this many standard errors may be chance.
_ERRORS_OF_A_GAIN = 2.0
_PER_10K = 10_000
_PER_1000 = 1_000


def summarise(
    values: Mapping[str, Any], rows: Sequence[WindowRow], events: Sequence[MaintenanceEvent]
) -> Maintenance:
    """Sum up what was served and what it needed; money is added later.

    Args:
        values: The configuration of the record, with the options that were chosen.
        rows: Its windows so far.
        events: Its events so far.
    """
    held = held_accuracy(values)
    is_watched = bool(values.get("detector"))
    num = sum(row.num_predictions for row in rows)
    trainings = [event for event in events if event.kind == "retraining"]
    detect_s, detect_j = (spent(rows, ("detect",), unit) for unit in ("s", "j"))
    upkeep_j = spent(rows, UPKEEP, "j")
    on_target = on_target_predictions(rows, held)
    num_labels = sum(row.num_paid for row in rows)
    return Maintenance(
        policy=part_name(values, "policy"),
        detector=part_name(values, "detector") if is_watched else None,
        num_windows=len(rows),
        num_predictions=num,
        target_value=held,
        **_quality(rows, held),
        num_retrains=len(trainings),
        num_promoted=sum(event.kind == "promotion" for event in events),
        num_wasted=num_wasted(rows, events, values["stream"]["window"]),
        retrain_init_s=sum(event.init_s or 0.0 for event in trainings),
        retrain_samples=sum(event.samples or 0 for event in trainings),
        detect_time_per_prediction_s=detect_s / num if num and detect_s is not None else None,
        detect_energy_per_prediction_j=detect_j / num if num and detect_j is not None else None,
        **_latency_ratio(rows),
        labels_used=num_labels,
        labels_cost_usd=num_labels * values["labels"]["price_usd"],
        held_out_errors=sum(row.held_out_errors for row in rows),
        manual_hours=len(trainings) * values["retrain"]["manual_hours"],
        upkeep_j=upkeep_j,
        energy_per_1000_on_target_j=(
            upkeep_j / on_target * _PER_1000 if upkeep_j is not None and on_target else None
        ),
        staleness_mean=_staleness(rows),
        swap_delay_mean=_swap_delay(events),
        **(_detections(events, rows) if is_watched else {}),
    )


def held_accuracy(values: Mapping[str, Any]) -> float:
    """The accuracy to hold, by the configuration of a deployment."""
    held = values.get("accuracy_to_hold")
    return float(values["target"]["value"] if held is None else held)


def spent(rows: Sequence[WindowRow], phases: Sequence[str], unit: str) -> float | None:
    """Seconds (`s`) or joules (`j`) of some phases in all windows; None if any is unknown."""
    values = [getattr(row, f"{phase}_{unit}") for row in rows for phase in phases]
    return None if any(value is None for value in values) else math.fsum(values)


def on_target_predictions(rows: Sequence[WindowRow], target: float) -> int:
    """Predictions in windows whose accuracy is at least the target."""
    return sum(
        row.num_predictions
        for row in rows
        if row.accuracy is not None and meets(row.accuracy, target, "max")
    )


def _quality(rows: Sequence[WindowRow], target: float) -> dict[str, Any]:
    judged = [row for row in rows if row.accuracy is not None]
    num = sum(row.num_predictions for row in judged)
    if not judged:
        return {}
    accuracies = [row.accuracy or 0.0 for row in judged]
    lacks = (
        row.num_judged * (target - accuracy)
        for row, accuracy in zip(judged, accuracies, strict=True)
        if not meets(accuracy, target, "max")
    )
    errors = sum(row.errors for row in judged)
    return {
        "on_target_frac": on_target_predictions(judged, target) / num,
        "excess_errors": math.fsum(lacks),
        "num_errors": errors,
        "mean_accuracy": 1 - errors / sum(row.num_judged for row in judged),
        "worst_accuracy": min(accuracies),
    }


def _latency_ratio(rows: Sequence[WindowRow]) -> dict[str, Any]:
    """(Serving + detection) / serving: the median over windows, and its 95% interval."""
    ratios = [(row.serve_s + row.detect_s) / row.serve_s for row in rows if row.serve_s > 0]
    if not ratios:
        return {}
    estimate = median(ratios)
    return {
        "monitor_latency_ratio": estimate.value,
        "monitor_latency_ratio_low": estimate.low,
        "monitor_latency_ratio_high": estimate.high,
    }


def _staleness(rows: Sequence[WindowRow]) -> float | None:
    known = [(row.num_predictions, row.staleness) for row in rows if row.staleness is not None]
    num = sum(count for count, _ in known)
    return sum(count * age for count, age in known) / num if num else None


def _swap_delay(events: Sequence[MaintenanceEvent]) -> float | None:
    begun = {event.model: event.prediction for event in events if event.kind == "retraining"}
    delays = [
        event.prediction - begun[event.model]
        for event in events
        if event.kind == "promotion" and event.model in begun
    ]
    return mean(delays) if delays else None


def num_wasted(rows: Sequence[WindowRow], events: Sequence[MaintenanceEvent], size: int) -> int:
    """Promotions after which the next full window was no better than the last one before.

    Better means by more than two standard errors of the difference of the two accuracies. A
    promotion near the end, which no full window follows, is not judged, and neither is one where
    the truth of a window is unknown.

    Args:
        rows: The windows.
        events: The events.
        size: Predictions of a window.
    """
    by_window = {row.window: row for row in rows}
    wasted = 0
    for event in events:
        if event.kind != "promotion":
            continue
        after = by_window.get(-(-event.prediction // size))
        before = by_window.get(event.prediction // size - 1)
        gain = None if after is None or before is None else _is_better(after, before)
        wasted += gain is False
    return wasted


def _is_better(after: WindowRow, before: WindowRow) -> bool | None:
    """Whether accuracy rose beyond chance; None if the truth of a window is unknown."""
    if after.accuracy is None or before.accuracy is None:
        return None
    variance = sum(
        row.errors * (row.num_judged - row.errors) / row.num_judged**3 for row in (after, before)
    )
    return after.accuracy - before.accuracy > _ERRORS_OF_A_GAIN * math.sqrt(variance)


def _detections(events: Sequence[MaintenanceEvent], rows: Sequence[WindowRow]) -> dict[str, Any]:
    """Alarms, judged by the true changes of the stream, as far as it was served."""
    alarms = [event for event in events if event.kind == "alarm"]
    num = sum(row.num_predictions for row in rows)
    fields: dict[str, Any] = {"num_alarms": len(alarms)}
    if not rows or any(row.strength is None for row in rows):  # nobody knows what changed
        return fields
    changes = {event.prediction for event in events if event.kind == "change"}
    num_false = sum(alarm.is_false is True for alarm in alarms)
    delays = [alarm.delay for alarm in alarms if alarm.delay is not None]
    found = {alarm.prediction - alarm.delay for alarm in alarms if alarm.delay is not None}
    return fields | {
        "num_false_alarms": num_false,
        "false_alarms_per_10k": num_false / num * _PER_10K if num else None,
        "num_missed": len({change for change in changes if change < num} - found),
        "detection_delay_mean": mean(delays) if delays else None,
    }
