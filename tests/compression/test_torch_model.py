"""Models for PyTorch: half precision if it is native, int8 if there is a layer to quantize."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.compression import processor
from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.core.errors import CompressionRefused, LibraryMissing
from bench.tasks.inference import InferenceModel
from bench.tasks.models import Mlp
from tests.compression.networks import (
    NUM_CLASSES,
    SHAPE,
    combination,
    depthwise,
    images_and_labels,
    logits_of,
    trained,
)

# With other files that quantize: a process imports what that needs for seconds.
pytestmark = pytest.mark.xdist_group("runtimes")
CALIBRATION = images_and_labels(64, seed=1)[0]
IMAGES, LABELS = images_and_labels(100, seed=2)
Prepare = Callable[..., Artifact]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return trained(depthwise())


@pytest.fixture
def make(network: nn.Module, tmp_path: Path) -> Prepare:
    def made(method: str, *, runtime: str = "compile", of: nn.Module | None = None) -> Artifact:
        folder = tmp_path / f"{runtime}-{method}"
        folder.mkdir()
        return prepare(
            partial(copy.deepcopy, of or network),
            combination(runtime, method, "cpu"),
            channels_last=True,
            calibration=CALIBRATION,
            folder=folder,
        )

    return made


def loaded(artifact: Artifact) -> InferenceModel:
    model = torch.load(artifact.path, weights_only=False)
    assert isinstance(model, InferenceModel)
    return model


def test_an_uncompressed_model_is_the_network_in_its_memory_format(
    make: Prepare, network: nn.Module
) -> None:
    artifact = make("none", runtime="eager")
    model = loaded(artifact)
    assert model.network[0].weight.dtype is torch.float32  # type: ignore[index]
    assert model.network[6].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index]
    np.testing.assert_allclose(logits_of(model, IMAGES), logits_of(network, IMAGES), atol=1e-5)
    assert [path.name for path in artifact.folder.iterdir()] == ["model.pt"]
    # Pickled, it would have the name of some module that happens to have imported torch.
    assert b"torch.channels_last" not in artifact.path.read_bytes()


@pytest.mark.parametrize(("method", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_halves_the_weights_and_takes_and_gives_float32(
    make: Prepare, monkeypatch: pytest.MonkeyPatch, method: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(processor, "computes_natively", lambda method: True)
    model = loaded(make(method))
    assert {one.dtype for one in model.parameters()} == {dtype}
    logits = logits_of(model, IMAGES)
    assert logits.dtype == np.float32
    assert (logits.argmax(1) == LABELS).mean() > 0.99


@pytest.mark.parametrize("method", ["bf16", "fp16"])
def test_half_precision_is_refused_where_the_processor_only_converts_it(
    make: Prepare, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(processor, "computes_natively", lambda method: False)
    with pytest.raises(CompressionRefused, match=rf"{method}: this processor does not compute in"):
        make(method)


@pytest.mark.parametrize(
    ("has", "bf16", "fp16"),
    [
        ({"avx512_f", "avx512_bw"}, False, False),  # oneDNN takes bfloat16 here, and converts it
        ({"avx512_bf16"}, True, False),
        ({"amx_bf16", "avx512_fp16"}, True, True),
        ({"bf16", "fp16_arith"}, True, True),  # ARM
    ],
)
def test_native_half_precision_is_what_the_processor_has_instructions_for(
    monkeypatch: pytest.MonkeyPatch, has: set[str], bf16: bool, fp16: bool
) -> None:
    found = {name: True for name in has} | {"architecture": "x86_64"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    for name in ("_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported"):
        monkeypatch.setattr(torch.ops.mkldnn, name, lambda: True)
    assert processor.computes_natively("bf16") is bf16
    assert processor.computes_natively("fp16") is fp16


def test_instructions_without_onednn_do_not_make_half_precision_native(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not processor.computes_natively("bf16")


@pytest.mark.parametrize(
    ("found", "smaller"),
    [
        ({"architecture": "x86_64", "avx2": True}, True),
        ({"architecture": "x86_64", "avx512_vnni": True}, False),
        ({"architecture": "arm64"}, False),
    ],
)
def test_int8_has_a_bit_less_where_its_sums_would_overflow(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, object], smaller: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert processor.needs_smaller_int8() is smaller


def test_dynamic_int8_is_a_quarter_of_the_linear_layers_and_as_accurate(make: Prepare) -> None:
    torch.manual_seed(0)
    mlp = trained(Mlp(SHAPE, NUM_CLASSES, width=256, depth=2))
    full, small = make("none", of=mlp), make("int8_dynamic", of=mlp)
    # 82,944 weights of 4 bytes against 1; biases, scales and the pickle itself stay.
    assert full.size_bytes - small.size_bytes == pytest.approx(3 * 82_944, rel=0.05)
    assert (logits_of(loaded(small), IMAGES).argmax(1) == LABELS).mean() > 0.99


def test_dynamic_int8_without_a_linear_layer_is_refused_and_not_a_silent_no_op(
    make: Prepare,
) -> None:
    convolutions = nn.Sequential(nn.Conv2d(1, NUM_CLASSES, 8), nn.Flatten()).eval()
    with pytest.raises(CompressionRefused, match="linear layers, and this model has none"):
        make("int8_dynamic", of=convolutions)


def test_static_int8_is_smaller_and_as_accurate(make: Prepare) -> None:
    torch.manual_seed(0)
    mlp = trained(Mlp(SHAPE, NUM_CLASSES, width=256, depth=2))
    full, small = make("none", of=mlp), make("int8_static", of=mlp)
    # As above, but for the graph, which takes tens of kB as text.
    assert full.size_bytes - small.size_bytes > 2.3 * 82_944
    model = loaded(small)
    assert not any(one.dtype is torch.float32 and one.ndim == 2 for one in model.parameters())
    assert (logits_of(model, IMAGES).argmax(1) == LABELS).mean() > 0.99
    assert logits_of(model, IMAGES[:1]).shape == (1, NUM_CLASSES)


def test_static_int8_of_a_network_that_calls_a_module_twice(make: Prepare) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3, padding=1)
            self.branch = nn.Conv2d(8, 8, 3, padding=1)
            self.relu = nn.ReLU()
            self.head = nn.Linear(8 * 64, NUM_CLASSES)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.stem(images))
            x = self.relu(x + self.branch(x))
            logits: torch.Tensor = self.head(x.flatten(1))
            return logits

    torch.manual_seed(0)
    network = trained(Residual())
    model = loaded(make("int8_static", of=network))
    assert (logits_of(model, IMAGES).argmax(1) == LABELS).mean() > 0.99


def test_static_int8_in_eager_is_refused_because_it_computes_in_float32(make: Prepare) -> None:
    with pytest.raises(CompressionRefused, match="float32; use backend=compile"):
        make("int8_static", runtime="eager")


def test_static_int8_on_other_processors_is_refused(
    make: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "is_x86", lambda: False)
    with pytest.raises(CompressionRefused, match="x86 processors only; use backend=onnxruntime"):
        make("int8_static")


def test_static_int8_of_a_network_that_cannot_be_traced_names_the_reason(make: Prepare) -> None:
    class Branching(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1) if images.sum() > 0 else images.flatten(1) + 1

    with pytest.raises(CompressionRefused, match="does not understand this model") as caught:
        make("int8_static", of=Branching().eval())
    assert "\n" not in str(caught.value)
    assert "use backend=onnxruntime" in str(caught.value)


@pytest.mark.parametrize("method", ["int8_dynamic", "int8_static"])
def test_a_missing_torchao_is_named_with_the_command_that_installs_it(
    make: Prepare, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    for name in ("torchao.quantization", "torchao.quantization.pt2e.quantize_pt2e"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LibraryMissing, match=r"torchao is not installed; install it"):
        make(method)
