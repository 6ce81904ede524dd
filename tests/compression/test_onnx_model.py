"""Models for ONNX Runtime and OpenVINO: the content of the file, and which layers run in int8."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bench.compression.artifact import Artifact
from bench.compression.onnx_int8 import optimised_operators, quantize_dynamically
from bench.compression.onnx_model import _to_float16
from bench.compression.prepare import prepare
from bench.core.errors import CompressionRefused, LibraryMissing
from bench.serving.backend import BackendUnavailable
from bench.serving.find_backend import make_backend
from bench.tasks.models import Mlp
from tests.compression.exports import Exports
from tests.compression.networks import (
    NUM_CLASSES,
    SHAPE,
    combination,
    depthwise,
    images_and_labels,
    logits_of,
    trained,
)

# One worker, so that each model is made once, together with the other files that export.
pytestmark = [pytest.mark.xdist_group("runtimes"), pytest.mark.usefixtures("one_onnx_registry")]
CALIBRATION = images_and_labels(64, seed=1)[0]
TEST = images_and_labels(200, seed=2)
Made = Callable[[str, str], Artifact]
NUM_CONVOLUTIONS, NUM_LAYERS = 3, 4


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return trained(depthwise())


@pytest.fixture(scope="module")
def made(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Prepares each model once, from one export of the network."""
    exports = Exports()

    @cache
    def make(runtime: str, method: str) -> Artifact:
        with exports.once("depthwise"):
            return prepare(
                partial(copy.deepcopy, network),
                combination(runtime, method, "cpu"),
                channels_last=True,
                calibration=CALIBRATION,
                folder=tmp_path_factory.mktemp(method),
            )

    return make


def served(artifact: Artifact, runtime: str) -> Any:
    backend = make_backend(runtime, device="cpu", num_threads=1)
    backend.open(artifact)
    return backend


def test_the_export_is_the_network_with_batch_norm_folded_and_any_batch_size(
    made: Made, network: nn.Module
) -> None:
    artifact = made("onnxruntime", "none")
    graph = onnx.load(artifact.path).graph
    assert "BatchNormalization" not in [node.op_type for node in graph.node]
    sizes = [one.type.tensor_type.shape.dim[0].dim_param for one in (*graph.input, *graph.output)]
    assert sizes == ["batch", "batch"]
    backend = served(artifact, "onnxruntime")
    for n in (1, 5):
        np.testing.assert_allclose(
            backend.predict(TEST[0][:n]), logits_of(network, TEST[0][:n]), rtol=1e-4, atol=1e-4
        )


