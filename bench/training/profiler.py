"""Measures a run to its target, from inside a Lightning training.

The clock starts when the first training batch is asked for and never pauses; each moment and each
joule of it belongs to one phase. An evaluation begins and ends with: synchronise the device, read
the energy counters, read the clock. What is written to disk after that is booked as `checkpoint`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from bench.config.train import BudgetConfig
from bench.core.errors import DivergedError
from bench.core.records.curve import CurveRow
from bench.core.records.energy import PhaseEnergy
from bench.core.records.phases import Phases
from bench.core.target import Spent, Target, crossing_index
from bench.measure.clock import AT_START, PhaseTimes
from bench.measure.window import Window
from bench.tasks.classifier import Classifier
from bench.training.warm_up import num_compiled_graphs

# Reading an energy meter between evaluations costs system calls: often enough for a budget.
_ENERGY_CHECK_PERIOD_S = 1.0


# The flag of a run in which torch.compile worked on the clock: it met a new shape.
COMPILED = "compiled"


class UncheckedBudget(RuntimeError):  # noqa: N818 -- says what is wrong with the run
    """A budget can no longer be checked."""


def nothing(_: object) -> None:
    """Do nothing."""


@dataclass(kw_only=True, eq=False)
class TargetProfiler:
    """Measures a classifier's training, and stops it at the target or when its budget is spent.

    Nothing is read before start().

    Attributes:
        target: What counts as reached.
        window: What the run is measured with; open.
        on_row: Takes each evaluation; its time is booked as `checkpoint`.
        on_end: Takes the trained module (to save it); booked as `checkpoint` too.
        budget: Time and joules after which the run is given up; None for neither.
        max_steps: Length of the schedule in steps; None where its end is not known before.
        num_train_samples: Samples of one epoch; None where that is not known.
        steps_per_epoch: Steps of one epoch, for a training whose samples may not be known.
        stop_at_target: Whether the trainer is stopped at the crossing.
    """

    target: Target
    window: Window
    on_row: Callable[[CurveRow], None]
    on_end: Callable[[Classifier], None] = nothing
    budget: BudgetConfig | None = None
    max_steps: int | None = None
    num_train_samples: int | None = None
    steps_per_epoch: int | None = None
    stop_at_target: bool = True

    def __post_init__(self) -> None:
        """Nothing was spent yet."""
        self._max_time_s = self.budget.max_time_s if self.budget else None
        self._max_energy_j = self.budget.max_energy_j if self.budget else None
        self._is_limited = self._max_time_s is not None or self._max_energy_j is not None
        self.rows: list[CurveRow] = []
        self.finished = False
        self.started = False
        self.steps = 0
        self.spent: Spent | None = None
        self.times: PhaseTimes | None = None
        self.phase_energy: PhaseEnergy | None = None
        # Of this rank, and of all of them at the last evaluation; NaN once a batch's is not known.
        self._own_samples = 0.0
        self._own_at_evaluation = 0.0
        self._all_at_evaluation = 0.0
        self._num_ranks = 1
        self._num_graphs = 0
        self._energy_checked_s = 0.0

    def start(self) -> None:
        """Start the clock, once: called when the training loader is asked for."""
        if not self.started:
            self._num_graphs = num_compiled_graphs()
            self.window.start()
            self.started = True

    def stop(self) -> None:
        """Stop the clock and keep what was spent; also after an exception, and only once."""
        if not self.started or self.times is not None:
            return
        if num_compiled_graphs() > self._num_graphs:
            self.window.flag(COMPILED)
        try:
            self.window.stop()
        finally:
            self.times = self.window.clock.reading()
            self.phase_energy = self.window.phases.result
            self.spent = Spent(
                time_s=self.times.total_s, energy_j=self.window.energy_j, samples=self._samples
            )

    def outcome(self) -> dict[str, Any]:
        """What was spent and whether the schedule ran to its end, as outcome_record takes it."""
        return {
            "spent": self.spent,
            "phase_energy": self.phase_energy,
            "finished": self.finished,
        }

    def step_ended(self, trainer: pl.Trainer, num_samples: int | None) -> None:
        """Count the step, and stop the trainer where a budget is spent.

        Args:
            trainer: Is stopped.
            num_samples: Of this rank; None where it cannot be known.
        """
        self._num_ranks = trainer.world_size
        self.steps += 1
        self._own_samples += math.nan if num_samples is None else num_samples
        # Ranks must stop at the same step, so several devices look at budgets at evaluations only.
        alone = self._num_ranks == 1
        if self._is_limited and alone and self._budget_spent(every_s=_ENERGY_CHECK_PERIOD_S):
            trainer.should_stop = True

    @property
    def _samples(self) -> int | None:
        """Samples of all ranks; since the last evaluation, each is taken for like this one."""
        since = (self._own_samples - self._own_at_evaluation) * self._num_ranks
        whole = self._all_at_evaluation + since
        return None if math.isnan(whole) else round(whole)

    def _count_ranks(self, trainer: pl.Trainer) -> None:
        """Add up the samples that the ranks have seen."""
        self._all_at_evaluation = self._own_at_evaluation = self._own_samples
        if trainer.world_size > 1:
            device = trainer.strategy.root_device
            own = torch.tensor(self._own_samples, dtype=torch.float64, device=device)
            self._all_at_evaluation = float(trainer.strategy.reduce(own, reduce_op="sum"))

    def validation_started(self) -> None:
        """From here on time and joules are booked as `eval`."""
        self.window.synchronize()  # Training still under way on the device is training.
        self.window.phases.switch("eval")

    def validation_ended(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Read, keep the row, and stop the trainer at the crossing or where a budget is spent.

        Raises:
            DivergedError: A loss is not finite.
        """
        quality = module.take_validation_quality()
        self.evaluated(trainer, module.train_loss.take_mean(), quality)

    def evaluated(
        self, trainer: pl.Trainer, train_loss: float | None, quality: Mapping[str, float]
    ) -> None:
        """As validation_ended(), with what was measured.

        Args:
            trainer: Is stopped where the run is at its end.
            train_loss: Mean loss in nats of the training steps since the last evaluation.
            quality: Metrics by their names in CurveRow.

        Raises:
            DivergedError: A loss is not finite.
        """
        self._count_ranks(trainer)
        row = self._read_row(train_loss, quality)
        _refuse_divergence(row)
        self.rows.append(row)
        self.on_row(row)
        self.finished = self.max_steps is not None and self.steps >= self.max_steps
        if self._agreed(trainer, self._done()):
            trainer.should_stop = True
        self.window.phases.switch_quickly("train")

    def training_ended(self, module: Classifier) -> None:
        """Hand over the module, and stop the clock."""
        self.window.synchronize()
        self.window.phases.switch("checkpoint")
        self.on_end(module)
        self.stop()

    def _read_row(self, train_loss: float | None, quality: Mapping[str, float]) -> CurveRow:
        """Synchronise, read the counters, read the clock, in this order; `checkpoint` begins."""
        self.window.synchronize()
        phases = self.window.phases
        energy = phases.switch("checkpoint")
        times, samples = phases.book.times, self._samples
        return CurveRow(
            time_s=times.total_s,
            train_time_s=times.train_s,
            eval_time_s=times.eval_s,
            checkpoint_time_s=times.checkpoint_s,
            samples=samples,
            steps=self.steps,
            epochs=self._epochs(samples),
            energy_total_j=energy.total_j,
            energy_label=energy.label,
            energy_error_frac=energy.error_frac,
            eval_energy_j=phases.book.energy_j("eval"),
            checkpoint_energy_j=phases.book.energy_j("checkpoint"),
            train_loss=train_loss,
            **quality,
        )

    def _epochs(self, samples: int | None) -> float | None:
        if self.steps_per_epoch:
            return self.steps / self.steps_per_epoch
        in_epoch = self.num_train_samples
        return samples / in_epoch if samples is not None and in_epoch else None

    def _done(self) -> bool:
        crossing = crossing_index(self.rows, self.target, finished=self.finished)
        reached = self.stop_at_target and crossing is not None
        return reached or self._budget_spent(every_s=0.0)

    def _budget_spent(self, *, every_s: float) -> bool:
        """Whether the time or the joules are used up; joules are read at most every every_s."""
        now_s = self.window.clock.elapsed_s()
        if self._max_time_s is not None and now_s >= self._max_time_s:
            return True
        if self._max_energy_j is None or now_s < self._energy_checked_s + every_s:
            return False
        self._energy_checked_s = now_s
        energy_j = self.window.read().total_j
        if energy_j is None and self.window.meters.complete:
            return False  # no counter has moved yet
        if energy_j is None:
            reasons = "; ".join(f"{one.meter}: {one.reason}" for one in self.window.unavailable)
            raise UncheckedBudget(
                f"budget.max_energy_j={self._max_energy_j:g} cannot be checked any more ({reasons})"
            )
        return energy_j >= self._max_energy_j

    @staticmethod
    def _agreed(trainer: pl.Trainer, stop: bool) -> bool:
        """Rank 0's decision: clocks and batch-norm statistics differ between ranks."""
        if trainer.world_size == 1:
            return stop
        return bool(trainer.strategy.broadcast(stop))


def _refuse_divergence(row: CurveRow) -> None:
    for name, value in (("training", row.train_loss), ("validation", row.loss)):
        if value is not None and not math.isfinite(value):
            after = f"{row.steps} steps" if row.samples is None else f"{row.samples} samples"
            raise DivergedError(f"the {name} loss is {value} after {after}")


def phases_of(
    times: PhaseTimes | None, *, launch_s: float | None = None, init_s: float | None = None
) -> Phases:
    """The wall time by phase, as a record has it.

    Args:
        times: Readings of the clock; None where it never started.
        launch_s: Until the process ran; None where that is not known.
        init_s: From there to the start of the clock; None where that is not known.
    """
    spent = times or AT_START
    return Phases(
        launch_s=launch_s,
        init_s=init_s,
        train_s=spent.train_s,
        eval_s=spent.eval_s,
        checkpoint_s=spent.checkpoint_s,
        wall_time_s=spent.total_s,
    )
