"""A row of curve.jsonl."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.labels import EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRow:
    """One evaluation on the validation split.

    Times and joules are cumulative since the clock started. bench.train measures all qualities; a
    user's own loop may measure only the metric of its target.

    Attributes:
        time_s: Clock reading at the end of the evaluation.
        train_time_s: Part of it in the phase `train`.
        eval_time_s: Part of it in the phase `eval`.
        checkpoint_time_s: Part of it in the phase `checkpoint`.
        samples: Training samples seen on all ranks. None if the size of a batch is unknown.
        steps: Optimizer steps; batches for a module of the user's, which may take several steps in
            one. None if a user's own loop does not count them.
        epochs: Passes over the training split.
        energy_total_j: Cumulative reading of the meters, without constants.
        energy_label: Weakest label of the components in `energy_total_j`.
        energy_error_frac: Bound on the systematic error of `energy_total_j`, as a share of it.
        eval_energy_j: Part of `energy_total_j` in the phase `eval`. The rest of the total, after
            this and the next field, is training.
        checkpoint_energy_j: Part of `energy_total_j` in the phase `checkpoint`.
        train_loss: Mean loss of the training steps since the last evaluation, in nats.
        quality: Values of the task's metrics, by name, as in Quality.
    """

    time_s: float
    train_time_s: float
    eval_time_s: float
    checkpoint_time_s: float
    samples: int | None
    steps: int | None
    epochs: float | None
    energy_total_j: float | None
    energy_label: EnergyLabel | None
    energy_error_frac: float | None = None
    eval_energy_j: float | None = None
    checkpoint_energy_j: float | None = None
    train_loss: float | None
    quality: dict[str, float | None] = field(default_factory=dict)
