"""The profiler inside a real fit of each loop, on a clock and a meter that are scripted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bench.config.train import BudgetConfig, CutoffConfig
from bench.core.errors import DivergedError
from bench.core.records.curve import CurveRow
from bench.core.records.target import TargetRule
from bench.core.target import Target
from bench.measure.energy import WindowEnergy
from bench.measure.meters.base import Meter, MeterUnavailable, Reading
from bench.measure.window import Window
from bench.tasks.find_task import make_task
from bench.tasks.schedules import constant
from bench.tasks.task_module import TaskModule
from bench.training.fabric_loop import FabricTrainer
from bench.training.limits import cutoff_limits
from bench.training.loop import AnyTrainer, train_to_target
from bench.training.profiler import TargetProfiler, UncheckedBudget
from tests.fakes import FunctionMeter, PoweredClock, ScriptedMeter
from tests.opened import open_for_test

BATCH_S = 1.0  # fetching and training one batch
EVAL_S = 0.25  # one validation batch
WRITE_S = 0.125  # writing one row


class Data(pl.LightningDataModule):
    """Ten batches of four samples whose fetching takes time on the fake clock."""

    num_classes = 2
    input_shape = (2, 1, 1)
    num_train_samples = 40

    def __init__(self, clock: PoweredClock, eval_w: float) -> None:
        super().__init__()
        self._clock = clock
        self._eval_w = eval_w
        self.asked_s: list[float] = []

    def _batches(
        self, num: int, each_s: float, watts: float = 10.0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(num):
            self.asked_s.append(self._clock())
            self._clock.advance(each_s, watts)
            yield torch.randn(4, 2, 1, 1), torch.tensor([0, 1, 0, 1])

    def train_dataloader(self) -> Loader:
        return Loader(partial(self._batches, 10, BATCH_S), 10)

    def val_dataloader(self) -> Loader:
        return Loader(partial(self._batches, 1, EVAL_S, self._eval_w), 1)

    def test_dataloader(self) -> Loader:
        return self.val_dataloader()


class Loader:
    """An iterable with a length."""

    def __init__(self, batches: partial[Iterator[tuple[Tensor, Tensor]]], num: int) -> None:
        self._batches, self._num = batches, num

    def __len__(self) -> int:
        return self._num

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches()


class Scripted(TaskModule):
    """Its validation accuracy is given; the training is real."""

    def __init__(self, accuracies: list[float], loss: float = 0.5) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
        super().__init__(
            network,
            make_task("classification", Data(PoweredClock(), 0.0)),
            partial(torch.optim.SGD, lr=0.1),
            partial(constant, lr=0.1, total_steps=1),
            channels_last=False,
        )
        self._script = iter(accuracies)
        self._loss = loss

    def take_validation_quality(self) -> dict[str, float]:
        super().take_validation_quality()
        accuracy = next(self._script, None)
        if accuracy is None:
            raise RuntimeError("the script has ended")
        return {
            "accuracy": accuracy,
            "loss": self._loss,
            "macro_f1": 0.0,
            "worst_class_recall": 0.0,
            "expected_calibration_error": 0.0,
        }


@pytest.fixture(autouse=True, params=["lightning", "fabric"])
def _loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "loop", request.param)


class Run:
    """One fit: what is wanted of it goes in, what was measured comes out."""

    loop = "lightning"

    def __init__(
        self,
        module: Scripted,
        *,
        value: float = 0.9,
        rule: TargetRule = "first",
        max_steps: int = 20,
        budget: BudgetConfig | None = None,
        cutoff: CutoffConfig | None = None,
        eval_w: float = 10.0,
        write_w: float = 10.0,
        meters: dict[str, Meter] | None = None,
    ) -> None:
        self.clock = PoweredClock()
        self.write_w = write_w
        measured: dict[str, Meter] = {"watts": FunctionMeter(lambda: self.clock.joules)}
        # The idle machine is measured first, for 100 s that are not on the clock.
        self.window = Window(
            measured if meters is None else meters,
            period_s=None,
            idle_s=100.0,
            clock=self.clock,
            sleep=self.clock.advance,
        )
        open_for_test(self.window)
        self.data = Data(self.clock, eval_w)
        self.ended = 0
        self.profiler = TargetProfiler(
            target=Target(metric="accuracy", value=value, mode="max", rule=rule, consecutive=2),
            budget=budget or BudgetConfig(max_epochs=2),
            cutoffs=cutoff_limits(cutoff or CutoffConfig(), {}),
            max_steps=max_steps,
            num_train_samples=40,
            window=self.window,
            on_row=self._write,
            on_end=self._end,
        )
        options: Any = {"accelerator": "cpu", "devices": 1}
        self.trainer: AnyTrainer = (
            FabricTrainer(Fabric(**options), max_steps=max_steps, every=4)
            if self.loop == "fabric"
            else pl.Trainer(
                **options,
                max_steps=max_steps,
                max_epochs=-1,
                val_check_interval=4,
                check_val_every_n_epoch=None,
                logger=False,
                num_sanity_val_steps=0,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=False,
            )
        )
        self.module = module
        module.task = make_task("classification", self.data)

    def _write(self, row: CurveRow) -> None:
        self.clock.advance(WRITE_S, self.write_w)

    def _end(self, module: pl.LightningModule) -> None:
        self.ended += 1
        self.clock.advance(3.0, self.write_w)

    def fit(self) -> TargetProfiler:
        train_to_target(self.module, self.profiler, self.trainer)
        return self.profiler


def test_each_second_of_the_clock_belongs_to_its_phase() -> None:
    profiler = Run(Scripted([0.5, 0.95])).fit()

    first, second = profiler.rows
    # Four batches, one evaluation; then writing the first row, four batches, one evaluation.
    assert first.time_s == pytest.approx(4 * BATCH_S + EVAL_S)
    assert second.time_s == pytest.approx(2 * (4 * BATCH_S + EVAL_S) + WRITE_S)
    assert second.train_time_s == pytest.approx(8 * BATCH_S)
    assert second.eval_time_s == pytest.approx(2 * EVAL_S)
    assert second.checkpoint_time_s == pytest.approx(WRITE_S)
    assert (second.samples, second.steps, second.epochs) == (32, 8, 0.8)
    assert second.energy_total_j == pytest.approx(10 * second.time_s)
    assert second.energy_label == "counter"


def test_each_joule_of_the_clock_belongs_to_its_phase() -> None:
    run = Run(Scripted([0.5, 0.95]), eval_w=40.0, write_w=2.0)
    profiler = run.fit()

    first, second = profiler.rows
    # 10 W in training, 40 W in an evaluation, 2 W in writing a row; cumulative, as of the times.
    train_j, eval_j, write_j = 4 * BATCH_S * 10, EVAL_S * 40, WRITE_S * 2
    assert (first.eval_energy_j, first.checkpoint_energy_j) == (eval_j, 0.0)
    assert first.energy_total_j == train_j + eval_j
    assert (second.eval_energy_j, second.checkpoint_energy_j) == (2 * eval_j, write_j)
    assert second.energy_total_j == 2 * train_j + 2 * eval_j + write_j
    energy, spent = profiler.phase_energy, profiler.spent
    assert energy is not None
    assert spent is not None
    assert (energy.train_j, energy.eval_j) == (2 * train_j, 2 * eval_j)
    assert energy.checkpoint_j == 2 * write_j + 3.0 * 2  # and saving the model for 3 s
    assert spent.energy_j == 2 * train_j + 2 * eval_j + 2 * write_j + 3.0 * 2


def test_without_a_meter_no_energy_is_told_of_any_phase() -> None:
    profiler = Run(Scripted([0.95]), meters={}).fit()
    (row,) = profiler.rows
    assert (row.energy_total_j, row.eval_energy_j, row.checkpoint_energy_j) == (None, None, None)
    assert profiler.phase_energy is None
    assert row.time_s == pytest.approx(4 * BATCH_S + EVAL_S)


def test_a_meter_that_is_lost_takes_the_energy_by_phase_from_then_on() -> None:
    # Read when opened, at the end of set-up, twice around the idle machine and at the start; then
    # at both ends of the first evaluation and after its row. It is lost at the next one.
    readings: list[float | Reading | Exception] = [*[0.0] * 5, 40.0, 50.0, 51.0, OSError("gone")]
    profiler = Run(Scripted([0.5, 0.95]), meters={"lost": ScriptedMeter(readings)}).fit()
    first, second = profiler.rows
    assert (first.energy_total_j, first.eval_energy_j, first.checkpoint_energy_j) == (50, 10, 0)
    assert (second.energy_total_j, second.eval_energy_j) == (None, None)
    assert profiler.phase_energy is None


def test_the_clock_starts_before_the_first_batch_is_asked_for_and_after_all_preparation() -> None:
    run = Run(Scripted([0.95]))
    profiler = run.fit()
    assert run.data.asked_s[0] == 100.0  # measuring the idle machine took that long
    assert profiler.rows[0].time_s == pytest.approx(4 * BATCH_S + EVAL_S)


def test_the_run_stops_at_the_crossing_and_then_saves_the_model() -> None:
    run = Run(Scripted([0.95]))
    profiler = run.fit()
    assert run.ended == 1
    assert len(profiler.rows) == 1
    assert profiler.spent is not None
    assert profiler.spent.samples == 16
    # The crossing, its row, and saving.
    total_s = 4 * BATCH_S + EVAL_S + WRITE_S + 3.0
    assert profiler.spent.time_s == pytest.approx(total_s)
    assert profiler.times is not None
    assert profiler.times.of("checkpoint") == pytest.approx(WRITE_S + 3.0)


def test_a_schedule_that_ends_without_a_hit_is_finished() -> None:
    profiler = Run(Scripted([0.5] * 5)).fit()
    assert profiler.finished
    assert len(profiler.rows) == 5
    assert profiler.rows[-1].steps == 20


def test_the_final_rule_trains_on_past_a_hit() -> None:
    profiler = Run(Scripted([0.95, 0.5, 0.95]), rule="final", max_steps=12).fit()
    assert profiler.finished
    assert len(profiler.rows) == 3


def test_the_consecutive_rule_waits_for_the_second_in_a_row() -> None:
    profiler = Run(Scripted([0.95, 0.5, 0.95, 0.95, 0.0]), rule="consecutive").fit()
    assert len(profiler.rows) == 4


def test_a_time_budget_stops_the_run_after_the_batch_that_used_it_up() -> None:
    run = Run(Scripted([0.5] * 5), budget=BudgetConfig(max_epochs=2, max_time_s=6.0))
    profiler = run.fit()
    # 4 batches and an evaluation take 4.375 s with the row; two more batches reach 6.375 s.
    assert profiler.spent is not None
    assert profiler.spent.samples == 6 * 4
    assert not profiler.finished


def test_an_energy_budget_stops_the_run() -> None:
    run = Run(Scripted([0.5] * 5), budget=BudgetConfig(max_epochs=2, max_energy_j=60.0))
    profiler = run.fit()
    assert profiler.spent is not None
    assert profiler.spent.energy_j is not None
    assert profiler.spent.energy_j >= 60.0
    assert profiler.spent.samples == 6 * 4  # 10 W: as above


@pytest.mark.parametrize(
    ("cutoff", "name"),
    [
        (CutoffConfig(max_time_s=6.0), "max_time_s"),
        (CutoffConfig(max_energy_j=60.0), "max_energy_j"),
    ],
)
def test_a_cutoff_stops_the_run_and_is_named(cutoff: CutoffConfig, name: str) -> None:
    profiler = Run(Scripted([0.5] * 5), cutoff=cutoff).fit()
    assert profiler.spent is not None
    assert profiler.spent.samples == 6 * 4  # as with a budget
    assert profiler.outcome()["cut_off_by"] == name


@pytest.mark.parametrize("max_time_s", [6.0, 1.0])
def test_a_budget_that_is_no_larger_than_the_cutoff_ends_the_run(max_time_s: float) -> None:
    budget = BudgetConfig(max_epochs=2, max_time_s=max_time_s)
    run = Run(Scripted([0.5] * 5), budget=budget, cutoff=CutoffConfig(max_time_s=6.0))
    assert run.fit().outcome()["cut_off_by"] is None


def test_an_energy_budget_reads_the_meters_once_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading them takes time of the training."""
    run = Run(Scripted([]), budget=BudgetConfig(max_epochs=2, max_energy_j=1e6))
    run.window.start()
    read = run.window.read
    read_s: list[float] = []

    def noted() -> WindowEnergy:
        read_s.append(run.window.clock.elapsed_s())
        return read()

    monkeypatch.setattr(run.window, "read", noted)
    trainer: Any = SimpleNamespace(world_size=1)
    for _ in range(12):
        run.clock.advance(0.25)
        run.profiler.step_ended(trainer, 4)
    assert np.diff(read_s).tolist() == [1.0] * (len(read_s) - 1)
    assert len(read_s) == 3


