"""Builders of small literal curves."""

from __future__ import annotations

from dataclasses import replace

from bench.core.records.curve import CurveRow

_ROW = CurveRow(
    time_s=0.0,
    train_time_s=0.0,
    eval_time_s=0.0,
    checkpoint_time_s=0.0,
    samples=0,
    steps=0,
    epochs=0.0,
    energy_total_j=0.0,
    energy_label="modelled",
    train_loss=1.0,
)


def curve(accuracies: list[float]) -> list[CurveRow]:
    """Evaluations every 100 samples: each 1.5 s of training, 0.5 s of evaluation, 10 J."""
    return [
        replace(
            _ROW,
            time_s=2.0 * n,
            train_time_s=1.5 * n,
            eval_time_s=0.5 * n,
            samples=100 * n,
            steps=10 * n,
            epochs=0.1 * n,
            energy_total_j=10.0 * n,
            quality={"accuracy": accuracy, "loss": 1.0 - accuracy},
        )
        for n, accuracy in enumerate(accuracies, 1)
    ]
