"""Choosing a runtime by name, and the message if it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from bench.compression.artifact import Artifact
from bench.config.serve import COMPRESSIONS
from bench.serving.backend import BackendUnavailable
from bench.serving.find_backend import (
    built_in_backends,
    find_backend,
    make_backend,
    resolve_device,
)

RUNTIMES = list(built_in_backends())
CONF = Path(__file__).parents[2] / "conf" / "backend"


def test_backends_are_found_by_name_and_advice_names_pytorch_first() -> None:
    found = [(name, one.name, one.kind) for name, one in built_in_backends().items()]
    assert found == [
        ("eager", "eager", "torch"),
        ("compile", "compile", "torch"),
        ("onnxruntime", "onnxruntime", "onnx"),
        ("openvino", "openvino", "onnx"),
    ]


def test_each_backend_has_an_option_of_its_name_and_each_option_a_backend() -> None:
    options = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
    # The others are a server, and a class of the user's own.
    assert options.keys() == {*built_in_backends(), "http", "custom"}
    assert all(option["name"] == name for name, option in options.items())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_precision_that_a_backend_does_not_have_is_refused_with_a_reason(
    runtime: str,
) -> None:
    backend = find_backend(runtime)
    for method in set(COMPRESSIONS) - set(backend.precisions):
        assert all(backend.refusal(method, device) for device in backend.devices), method
    assert backend.refusal("none", "cpu") is None


def test_a_dotted_path_of_something_else_than_a_backend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^backend=json.loads: must be a subclass of bench"):
        find_backend("json.loads")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_says_what_it_is_before_it_is_opened(runtime: str) -> None:
    if runtime not in ("eager", "compile"):
        pytest.importorskip(runtime)
    backend = make_backend(runtime, device="cpu", num_threads=3)
    facts = backend.facts
    assert (facts["runtime"], facts["device"], facts["threads"]) == (runtime, "cpu", "3")
    assert facts["version"].split()[1][0].isdigit()
    assert "precision" not in facts
    assert backend.compile_s == (0 if runtime == "compile" else None)
    backend.close()


@pytest.mark.parametrize(
    ("runtime", "device", "said"),
    [
        ("tensorrt", "cpu", "backend=tensorrt: must be one of eager, compile, onnxruntime, openv"),
    ],
)
def test_unknown_names_are_refused(runtime: str, device: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_backend(runtime, device=device, num_threads=None)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_cuda_without_a_cuda_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match=f"{runtime} device=cuda: there is no CUDA device"):
        make_backend(runtime, device="cuda", num_threads=None)
    assert resolve_device(runtime, "auto") == "cpu"


def test_auto_takes_cuda_only_where_the_runtime_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    providers = ["CPUExecutionProvider"]
    library = SimpleNamespace(get_available_providers=lambda: providers)
    monkeypatch.setitem(sys.modules, "onnxruntime", library)
    assert {name: resolve_device(name, "auto") for name in RUNTIMES} == {
        "eager": "cuda",
        "compile": "cuda",
        "onnxruntime": "cpu",
        "openvino": "cpu",
    }
    with pytest.raises(BackendUnavailable, match=r"no CUDAExecutionProvider; install onnxruntime-"):
        make_backend("onnxruntime", device="cuda", num_threads=None)
    providers.insert(0, "CUDAExecutionProvider")
    assert resolve_device("onnxruntime", "auto") == "cuda"


def test_openvino_refuses_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(
        BackendUnavailable,
        match=r"device=cuda: it runs on cpu only; use b",
    ):
        make_backend("openvino", device="cuda", num_threads=None)


@pytest.mark.parametrize(("runtime", "extra"), [("onnxruntime", "serving"), ("openvino",) * 2])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, runtime: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, runtime, None)  # as Python marks what cannot be imported
    remedy = f"{runtime} is not installed; install it with the extra '{extra}'"
    with pytest.raises(BackendUnavailable, match=remedy):
        make_backend(runtime, device="cpu", num_threads=None)


def test_a_provider_that_did_not_start_is_an_error_and_not_a_silent_fall_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **options: session)
    (tmp_path / "model.onnx").touch()
    backend = make_backend("onnxruntime", device="auto", num_threads=None)
    with pytest.raises(BackendUnavailable, match="CUDAExecutionProvider did not start"):
        backend.open(Artifact(kind="onnx", folder=tmp_path, compression="none"))
