"""The check of skew on models that are served, of each task, with and without a planted fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config.serve import ServeConfig
from bench.config.skew import SkewConfig
from bench.core.records.placement import Placement
from bench.core.records.skew import Skew
from bench.serving.model import TrainedModel
from bench.serving.scenarios import run_accuracy
from bench.serving.skew import check_skew
from bench.serving.system_under_test import UnderTest, open_system
from tests.compression.exports import Exports
from tests.forked_children import forked_children
from tests.serving.fakes import InstantSystem
from tests.serving.made_runs import made_module, made_run, made_task
from tests.serving.test_tasks import config_of

pytestmark = [
    pytest.mark.xdist_group("runtimes"),  # with other files that compile and export
    pytest.mark.usefixtures("one_instruction_set", "one_onnx_registry"),
]


def made(results: Path, task: str) -> Path:
    """A run folder, made without training."""
    if task == "images":
        return made_run(results, "model=mlp", "data=digits")
    if task == "labels":
        table = results.parent / "labels.csv"
        rows = "\n".join(f"{n},{n * 7 % 5},{n % 2},{n % 3 % 2}" for n in range(60))
        table.write_text(f"x,y,a,b\n{rows}\n")
        return made_run(
            results,
            *("data=csv", f"data.path={table}", "data.target=[a,b]", "model=mlp"),
            *("target.metric=macro_f1", "target.value=0.9"),
        )
    if task == "module":
        return made_module(results, "OfDicts", "Dicts")
    return made_task(results, task)


def config_for(folder: Path, backend: str = "eager", **more: Any) -> ServeConfig:
    return replace(config_of(folder, backend, **more), trust=["tests"])


def checked(config: ServeConfig, work: Path) -> Skew:
    trained = TrainedModel(Path(config.run), config)
    artifact = trained.prepare(config, config.compression.method, work / "model")
    with open_system(config, artifact, trained, work, work) as under_test:
        _, answers = run_accuracy(under_test.system, len(trained.test))
        found = check_skew(config, trained, under_test, artifact, answers)
    trained.require_unchanged_split()
    return found


@pytest.mark.parametrize("task", ["images", "binary", "labels", "regression", "language", "module"])
def test_what_was_not_broken_has_no_skew(tmp_path: Path, task: str) -> None:
    found = checked(config_for(made(tmp_path / "results", task)), tmp_path)
    assert not found.found, found.finding
    assert found.features_max_difference == 0.0
    assert found.outputs_max_difference is not None
    assert found.outputs_max_difference <= 1e-5
    # Of several labels, of values, of each token and of a user's module there is no one class.
    assert found.changed_predictions_frac == (0.0 if task in ("images", "binary") else None)


@pytest.mark.parametrize(
    ("task", "skew"),
    [
        ("binary", SkewConfig(kind="celsius", feature="mean area")),
        ("images", SkewConfig(kind="stale_scaler")),
        ("images", SkewConfig(kind="swapped", feature=2, other_feature=5)),
        ("labels", SkewConfig(kind="missing", fill="zero")),
        ("regression", SkewConfig(kind="celsius")),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, task: str, skew: SkewConfig) -> None:
    config = replace(config_for(made(tmp_path / "results", task)), skew=skew)
    found = checked(config, tmp_path)
    assert found.found
    assert found.planted == skew.kind
    assert str(found.finding).endswith(f"skew={skew.kind} was planted")


# Each task and each protocol once.
@pytest.mark.parametrize(("task", "protocol"), [("images", "features"), ("binary", "kserve_v2")])
def test_the_server_prepares_what_the_training_had_unless_a_fault_is_planted(
    tmp_path: Path, task: str, protocol: str
) -> None:
    http = {"runtime": "onnxruntime", "protocol": protocol}
    config = config_for(made(tmp_path / "results", task), "http", http=http)
    (tmp_path / "broken").mkdir()
    broken = replace(config, skew=SkewConfig(kind="stale_scaler"))
    with forked_children(), Exports().once(task):
        sound = checked(config, tmp_path)
        found = checked(broken, tmp_path / "broken")
    assert not sound.found, sound.finding
    # z becomes (z - 0.5) / 1.25, so it changes by 0.2 z + 0.4: most at the largest |z + 2|.
    inputs = TrainedModel(Path(config.run), config).test.inputs
    assert found.features_max_difference == pytest.approx(np.abs(0.2 * inputs + 0.4).max(), 1e-5)
    assert found.found


def test_of_a_compressed_model_only_the_features_are_judged(tmp_path: Path) -> None:
    config = config_for(made(tmp_path / "results", "images"), method="int8_dynamic")
    sound = checked(config, tmp_path)
    assert not sound.found, sound.finding
    assert sound.outputs_tolerance is None
    assert sound.outputs_max_difference is not None
    (tmp_path / "broken").mkdir()
    broken = checked(replace(config, skew=SkewConfig(kind="missing")), tmp_path / "broken")
    assert broken.found


def elsewhere(config: ServeConfig, answers: np.ndarray[Any, Any], trained: TrainedModel) -> Skew:
    """The check of a server of the user's own, which gave these answers."""
    under_test = UnderTest(
        system=InstantSystem(),
        runtime=None,
        max_batch_size=1,
        answers_at_once=False,
        placement=Placement(name="local"),
    )
    return check_skew(config, trained, under_test, None, answers)


def test_a_users_own_server_is_compared_with_the_trained_network(tmp_path: Path) -> None:
    config = config_for(made(tmp_path / "results", "images"))
    trained = TrainedModel(Path(config.run), config)
    outputs = trained.outputs()
    # Other logits may be those of another precision; other classes are skew.
    same = elsewhere(config, outputs * np.float32(1.1), trained)
    assert not same.found, same.finding
    assert same.features_reason is not None
    other = elsewhere(config, np.roll(outputs, 1, axis=1), trained)
    assert other.found
    assert other.changed_predictions_frac == 1.0


def test_a_users_own_server_of_a_regression_is_judged_by_its_values(tmp_path: Path) -> None:
    config = config_for(made(tmp_path / "results", "regression"))
    trained = TrainedModel(Path(config.run), config)
    outputs = trained.outputs()
    assert not elsewhere(config, outputs.reshape(-1) * np.float32(1.0001), trained).found
    assert elsewhere(config, outputs * np.float32(1.01), trained).found


def test_data_without_a_scale_is_refused(tmp_path: Path) -> None:
    config = config_for(made(tmp_path / "results", "module"))
    config.skew = SkewConfig(kind="celsius")
    with pytest.raises(
        ValueError, match=r"^skew=celsius: needs data whose attribute feature_scale"
    ):
        TrainedModel(Path(config.run), config)
