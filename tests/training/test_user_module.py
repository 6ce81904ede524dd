"""task=module: the user's own LightningModule and data, from the configuration to the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.compression.processor import computes_natively
from bench.core.records.run import RunRecord
from bench.core.store import read_curve
from tests.cli.planning import plan
from tests.training import unusual
from tests.training.in_process import QUICK, Make
from tests.training.unusual import NUM_TEST, NUM_VAL

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them
HERE = "tests.training.unusual"


def planned(folder: Path, *overrides: str, model: str = "Plain", data: str = "Data") -> Any:
    parts = (f"model._target_={HERE}.{model}", f"data._target_={HERE}.{data}")
    target = ("target.metric=val/hits", "target.mode=max", "target.value=0.99")
    own = ("task=module", "model=custom", "data=custom", *parts, *target)
    return plan(folder, *QUICK, *own, *overrides)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration as the command plans it; composing one takes longer than a run."""
    config: dict[str, Any] = planned(tmp_path_factory.mktemp("planned")).config
    return config


@pytest.fixture
def made(make: Make, configuration: dict[str, Any]) -> Make:
    """Makes a run of a module and data of tests/training/unusual.py."""

    def of(model: str = "Plain", data: str = "Data", **changes: Any) -> tuple[RunRecord, Path]:
        parts = {
            "model": {"_target_": f"{HERE}.{model}", **changes.pop("model_keys", {})},
            "data": {"_target_": f"{HERE}.{data}", **changes.pop("data_keys", {})},
        }
        return make(configuration, **parts, **changes)

    return of


def test_what_validation_logs_is_the_quality_of_curve_and_record(made: Any) -> None:
    record, folder = made(target={"value": 0.0})
    assert record.status == "ok", record.error
    assert record.task is not None
    assert (record.task.name, record.task.kind, record.task.sample) == ("module", "module", "row")
    assert record.task.directions == {"val/hits": "max"}
    (row,) = read_curve(folder)  # the first evaluation is at the target, and nothing missed it
    assert set(row.quality) == {"val/hits", "val/loss"}
    assert (row.samples, row.steps, row.epochs) == (8, 2, 2 / 3)
    assert record.target is not None
    assert record.target.reached
    assert record.target.last_miss_s is None
    assert record.quality is not None
    assert record.quality.values == row.quality
    assert (record.quality.at, record.quality.num_samples) == ("crossing", NUM_VAL)
    assert record.quality_test is not None  # under the name that the module gives it
    assert record.quality_test.values.keys() == {"test/hits"}
    assert record.quality_test.num_samples == NUM_TEST
    assert record.model is not None
    assert (record.model.name, record.model.num_parameters) == ("Plain", 6)
    assert record.model.flops_per_sample == 2 * 2 * 2
    assert record.serving is not None
    assert record.serving.num_requests == 2


def test_a_module_may_train_on_data_of_the_suite(make: Make, configuration: dict[str, Any]) -> None:
    """Which is given the seed, too; its samples are images."""
    record, _ = make(
        configuration,
        model={"_target_": f"{HERE}.OfDigits"},
        data={"_target_": "bench.tasks.data.digits", "eval_batch_size": 360},
        batch_size=64,
        target={"eval_every_samples": 1024},
    )
    assert record.status == "ok", record.error
    assert record.task is not None
    assert record.task.sample == "image"
    assert record.quality is not None
    assert record.quality.num_samples == 360


def test_the_checkpoint_is_the_state_of_the_module(made: Any) -> None:
    """Of one with tied weights, which loading it must keep equal."""
    record, folder = made("Tied", target={"value": 1.1})
    assert record.status == "ok", record.error
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)
    module = unusual.Tied()
    module.load_state_dict(weights)
    assert torch.equal(weights["first.weight"], weights["layer.weight"])
    assert record.model is not None
    assert record.model.num_parameters == 4 + 2 + 2
    assert record.model.size_bytes == (folder / "checkpoint.pt").stat().st_size


@pytest.mark.parametrize("model", ["ByHand", "Accumulating", "Plain", "Scheduled"])
def test_schedule_and_evaluations_count_batches(model: str, made: Any) -> None:
    """Three batches are an epoch; two epochs of six batches have three evaluations."""
    record, folder = made(model, target={"value": 1.1})
    assert record.status == "ok", record.error
    rows = read_curve(folder)
    assert [row.steps for row in rows] == [2, 4, 6]
    assert [row.samples for row in rows] == [8, 16, 24]
    assert rows[-1].epochs == 2
    assert record.target is not None
    assert not record.target.reached
    assert record.target.censored_at_s is not None
    assert record.quality is not None
    assert record.quality.at == "end"
    # Lightning gives the loss of a step only if the step returns it under that name.
    assert (rows[-1].train_loss is None) == (model == "ByHand")


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("OfDicts", "Dicts"),
        ("TupleOutputs", "Data"),
        ("BuffersOnly", "Data"),
        ("Sparse", "Seeded"),
        ("Plain", "CountedStream"),
    ],
)
def test_unusual_modules_and_data_are_trained_and_served(model: str, data: str, made: Any) -> None:
    record, folder = made(model, data, target={"value": 1.1})
    assert record.status == "ok", record.error
    assert [row.samples for row in read_curve(folder)] == [8, 16, 24]
    assert record.serving is not None
    assert record.quality is not None
    assert record.quality.num_samples == NUM_VAL
    assert (record.quality_test is None) == (data == "Seeded" or model == "BuffersOnly")


