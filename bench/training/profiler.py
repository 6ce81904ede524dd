"""Measures a run to its target, from inside a Lightning training.

The clock starts when the first training batch is asked for and never pauses; each moment of it
belongs to one phase. An evaluation ends with: synchronise the device, read the energy counters,
read the clock. What is written to disk after that is booked as `checkpoint`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pytorch_lightning as pl

from bench.core.config import BudgetConfig
from bench.core.records import CurveRow, EnergyLabel
from bench.core.target import Spent, Target, crossing_index
from bench.measure.clock import PhaseClock, PhaseTimes
from bench.tasks.classifier import Classifier

# Reading an energy meter between evaluations costs system calls: often enough for a budget.
_ENERGY_CHECK_PERIOD_S = 1.0


class DivergedError(RuntimeError):
    """The loss is not a number any more: a failure with a cost, which no budget would mend."""


class EnergyReader(Protocol):
    """The part of an energy window that is read at evaluations."""

    @property
    def label(self) -> EnergyLabel | None:
        """The weakest label among the components summed."""

    def start(self) -> None:
        """Take the baseline."""

    def total_j(self) -> float | None:
        """Cumulative joules since start; None where nothing could be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What a run is measured with.

    before_start is called just before the clock starts and after_stop just after it stops: for
    parts that keep a span of their own (the sampler, CodeCarbon). synchronize waits for the
    device to finish what it was given.
    """

    clock: PhaseClock
    energy: EnergyReader
    synchronize: Callable[[], None]
    before_start: Callable[[], None]
    after_stop: Callable[[], None]

    @classmethod
    def idle(cls, synchronize: Callable[[], None]) -> Instruments:
        """Instruments that measure time only, for a rank that reports nothing."""
        return cls(
            clock=PhaseClock(),
            energy=_NoEnergy(),
            synchronize=synchronize,
            before_start=_nothing,
            after_stop=_nothing,
        )


class _NoEnergy:
    """An energy reader without a meter."""

    label: EnergyLabel | None = None

    def start(self) -> None:
        """Take no baseline."""

    def total_j(self) -> float | None:
        """Joules are not known."""
        return None


def _nothing() -> None:
    """Do nothing."""


class TargetProfiler:
    """Observes a classifier's training: measures, decides when it is at its end, and stops it.

    The end is the target reached or the budget spent.
    """

    def __init__(
        self,
        *,
        target: Target,
        budget: BudgetConfig,
        max_steps: int,
        num_train_samples: int,
        instruments: Instruments,
        on_row: Callable[[CurveRow], None],
        on_end: Callable[[Classifier], None],
    ) -> None:
        """Nothing is read before start().

        Args:
            target: What counts as reached.
            budget: Time and joules after which the run is given up.
            max_steps: Length of the schedule in steps.
            num_train_samples: Samples of one epoch.
            instruments: What the run is measured with.
            on_row: Takes each evaluation; its time is booked as `checkpoint`.
            on_end: Takes the trained module (to save it); booked as `checkpoint` too.
        """
        self.rows: list[CurveRow] = []
        self.finished = False
        self.started = False
        self.spent: Spent | None = None
        self.times: PhaseTimes | None = None
        self._target = target
        self._budget = budget
        self._limited = budget.max_time_s is not None or budget.max_energy_j is not None
        self._max_steps = max_steps
        self._num_train_samples = num_train_samples
        self._instruments = instruments
        self._on_row = on_row
        self._on_end = on_end
        self._steps = 0
        self._samples = 0
        self._energy_checked_s = 0.0

    def start(self) -> None:
        """Start the clock, once: called when the training loader is asked for."""
        if self.started:
            return
        parts = self._instruments
        parts.before_start()
        parts.synchronize()
        parts.energy.start()
        parts.clock.start()
        self.started = True

    def stop(self) -> None:
        """Stop the clock and keep what was spent; also after an exception, and only once."""
        if not self.started or self.times is not None:
            return
        parts = self._instruments
        parts.synchronize()
        energy_j = parts.energy.total_j()
        self.times = parts.clock.stop()
        parts.after_stop()
        self.spent = Spent(time_s=self.times.total_s, energy_j=energy_j, samples=self._samples)

    def step_ended(self, trainer: pl.Trainer, num_samples: int) -> None:
        """Count the step, and stop the trainer where a budget is spent."""
        num_ranks = trainer.world_size
        self._steps += 1
        self._samples += num_samples * num_ranks
        # Ranks must stop at the same step, so several devices look at budgets at evaluations only.
        if self._limited and num_ranks == 1 and self._budget_spent(every_s=_ENERGY_CHECK_PERIOD_S):
            trainer.should_stop = True

    def validation_started(self) -> None:
        """From here on time is booked as `eval`."""
        self._instruments.synchronize()  # Training still under way on the device is training.
        self._instruments.clock.switch("eval")

    def validation_ended(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Read, keep the row, and stop the trainer at the crossing or where a budget is spent.

        Raises:
            DivergedError: A loss is not finite.
        """
        quality = module.take_validation_quality()
        row = self._read_row(module.take_train_loss(), quality)
        self._instruments.clock.switch("checkpoint")
        _refuse_divergence(row)
        self.rows.append(row)
        self._on_row(row)
        self.finished = self._steps >= self._max_steps
        trainer.should_stop = self._agreed(trainer, self._done())
        self._instruments.clock.switch("train")

    def training_ended(self, module: Classifier) -> None:
        """Hand over the module, and stop the clock."""
        self._instruments.clock.switch("checkpoint")
        self._on_end(module)
        self.stop()

    def _read_row(self, train_loss: float | None, quality: Mapping[str, float]) -> CurveRow:
        """Synchronise, read the counters, read the clock: in this order."""
        parts = self._instruments
        parts.synchronize()
        energy_j = parts.energy.total_j()
        times = parts.clock.reading()
        return CurveRow(
            time_s=times.total_s,
            train_time_s=times.train_s,
            eval_time_s=times.eval_s,
            checkpoint_time_s=times.checkpoint_s,
            samples=self._samples,
            steps=self._steps,
            epochs=self._samples / self._num_train_samples,
            energy_total_j=energy_j,
            energy_label=parts.energy.label if energy_j is not None else None,
            train_loss=train_loss,
            **quality,
        )

    def _done(self) -> bool:
        crossing = crossing_index(self.rows, self._target, finished=self.finished)
        return crossing is not None or self._budget_spent(every_s=0.0)

    def _budget_spent(self, *, every_s: float) -> bool:
        """Whether the time or the joules are used up; joules are read at most every every_s."""
        budget = self._budget
        now_s = self._instruments.clock.elapsed_s()
        if budget.max_time_s is not None and now_s >= budget.max_time_s:
            return True
        if budget.max_energy_j is None or now_s < self._energy_checked_s + every_s:
            return False
        self._energy_checked_s = now_s
        energy_j = self._instruments.energy.total_j()
        return energy_j is not None and energy_j >= budget.max_energy_j

    @staticmethod
    def _agreed(trainer: pl.Trainer, stop: bool) -> bool:
        """Rank 0's decision: clocks and batch-norm statistics differ between ranks."""
        if trainer.world_size == 1:
            return stop
        return bool(trainer.strategy.broadcast(stop))


def _refuse_divergence(row: CurveRow) -> None:
    for name, value in (("training", row.train_loss), ("validation", row.loss)):
        if value is not None and not math.isfinite(value):
            raise DivergedError(f"the {name} loss is {value} after {row.samples} samples")
