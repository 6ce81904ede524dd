"""An alternative that a refusal suggests is not refused itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from bench.compression import precisions, processor
from bench.config.serve import COMPRESSIONS
from bench.core.errors import CompressionRefused, LibraryMissing
from bench.serving.find_backend import built_in_backends
from tests.compression.networks import combination


def refusal(runtime: str, method: str, device: str = "cpu") -> str | None:
    try:
        combination(runtime, method, device).require()
    except CompressionRefused as error:
        return str(error)
    return None


def all_but_openvino(name: str) -> str | None:
    """Stands for find_spec."""
    return None if name == "openvino" else name


@pytest.mark.parametrize("has", [(), ("bf16",), ("fp16",), ("bf16", "fp16")])
@pytest.mark.parametrize("capabilities", [None, ["FP32"], ["FP32", "FP16"], ["BF16", "FP32"]])
@pytest.mark.parametrize("x86", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_advice_is_a_dead_end(
    monkeypatch: pytest.MonkeyPatch,
    has: tuple[str, ...],
    capabilities: list[str] | None,
    x86: bool,
    device: str,
) -> None:
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(processor, "computes_natively", lambda method: method in has)
    monkeypatch.setattr(processor, "is_x86", lambda: x86)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: "bf16" in has)

    class Core:
        def get_property(self, *_: str) -> Any:
            return capabilities

    monkeypatch.setattr(openvino, "Core", Core)
    if capabilities is None:
        monkeypatch.setattr(precisions, "find_spec", all_but_openvino)
    for runtime in built_in_backends():
        if runtime == "openvino" and capabilities is None:
            with pytest.raises(LibraryMissing, match="openvino is not installed"):
                combination("openvino", "none", device).require()
            continue
        for method in COMPRESSIONS:
            reason = refusal(runtime, method, device)
            if reason is None:
                continue
            backends = re.findall(r"backend=(\w+)", reason.rpartition(";")[2])
            methods = re.findall(r"none|bf16|fp16|int8_\w+", reason.rpartition(";")[2])
            at = "cpu" if "backend.device=cpu" in reason else device
            assert backends or methods or at != device, reason
            assert "openvino" not in backends or capabilities is not None
            for other in backends:
                assert refusal(other, methods[0] if methods else method, device) is None, reason
            for other in methods:
                assert refusal(backends[0] if backends else runtime, other, device) is None, reason
            if at != device:
                assert refusal(runtime, method, at) is None, reason


def test_float16_where_no_backend_has_it_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "computes_natively", lambda method: False)
    monkeypatch.setattr(precisions, "find_spec", all_but_openvino)
    assert refusal("onnxruntime", "fp16") == (
        "compression=fp16: ONNX Runtime's CPU provider converts float16 models back to float32; no "
        "other backend has it here, so use compression=none or int8_dynamic or int8_static"
    )


def test_a_model_that_is_for_torch_alone_gets_a_compression_that_torch_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "is_x86", lambda: False)
    monkeypatch.setattr(processor, "computes_natively", lambda method: False)
    torch_only = [one for one in built_in_backends().values() if one.kind == "torch"]
    assert combination("onnxruntime", "none").advice(torch_only) == (
        "use backend=eager or backend=compile"
    )
    assert combination("onnxruntime", "int8_static").advice(torch_only) == (
        "no other backend has it here, so use compression=none or int8_dynamic with backend=eager"
    )
