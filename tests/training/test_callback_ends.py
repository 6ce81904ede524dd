"""How a user's own fit ends, and which of its evaluations count."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from bench.core.records.run import RunRecord
from bench.core.records.target import TargetResult
from bench.core.store import read_curve, read_record
from bench.training.callback import ProfilerCallback
from tests.fakes import FakeClock
from tests.training.stranger import Batch, Stranger, fit, loader, measured, trainer_of

DATA = TensorDataset(torch.randn(12, 2), torch.zeros(12, dtype=torch.long))


def record_of(profiler: ProfilerCallback) -> RunRecord:
    assert profiler.record is not None
    return profiler.record


def target_of(profiler: ProfilerCallback) -> TargetResult:
    target = record_of(profiler).target
    assert target is not None
    return target


class Stopped(Stranger):
    """Stops the trainer after four of its twelve steps, in the second of four epochs."""

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.global_step == 4:
            self.trainer.should_stop = True


@pytest.mark.parametrize("max_epochs", [4, 2])  # Lightning counts the epoch cut short as one
def test_a_fit_that_was_stopped_did_not_reach_its_target_by_the_rule_final(
    max_epochs: int, tmp_path: Path
) -> None:
    profiler = fit(tmp_path, [0.95] * 4, module=Stopped, max_epochs=max_epochs, rule="final")
    target = target_of(profiler)
    assert record_of(profiler).status == "ok"
    assert (target.reached, target.censored_at_s) == (False, 11.0)  # 4 steps, 2 evaluations


def test_the_end_of_the_steps_is_the_end_of_the_schedule(tmp_path: Path) -> None:
    profiler = fit(tmp_path, [0.5, 0.95], max_epochs=-1, trainer={"max_steps": 6}, rule="final")
    assert target_of(profiler).steps_to_target == 6


def test_the_rule_final_needs_an_evaluation_at_the_end(tmp_path: Path) -> None:
    profiler = fit(tmp_path, [0.95], max_epochs=-1, trainer={"max_steps": 5}, rule="final")
    record = record_of(profiler)
    assert (record.status, target_of(profiler).reached) == ("failed", False)
    assert record.error is not None
    assert record.error.kind == "not_evaluated"
    assert "ended after 5 steps and was last evaluated after 3" in record.error.message


@pytest.mark.parametrize(("trainer", "val"), [({"limit_val_batches": 0}, loader()), ({}, None)])
def test_a_fit_without_validation_is_refused_and_leaves_nothing(
    trainer: dict[str, Any], val: Any, tmp_path: Path
) -> None:
    clock = FakeClock()
    profiler = measured(tmp_path, clock)
    with pytest.raises(ValueError, match="no validation: the target is judged by"):
        trainer_of(profiler, **trainer).fit(Stranger(clock, []), loader(), val)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_evaluated_nothing_failed(tmp_path: Path) -> None:
    profiler = fit(tmp_path, [], max_epochs=1, trainer={"check_val_every_n_epoch": 2})
    record = record_of(profiler)
    assert (record.status, target_of(profiler).censored_at_s) == ("failed", None)
    assert record.error is not None
    assert record.error.message == "the fit ended without an evaluation"
    assert record.phases.wall_time_s == 6.0


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 0},
        {"trainer": {"limit_train_batches": 0}},
        {"train": DataLoader(DATA, batch_size=13, drop_last=True)},
    ],
)
def test_a_fit_without_a_batch_has_a_failed_record(options: dict[str, Any], tmp_path: Path) -> None:
    profiler = fit(tmp_path, [], **options)
    record = record_of(profiler)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.message.startswith("the fit ended before its first batch; look at")
    assert profiler.folder is not None
    assert read_record(profiler.folder) == record
    assert "sampler" not in {thread.name for thread in threading.enumerate()}


class Unloaded(Stranger):
    """Fails where Lightning asks for its training data."""

    def train_dataloader(self) -> Any:
        raise FileNotFoundError("no such data")


def test_an_exception_before_the_first_batch_has_a_failed_record(tmp_path: Path) -> None:
    clock = FakeClock()
    profiler = measured(tmp_path, clock)
    trainer = trainer_of(profiler)
    with pytest.raises(FileNotFoundError):
        trainer.fit(Unloaded(clock, []), val_dataloaders=loader())
    record = record_of(profiler)
    assert record.error is not None
    assert (record.status, record.error.message) == ("failed", "no such data")
    assert "setup_data" not in vars(trainer.fit_loop)


def test_a_training_that_goes_on_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    trainer = trainer_of(measured(tmp_path / "first", clock), max_epochs=1)
    trainer.fit(Stranger(clock, [0.5]), loader(), loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    words = "global_step=3: a training that was begun before is not measured"
    resumed = trainer_of(measured(tmp_path / "second", clock), max_epochs=2)
    with pytest.raises(ValueError, match=words):
        resumed.fit(Stranger(clock, [0.5]), loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    trainer.callbacks = [measured(tmp_path / "second", clock)]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=words):
        trainer.fit(Stranger(clock, [0.5]), loader(), loader())
    assert not (tmp_path / "second").exists()


class Preempted(Stranger):
    """Gets SIGTERM in its second step."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.global_step == 1:
            os.kill(os.getpid(), signal.SIGTERM)