class PythonBatch(nn.Module):
    """Takes its batch size as a Python number."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = int(images.shape[0])
        return torch.stack([self.head(images[index].reshape(-1)) for index in range(size)])


@pytest.fixture(scope="module")
def of_python_batch() -> Exports:
    return Exports()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_model_whose_batch_size_became_a_constant_is_refused(
    of_python_batch: Exports, tmp_path: Path, runtime: str
) -> None:
    torch.manual_seed(0)
    network = PythonBatch().eval()
    with of_python_batch.once("batch"), pytest.raises(CompressionRefused) as caught:
        prepare(
            lambda: network,
            combination(runtime, "none", "cpu"),
            channels_last=False,
            calibration=CALIBRATION[:4],
            folder=tmp_path,
        )
    assert str(caught.value).startswith(
        "the model was exported for batches of 2 only: it takes its batch size as a Python number"
    )
    assert "backend=eager" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_every_convolution_is_quantized_per_channel_with_int8_weights(made: Made) -> None:
    graph = onnx.load(made("onnxruntime", "int8_static").path).graph
    maker = {name: node for node in graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == NUM_CONVOLUTIONS
    for node in convolutions:
        inputs, weight = maker[node.input[0]], maker[node.input[1]]
        assert (inputs.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        assert maker[inputs.input[0]].op_type == "QuantizeLinear"
        values, scale = (tensors[name] for name in weight.input[:2])
        assert values.data_type == onnx.TensorProto.INT8
        assert list(scale.dims) == [values.dims[0]], "one scale for each output channel"


def test_onnx_runtime_computes_every_layer_in_int8(made: Made) -> None:
    operators = optimised_operators(made("onnxruntime", "int8_static").path)
    assert operators["QLinearConv"] == NUM_CONVOLUTIONS
    assert operators["QGemm"] == NUM_LAYERS - NUM_CONVOLUTIONS
    assert operators["Conv"] + operators["FusedConv"] + operators["Gemm"] == 0


def test_openvino_computes_every_layer_in_int8(made: Made) -> None:
    pytest.importorskip("openvino")
    backend = served(made("openvino", "int8_static"), "openvino")
    assert backend.facts["precision"] == "int8"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_as_accurate_on_classes_that_are_far_apart(
    made: Made, network: nn.Module, runtime: str
) -> None:
    pytest.importorskip(runtime)
    images, labels = TEST
    assert (logits_of(network, images).argmax(1) == labels).mean() > 0.99
    logits = served(made(runtime, "int8_static"), runtime).predict(images)
    assert (logits.argmax(1) == labels).mean() > 0.99


def test_int8_is_smaller_and_both_hold_no_file_but_the_models(made: Made) -> None:
    full, small = made("onnxruntime", "none"), made("onnxruntime", "int8_static")
    # 5,372 weights at 4 bytes against 1: what is left is the graph, of which int8 has more.
    assert full.size_bytes - small.size_bytes > 0
    assert [path.name for path in full.folder.iterdir()] == ["model.onnx"]
    assert [path.name for path in small.folder.iterdir()] == ["model.onnx"]


def test_int8_of_a_model_that_is_mostly_weights_is_about_a_quarter(tmp_path: Path) -> None:
    sizes, exports = {}, Exports()
    network = Mlp(SHAPE, NUM_CLASSES, width=256, depth=2).eval()
    for method in ("none", "int8_static"):
        (tmp_path / method).mkdir()
        with exports.once("mlp"):
            sizes[method] = prepare(
                lambda: network,
                combination("onnxruntime", method, "cpu"),
                channels_last=False,
                calibration=CALIBRATION[:4],
                folder=tmp_path / method,
            ).size_bytes
    # 64*256 + 256*256 + 256*4 = 82,944 weights of 4 bytes, or of 1. On top come biases, scales of
    # 516 output channels and the graph itself: some kB.
    assert 4 * 82_944 < sizes["none"] < 4 * 82_944 + 15_000
    assert 82_944 < sizes["int8_static"] < 82_944 + 25_000


def test_dynamic_int8_takes_the_matrix_products_and_leaves_convolutions_alone(
    made: Made, network: nn.Module
) -> None:
    artifact = made("onnxruntime", "int8_dynamic")
    operators = optimised_operators(artifact.path)
    assert operators["DynamicQuantizeMatMul"] == 1
    assert operators["Conv"] + operators["FusedConv"] == NUM_CONVOLUTIONS
    assert operators["ConvInteger"] == 0
    logits = served(artifact, "onnxruntime").predict(TEST[0])
    assert (logits.argmax(1) == logits_of(network, TEST[0]).argmax(1)).mean() > 0.99


def test_dynamic_int8_of_a_model_without_matrix_products_is_refused(tmp_path: Path) -> None:
    convolutions = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with pytest.raises(CompressionRefused, match="no layer of this model in int8"):
        prepare(
            convolutions.eval,
            combination("onnxruntime", "int8_dynamic", "cpu"),
            channels_last=False,
            calibration=CALIBRATION,
            folder=tmp_path,
        )
    assert list(tmp_path.iterdir()) == []


def test_openvino_would_compute_dynamic_int8_in_float32_and_says_so(
    made: Made, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(CompressionRefused, match="dynamically quantized models in float32"):
        combination("openvino", "int8_dynamic", "cpu").require()
    # The reason, in its own plan of execution.
    artifact = Artifact(kind="onnx", folder=tmp_path, compression="int8_dynamic")
    exported = tmp_path / "exported.onnx"
    exported.write_bytes(made("openvino", "none").path.read_bytes())
    quantize_dynamically(exported, artifact.path)
    with pytest.raises(BackendUnavailable, match="in float32, not in int8"):
        served(artifact, "openvino")


def test_onnx_runtime_would_compute_float16_in_float32_and_this_is_refused(
    made: Made, tmp_path: Path
) -> None:
    with pytest.raises(CompressionRefused, match=r"fp16: .*CPU provider.*; .*use "):
        combination("onnxruntime", "fp16", "cpu").require()
    # The reason: weights are float16 in the file, and float32 in the graph that is run.
    import onnxruntime

    half = tmp_path / "half.onnx"
    _to_float16(made("onnxruntime", "none").path, half, "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(half), options, providers=["CPUExecutionProvider"])
    types = {
        name: {
            tensor.data_type
            for tensor in onnx.load(path).graph.initializer
            if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        }
        for name, path in (("file", half), ("run", tmp_path / "optimised.onnx"))
    }
    assert types == {"file": {onnx.TensorProto.FLOAT16}, "run": {onnx.TensorProto.FLOAT}}


@pytest.mark.parametrize(
    ("runtime", "method", "device", "said"),
    [
        ("onnxruntime", "bf16", "cpu", "no bfloat16 convolutions"),
        ("onnxruntime", "bf16", "cuda", "no converter to bfloat16"),
        ("onnxruntime", "int8_static", "cuda", "CUDA provider computes"),
        ("onnxruntime", "int8_dynamic", "cuda", "CUDA provider computes"),
    ],
)
def test_what_would_be_computed_in_float32_is_refused_with_the_way_that_works(
    runtime: str, method: str, device: str, said: str
) -> None:
    with pytest.raises(CompressionRefused, match=rf"compression={method}: .*{said}.*; .*use "):
        combination(runtime, method, device).require()


@pytest.mark.parametrize(("method", "name"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_openvino_takes_half_precision_only_where_the_processor_has_it(
    made: Made, network: nn.Module, monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    openvino = pytest.importorskip("openvino")
    if method.upper() in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        backend = served(made("openvino", method), "openvino")
        assert name in backend.facts["precision"]
        logits = backend.predict(TEST[0])
        assert (logits.argmax(1) == logits_of(network, TEST[0]).argmax(1)).mean() > 0.99

    class OldProcessor:
        def get_property(self, device: str, key: str) -> Sequence[str]:
            assert (device, key) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", OldProcessor)
    with pytest.raises(CompressionRefused, match=rf"not compute in {method} .*FP32, INT8"):
        combination("openvino", method, "cpu").require()


class Untraceable(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) * float(images.sum().item() > 3.0) if images.sum() > 3 else images


def test_a_model_that_cannot_be_exported_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CompressionRefused, match="cannot be exported to ONNX") as caught:
        prepare(
            Untraceable,
            combination("onnxruntime", "none", "cpu"),
            channels_last=False,
            calibration=CALIBRATION,
            folder=tmp_path,
        )
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def prepared_none_or_int8(method: str, folder: Path) -> Artifact:
    return prepare(
        lambda: Mlp(SHAPE, NUM_CLASSES, width=4, depth=0).eval(),
        combination("onnxruntime", method, "cpu"),
        channels_last=False,
        calibration=CALIBRATION,
        folder=folder,
    )


def test_a_missing_exporter_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*args: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")

    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(LibraryMissing, match=r"onnxscript is not installed; install it"):
        prepared_none_or_int8("none", tmp_path)


def test_a_missing_quantizer_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as Python marks what is not there
    with pytest.raises(LibraryMissing, match=r"onnxruntime.* not installed; install it"):
        prepared_none_or_int8("int8_static", tmp_path)
    assert list(tmp_path.iterdir()) == []
