"""The model of a training run made again, and which run is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from bench.cli.runs import find_runs
from bench.cli.trained import load_network
from bench.core.files import StoreError
from bench.tasks.data import digits
from bench.tasks.images import ImageDataModule
from bench.tasks.models import Mlp

MODEL = {"_target_": "bench.tasks.models.Mlp", "width": 4, "depth": 1, "dropout": 0.0}


@pytest.fixture
def data() -> ImageDataModule:
    data = digits(batch_size=32, seed=0)
    data.setup()
    return data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run, as far as its network is concerned."""
    folder = tmp_path / "train" / "20260101T000000Z-0123456789ab-00000000"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": MODEL, "recipe": None}))
    (folder / "run.json").write_text("{}")
    torch.save(Mlp((1, 8, 8), 10, width=4, depth=1).state_dict(), folder / "checkpoint.pt")
    return folder


def test_the_weights_are_those_that_were_saved(run: Path, data: ImageDataModule) -> None:
    network = load_network(run, data)
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    assert not network.training
    assert all(torch.equal(saved[name], value) for name, value in network.state_dict().items())


def test_a_checkpoint_that_is_missing_corrupt_or_of_another_model_is_named(
    run: Path, data: ImageDataModule
) -> None:
    checkpoint = run / "checkpoint.pt"
    torch.save(Mlp((1, 8, 8), 10, width=5, depth=1).state_dict(), checkpoint)
    with pytest.raises(StoreError, match=r"checkpoint\.pt: no usable checkpoint \(Error.* loading"):
        load_network(run, data)
    checkpoint.write_bytes(b"no weights")
    with pytest.raises(StoreError, match=r"checkpoint\.pt: no usable checkpoint"):
        load_network(run, data)
    checkpoint.unlink()
    with pytest.raises(StoreError, match=r"no usable checkpoint \(.*No such file"):
        load_network(run, data)


def test_a_run_is_meant_by_its_id_its_folder_a_glob_or_latest(run: Path, tmp_path: Path) -> None:
    for name in (run.name, str(run), "*-0123456789ab-*", str(run.parent / "*"), "latest"):
        assert find_runs(tmp_path, name) == (run,)
    for name in ("other", "./other", "x*"):
        with pytest.raises(ValueError, match="no training run of that name"):
            find_runs(tmp_path, name)


def test_the_latest_is_the_one_begun_last_that_has_ended(run: Path, tmp_path: Path) -> None:
    later = run.with_name("20260101T000000Z-0000000000aa-00000000")  # sorts before, in one second
    later.mkdir()
    (later / "config.yaml").write_text("{}")
    assert find_runs(tmp_path, "latest") == (run,)  # the other has not ended
    (later / "run.json").write_text("{}")
    assert find_runs(tmp_path, "latest") == (run,)  # all jobs of a command mean the same one
    find_runs.cache_clear()
    assert find_runs(tmp_path, "latest") == (later,)