class Interrupted(Stranger):
    """Its user presses Ctrl+C in the second step."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.global_step == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "raised", "reason"),
    [
        (Preempted, SIGTERMException, "stopped by SIGTERM"),
        (Interrupted, SystemExit, "stopped by Ctrl-C (SIGINT)"),
    ],
)
def test_a_fit_ended_from_outside_is_interrupted_and_its_number_is_free(
    module: type[Stranger], raised: type[BaseException], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(raised):
        fit(tmp_path, [], module=module)
    (folder,) = (tmp_path / "lightning").iterdir()
    cut = read_record(folder)
    assert (cut.status, cut.error and cut.error.message) == ("interrupted", reason)
    assert cut.repeat == 0
    assert cut.target is not None
    assert cut.target.censored_at_s is not None
    assert record_of(fit(tmp_path, [0.95])).repeat == 0


class LogsInTraining(Stranger):
    """Logs the metric in training, and something else in validation."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log("val_acc", 0.99)
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", 0.5)


class LogsOnce(Stranger):
    """Logs the metric in the first validation only."""

    def on_validation_epoch_end(self) -> None:
        if self.current_epoch == 0:
            super().on_validation_epoch_end()
        self.log("val_loss", 0.5)


@pytest.mark.parametrize(("module", "num_rows"), [(LogsInTraining, 0), (LogsOnce, 1)])
def test_only_what_a_validation_logged_is_its_quality(
    module: type[Stranger], num_rows: int, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"monitor=val_acc: not logged in .*; logged: val_loss$"):
        fit(tmp_path, [0.95], module=module, rule="consecutive", consecutive=3)
    (folder,) = (tmp_path / "lightning").iterdir()
    assert len(read_curve(folder)) == num_rows


class LogsInBoth(Stranger):
    """Logs one name in training and in validation."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log("val_acc", 0.99)
        return super().training_step(batch, batch_idx)


def test_a_validation_that_logs_what_training_logs_is_read(tmp_path: Path) -> None:
    profiler = fit(tmp_path, [0.5, 0.6], module=LogsInBoth, max_epochs=2)
    assert profiler.folder is not None
    accuracies = [row.quality["accuracy"] for row in read_curve(profiler.folder)]
    assert accuracies == pytest.approx([0.5, 0.6])


class LogsCoarse(Stranger):
    """Logs 19 of 20 in bfloat16."""

    def on_validation_epoch_end(self) -> None:
        self.log("val_acc", torch.tensor(19 / 20, dtype=torch.bfloat16))


def test_a_threshold_missed_by_a_coarse_type_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        profiler = fit(tmp_path, [], module=LogsCoarse, max_epochs=1, value=0.95)
    assert not target_of(profiler).reached
    assert "val_acc: 0.949219 is 0.95 rounded to torch.bfloat16, which misses it" in caplog.text


class Ready(torch.utils.data.Dataset[Any]):
    """Three batches of four samples each."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return torch.randn(4, 2), torch.zeros(4, dtype=torch.long)


def listed(samples: list[Batch]) -> tuple[list[Tensor], Tensor]:
    """A batch of images as a list; each has three channels."""
    return [torch.zeros(3, 4, 4) for _ in samples], torch.zeros(3)


class Pictures(Stranger):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step((torch.zeros(4, 2), torch.zeros(4).long()), batch_idx)


@pytest.mark.parametrize(
    ("train", "samples"),
    [
        (lambda: DataLoader(DATA, batch_size=4, sampler=SubsetRandomSampler(range(9))), 9),
        (lambda: DataLoader(DATA, batch_size=5, drop_last=True), 10),
        (lambda: DataLoader(Ready(), batch_size=None), 12),
        (lambda: DataLoader(DATA, batch_size=4, collate_fn=listed), None),
    ],
)
def test_one_pass_is_one_epoch_and_samples_are_those_seen(
    train: Callable[[], Any], samples: int | None, tmp_path: Path
) -> None:
    target = target_of(fit(tmp_path, [0.95], module=Pictures, train=train()))
    assert (target.epochs_to_target, target.samples_to_target) == (1.0, samples)
    assert (target.time_per_sample_s is None) == (samples is None)
