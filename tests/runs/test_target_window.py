"""A training of one's own, on a scripted clock, under TargetWindow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import DivergedError
from bench.core.records.run import RunRecord
from bench.core.store import read_curve, read_record
from bench.launch.stopping import Stopped
from bench.measure.meters.base import MeterUnavailable
from bench.measure.window import Window
from bench.runs.target_window import TargetWindow
from tests.fakes import FakeClock, FunctionMeter, ScriptedMeter

EPOCH_S = 4.0  # of training, on 100 samples
EVAL_S = 0.5


class Training:
    """An epoch takes 4 s and an evaluation half a second; the machine draws 10 W."""

    def __init__(self, results: Path, **options: Any) -> None:
        self.clock = FakeClock()
        meter = FunctionMeter(lambda: 10.0 * self.clock())
        window = Window({"ten_watts": meter}, clock=self.clock, period_s=None)
        given = {"metric": "accuracy", "value": 0.9, "results": results, "window": window}
        self.run = TargetWindow(**{**given, **options})

    def fit(self, accuracies: list[float], *, phase: bool = True) -> RunRecord:
        """Train an epoch for each accuracy, until the target is reached."""
        with self.run:
            for epoch, accuracy in enumerate(accuracies, 1):
                self.clock.advance(EPOCH_S)
                if phase:
                    with self.run.evaluation():
                        self.clock.advance(EVAL_S)
                else:
                    self.clock.advance(EVAL_S)
                if self.run.evaluated(samples=100 * epoch, accuracy=accuracy, loss=1.0):
                    break
        assert self.run.record is not None
        return self.run.record

    def end(self, act: Callable[[TargetWindow], object]) -> RunRecord:
        """Train and evaluate once, then act in the block, whatever that raises."""
        try:
            with self.run as run:
                self.clock.advance(EPOCH_S)
                run.evaluated(samples=100, accuracy=0.5)
                self.clock.advance(1.0)
                act(run)
        except BaseException as error:
            self.error: BaseException | None = error
        assert self.run.folder is not None
        return read_record(self.run.folder)


def fails_with(error: BaseException) -> Callable[[TargetWindow], object]:
    def act(run: TargetWindow) -> None:
        raise error

    return act


def test_time_and_energy_to_the_target_are_those_of_the_evaluation_that_crosses(
    tmp_path: Path,
) -> None:
    record = Training(tmp_path, ladder=[0.5]).fit([0.5, 0.95, 0.99])
    target = record.target
    assert target is not None
    # Two epochs and two evaluations, at 10 W.
    assert (target.time_to_target_s, target.train_time_to_target_s) == (9.0, 8.0)
    assert target.energy_to_target_j == pytest.approx(90.0)
    assert (target.last_miss_s, target.samples_to_target) == (4.5, 200)
    assert (target.steps_to_target, target.epochs_to_target) == (None, None)
    # 15.45 cents per kWh, as bench.train takes it by default.
    assert target.cost_to_target_usd == pytest.approx(90 / 3.6e6 * 0.1545)
    assert [(rung.value, rung.time_s) for rung in record.ladder] == [(0.5, 4.5)]
    energy = record.phase_energy
    assert energy is not None
    assert (energy.train_j, energy.eval_j, energy.checkpoint_j) == (80.0, 10.0, 0.0)
    assert (record.command, record.status, record.repeat) == ("own", "ok", 0)


def test_the_record_is_in_the_run_folder_with_its_curve(tmp_path: Path) -> None:
    training = Training(tmp_path, config={"lr": 0.1}, seed=3)
    record = training.fit([0.5, 0.95])
    folder = training.run.folder
    assert folder is not None
    assert folder.parent == tmp_path / "own"
    assert read_record(folder) == record
    assert record.quality is not None
    assert (record.quality.at, record.quality["loss"]) == ("crossing", 1.0)
    assert (record.config["lr"], record.config["target"]["value"], record.seed) == (0.1, 0.9, 3)
    rows = read_curve(folder)
    assert [row.quality for row in rows] == [
        {"accuracy": 0.5, "loss": 1.0},
        {"accuracy": 0.95, "loss": 1.0},
    ]
    assert [(row.eval_time_s, row.eval_energy_j) for row in rows] == [(0.5, 5.0), (1.0, 10.0)]
    assert (folder / "telemetry.parquet").exists()
    assert Training(tmp_path, config={"lr": 0.1}, seed=3).fit([0.95]).repeat == 1


def test_evaluations_that_are_not_marked_count_as_training(tmp_path: Path) -> None:
    record = Training(tmp_path).fit([0.95], phase=False)
    assert record.target is not None
    assert record.target.time_to_target_s == record.target.train_time_to_target_s == 4.5
    assert record.phases.eval_s == 0


def test_what_is_evaluated_inside_of_its_phase_is_followed_by_training(tmp_path: Path) -> None:
    training = Training(tmp_path)
    with training.run as run:
        with run.evaluation():
            training.clock.advance(EVAL_S)
            run.evaluated(samples=1, accuracy=0.5)
            training.clock.advance(EVAL_S)
        training.clock.advance(EPOCH_S)
    assert run.record is not None
    assert (run.record.phases.eval_s, run.record.phases.train_s) == (1.0, 4.0)


def test_a_miss_is_censored_at_what_was_spent(tmp_path: Path) -> None:
    record = Training(tmp_path).fit([0.5, 0.6])
    assert record.target is not None
    assert (record.status, record.target.reached) == ("ok", False)
    assert (record.target.censored_at_s, record.target.censored_at_j) == (9.0, 90.0)
    assert record.target.cost_to_target_usd is None
    assert record.quality is not None
    assert (record.quality.at, record.quality["accuracy"]) == ("end", 0.6)


def test_a_training_without_an_evaluation_has_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = Training(tmp_path).fit([])
    assert (record.status, record.error and record.error.kind) == ("failed", "not_evaluated")
    assert "ended without an evaluation: call evaluated()" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (KeyError("x"), "failed", "KeyError"),
        (MemoryError(), "out_of_memory", "out_of_memory"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
    ],
)
def test_an_exception_ends_the_run_with_its_reason_and_is_passed_on(
    error: BaseException, status: str, kind: str, tmp_path: Path
) -> None:
    training = Training(tmp_path)
    record = training.end(fails_with(error))
    assert training.error is error
    assert (record.status, record.error and record.error.kind) == (status, kind)
    assert record.phases.wall_time_s == 5.0
    assert record.target is not None
    censored_s = 5.0 if status == "interrupted" else None  # others would not have hit later
    assert record.target.censored_at_s == censored_s
    assert (Training(tmp_path).fit([0.95]).repeat == 0) == (status == "interrupted")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"samples": 99, "accuracy": 0.5}, r"samples=99: fewer than before \(100\)"),
        ({"samples": 1.5, "accuracy": 0.5}, "samples=1.5: must be a whole number"),
        ({"samples": 200, "steps": "a", "accuracy": 0.5}, "steps='a': must be a whole number"),
        ({"samples": 200, "loss": 0.1}, "accuracy: missing, and the target .*; given: loss"),
        ({"samples": 200, "accuracy": None}, "accuracy: missing"),
        ({"samples": 200, "accuracy": 0.5, "at": 1}, "at: the record uses this name"),
        ({"samples": 200, "accuracy": 95.0}, "accuracy=95: .* log it as a fraction"),
        ({"samples": 200, "accuracy": [0.1, 0.2]}, "accuracy: a value of type list is not one"),
        ({"samples": 200, "accuracy": torch.ones(2)}, "accuracy: a value of type Tensor is not"),
    ],
)
def test_what_an_evaluation_cannot_be_is_refused_in_one_line(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    training = Training(tmp_path)
    record = training.end(lambda run: run.evaluated(**given))
    assert isinstance(training.error, ValueError)
    assert record.status == "failed"
    with pytest.raises(ValueError, match=words):
        raise training.error


@pytest.mark.parametrize("losses", [{"loss": float("nan")}, {"train_loss": float("inf")}])
def test_a_loss_that_is_not_finite_is_a_failure_with_a_cost(
    losses: dict[str, Any], tmp_path: Path
) -> None:
    training = Training(tmp_path)
    record = training.end(lambda run: run.evaluated(samples=200, accuracy=0.5, **losses))
    assert isinstance(training.error, DivergedError)
    assert (record.status, record.error and record.error.kind) == ("failed", "diverged")
    assert record.energy_total_j == pytest.approx(50.0)


def test_numbers_of_any_library_are_taken(tmp_path: Path) -> None:
    training = Training(tmp_path)
    with training.run as run:
        run.evaluated(
            samples=np.int64(3),  # type: ignore[arg-type]
            steps=torch.tensor(2),  # type: ignore[arg-type]
            epochs=np.float32(0.5),  # type: ignore[arg-type]
            accuracy=torch.tensor(0.25),
            undefined=None,
        )
    assert run.folder is not None
    (row,) = read_curve(run.folder)
    assert (row.samples, row.steps, row.epochs) == (3, 2, 0.5)
    assert row.quality == {"accuracy": 0.25, "undefined": None}


def test_a_metric_of_ones_own_needs_its_direction(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"target\.metric=reward: .*give target\.mode=max or"):
        TargetWindow(metric="reward", value=3.0)
    with Training(tmp_path, metric="reward", value=3.0, mode="max").run as run:
        assert not run.evaluated(samples=1, reward=-2.0)
        assert run.evaluated(samples=2, reward=3.5)
    assert run.record is not None
    assert run.record.target is not None
    assert run.record.target.reached
    assert run.record.task is not None
    assert run.record.task.directions == {"reward": "max"}


def test_the_rules_are_those_of_bench_train(tmp_path: Path) -> None:
    twice = Training(tmp_path, rule="consecutive").fit([0.95, 0.5, 0.95, 0.95, 0.99])
    assert twice.target is not None
    assert twice.target.samples_to_target == 400
    last = Training(tmp_path, rule="final").fit([0.95, 0.5, 0.95])
    assert last.target is not None
    assert last.target.samples_to_target == 300
    missed = Training(tmp_path, rule="final").fit([0.95, 0.5])
    assert missed.target is not None
    assert not missed.target.reached


def test_a_training_that_goes_on_past_its_target_keeps_the_first_crossing(tmp_path: Path) -> None:
    with Training(tmp_path).run as run:
        answers = [run.evaluated(samples=n, accuracy=a) for n, a in [(1, 0.95), (2, 0.5)]]
    assert answers == [True, True]
    assert run.record is not None
    assert run.record.target is not None
    assert run.record.target.samples_to_target == 1


def test_evaluations_belong_in_the_block_and_a_window_measures_once(tmp_path: Path) -> None:
    run = Training(tmp_path).run
    words = "call this in the `with` block"
    with pytest.raises(RuntimeError, match=words):
        run.evaluated(samples=1, accuracy=0.5)
    with run:
        run.evaluated(samples=1, accuracy=0.5)
    with pytest.raises(RuntimeError, match=words), run.evaluation():
        pass
    with pytest.raises(RuntimeError, match="one training"), run:
        pass


def test_a_meter_that_is_required_and_missing_leaves_a_failed_record(tmp_path: Path) -> None:
    absent = ScriptedMeter([], open_error=MeterUnavailable("no counter"))
    training = Training(tmp_path, window=Window({"rapl": absent}, required=True))
    record = training.end(lambda run: None)
    assert isinstance(training.error, MeterUnavailable)
    assert record.status == "failed"


def test_a_device_that_is_lost_at_the_end_fails_the_run(tmp_path: Path) -> None:
    def lose(run: TargetWindow) -> None:
        run.window.synchronize = fails_with(RuntimeError("device-side assert"))  # type: ignore[assignment]

    training = Training(tmp_path)
    training.clock.advance(1.0)
    record = training.end(lose)
    assert record.status == "failed"
    assert record.phases.wall_time_s == 5.0


def test_ctrl_c_while_the_idle_machine_is_measured_loses_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    waits = iter([None, KeyboardInterrupt()])  # before the clock, and after it

    def sleep(seconds: float) -> None:
        if error := next(waits):
            raise error
        clock.advance(seconds)

    meter = FunctionMeter(lambda: 10.0 * clock())
    window = Window({"ten_watts": meter}, clock=clock, sleep=sleep, idle_s=5.0, period_s=None)
    training = Training(tmp_path, window=window)
    training.clock = clock
    record = training.end(lambda run: None)
    assert isinstance(training.error, KeyboardInterrupt)
    assert (record.status, record.energy_total_j) == ("interrupted", 50.0)


def test_a_training_that_survives_its_divergence_goes_on_training(tmp_path: Path) -> None:
    training = Training(tmp_path)
    with training.run as run:
        with pytest.raises(DivergedError):
            run.evaluated(samples=1, accuracy=0.5, loss=float("nan"))
        training.clock.advance(EPOCH_S)
        run.evaluated(samples=2, accuracy=0.95)
    assert run.record is not None
    assert run.record.phases.train_s == EPOCH_S


def test_the_device_is_waited_for_and_only_its_gpus_are_metered(tmp_path: Path) -> None:
    waits = []
    training = Training(tmp_path, synchronize=lambda: waits.append(1), gpus=[])
    record = training.fit([0.95])
    assert len(waits) >= 4  # at the start, at both ends of the evaluation, at the end
    assert record.host["gpus"] == []


def test_sigterm_that_the_training_itself_catches_interrupts_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[int] = []
    monkeypatch.setattr("bench.launch.stopping.signal.raise_signal", raised.append)
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    training = Training(tmp_path)

    def stop(run: TargetWindow) -> None:
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as timeout sends it twice

    try:
        record = training.end(stop)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert raised == [signal.SIGTERM]  # after the record was written
    assert (record.status, record.error and record.error.message) == (
        "interrupted",
        "stopped by SIGTERM",
    )


def test_a_thread_can_measure_a_training(tmp_path: Path) -> None:
    training = Training(tmp_path)
    thread = threading.Thread(target=training.fit, args=([0.95],))
    thread.start()
    thread.join()
    assert training.run.record is not None
    assert training.run.record.status == "ok"


SCRIPT = """
import os, signal, sys
from bench.measure.window import Window
from bench.runs.target_window import TargetWindow

with TargetWindow(metric="r2", value=0.9, window=Window({}, period_s=None)) as run:
    run.evaluated(samples=1, r2=0.5)
    worker = os.fork() or signal.pause()
    os.kill(worker, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM
    assert "torch" not in sys.modules, "the import takes seconds, and a thread pool"
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_sigterm_ends_a_training_without_torch_after_its_record_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGTERM, done.stderr
    (folder,) = (tmp_path / "results" / "own").iterdir()
    record = read_record(folder)
    assert (record.status, record.error and record.error.message) == (
        "interrupted",
        "stopped by SIGTERM",
    )
    assert record.target is not None
    assert record.target.best_value == 0.5
    assert "num_threads" not in record.host
