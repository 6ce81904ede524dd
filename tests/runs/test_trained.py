"""Building the model of a training run again, and what a foreign run folder may not do."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bench.config.recipe import DistillConfig
from bench.config.train import BudgetConfig, TrainConfig
from bench.core.files import StoreError
from bench.core.outcome import outcome_record
from bench.core.store import new_identity, write_record
from bench.core.target import TargetConfig
from bench.runs.find import find_runs
from bench.runs.recipes import find_source, with_source
from bench.runs.trained import load_data, load_network
from bench.tasks.data import digits
from bench.tasks.find_task import make_task
from bench.tasks.images import ImageDataModule
from bench.tasks.models import Mlp

DATA = {
    "_target_": "bench.tasks.data.digits",
    **{"num_workers": 0, "eval_batch_size": 512},
}
MODEL = {"_target_": "bench.tasks.models.Mlp", "width": 4, "depth": 1, "dropout": 0.0}


@pytest.fixture
def data() -> ImageDataModule:
    data = digits(batch_size=32, seed=0)
    data.setup()
    return data


def configure(folder: Path, changes: dict[str, Any]) -> None:
    """Write the files of a finished run, with changes to its configuration."""
    config = {"batch_size": 32, "data": DATA, "model": MODEL, "recipe": None, **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_record(
        folder, outcome_record(new_identity("train", "0123456789ab", 0, 0), config, [], status="ok")
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run, as far as its network is concerned."""
    folder = tmp_path / "train" / "20260101T000000Z-0123456789ab-00000000"
    folder.mkdir(parents=True)
    configure(folder, {})
    torch.save(Mlp((1, 8, 8), 10, width=4, depth=1).state_dict(), folder / "checkpoint.pt")
    return folder


def arguments(data: Any) -> dict[str, Any]:
    return make_task("classification", data).model_arguments()


def test_saved_weights_are_restored(run: Path, data: ImageDataModule) -> None:
    network = load_network(run, arguments(data))
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    assert not network.training
    assert all(torch.equal(saved[name], value) for name, value in network.state_dict().items())


def test_a_checkpoint_that_is_missing_corrupt_or_of_another_model_is_named(
    run: Path, data: ImageDataModule
) -> None:
    checkpoint = run / "checkpoint.pt"
    torch.save(Mlp((1, 8, 8), 10, width=5, depth=1).state_dict(), checkpoint)
    with pytest.raises(StoreError, match=r"checkpoint\.pt: no usable .*Error.* loading"):
        load_network(run, arguments(data))
    checkpoint.write_bytes(b"no weights")
    with pytest.raises(StoreError, match=r"checkpoint\.pt: no usable checkpoint"):
        load_network(run, arguments(data))
    checkpoint.unlink()
    with pytest.raises(StoreError, match=r"no usable checkpoint \(.*No such file"):
        load_network(run, arguments(data))


def test_a_run_is_named_by_id_folder_glob_or_latest(run: Path, tmp_path: Path) -> None:
    for name in (run.name, str(run), "*-0123456789ab-*", str(run.parent / "*"), "latest"):
        assert find_runs(tmp_path, name) == (run,)
    for name in ("other", "./other", "x*"):
        with pytest.raises(ValueError, match="no training run of that name"):
            find_runs(tmp_path, name)


def test_latest_is_the_finished_run_that_started_last(run: Path, tmp_path: Path) -> None:
    # In the same second; its name sorts before the other's, whose fraction of the second is 0.
    later = run.with_name("20260101T000000Z-0000000000aa-f0000000")
    later.mkdir()
    (later / "config.yaml").write_text("{}")
    assert find_runs(tmp_path, "latest") == (run,)  # the other has not ended
    (later / "run.json").write_text("{}")
    assert find_runs(tmp_path, "latest") == (run,)  # all jobs of a command mean the same one
    find_runs.cache_clear()
    assert find_runs(tmp_path, "latest") == (later,)


