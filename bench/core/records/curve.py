"""A row of curve.jsonl."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.labels import EnergyLabel


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
