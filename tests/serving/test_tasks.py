"""Models of each task are served by each runtime, and their quality is that of the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from bench.compression.artifact import Artifact
from bench.config.serve import ServeConfig
from bench.core.store import read_record, write_record
from bench.serving.compressed import compare_with_uncompressed
from bench.serving.model import TrainedModel
from bench.serving.scenarios import run_accuracy
from bench.serving.sources import TaskSource
from bench.serving.system_under_test import open_system
from bench.tasks.input_arrays import as_tensors
from tests.compression.exports import Exports
from tests.forked_children import forked_children
from tests.serving.made_runs import TASKS, made_run, made_task

pytestmark = [
    pytest.mark.xdist_group("runtimes"),  # with other files that compile and export
    pytest.mark.usefixtures("one_instruction_set", "one_onnx_registry"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks") / "results"


@cache
def run_of(results: Path, task: str) -> Path:
    return made_task(results, task)


@pytest.fixture(scope="module")
def exports() -> Exports:
    """A network of each task is exported once, whichever runtime serves it, and how precisely."""
    return Exports()


def config_of(
    folder: Path, backend: str, *, method: str = "none", http: Mapping[str, object] | None = None
) -> ServeConfig:
    values = {
        "run": str(folder),
        "allow_missed": True,
        "scenario": {
            **{"name": "offline", "min_duration_s": 0.1, "min_queries": 1, "warmup_queries": 1},
            "max_batch_size": 4,
        },
        "backend": {"name": backend, "device": "cpu", "num_threads": 1, "http": http},
        "compression": {"method": method, "compare_rounds": 2, "compare_requests": 2},
        "placement": {"name": "local"},
        "price": {},
        "grid": {},
    }
    return ServeConfig.from_dict(values)


def direct_quality(trained: TrainedModel) -> dict[str, float]:
    """The quality of the network itself, in one batch."""
    source = trained._source
    assert isinstance(source, TaskSource)
    with torch.no_grad():
        outputs = source.network_maker()()(as_tensors(trained.test.inputs))
    assert trained.test.targets is not None
    evaluation = source.task.evaluation("test")
    evaluation.update(outputs, torch.from_numpy(trained.test.targets))
    return evaluation.compute()


def prepared(trained: TrainedModel, config: ServeConfig, folder: Path) -> Artifact:
    return trained.prepare(config, config.compression.method, folder)


def served_quality(config: ServeConfig, trained: TrainedModel, work: Path) -> Mapping[str, object]:
    artifact = prepared(trained, config, work / "model")
    with open_system(config, artifact, trained, work, work) as under_test:
        _, outputs = run_accuracy(under_test.system, len(trained.test))
    trained.require_unchanged_split()
    quality = trained.quality(outputs)
    assert quality is not None
    return quality.values


CASES = [
    *((task, "eager") for task in ("binary", "regression", "language")),
    *((task, "onnxruntime") for task in ("regression", "language")),
    ("language", "openvino"),
]


@pytest.mark.parametrize(("task", "backend"), CASES)
def test_the_quality_of_what_is_served_is_that_of_the_network(
    results: Path, exports: Exports, tmp_path: Path, task: str, backend: str
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    folder = run_of(results, task)
    config = config_of(folder, backend)
    trained = TrainedModel(folder, config)
    with exports.once(task):
        served = served_quality(config, trained, tmp_path)
    assert served == pytest.approx(direct_quality(trained), rel=1e-3)


@pytest.mark.parametrize(
    ("task", "protocol", "start"),
    [
        ("regression", "features", forked_children),
        ("language", "kserve_v2", nullcontext),  # one real server, which imports PyTorch
    ],
)
def test_rows_and_tokens_are_served_over_http(
    results: Path,
    tmp_path: Path,
    task: str,
    protocol: str,
    start: Callable[[], AbstractContextManager[None]],
) -> None:
    folder = run_of(results, task)
    config = config_of(folder, "http", http={"runtime": "eager", "protocol": protocol})
    trained = TrainedModel(folder, config)
    with start():
        served = served_quality(config, trained, tmp_path)
    assert served == pytest.approx(direct_quality(trained), rel=1e-3)


@pytest.mark.parametrize(
    ("task", "backend", "method"),
    [
        ("regression", "onnxruntime", "int8_static"),
        ("language", "onnxruntime", "int8_dynamic"),
        ("language", "eager", "int8_dynamic"),
    ],
)
def test_a_compressed_model_is_compared_by_the_metric_it_was_trained_to(
    results: Path, exports: Exports, tmp_path: Path, task: str, backend: str, method: str
) -> None:
    folder = run_of(results, task)
    config = config_of(folder, backend, method=method)
    trained = TrainedModel(folder, config)
    with exports.once(task):
        artifact = prepared(trained, config, tmp_path / "model")
        with open_system(config, artifact, trained, tmp_path, tmp_path) as under_test:
            quality = trained.quality(run_accuracy(under_test.system, len(trained.test))[1])
        assert quality is not None
        found = compare_with_uncompressed(config, trained, artifact, quality, tmp_path)
    plain = direct_quality(trained)
    metric = {"regression": "rmse", "language": "loss"}[task]
    assert found.quality_metric == metric
    change = (quality[metric] or 0.0) - plain[metric]
    assert found.quality_change == pytest.approx(change, abs=1e-3 * plain[metric])
    assert (found.accuracy_change is None) == (task == "regression")


def test_metrics_that_were_added_to_a_task_are_computed_if_they_are_trusted(
    results: Path, tmp_path: Path
) -> None:
    kappa = "torchmetrics.classification.BinaryCohenKappa"
    folder = made_run(results, *TASKS["binary"], f"+metrics.kappa._target_={kappa}")
    config = config_of(folder, "eager")
    with pytest.raises(ValueError, match=r"metrics.kappa._target_=.*trust=\[torchmetrics\]"):
        TrainedModel(folder, config)
    config.trust = ["torchmetrics"]
    trained = TrainedModel(folder, config)
    served = served_quality(config, trained, tmp_path)
    assert served["kappa"] is not None
    assert served == pytest.approx(direct_quality(trained), rel=1e-3)


def test_data_that_has_changed_since_the_training_is_refused(tmp_path: Path) -> None:
    folder = made_task(tmp_path / "results", "regression")
    record = read_record(folder)
    assert record.task is not None
    write_record(folder, replace(record, task=replace(record.task, data_hash="of other data")))
    with pytest.raises(ValueError, match=r"its data has changed since the training; .*data_root"):
        TrainedModel(folder, config_of(folder, "eager"))