# Targets that a foreign folder may name; each would write a file if it were called.
HOSTILE: dict[str, dict[str, Any]] = {
    "torch.load": {"f": "{pickle}", "weights_only": False},
    "torch.serialization.load": {"f": "{pickle}", "weights_only": False},
    "pandas.read_pickle": {"filepath_or_buffer": "{pickle}"},
    "numpy.load": {"file": "{pickle}", "allow_pickle": True},
    "joblib.load": {"filename": "{pickle}"},
    "torch.hub.load": {"repo_or_dir": "{folder}", "source": "local", "model": "evil"},
    "torch._inductor.codecache.PyCodeCache.load": {"source_code": "{code}"},
    "os.system": {"command": "touch {mark}"},
    "subprocess.run": {"args": ["touch", "{mark}"]},
    "subprocess.Popen": {"args": ["touch", "{mark}"]},
    "subprocess.check_output": {"args": ["touch", "{mark}"]},
    "builtins.eval": {"_args_": ["{code}"]},
    "builtins.exec": {"_args_": ["{code}"]},
    "importlib.import_module": {"name": "hubconf"},
    "runpy.run_path": {"path_name": "{folder}/hubconf.py"},
    "hydra.utils.instantiate": {"config": {"a": 1}},
    # Through modules of this project.
    "bench.runs.trained.torch.load": {"f": "{pickle}", "weights_only": False},
    "bench.training.parts.instantiate": {"config": {"a": 1}},
    "bench.tasks.sources.os.system": {"command": "touch {mark}"},
    "bench.serving.backends.loading.load_torch": {"artifact": "{pickle}"},
    "bench.tasks.data.ImageDataModule": {"read": "x"},
    "bench.tasks.models.Mlp.__init__.__globals__": {},
    "${oc.env:HOME}": {},
    "bench.tasks.data.digits ": {},
}


class Evil:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path(self.mark).touch, ()


def hostile(folder: Path, target: str) -> tuple[dict[str, Any], Path]:
    """A node of a configuration that would make a file if it were made, and that file."""
    mark = folder / "mark"
    (folder / "evil.pkl").write_bytes(pickle.dumps(Evil(str(mark))))
    (folder / "hubconf.py").write_text(f"open({str(mark)!r}, 'w')")
    words = {
        "{pickle}": str(folder / "evil.pkl"),
        "{folder}": str(folder),
        "{mark}": str(mark),
        "{code}": f"open({str(mark)!r}, 'w')",
    }
    text = json.dumps({"_target_": target, **HOSTILE[target]})
    for word, meaning in words.items():
        text = text.replace(word, json.dumps(meaning)[1:-1])
    node: dict[str, Any] = json.loads(text)
    return node, mark


@pytest.mark.parametrize("target", HOSTILE)
def test_code_that_a_foreign_folder_names_is_not_called(
    run: Path, data: ImageDataModule, target: str
) -> None:
    node, mark = hostile(run, target)
    nested = [
        {"data": node},
        {"model": node},
        {"data": {**DATA, "root": node}},
        {"model": {**MODEL, "width": [{"deep": [node]}], "_recursive_": False}},
        {"model": {**MODEL, "_args_": [node], "_partial_": True, "_convert_": "all"}},
    ]
    loads: dict[str, Callable[[], object]] = {
        "data": lambda: load_data(run, ["my_parts"]),
        "model": lambda: load_network(run, arguments(data), ["my_parts"]),
    }
    for changes in nested:
        configure(run, changes)
        part = next(iter(changes))
        with pytest.raises(ValueError, match=rf"{run.name}: its {part}.*(_target_|interpol)") as no:
            loads[part]()
        assert len(str(no.value).splitlines()) == 1
        assert not mark.exists()


def test_a_folder_that_names_code_is_refused_before_anything_is_launched(run: Path) -> None:
    configure(run, {"model": {"_target_": "my_parts.Net"}})
    recipe = DistillConfig(teacher=run.name, temperature=1.0, alpha=0.5, allow_missed=True)
    config = TrainConfig(
        results=str(run.parents[1]),
        data=DATA,
        model=MODEL,
        recipe=recipe,
        target=TargetConfig(value=0.9, eval_every_samples=100),
        budget=BudgetConfig(max_epochs=1),
    )
    with pytest.raises(
        ValueError, match=r"_target_=my_parts\.Net is neither code .*trust=\[my_parts\]"
    ):
        find_source(config)
    assert find_source(replace(config, trust=["my_parts"])) is not None
    # The command itself names it.
    source = find_source(replace(config, model={"_target_": "my_parts.Net", "width": 3}))
    assert source is not None
    assert with_source({"recipe": {"name": "distill"}}, source)["trust"] == ["my_parts.Net"]


