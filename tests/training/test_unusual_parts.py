"""Unusual but legal models and data of the built-in tasks train, or get one line before the clock.

tests/training/test_contract.py has more of those lines, test_user_module.py the modules of users.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.records.run import RunRecord
from bench.core.store import read_curve
from bench.runs.trained import load_network
from tests.cli.planning import plan
from tests.training.in_process import QUICK, Make

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them
HERE = "tests.training.unusual_parts"


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    own = ("model=custom", f"model._target_={HERE}.linear", "data=custom")
    folder = tmp_path_factory.mktemp("planned")
    config: dict[str, Any] = plan(folder, *QUICK, *own, f"data._target_={HERE}.Data").config
    return config


@pytest.fixture
def made(make: Make, configuration: dict[str, Any]) -> Make:
    """Makes a run of a model and data of tests/training/unusual_parts.py."""

    def of(data: str = "Data", model: str = "linear", **changes: Any) -> tuple[RunRecord, Path]:
        target = {"metric": "loss", "mode": None, "value": 1e-9, **changes.pop("target", {})}
        parts = {"_target_": f"{HERE}.{model}"}, {"_target_": f"{HERE}.{data}"}
        return make(configuration, model=parts[0], data=parts[1], target=target, **changes)

    return of


def test_one_class_is_learned_at_once(made: Make) -> None:
    record, _ = made("OneClass", target={"metric": "accuracy", "value": 0.5})
    assert record.status == "ok", record.error
    assert record.quality is not None
    assert (record.quality["accuracy"], record.quality["loss"]) == (1.0, 0.0)
    assert record.target is not None
    assert record.target.reached
    # Nobody evaluated the untrained model: the target was met at some time from the start on.
    assert record.target.last_miss_s is None
    assert record.target.samples_to_target == 8


def test_a_class_that_validation_lacks_counts_in_no_quality(made: Make) -> None:
    record, folder = made("AbsentClass")
    assert record.status == "ok", record.error
    for row in read_curve(folder):
        assert all(value is not None and math.isfinite(value) for value in row.quality.values())


@pytest.mark.parametrize(
    ("task", "data", "metric", "undefined"),
    [
        # Without a positive example there is no curve; F1 is that of a class that never occurs.
        ("classification", "OneLabel", "loss", {"auroc", "average_precision"}),
        ("regression", "Flat", "mse", {"r2"}),
    ],
)
def test_targets_that_do_not_vary_leave_some_qualities_undefined(
    task: str, data: str, metric: str, undefined: set[str], made: Make
) -> None:
    record, _ = made(data, task=task, target={"metric": metric})
    assert record.status == "ok", record.error
    assert record.quality is not None
    missing = {name for name, value in record.quality.values.items() if value is None}
    assert missing >= undefined
    assert record.quality[metric] is not None


def test_tied_weights_are_saved_and_loaded_as_one(made: Make) -> None:
    record, folder = made(model="Tied")
    assert record.status == "ok", record.error
    arguments = {"input_shape": (1, 2, 2), "num_classes": 3}
    network: Any = load_network(folder, arguments, [HERE])
    assert network.first.weight is network.second.weight
    assert record.model is not None
    assert record.model.num_parameters == 16 + 4 + 4 + 15


def test_a_sparse_embedding_is_trained_by_an_optimizer_that_takes_it(made: Make) -> None:
    """SGD does. AdamW would fail at its first step, on the clock."""
    record, folder = made("Indices", "Sparse")
    assert record.status == "ok", record.error
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert weights["embedding.weight"].isfinite().all()
    adamw = {"_target_": "torch.optim.AdamW", "_partial_": True}
    record, _ = made("Indices", "Sparse", optimizer=adamw)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.message == (
        "optimizer: AdamW cannot train the model's sparse embeddings (Adam does not support sparse "
        "gradients, please consider SparseAdam instead); use optimizer=sgd, or sparse=False in the "
        "model"
    )
    assert record.phases.train_s == 0


def test_a_model_without_parameters_is_refused(made: Make) -> None:
    record, _ = made(model="BuffersOnly")
    assert record.error is not None
    assert record.error.message == "model: the loss depends on no parameter that is trained"


def test_a_batch_larger_than_the_data_is_refused(made: Make) -> None:
    record, _ = made(batch_size=64)
    assert record.error is not None
    assert record.error.message == (
        "data: train_dataloader gave 12 samples in its first batch, must give batch_size=64"
    )
