"""The callback in a user's own Lightning training, with their module and trainer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from bench.core.store import read_curve, read_record
from bench.measure.meters.base import MeterUnavailable
from bench.measure.window import Window
from bench.training.callback import ProfilerCallback
from tests.fakes import FakeClock, ScriptedMeter
from tests.training.stranger import BATCH_S, Batch, Stranger, fit, loader, trainer_of


def test_time_and_energy_to_the_target_are_those_of_the_evaluation_that_crosses(
    tmp_path: Path,
) -> None:
    record = fit(tmp_path, [0.5, 0.95, 0.99]).record
    assert record is not None
    assert record.target is not None
    # Two epochs of three batches of 2 s, and two evaluations of three of 0.5 s; the sanity check
    # before the start does not count.
    assert record.target.time_to_target_s == 15.0
    assert record.target.train_time_to_target_s == 12.0
    assert record.target.last_miss_s == 7.5
    assert record.target.energy_to_target_j == pytest.approx(150.0)
    assert (record.target.samples_to_target, record.target.steps_to_target) == (24, 6)
    assert record.target.epochs_to_target == 2.0
    assert record.phases.wall_time_s == 15.0  # the trainer was stopped there
    assert record.energy_total_j == pytest.approx(150.0)
    # 150 J at 15.45 cents per kWh, the price that bench.train takes by default.
    assert record.target.cost_to_target_usd == pytest.approx(150 / 3.6e6 * 0.1545)
    assert record.target.emissions_to_target_gco2e is not None
    energy = record.phase_energy
    assert energy is not None
    assert (energy.train_j, energy.eval_j, energy.checkpoint_j) == (120.0, 30.0, 0.0)
    assert energy.init_j == 10.0  # the meters were open for the sanity check of two batches
    assert record.utilization is not None
    assert record.health is not None
    assert record.status == "ok"


def test_a_training_over_several_nodes_has_no_joules_but_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callback reads the meters of one node only."""
    monkeypatch.setattr(pl.Trainer, "num_nodes", 2)
    record = fit(tmp_path, [0.5, 0.95]).record
    assert record is not None
    assert record.target is not None
    assert (record.target.time_to_target_s, record.target.energy_to_target_j) == (15.0, None)
    assert record.energy_total_j is None
    assert record.health is not None
    assert "nodes_unmeasured" in record.health.flags


def test_the_record_is_in_the_run_folder_with_its_curve(tmp_path: Path) -> None:
    profiler = fit(tmp_path, [0.5, 0.95])
    assert profiler.folder is not None
    assert profiler.folder.parent == tmp_path / "lightning"
    assert read_record(profiler.folder) == profiler.record
    rows = read_curve(profiler.folder)
    assert [row.quality["accuracy"] for row in rows] == pytest.approx([0.5, 0.95])
    assert all(row.train_loss is not None and math.isfinite(row.train_loss) for row in rows)
    assert [row.quality.get("macro_f1") for row in rows] == [None, None]
    assert [row.eval_energy_j for row in rows] == [15.0, 30.0]
    assert (profiler.folder / "telemetry.parquet").exists()