@pytest.fixture
def my_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's own; not a file of tests, whose package would be trusted as well."""
    (tmp_path / "my_parts.py").write_text(
        "import os\n"
        "from bench.tasks.models import Mlp\n"
        "from torchvision.models import resnet18\n"
        "class Scale:\n"
        "    def __init__(self, by):\n"
        "        self.by = by\n"
        "class Net(Mlp):\n"
        "    def get_extra_state(self):\n"
        "        return Scale(2.0)\n"
        "    def set_extra_state(self, state):\n"
        "        self.scale = state.by\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)


@pytest.mark.usefixtures("my_parts")
class TestUserModule:
    def test_its_classes_are_instantiated_and_their_extra_state_is_read(
        self, run: Path, data: ImageDataModule
    ) -> None:
        import my_parts  # type: ignore[import-not-found]

        configure(run, {"model": {**MODEL, "_target_": "my_parts.Net"}})
        network = my_parts.Net((1, 8, 8), 10, width=4, depth=1)
        torch.save(network.state_dict(), run / "checkpoint.pt")
        with pytest.raises(ValueError, match=r"trust=\[my_parts\]"):
            load_network(run, arguments(data))
        assert load_network(run, arguments(data), ["my_parts"]).scale == 2.0
        with pytest.raises(ValueError, match=r"checkpoint\.pt=my_parts\.Scale is neither code"):
            load_network(run, arguments(data), ["my_parts.Net"])

    @pytest.mark.parametrize(
        ("target", "module"),
        [("my_parts.os.system", "posix"), ("my_parts.resnet18", "torchvision.models.resnet")],
    )
    def test_its_imports_are_not_trusted(
        self, run: Path, data: ImageDataModule, target: str, module: str
    ) -> None:
        configure(run, {"model": {"_target_": target}})
        words = rf"{target}, .* in {module}, .* trust=\[{target}\]"
        with pytest.raises(ValueError, match=words):
            load_network(run, arguments(data), ["my_parts"])

    def test_a_missing_class_is_reported_in_one_line(
        self, run: Path, data: ImageDataModule
    ) -> None:
        for target in ("my_parts.Nett", "my_parts.sub.Net"):
            configure(run, {"model": {"_target_": target}})
            with pytest.raises(
                ValueError, match=f"its class {target} cannot be imported .*PYTHONPATH"
            ):
                load_network(run, arguments(data), ["my_parts"])


def test_a_checkpoint_is_plain_data(run: Path, data: ImageDataModule) -> None:
    mark = run / "mark"
    for content in (Evil(str(mark)), {"head.weight": Evil(str(mark))}):
        torch.save(content, run / "checkpoint.pt")
        with pytest.raises(ValueError, match=r"checkpoint\.pt"):
            load_network(run, arguments(data), ["my_parts"])
        assert not mark.exists()
    for nothing in ([1], torch.zeros(3), None, {1: torch.zeros(1)}):
        torch.save(nothing, run / "checkpoint.pt")
        with pytest.raises(StoreError, match="no usable checkpoint"):
            load_network(run, arguments(data))


def test_a_structure_only_sets_attributes_that_a_layer_has(
    run: Path, data: ImageDataModule
) -> None:
    configure(run, {"recipe": {"name": "prune"}})
    strange = [
        {"": {"forward": "x"}},
        {"": {"training": "x"}},
        {"no": {"a": 1}},
        {"": {"__class__": 1}},
    ]
    for structure in strange:
        (run / "structure.json").write_text(json.dumps(structure))
        with pytest.raises(StoreError, match="structure of another model"):
            load_network(run, arguments(data))
    for text in ("[1]", '{"a": 1}', "null", "[" * 100_000):
        (run / "structure.json").write_text(text)
        with pytest.raises(StoreError, match=r"structure\.json: .*; train the run again"):
            load_network(run, arguments(data))


def test_a_stored_configuration_downloads_nothing(
    run: Path,
) -> None:
    named = {**DATA, "_target_": "bench.tasks.data.mnist", "root": str(run), "download": True}
    configure(run, {"data": named})
    with pytest.raises(FileNotFoundError, match=r"no data found \(data\.download=false\)"):
        load_data(run)