def test_an_energy_budget_waits_for_a_counter_that_has_not_moved_yet() -> None:
    """It moves every 3 s only; budgets are checked every second."""
    shown: list[Run] = []
    slow = FunctionMeter(lambda: shown[0].clock.joules // 30 * 30 if shown else 0.0, refresh_s=3.0)
    budget = BudgetConfig(max_epochs=2, max_energy_j=60.0)
    shown.append(Run(Scripted([0.5] * 5), budget=budget, meters={"slow": slow}))
    profiler = shown[0].fit()
    assert profiler.spent is not None
    assert profiler.spent.energy_j is not None
    assert 60.0 <= profiler.spent.energy_j < 120.0


def test_an_energy_budget_that_nothing_checks_any_more_ends_the_run_loudly() -> None:
    class Lost:
        components = FunctionMeter(lambda: 0.0, component="gpu0").components

        def __init__(self) -> None:
            self.num_reads = 0

        def open(self) -> None: ...

        def read(self) -> dict[str, Reading]:
            self.num_reads += 1
            if self.num_reads > 6:
                raise MeterUnavailable("the card is lost")
            return {"gpu0": Reading(float(self.num_reads))}

        def close(self) -> None: ...

    budget = BudgetConfig(max_epochs=2, max_energy_j=1e6)
    run = Run(Scripted([0.5] * 5), budget=budget, meters={"lost": Lost()})
    with pytest.raises(UncheckedBudget, match=r"max_energy_j=1e\+06 cannot be .*the card is lost"):
        run.fit()


def test_a_batch_of_unknown_size_makes_the_samples_unknown_from_there_on() -> None:
    run = Run(Scripted([0.5, 0.95]))
    step_ended = run.profiler.step_ended
    sizes = iter([4, 4, 4, 4, 4, None, 4, 4])

    def count(trainer: Any, num_samples: int | None) -> None:
        step_ended(trainer, next(sizes))

    run.profiler.step_ended = count  # type: ignore[method-assign]
    first, second = run.fit().rows
    assert (first.samples, first.epochs) == (16, 0.4)
    assert (second.samples, second.epochs, second.steps) == (None, None, 8)
    assert run.profiler.spent is not None
    assert run.profiler.spent.samples is None


def test_samples_are_those_of_all_ranks_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks, of which the other one has seen one sample less at each evaluation."""
    run = Run(Scripted([0.5, 0.95]))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda own: own.mul_(2).sub_(1))
    strategy = SimpleNamespace(root_device=torch.device("cpu"), broadcast=lambda stop: stop)
    trainer: Any = SimpleNamespace(world_size=2, strategy=strategy, should_stop=False)
    run.profiler.start()
    for expected in (7, 15):
        run.profiler.step_ended(trainer, 4)
        run.profiler.validation_started()
        run.profiler.evaluated(trainer, None, {"accuracy": 0.5})
        assert run.profiler.rows[-1].samples == expected
    # Since the last evaluation the other rank is taken for like this one.
    run.profiler.step_ended(trainer, 4)
    run.profiler.stop()
    assert run.profiler.spent is not None
    assert run.profiler.spent.samples == 15 + 2 * 4


def test_what_is_compiled_on_the_clock_flags_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = iter([3, 3, 3, 4])  # at start and stop of two runs
    monkeypatch.setattr("bench.training.profiler.num_compiled_graphs", lambda: next(graphs))
    flags = []
    for _ in range(2):
        run = Run(Scripted([0.95]))
        run.fit()
        assert run.window.health is not None
        flags.append("compiled" in run.window.health.flags)
    assert flags == [False, True]
    assert run.window.health is not None
    assert not run.window.health.comparable


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_a_failure_with_a_cost(loss: float) -> None:
    run = Run(Scripted([0.95], loss=loss))
    with pytest.raises(DivergedError, match=r"the validation loss is (nan|inf) after 16 samples"):
        run.fit()
    assert run.profiler.rows == []
    assert run.profiler.spent is not None
    assert run.profiler.spent.time_s == pytest.approx(4 * BATCH_S + EVAL_S)
    assert run.profiler.spent.samples == 16


def test_what_was_spent_is_kept_when_the_training_breaks() -> None:
    run = Run(Scripted([]), eval_w=40.0)
    with pytest.raises(RuntimeError, match="the script has ended"):
        run.fit()
    assert run.profiler.spent is not None
    assert run.profiler.spent.samples == 16
    energy = run.profiler.phase_energy
    assert energy is not None
    # It broke at the end of the evaluation.
    assert (energy.train_j, energy.eval_j) == (4 * BATCH_S * 10, EVAL_S * 40)
    assert energy.checkpoint_j == 0.0


class OtherNode:
    """Stands for a second node, which uses as many joules as this one."""

    def __init__(self, why_lost: str | None = None) -> None:
        self.waited_s: list[float] = []
        self._why_lost = why_lost
        self.clock = PoweredClock()

    def wait(self) -> None:
        self.waited_s.append(self.clock())

    def add_up(self, row: CurveRow, window: Window) -> tuple[CurveRow, str | None]:
        own_j = row.energy_total_j
        total_j = None if own_j is None or self._why_lost else 2 * own_j
        return replace(row, energy_total_j=total_j), self._why_lost


def of_two_nodes(
    node: OtherNode, max_energy_j: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[Run, Any]:
    """A run whose clock has started, and the trainer of its two ranks."""
    budget = BudgetConfig(max_epochs=2, max_energy_j=max_energy_j)
    run = Run(Scripted([0.5] * 5), budget=budget)
    node.clock = run.clock
    run.profiler.nodes = node  # type: ignore[assignment]
    run.profiler.start()
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda own: own.mul_(2))
    strategy = SimpleNamespace(root_device=torch.device("cpu"), broadcast=lambda value: value)
    return run, SimpleNamespace(world_size=2, strategy=strategy, should_stop=False)


def test_the_joules_of_all_nodes_are_in_the_curve_and_decide_about_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = OtherNode()
    run, trainer = of_two_nodes(node, 100.0, monkeypatch)
    stopped = []
    for _ in range(2):
        run.clock.advance(4.0)  # at 10 W; with writing the first row, 81.25 J of one node after 8 s
        run.profiler.step_ended(trainer, 4)
        run.profiler.evaluated(trainer, 0.5, {"accuracy": 0.5})
        stopped.append(trainer.should_stop)
    energies = [row.energy_total_j for row in run.profiler.rows]
    assert energies == [2 * 40.0, pytest.approx(2 * (80.0 + 10 * WRITE_S))]
    assert stopped == [False, True]
    # The nodes wait for one another just before the clock, once the idle machine was measured, and
    # after the model was saved.
    run.profiler.training_ended(run.module)
    assert node.waited_s == [100.0, pytest.approx(100.0 + 8.0 + 2 * WRITE_S + 3.0)]


def test_a_node_whose_meters_are_lost_ends_a_run_with_a_budget_of_joules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, trainer = of_two_nodes(OtherNode("node1: rapl: gone"), 100.0, monkeypatch)
    run.clock.advance(4.0)
    with pytest.raises(UncheckedBudget, match=r"cannot be checked any more \(node1: rapl: gone\)"):
        run.profiler.evaluated(trainer, 0.5, {"accuracy": 0.5})
    assert run.profiler.rows[0].energy_total_j is None
