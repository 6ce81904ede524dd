"""Measures a run to its target, from inside the training.

The clock starts when the first training batch is asked for and never pauses. TargetMeasurement
reads it; the profiler counts steps and samples, checks budgets and stops the trainer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from typing_extensions import override

from bench.config.train import BudgetConfig
from bench.core.records.curve import CurveRow
from bench.measure.target_measurement import Seen, TargetMeasurement
from bench.tasks.task_module import AnyTrainer, TaskModule
from bench.training.limits import Limit, budget_limits
from bench.training.node_sum import NodeSum
from bench.training.warm_up import num_compiled_graphs

# Reading an energy meter costs system calls. Once per second is often enough for a budget.
_ENERGY_CHECK_PERIOD_S = 1.0
# The flag of a run in which torch.compile worked on the clock, because it met a new shape.
COMPILED = "compiled"


class UncheckedBudget(RuntimeError):  # noqa: N818 -- the record shows this name
    """A budget of joules can no longer be checked, because a meter was lost."""


def nothing(_: object) -> None:
    """Do nothing."""


@dataclass(kw_only=True, eq=False)
class TargetProfiler(TargetMeasurement):
    """Measures a training, and stops it at the target or when its budget is spent.

    Attributes:
        on_end: Receives the trained module (to save it), in the phase `checkpoint`.
        budget: The time and joules at which the run is stopped; None for no limit.
        cutoffs: The limits at which a search stops it before.
        max_steps: Length of the schedule in steps; None if it is not known in advance.
        num_train_samples: Samples of one epoch; None if unknown.
        steps_per_epoch: Steps of one epoch, for trainings whose samples may be unknown.
        stop_at_target: Whether to stop the trainer at the crossing.
        nodes: Adds up the joules of several nodes; None for a training on one node.
    """

    on_end: Callable[[pl.LightningModule], None] = nothing
    budget: BudgetConfig | None = None
    cutoffs: Sequence[Limit] = ()
    max_steps: int | None = None
    num_train_samples: int | None = None
    steps_per_epoch: int | None = None
    stop_at_target: bool = True
    nodes: NodeSum | None = None

    def __post_init__(self) -> None:
        """Start with nothing measured."""
        super().__post_init__()
        # Those of the budget first: a run that has used it up was not stopped by a search.
        limits = [*budget_limits(self.budget), *self.cutoffs]
        self._timed = [limit for limit in limits if not limit.per_j]
        self._metered = [limit for limit in limits if limit.per_j]
        self._is_limited = bool(limits)
        self._spent_limit: Limit | None = None
        self.steps = 0
        # Samples of this rank now and at the last evaluation, and of all ranks there. NaN once the
        # size of a batch is unknown.
        self._rank_samples = 0.0
        self._rank_samples_evaluated = 0.0
        self._all_samples_evaluated = 0.0
        self._num_ranks = 1
        self._num_graphs = 0
        self._energy_checked_s = 0.0
        self._why_lost: str | None = None  # why the joules of all nodes are not known any more

    @override
    def start(self) -> None:
        """Start the clock, once; called when the training loader is asked for."""
        if self.started:
            return
        self._num_graphs = num_compiled_graphs()
        synchronize = self.window.synchronize
        # The window waits for the device last of all before its clock. Wait for the other nodes
        # there, so that no meter counts the set-up of another node.
        self.window.synchronize = lambda: self._wait_for_all(synchronize)
        super().start()
        self.window.synchronize = synchronize

    def _wait_for_all(self, synchronize: Callable[[], None]) -> None:
        synchronize()
        if self.nodes is not None:
            self.nodes.wait()

    @override
    def stop(self) -> None:
        """Stop the clock and keep what was spent, once; also called after an exception."""
        if self.started and self.times is None:
            self.seen = self._seen_now()
            if num_compiled_graphs() > self._num_graphs:
                self.window.flag(COMPILED)
        super().stop()

    def step_ended(self, trainer: AnyTrainer, num_samples: int | None) -> None:
        """Count the step, and stop the trainer where a budget is spent.

        Args:
            trainer: The trainer to stop.
            num_samples: Samples of this rank; None if unknown.
        """
        if not self.steps:
            self._num_ranks = trainer.world_size  # asked once: Lightning takes 1 us to answer
        self.steps += 1
        self._rank_samples += math.nan if num_samples is None else num_samples
        # Ranks must stop at the same step, so several ranks check budgets at evaluations only.
        if self._is_limited and self._num_ranks == 1 and self._budget_spent(_ENERGY_CHECK_PERIOD_S):
            trainer.should_stop = True

    def _seen_now(self) -> Seen:
        """Count for all ranks; samples since the last evaluation are estimated from this rank."""
        since = (self._rank_samples - self._rank_samples_evaluated) * self._num_ranks
        whole = self._all_samples_evaluated + since
        samples = None if math.isnan(whole) else round(whole)
        return Seen(samples, self.steps, self._epochs(samples))

    def _count_ranks(self, trainer: AnyTrainer) -> None:
        """Add up the samples that all ranks have seen."""
        self._all_samples_evaluated = self._rank_samples_evaluated = self._rank_samples
        if trainer.world_size > 1:
            device = trainer.strategy.root_device
            samples = torch.tensor(self._rank_samples, dtype=torch.float64, device=device)
            torch.distributed.all_reduce(samples)
            self._all_samples_evaluated = float(samples)

    def validation_started(self) -> None:
        """Begin the phase `eval`."""
        self.begin_evaluation()

    def validation_ended(self, trainer: AnyTrainer, module: TaskModule) -> None:
        """Read, keep the row, and stop the trainer at the crossing or if a budget is spent.

        Raises:
            DivergedError: A loss is not finite.
        """
        quality = module.take_validation_quality()
        self.evaluated(trainer, module.train_loss.take_mean(), quality)

    def evaluated(
        self, trainer: AnyTrainer, train_loss: float | None, quality: Mapping[str, float]
    ) -> None:
        """Do the work of validation_ended() for a quality that was computed elsewhere.

        Args:
            trainer: The trainer to stop if the run is at its end.
            train_loss: Mean loss in nats of the training steps since the last evaluation.
            quality: Values of the metrics, by name.

        Raises:
            DivergedError: A loss is not finite.
        """
        self._count_ranks(trainer)
        self.seen = self._seen_now()
        self.keep_row(train_loss, quality)
        self.finished = self.max_steps is not None and self.steps >= self.max_steps
        # Lightning ends a schedule of optimizer steps itself, but not one of batches.
        if self._agreed(trainer, self.finished or self._done()):
            trainer.should_stop = True
        self.window.phases.switch_quickly("train")

    def training_ended(self, module: pl.LightningModule) -> None:
        """Hand over the trained module, and stop the clock."""
        self.window.synchronize()
        self.window.phases.switch("checkpoint")
        self.on_end(module)
        if self.nodes is not None:
            self.nodes.wait()
        self.stop()

    @override
    def _read_row(self, train_loss: float | None, quality: Mapping[str, float | None]) -> CurveRow:
        row = super()._read_row(train_loss, quality)
        if self.nodes is not None:
            row, self._why_lost = self.nodes.add_up(row, self.window)
        return row

    def _epochs(self, samples: int | None) -> float | None:
        if self.steps_per_epoch:
            return self.steps / self.steps_per_epoch
        in_epoch = self.num_train_samples
        return samples / in_epoch if samples is not None and in_epoch else None

    def _done(self) -> bool:
        return (self.stop_at_target and self.reached) or self._budget_spent(0.0)

    def _budget_spent(self, period_s: float) -> bool:
        """Whether the time or the joules are used up; joules are read once per period_s."""
        now_s = self.window.clock.elapsed_s()
        if self._spend(self._timed, now_s, 0.0):
            return True
        if not self._metered or now_s < self._energy_checked_s + period_s:
            return False
        self._energy_checked_s = now_s
        energy_j, why_lost = self._energy_so_far()
        if energy_j is None and why_lost is None:
            return False  # no counter has moved yet
        if energy_j is None:
            limit = self._metered[0]
            raise UncheckedBudget(
                f"{limit.key}={limit.most:g} cannot be checked any more ({why_lost})"
            )
        return self._spend(self._metered, now_s, energy_j)

    def _spend(self, limits: Sequence[Limit], time_s: float, energy_j: float) -> bool:
        """Whether one of these limits is used up; keep the first that is."""
        for limit in limits:
            if limit.is_spent(time_s, energy_j):
                self._spent_limit = self._spent_limit or limit
                return True
        return False

    @override
    def outcome(self) -> dict[str, Any]:
        """What was spent, whether the schedule is finished, and the cutoff that ended the run."""
        limit = self._spent_limit
        return {**super().outcome(), "cut_off_by": None if limit is None else limit.cutoff}

    def _energy_so_far(self) -> tuple[float | None, str | None]:
        """The joules used, and why they are not known any more, if they are not."""
        if self.nodes is not None:  # several ranks ask at evaluations only, so this row is of now
            return self.rows[-1].energy_total_j, self._why_lost
        energy_j = self.window.read().total_j
        if self.window.meters.complete:
            return energy_j, None
        return energy_j, "; ".join(f"{one.meter}: {one.reason}" for one in self.window.unavailable)

    @staticmethod
    def _agreed(trainer: AnyTrainer, stop: bool) -> bool:
        """Take the decision of rank 0: clocks and batch-norm statistics differ between ranks."""
        if trainer.world_size == 1:
            return stop
        return bool(trainer.strategy.broadcast(stop))
