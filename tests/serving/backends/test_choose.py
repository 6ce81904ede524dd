"""Choosing a runtime by name, and the message if it is not installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.compression.precisions import artifact_kind
from bench.config.serve import RUNTIMES
from bench.core.artifact import Artifact
from bench.serving.backends.base import BackendUnavailable
from bench.serving.backends.choose import make_backend, resolve_device


def test_every_runtime_of_the_configuration_has_a_form_of_model() -> None:
    assert {name: artifact_kind(name) for name in RUNTIMES} == {
        "eager": "torch",
        "compile": "torch",
        "onnxruntime": "onnx",
        "openvino": "onnx",
    }


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
        ("eager", "tpu", "backend.device=tpu: must be one of auto, cpu, cuda"),
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
    with pytest.raises(BackendUnavailable, match="OpenVINO runs on no such device"):
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