def test_two_loaders_of_validation_have_qualities_each(made: Any) -> None:
    """Lightning gives their names the index of the loader."""
    target = {"metric": "val/hits/dataloader_idx_1", "value": 1.1}
    record, _ = made("OfTwoSplits", "TwoSplits", target=target)
    assert record.status == "ok", record.error
    assert record.quality is not None
    assert record.quality.num_samples == NUM_VAL + NUM_TEST
    names = [f"val/{name}/dataloader_idx_{index}" for name in ("hits", "loss") for index in (0, 1)]
    assert record.quality.values.keys() == set(names)


def test_a_module_without_forward_is_trained_and_not_served(
    made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record, _ = made("NoForward")
    assert record.status == "ok", record.error
    assert record.serving is None
    assert record.model is not None
    assert record.model.flops_per_sample is None
    assert "serving is not measured: ValueError: it has no forward of its own" in caplog.text


def test_the_rehearsal_leaves_no_trace(made: Any) -> None:
    """The loss of the first evaluation depends on the weights, their updates and the order."""
    losses = [
        read_curve(made(trainer={"num_warmup_steps": num})[1])[0].quality["val/loss"]
        for num in (1, 3)
    ]
    assert losses[0] == losses[1]


def test_a_given_learning_rate_reaches_the_module(made: Any) -> None:
    losses = [
        read_curve(made(lr=lr, target={"value": 1.1})[1])[-1].train_loss for lr in (None, 0.1, 10.0)
    ]
    assert losses[0] == losses[1]  # its own default
    assert losses[1] != losses[2]


@pytest.mark.parametrize(
    "precision",
    [
        "32",
        pytest.param(
            "bf16-mixed",
            marks=pytest.mark.skipif(
                not computes_natively("bf16"), reason="this processor has no bfloat16"
            ),
        ),
    ],
)
def test_the_users_optimizer_may_come_from_the_configuration(precision: str, made: Any) -> None:
    """As a partial function, which Hydra makes and the module calls."""
    optimizer = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.01}
    record, _ = made("Configured", model_keys={"optimizer": optimizer}, precision=precision)
    assert record.status == "ok", record.error
    assert record.config["model"]["optimizer"]["lr"] == 0.01


def test_a_module_may_call_the_logger_of_the_run(made: Any) -> None:
    logger = {"_target_": "pytorch_lightning.loggers.CSVLogger", "name": "csv", "version": ""}
    record, folder = made("Logging", logger=logger)
    assert record.status == "ok", record.error
    written = (folder / "csv" / "metrics.csv").read_text()
    assert "mine" in written
    assert "val/hits" in written


def test_a_module_that_stops_the_trainer_is_evaluated_at_its_end(made: Any) -> None:
    """It stops after an epoch of three batches; the last evaluation is that after two."""
    record, folder = made("Stopping", target={"value": 1.1})
    assert record.status == "ok", record.error
    assert [row.steps for row in read_curve(folder)] == [2]
    assert record.quality is not None
    assert (record.quality.at, record.quality.num_samples) == ("end", NUM_VAL)
    record, _ = made("Stopping", target={"eval_every_samples": 80})
    assert record.error is not None
    assert record.error.message == "the fit ended without an evaluation"


def test_a_budget_of_time_ends_the_run_with_an_evaluation_of_its_end(made: Any) -> None:
    record, _ = made(target={"value": 1.1, "eval_every_samples": 80}, budget={"max_time_s": 1e-6})
    assert record.status == "ok", record.error
    assert record.quality is not None
    assert record.quality.at == "end"
    assert record.quality.values.keys() == {"val/hits", "val/loss"}


def test_an_undefined_value_of_the_target_is_a_miss(made: Any) -> None:
    record, _ = made("Constant", model_keys={"val/hits": float("nan")})
    assert record.status == "ok", record.error
    assert record.target is not None
    assert (record.target.reached, record.target.best_value) == (False, None)
    assert record.quality is not None
    assert record.quality.values == {"val/hits": None}


