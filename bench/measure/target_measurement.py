"""Measures a training to its target, however the training is written.

Each moment and each joule belongs to one phase. At both ends of an evaluation the device is
synchronised, the energy counters are read and then the clock, in this order. At its start the
counters are left out if the evaluation before took less than a refresh, which phase_energy.py
explains. Writing to disk after an evaluation belongs to the phase `checkpoint`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.errors import DivergedError
from bench.core.records.curve import CurveRow
from bench.core.records.energy import PhaseEnergy
from bench.core.records.phases import TRAINING_PHASES, Phase, Phases
from bench.core.target import Spent, Target, crossing_index
from bench.measure.clock import PhaseTimes
from bench.measure.phase_window import PhaseWindow


@dataclass(frozen=True, slots=True)
class Seen:
    """What a training has gone through so far; None for what is unknown."""

    samples: int | None = 0
    steps: int | None = None
    epochs: float | None = None


@dataclass(kw_only=True, eq=False)
class TargetMeasurement:
    """The clock, the curve and the cost of a training. Nothing is read before start().

    Attributes:
        target: Decides whether the target is reached.
        window: The open window of the run.
        on_row: Receives each evaluation, in the phase `checkpoint`.
    """

    target: Target
    window: PhaseWindow
    on_row: Callable[[CurveRow], None]

    def __post_init__(self) -> None:
        """Start with nothing measured."""
        self.rows: list[CurveRow] = []
        self.finished = False
        self.seen = Seen()
        self.spent: Spent | None = None
        self.times: PhaseTimes | None = None
        self.phase_energy: PhaseEnergy | None = None
        self._has_crossed = False
        self._last_eval_s = math.inf  # the first evaluation may take any time
        self._all_eval_s = 0.0

    @property
    def started(self) -> bool:
        """Whether the clock has been started."""
        return self.window.clock.started

    @property
    def reached(self) -> bool:
        """Whether the evaluations so far reach the target."""
        if self.target.rule == "final":
            return crossing_index(self.rows, self.target, finished=self.finished) is not None
        return self._has_crossed

    def start(self) -> None:
        """Start the clock, once."""
        if not self.started:
            self.window.start()

    def stop(self) -> None:
        """Stop the clock and keep what was spent, once; also called after an exception."""
        if not self.started or self.times is not None:
            return
        try:
            self.window.stop()
        finally:
            self.times = self.window.clock.reading()
            self.phase_energy = self.window.phases.result
            self.spent = Spent(
                time_s=self.times.total_s,
                energy_j=self.window.energy_j,
                samples=self.seen.samples,
            )

    def outcome(self) -> dict[str, Any]:
        """What was spent, and whether the schedule is finished, for outcome_record()."""
        return {
            "spent": self.spent,
            "phase_energy": self.phase_energy,
            "finished": self.finished,
        }

    def begin_evaluation(self) -> None:
        """Begin the phase `eval`."""
        self.window.synchronize()  # steps that the device has not finished belong to `train`
        self.window.phases.switch_to_brief("eval", self._last_eval_s)

    def keep_row(self, train_loss: float | None, quality: Mapping[str, float | None]) -> None:
        """Read, keep the row of an evaluation that has ended, and begin the phase `checkpoint`.

        Args:
            train_loss: Mean loss in nats of the training steps since the last evaluation.
            quality: Values of the metrics, by name.

        Raises:
            DivergedError: A loss is not finite.
        """
        row = self._read_row(train_loss, quality)
        _refuse_divergence(row)
        self.rows.append(row)
        # Rows before these have had their turn.
        recent = self.rows[-self.target.consecutive :]
        self._has_crossed |= crossing_index(recent, self.target, finished=False) is not None
        self.on_row(row)

    def _read_row(self, train_loss: float | None, quality: Mapping[str, float | None]) -> CurveRow:
        """Synchronise, read the counters, then the clock."""
        self.window.synchronize()
        phases = self.window.phases
        # Not switch_quickly(): ETA is what the meters have counted up to here.
        energy = phases.switch("checkpoint")
        times = phases.times
        self._last_eval_s = times.of("eval") - self._all_eval_s
        self._all_eval_s = times.of("eval")
        return CurveRow(
            time_s=times.total_s,
            train_time_s=times.of("train"),
            eval_time_s=times.of("eval"),
            checkpoint_time_s=times.of("checkpoint"),
            samples=self.seen.samples,
            steps=self.seen.steps,
            epochs=self.seen.epochs,
            energy_total_j=energy.total_j,
            energy_label=energy.label,
            energy_error_frac=energy.error_frac,
            eval_energy_j=phases.book.energy_j("eval"),
            checkpoint_energy_j=phases.book.energy_j("checkpoint"),
            train_loss=train_loss,
            quality=dict(quality),
        )


_LOSS = re.compile(r"mse|((val|valid|validation|eval|dev)[\W_]*)?loss")


@functools.cache
def _is_loss(name: str) -> bool:
    """Whether this is a loss of a validation split: by our names, or one that modules log."""
    return _LOSS.fullmatch(name) is not None


def _refuse_divergence(row: CurveRow) -> None:
    validation = [("validation", v) for name, v in row.quality.items() if _is_loss(name)]
    for name, value in (("training", row.train_loss), *validation):
        if value is not None and not math.isfinite(value):
            after = f"{row.steps} steps" if row.samples is None else f"{row.samples} samples"
            raise DivergedError(f"the {name} loss is {value} after {after}")


def phases_of(
    times: PhaseTimes | None,
    *,
    launch_s: float | None = None,
    init_s: float | None = None,
    phases: Sequence[Phase] = TRAINING_PHASES,
) -> Phases:
    """Give the wall time by phase for a record.

    Args:
        times: Readings of the clock; None if it never started.
        launch_s: Time until the process ran; None if unknown.
        init_s: Time from there to the start of the clock; None if unknown.
        phases: The phases of the clock, for one that never started.
    """
    spent = times or PhaseTimes.at_start(phases)
    by_phase: dict[str, Any] = {f"{phase}_s": s for phase, s in spent.by_phase_s.items()}
    return Phases(launch_s=launch_s, init_s=init_s, wall_time_s=spent.total_s, **by_phase)
