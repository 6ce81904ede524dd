"""Checks before a run waits for its turn: classes, devices, files and libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from bench.cli.app import register
from bench.cli.overrides import plain_values
from bench.config.serve import ServeConfig
from bench.core.files import config_dir
from bench.launch.isolation import Ending, ForkServer
from bench.launch.needs import Need, forget, refusal, require
from bench.runs import requirements
from bench.runs.exit_handling import explain
from bench.runs.requirements import file_needs
from bench.serving.plan import serving_needs
from bench.training.plan import splits_need
from tests.cli.planning import plan

TARGET, CALL = "bench.runs.importable:require_target", "bench.runs.importable:require_call"
DEVICES, FILES = "bench.training.loop:require_devices", "bench.tasks.sources:require_files"
RUNTIME = "bench.serving.find_backend:require_backend"


@pytest.fixture(autouse=True)
def _as_in_a_new_command() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own, by a name that no other test imports."""
    name = f"parts_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(
        "import pytorch_lightning as pl\n"
        "NUMBER = 3\n"
        "class Net: pass\n"
        "class NoTest(pl.LightningDataModule):\n"
        "    def train_dataloader(self): pass\n"
        "    def val_dataloader(self): pass\n"
        "class Whole(NoTest):\n"
        "    def test_dataloader(self): pass\n"
        "class Own: pass\n"
    )
    (tmp_path / f"{name}_broken.py").write_text("1 / 0\n")
    (tmp_path / f"{name}_ends.py").write_text("raise SystemExit('usage')\n")
    (tmp_path / f"{name}_lacks.py").write_text("import nosuch_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("key", "target", "words"),
    [
        ("model._target_", "{}.Nett", "{}.Nett: {} has no Nett; did you mean Net?"),
        ("model._target_", "{}.Net.x", "{}.Net.x: Net has no x"),
        ("model._target_", "{}", "must be a class or a function, is a module"),
        ("model._target_", "{}.NUMBER", "must be a class or a function, is a int"),
        ("model._target_", "{}_broken.Net", "ZeroDivisionError: division by zero"),
        ("model._target_", "{}_ends.Net", "SystemExit: usage"),
        ("model._target_", "{}_lacks.Net", "No module named 'nosuch_library'"),
        (
            "model._target_",
            "nosuch_parts.Net",
            "model._target_=nosuch_parts.Net: No module named 'nosuch_parts'; start in its folder "
            "or set PYTHONPATH",
        ),
        ("optimizer._target_", "torch.optim.SDG", "torch.optim has no SDG; did you mean SGD?"),
        ("model._target_", ".Net", "invalid dotstring"),
        ("data._target_", "{}.NoTest", "data: {}.NoTest has no test_dataloader; a run needs one"),
    ],
)
def test_a_class_that_cannot_be_had_is_refused_with_the_reason(
    parts: str, key: str, target: str, words: str
) -> None:
    told = refusal(Need(TARGET, (key, target.format(parts))))
    assert told is not None
    assert words.format(parts, parts) in told
    assert "\n" not in told


@pytest.mark.parametrize("name", ["Whole", "Own", "NoTest.setup"])
def test_data_whose_class_does_not_show_its_loaders_is_accepted(parts: str, name: str) -> None:
    assert refusal(Need(TARGET, ("data._target_", f"{parts}.{name}"))) is None


@pytest.mark.parametrize(
    ("target", "names", "words"),
    [
        (
            "torch.nn.Linear",
            ("input_shape", "num_classes"),
            "unexpected keyword argument 'input_sh",
        ),
        ("torch.nn.Flatten", ("start_dim",), None),
        ("builtins.dict", ("anything",), None),
    ],
)
def test_what_a_part_does_not_take_is_refused(
    target: str, names: tuple[str, ...], words: str | None
) -> None:
    told = refusal(Need(CALL, ("model._target_", target, names)))
    if words is None:
        assert told is None
    else:
        assert told is not None
        assert words in told
        assert told.endswith("it is called with input_shape, num_classes")


@pytest.mark.parametrize(("size", "fits"), [(360, True), (5000, False)])
def test_a_split_is_tried(size: int, fits: bool) -> None:
    data = {"_target_": "bench.tasks.data.digits", "num_validation_samples": size}
    told = refusal(splits_need(data | {"batch_size": 32, "seed": 0}))
    assert (told is None) == fits
    if told is not None:
        assert "data.num_validation_samples=5000: must be between 10" in told