@pytest.mark.parametrize(
    ("model", "data", "changes", "kind", "words"),
    [
        (
            "Constant",
            "Data",
            {},
            "no_metrics",
            "target.metric=val/hits: not logged in validation; logged: nothing; call self.log in "
            "validation_step",
        ),
        (
            "Plain",
            "Data",
            {"target": {"metric": "val/hit"}},
            "no_metrics",
            "target.metric=val/hit: not logged in validation; logged: val/hits, val/loss; did you "
            "mean val/hits?",
        ),
        (
            "Constant",
            "Data",
            {"model_keys": {"accuracy": 95.0}, "target": {"metric": "accuracy"}},
            "ValueError",
            "accuracy lies between 0 and 1; log it as a fraction, not in percent",
        ),
        ("Plain", "Half", {}, "ValueError", "gave 2 samples in its first batch, must give batch_s"),
        (
            "Plain",
            "Data",
            {"batch_size": 64, "data_keys": {"drop_last": True}},
            "ValueError",
            "data: train_dataloader gave no batch; does the split have batch_size=64 samples",
        ),
        ("Plain", "Missing", {}, "ValueError", "loss of a first training step is nan; look for"),
        ("SparseAdam", "Data", {}, "RuntimeError", "does not support sparse gradients"),
        ("Lazy", "Data", {}, "ValueError", "model: layer.weight of Lazy has no shape yet; send"),
        (
            "Plain",
            "Stream",
            {},
            "ValueError",
            "budget.max_epochs=2: train_dataloader has no length",
        ),
    ],
)
def test_what_cannot_be_trained_to_the_target_fails_before_the_clock(
    model: str, data: str, changes: dict[str, Any], kind: str, words: str, made: Any
) -> None:
    record, folder = made(model, data, **changes)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == kind
    assert words in record.error.message
    assert record.phases.train_s == 0
    assert not (folder / "telemetry.parquet").exists()


@pytest.mark.parametrize(
    ("model", "changes", "kind", "words"),
    [
        (
            "Constant",
            {"model_keys": {"val/hits": 0.5, "val/loss": float("inf")}},
            "diverged",
            "the validation loss is inf after 8 samples",
        ),
        ("Plain", {"data": "MissingLater"}, "diverged", "the training loss is nan after 8 samples"),
        ("Fading", {}, "no_metrics", "target.metric=val/hits: not logged in validation; logged: v"),
    ],
)
def test_what_goes_wrong_on_the_clock_fails_at_a_cost(
    model: str, changes: dict[str, Any], kind: str, words: str, made: Any
) -> None:
    record, _ = made(model, **changes)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == kind
    assert words in record.error.message
    assert record.phases.train_s > 0
    assert record.target is not None
    assert record.target.censored_at_s is None  # a failure would not have hit later


def test_the_configuration_leaves_out_what_the_module_decides(tmp_path: Path) -> None:
    own = planned(tmp_path)
    for key in ("lr", "lr_scaling", "lr_reference_batch_size", "optimizer", "schedule"):
        assert own.config[key] is None
    assert not {"optimizer", "schedule"} & own.config["choices"].keys()
    given = planned(tmp_path, "lr=0.003")  # also if it is the default of other tasks
    assert given.config["lr"] == 0.003
    assert given.digest != own.digest


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer=adamw"], "optimizer=adamw: has no effect with task=module, whose configure_"),
        (["optimizer.momentum=0.5"], "optimizer.momentum=0.5: has no effect with task=module"),
        (["schedule=cosine"], "schedule=cosine: has no effect"),
        (["lr_scaling=linear"], "lr_scaling=linear: has no effect"),
        (["+model.lr=0.1", "lr=0.2"], "model.lr=0.1: lr=0.2 is given, too; give only one"),
        (
            ["model._target_=bench.tasks.models.Mlp"],
            "trains a LightningModule of your own;",
        ),
        (["recipe=prune", "recipe.run=latest"], "recipe: task=module has no network to build on"),
        (["trainer.compile=true"], "trainer.compile=true: task=module does not know what to"),
        (["trainer.channels_last=true"], "trainer.channels_last=true: task=module leaves"),
        (["trainer=auto", "trainer.devices=2"], "trainer.devices=2: task=module trains on one"),
        (["trainer.num_nodes=2"], "trainer.num_nodes=2: task=module trains on one node; train a"),
        (["+metrics.f1._target_=torchmetrics.F1Score"], "metrics.f1: task=module reports what"),
        (["target.mode=null"], "give target.mode=max or target.mode=min"),
        (["target.mode=up"], "target.mode=up: must be one of max, min"),
        (["target.metric=accuracy", "target.mode=min"], "accuracy is better when it is larger"),
        (["task=classification", "lr=null"], "lr=null: only task=module goes without; give a val"),
        ([f"data._target_={HERE}.Named"], "unexpected keyword argument 'batch_size'; it is called"),
        ([f"model._target_={HERE}.BuffersOnly", "lr=1"], "unexpected keyword argument 'lr'"),
        ([f"data._target_={HERE}.Unvalidated"], "Unvalidated has no val_dataloader; a run needs"),
        (["model._target_=torch.nn.Identity"], "must be a pytorch_lightning.LightningModule, is a"),
        (
            ["model._target_=pytorch_lightning.LightningModule"],
            "it has no training_step; give the loss of a batch there, or optimize by hand",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    overrides: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"[=:]") as caught:
        planned(tmp_path, *overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