class LogsMore(Stranger):
    """Logs several metrics: some in validation, some in training, some under names in use."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log("train_acc", 0.5)
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log_dict({"val_f1": 0.75, "num_samples": 12.0, "accuracy": 0.1})


def test_all_that_is_logged_in_validation_is_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profiler = fit(tmp_path, [0.5, 0.95], module=LogsMore)
    record, folder = profiler.record, profiler.folder
    assert record is not None
    assert record.quality is not None
    assert folder is not None
    # The monitored metric has the name of the target; two other names are in use.
    assert record.quality.values == pytest.approx({"accuracy": 0.95, "val_f1": 0.75})
    assert (record.quality.at, record.quality.num_samples) == ("crossing", None)
    assert [row.quality["val_f1"] for row in read_curve(folder)] == [0.75, 0.75]
    skipped = [line for line in caplog.messages if "logged in validation but not recorded" in line]
    assert [line.partition(":")[0] for line in skipped] == ["num_samples", "accuracy"]


def test_a_metric_that_the_suite_does_not_know_is_a_target_with_its_direction(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=r"target\.metric=val_f1: .*give target\.mode=max or"):
        ProfilerCallback(metric="val_f1", value=0.7)
    record = fit(
        tmp_path, [0.5], module=LogsMore, metric="val_f1", monitor=None, mode="max", value=0.7
    ).record
    assert record is not None
    assert record.target is not None
    assert record.target.reached


def test_the_size_of_the_model_is_that_of_its_weights_as_a_file(tmp_path: Path) -> None:
    record = fit(tmp_path, [0.95]).record
    assert record is not None
    assert record.model is not None
    torch.save(Stranger(FakeClock(), []).state_dict(), tmp_path / "weights.pt")
    size_bytes = (tmp_path / "weights.pt").stat().st_size
    assert (record.model.name, record.model.num_parameters) == ("Stranger", 2 * 2 + 2)
    # The name of a file is part of it.
    assert record.model.size_bytes == pytest.approx(size_bytes, abs=256)


class Unsaved(Stranger):
    """Has an extra state that cannot be saved."""

    def get_extra_state(self) -> object:
        return open(__file__)


def test_a_model_that_cannot_be_saved_has_no_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = fit(tmp_path, [0.95], module=Unsaved).record
    assert record is not None
    assert record.model is not None
    assert (record.status, record.model.num_parameters) == ("ok", 6)
    assert record.model.size_bytes is None
    assert "the size of the model is not known: TypeError" in caplog.text


def test_a_miss_is_censored(tmp_path: Path) -> None:
    record = fit(tmp_path, [0.5, 0.6], max_epochs=2).record
    assert record is not None
    assert record.target is not None
    assert (record.target.reached, record.target.time_to_target_s) == (False, None)
    assert record.target.censored_at_s == 15.0


def test_the_trainer_need_not_be_stopped_at_the_target(tmp_path: Path) -> None:
    record = fit(
        tmp_path, [0.5, 0.95, 0.99], max_epochs=3, stop_at_target=False, ladder=[0.99]
    ).record
    assert record is not None
    assert record.target is not None
    assert record.target.time_to_target_s == 15.0
    assert record.phases.wall_time_s == 22.5
    assert [rung.time_s for rung in record.ladder] == [22.5]


def test_the_final_rule_takes_the_end_of_the_training(tmp_path: Path) -> None:
    record = fit(tmp_path, [0.95, 0.91], max_epochs=2, rule="final").record
    assert record is not None
    assert record.target is not None
    assert record.target.time_to_target_s == 15.0


def test_a_metric_that_is_not_logged_fails_the_fit_by_name_and_leaves_a_record(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=r"monitor=acc: not logged in validation; logged: val_acc"):
        fit(tmp_path, [0.5], monitor="acc")
    (folder,) = (tmp_path / "lightning").iterdir()
    record = read_record(folder)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == "no_metrics"
    assert record.phases.wall_time_s == 7.5
    assert record.phase_energy is not None
    assert (record.phase_energy.train_j, record.phase_energy.eval_j) == (60.0, 15.0)


def test_an_evaluation_outside_of_the_fit_is_none_of_its(tmp_path: Path) -> None:
    clock = FakeClock()
    profiler = ProfilerCallback(
        metric="accuracy",
        value=0.9,
        monitor="val_acc",
        results=tmp_path,
        window=Window({}, clock=clock),
    )
    module, trainer = Stranger(clock, [0.1, 0.5, 0.2]), trainer_of(profiler)
    trainer.validate(module, loader(), verbose=False)
    trainer.fit(module, loader(), loader())
    trainer.validate(module, loader(), verbose=False)
    assert profiler.folder is not None
    assert [row.quality["accuracy"] for row in read_curve(profiler.folder)] == [0.5]
    assert profiler.record is not None
    assert profiler.record.status == "ok"


@pytest.mark.parametrize(
    ("error", "status"), [(MemoryError("all of it"), "out_of_memory"), (KeyError("x"), "failed")]
)
def test_why_a_fit_ended_is_recorded_though_its_device_is_lost(
    error: Exception, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    window = Window({}, clock=clock)

    def lost() -> None:
        raise RuntimeError("device-side assert")

    def fails(self: Stranger, batch: Batch, batch_idx: int) -> Tensor:
        clock.advance(BATCH_S)
        window.synchronize = lost
        raise error

    monkeypatch.setattr(Stranger, "training_step", fails)
    profiler = ProfilerCallback(
        metric="accuracy", value=0.9, monitor="val_acc", results=tmp_path, window=window
    )
    with pytest.raises(type(error)):
        trainer_of(profiler).fit(Stranger(clock, []), loader(), loader())
    record = profiler.record
    assert record is not None
    assert record.status == status
    assert record.error is not None
    assert record.error.message.endswith(str(error))
    assert record.phases.wall_time_s == BATCH_S


def test_a_meter_that_is_required_and_missing_fails_the_fit_with_a_record(tmp_path: Path) -> None:
    absent = ScriptedMeter([], open_error=MeterUnavailable("no counter"))
    with pytest.raises(MeterUnavailable):
        fit(tmp_path, [0.5], window=Window({"rapl": absent}, required=True))
    (folder,) = (tmp_path / "lightning").iterdir()
    assert read_record(folder).status == "failed"


def test_an_accuracy_in_percent_is_refused(tmp_path: Path) -> None:
    words = "monitor=val_acc: accuracy=78.125: accuracy lies between 0 and 1; log it as a fraction"
    with pytest.raises(ValueError, match=words):
        fit(tmp_path, [78.125])
    (folder,) = (tmp_path / "lightning").iterdir()
    record = read_record(folder)
    assert record.status == "failed"
    assert record.target is not None
    assert not record.target.reached


class SanePercent(Stranger):
    """Logs percent in the sanity check already."""

    def on_validation_epoch_end(self) -> None:
        self.log("val_acc", 78.125)


def test_percent_is_refused_before_the_clock_where_the_sanity_check_shows_it(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    profiler = ProfilerCallback(
        metric="accuracy",
        value=0.9,
        monitor="val_acc",
        results=tmp_path,
        window=Window({}, clock=clock),
    )
    with pytest.raises(ValueError, match=r"accuracy=78\.125"):
        trainer_of(profiler).fit(SanePercent(clock, []), loader(), loader())
    assert profiler.record is not None
    assert profiler.record.phases.wall_time_s == 0


def test_an_accuracy_that_float32_rounds_below_its_threshold_reaches_it(tmp_path: Path) -> None:
    record = fit(tmp_path, [0.5, float(torch.tensor(0.95))], value=0.95).record
    assert record is not None
    assert record.target is not None
    assert record.target.samples_to_target == 24


def test_runs_of_one_configuration_and_seed_are_numbered(tmp_path: Path) -> None:
    records = [fit(tmp_path, [0.95], seed=7).record for _ in range(3)]
    records.append(fit(tmp_path, [0.95], seed=8).record)
    places = [(record.seed, record.repeat) for record in records if record is not None]
    assert places == [(7, 0), (7, 1), (7, 2), (8, 0)]
    assert len({record.config_hash for record in records if record is not None}) == 1


def test_seed_and_repeat_of_the_configuration_are_kept(tmp_path: Path) -> None:
    record = fit(tmp_path, [0.95], config={"seed": 5, "repeat": 3, "lr": 0.1}).record
    assert record is not None
    assert (record.seed, record.repeat) == (5, 3)
    assert record.config["lr"] == 0.1
    assert (record.config["seed"], record.config["repeat"]) == (5, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1, "config": {"seed": 2}}, r"seed=1: contradicts config\['seed'\]=2"),
        ({"repeat": 1, "config": {"repeat": 2}}, r"repeat=1: contradicts config\['repeat'\]=2"),
        ({"repeat": -1}, "repeat=-1: must be at least 0"),
        ({"seed": "a"}, "seed='a': must be a whole number"),
    ],
)
def test_a_seed_or_repeat_that_is_none_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ProfilerCallback(metric="accuracy", value=0.9, **options)  # type: ignore[arg-type]


def test_threads_and_environment_are_facts_of_the_record(tmp_path: Path) -> None:
    record = fit(tmp_path, [0.95]).record
    assert record is not None
    assert record.host["num_threads"] == torch.get_num_threads()
    assert isinstance(record.host["environment"], dict)


def test_a_wrong_target_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"target.value=95"):
        ProfilerCallback(metric="accuracy", value=95)


def test_one_callback_measures_one_fit(tmp_path: Path) -> None:
    profiler = fit(tmp_path, [0.95])
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    with pytest.raises(RuntimeError, match="one fit"):
        profiler.on_fit_start(trainer, Stranger(FakeClock(), []))
