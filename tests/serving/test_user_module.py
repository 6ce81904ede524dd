"""A LightningModule of a user's own is served: one tensor, or tensors by name, to one tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.compression.prepare import prepare
from bench.config.serve import ServeConfig
from bench.core.arrays import Inputs
from bench.core.errors import PassFailed
from bench.runs.find import trained_record
from bench.serving.find_backend import combination, make_backend
from bench.serving.model import TrainedModel
from bench.serving.scenarios import run_accuracy
from bench.serving.sources import ModuleNetwork
from bench.serving.system_under_test import open_system
from bench.tasks.input_arrays import as_tensors, joined_array
from tests.serving.made_runs import made_module
from tests.serving.test_tasks import config_of
from tests.training.unusual import NUM_TEST

pytestmark = [
    pytest.mark.xdist_group("runtimes"),  # with other files that compile and export
    pytest.mark.usefixtures("one_onnx_registry"),
]


def trusting(config: ServeConfig) -> ServeConfig:
    config.trust = ["tests"]
    return config


@pytest.mark.parametrize(
    ("model", "data", "backend"),
    [("Plain", "Data", "eager"), ("Plain", "Data", "onnxruntime"), ("OfDicts", "Dicts", "eager")],
)
def test_the_forward_of_a_module_is_served_without_a_quality(
    tmp_path: Path, model: str, data: str, backend: str
) -> None:
    folder = made_module(tmp_path / "results", model, data)
    config = trusting(config_of(folder, backend))
    trained = TrainedModel(folder, config)
    assert len(trained.test) == NUM_TEST
    artifact = trained.prepare(config, "none", tmp_path / "model")
    with open_system(config, artifact, trained, tmp_path, tmp_path) as under_test:
        _, outputs = run_accuracy(under_test.system, len(trained.test))
    network = trained._source.network_maker()()
    with torch.no_grad():
        wanted = network(as_tensors(trained.test.inputs))
    np.testing.assert_allclose(outputs, wanted.numpy(), rtol=1e-4, atol=1e-6)
    # Only its own steps, which need a trainer, would compute one.
    assert trained.quality(outputs) is None
    facts = trained.task_facts()
    assert facts is not None
    assert facts.name == "module"


class Masked(nn.Module):
    """Counts the tokens of each sequence that the mask keeps, by embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 2)

    def forward(self, *, ids: Tensor, mask: Tensor) -> Tensor:
        kept: Tensor = self.embedding(ids) * mask[:, :, None]
        return kept.sum(dim=1)


SEVERAL = joined_array(
    [{"ids": torch.tensor([[1, 2, 3], [4, 0, 1]]), "mask": torch.tensor([[1.0, 0, 1], [0, 1, 1]])}]
)


@pytest.mark.parametrize("name", ["eager", "onnxruntime"])
def test_an_input_of_several_tensors_reaches_each_runtime(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ModuleNetwork(Masked(), "by_name").eval()
    artifact = prepare(
        lambda: network,
        combination(name, "none", "cpu"),
        channels_last=False,
        calibration=SEVERAL,
        folder=tmp_path,
    )
    backend = make_backend(name, device="cpu", num_threads=1)
    backend.open(artifact)

    def wanted(inputs: Inputs) -> np.ndarray:
        with torch.no_grad():
            outputs: np.ndarray = network(as_tensors(inputs)).numpy()
        return outputs

    for inputs in (SEVERAL, SEVERAL[[1]], SEVERAL[[0, 1, 0]]):
        np.testing.assert_allclose(backend.predict(inputs.copy()), wanted(inputs), rtol=1e-5)
    backend.close()


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("NoForward", "Data", "model NoForward: cannot be served, it has no forward of its own"),
        ("Plain", "Seeded", "test_dataloader gave no test split"),
    ],
)
def test_a_module_with_nothing_to_serve_is_refused_in_one_line(
    tmp_path: Path, model: str, data: str, words: str
) -> None:
    folder = made_module(tmp_path / "results", model, data)
    with pytest.raises(ValueError, match=words):
        TrainedModel(folder, trusting(config_of(folder, "eager")))


def test_outputs_that_are_not_one_tensor_are_refused(tmp_path: Path) -> None:
    folder = made_module(tmp_path / "results", "TupleOutputs", "Data")
    config = trusting(config_of(folder, "eager"))
    trained = TrainedModel(folder, config)
    artifact = trained.prepare(config, "none", tmp_path / "model")
    with (
        pytest.raises(PassFailed, match="forward gives a tuple of 2, must give one tensor"),
        open_system(config, artifact, trained, tmp_path, tmp_path),
    ):
        pass


def test_a_recipe_still_builds_on_no_module(tmp_path: Path) -> None:
    folder = made_module(tmp_path / "results", "Plain", "Data")
    with pytest.raises(ValueError, match="nothing is built on a run of task=module"):
        trained_record(folder, allow_missed=True, key="recipe.run")