def test_a_table_and_a_text_are_tried_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("age,sex,y\n1,2,3\n")
    table = {"_target_": "bench.tasks.tabular.csv_file", "path": "table.csv", "root": str(tmp_path)}
    (need,) = file_needs({**table, "target": "z", "task": "regression"}, "data.root")
    assert refusal(need) == "data.target=z: no such column among age, sex, y"
    text = {"_target_": "bench.tasks.text.text", "path": None, "context": 10**6}
    (need,) = file_needs(text, "data.root")
    assert str(refusal(need)).startswith("data.context=1000000: the training split has only ")
    cancer = {"_target_": "bench.tasks.tabular.breast_cancer", "group": "radius"}
    (need,) = file_needs(cancer, "data.root")
    assert str(refusal(need)).startswith("data.group=radius: no such column among mean radius, ")
    assert file_needs({**cancer, "group": None}, "data.root") == []


@pytest.mark.parametrize(
    ("num_gpus", "asked", "words"),
    [
        (0, ("gpu", 1, "32"), "trainer.accelerator=gpu: no CUDA device here; use trainer=cpu"),
        (0, ("auto", 1, "16-mixed"), "precision=16-mixed: needs a GPU"),
        (1, ("gpu", 2, "32"), "trainer.devices=2: there are 1 CUDA devices here"),
        (1, ("auto", 2, "32"), "trainer.devices=2: there are 1 CUDA devices here"),
        (2, ("gpu", 2, "16-mixed"), None),
        (0, ("auto", 2, "32"), None),  # processes on the CPU
    ],
)
def test_devices_that_are_not_there_are_refused(
    num_gpus: int,
    asked: tuple[Any, ...],
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    told = refusal(Need(DEVICES, asked))
    assert told is None if words is None else words in str(told)


@pytest.mark.parametrize("key", ["data.root", "data_root"])
def test_files_that_are_nowhere_are_refused_before_the_run(key: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for name in ("mnist", "fashion_mnist", "cifar10"):
        assert f"{key}={nowhere}: no such folder" in str(
            refusal(Need(FILES, (key, nowhere, name, True)))
        )
        assert f"set {key}=DIR" in str(refusal(Need(FILES, (key, str(tmp_path), name, False))))
        assert refusal(Need(FILES, (key, str(tmp_path), name, True))) is None  # it is fetched


def test_a_runtime_without_its_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in str(refusal(Need(RUNTIME, ("backend", "eager", "cuda"))))
    assert refusal(Need(RUNTIME, ("backend", "eager", "cpu"))) is None


class Asked:
    """In place of the fork server: what it was asked, and what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Sequence[str | None] = ()) -> None:
        self.needs: list[Need] = []
        self.num_times = 0
        self._answers = answers
        monkeypatch.setattr(ForkServer, "run", self._run)

    def _run(self, target: str, argument: list[Need], *, log: Path, on_message: Any) -> Ending:
        self.num_times += 1
        self.needs += argument
        log.write_text("Fatal error: in the module\n")
        for answer in self._answers or [None] * len(argument):
            on_message(answer)
        return Ending(exit_code=None, signal_name="SIGSEGV")


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ([], []),
        (["trainer=cpu", "trainer.devices=2"], []),
        (["trainer=gpu"], [Need(DEVICES, ("gpu", 1, "32"))]),
        (["precision=16-mixed"], [Need(DEVICES, ("auto", 1, "16-mixed"))]),
        (
            ["data=mnist", "data.root=/data", "data.download=false"],
            [Need(FILES, ("data.root", "/data", "mnist", False))],
        ),
        (
            ["model=custom", "model._target_=my.Net", "+model.block={_target_:my.Block}"],
            [
                Need(TARGET, ("model._target_", "my.Net")),
                Need(CALL, ("model._target_", "my.Net", ("block", "input_shape", "num_classes"))),
                Need(TARGET, ("model.block._target_", "my.Block")),
            ],
        ),
        (
            ["+model._recursive_=false", "+model.parts=[{_target_:my.Block}]"],
            [],
        ),
        (
            ["+model.parts=[{_target_:my.Block}]"],
            [Need(TARGET, ("model.parts.0._target_", "my.Block"))],
        ),
        (["logger=csv", "optimizer=adamw", "schedule=one_cycle", "price=aws_g5_xlarge"], []),
    ],
)
def test_user_code_is_checked_in_a_separate_process(
    overrides: list[str], asked: list[Need], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Asked(monkeypatch)
    plan(tmp_path, "meter=none", *overrides)
    assert seen.needs == asked
    plan(tmp_path, "meter=none", *overrides)
    assert seen.needs == asked, "what is known is not asked again"


def test_the_first_thing_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Need(TARGET, (f"model.{name}", name)) for name in ("a", "b", "c")]
    seen = Asked(monkeypatch, answers=[None, "b: there is no b"])
    with pytest.raises(ValueError, match="b: there is no b"):
        require(wanted)
    with pytest.raises(ValueError, match="there is no b"):
        require(wanted)  # what is missing is looked at again
    assert seen.needs == [*wanted, *wanted[1:]]


def test_a_module_that_ends_the_process_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, answers=[None])
    with pytest.raises(ValueError, match=r"b=B: the check ended by SIGSEGV \(Fatal error"):
        require([Need(TARGET, ("a", "A")), Need(TARGET, ("b", "B"))])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["logger=wandb"], "logger=wandb: wandb is not installed; .*'wandb'"),
        (["logger=mlflow"], "logger=mlflow: mlflow is not installed; .*'mlflow'"),
        (["model=timm", "model.name=x"], "model=timm: timm is not installed; .*'timm'"),
        (
            ["model=transformers", "model.name=x"],
            "model=transformers: transformers is not installed; .*'transformers'",
        ),
    ],
)
def test_a_logger_or_a_model_without_its_library_is_refused(
    overrides: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements.require_module.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=words):
        plan(tmp_path, *overrides)


def served(*overrides: str, data: dict[str, Any] | None = None) -> list[Need]:
    """What serving a model of the user's own needs."""
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        values = plain_values(compose("serve", overrides=["run=x", "meter=none", *overrides]))
    config = {
        "data": data or {"_target_": "bench.tasks.data.digits"},
        "model": {"_target_": "my.Net"},
    }
    trained: Any = SimpleNamespace(run_id="run1", config=config)
    return serving_needs(ServeConfig.from_dict(values), trained)


NET = Need(TARGET, ("run=run1: model._target_", "my.Net"))


@pytest.mark.parametrize(
    ("overrides", "data", "asked"),
    [
        ([], None, [NET]),
        (["backend=onnxruntime", "backend.device=cpu"], None, [NET]),
        (["backend.device=cuda"], None, [NET, Need(RUNTIME, ("backend", "eager", "cuda"))]),
        (["backend=http", "backend.http.url=http://x", "backend.device=cuda"], None, [NET]),
        (
            ["data_root=/there"],
            {"_target_": "bench.tasks.data.mnist", "root": "/here", "download": False},
            [NET, Need(FILES, ("data_root", "/there", "mnist", False))],
        ),
        (
            [],
            {"_target_": "my.Data"},
            [Need(TARGET, ("run=run1: data._target_", "my.Data")), NET],
        ),
    ],
)
def test_what_serving_needs(
    overrides: list[str], data: dict[str, Any] | None, asked: list[Need]
) -> None:
    assert served(*overrides, data=data) == asked


@pytest.mark.parametrize(
    ("overrides", "missing", "words"),
    [
        ([], "mlperf_loadgen", "mlperf_loadgen is not installed; .*'serving'"),
        (["backend=openvino"], "openvino", "backend=openvino: openvino is not .*'openvino'"),
        (["backend=onnxruntime"], "onnxscript", "backend=onnxruntime: onnxscript is not"),
        (["backend=http"], "aiohttp", "backend=http: aiohttp is not installed"),
        (["backend=http"], "httptools", "backend=http: httptools is not installed"),
        (["backend=http", "placement=cloud"], "envoy", "placement=cloud: envoy is not installed"),
    ],
)
def test_serving_without_a_library_is_refused(
    overrides: list[str], missing: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements.require_module.cache_clear()
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == missing else object()
    )
    with pytest.raises(ValueError, match=words):
        served(*overrides)
    requirements.require_module.cache_clear()


def test_a_message_of_several_lines_is_not_cut_off() -> None:
    _, error = explain(RuntimeError("Error in loading:\n\tsize mismatch for weight"))
    assert error.message == "Error in loading: size mismatch for weight"
