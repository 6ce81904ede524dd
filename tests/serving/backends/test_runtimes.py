"""Each runtime with a real, small model in it."""

from __future__ import annotations

import copy
import itertools
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch._dynamo.utils
from numpy.typing import NDArray
from torch import nn

from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.launch.server import server_modules
from bench.serving import inductor, torch_models
from bench.serving.backend import BackendUnavailable
from bench.serving.backends.compile import CompileBackend
from bench.serving.backends.eager import EagerBackend
from bench.serving.find_backend import find_backend, make_backend
from bench.serving.torch_models import torch_precision
from bench.tasks.inference import InferenceModel
from bench.tasks.models import Cnn
from tests.compression.networks import combination
from tests.fork_server import own_fork_server

# One worker, so that models are made once, and torch.compile finds its compiler once.
pytestmark = [
    pytest.mark.xdist_group("runtimes"),
    pytest.mark.usefixtures("one_instruction_set", "one_onnx_registry"),
]
SHAPE, NUM_CLASSES = (1, 8, 8), 4
IMAGES = np.random.default_rng(0).uniform(0, 1, (6, *SHAPE)).astype(np.float32)
# Runtimes add up float32 products in different orders.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Cnn(SHAPE, NUM_CLASSES, width=8, depth=1).eval()


@pytest.fixture(scope="module")
def artifacts(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The uncompressed model in the form of torch and of ONNX, and in int8 for torch.compile."""
    wanted = [("eager", "none"), ("onnxruntime", "none"), ("compile", "int8_static")]
    return {
        f"{find_backend(runtime).kind}-{method}": prepare(
            partial(copy.deepcopy, network),
            combination(runtime, method, "cpu"),
            channels_last=False,
            calibration=IMAGES,
            folder=tmp_path_factory.mktemp(runtime),
        )
        for runtime, method in wanted
    }


@pytest.fixture(scope="module")
def expected(network: nn.Module) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(IMAGES)).numpy()
    return logits


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Opening with a number of threads sets it for the process: put it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime", "openvino"])
def test_logits_are_those_of_the_network_for_any_batch_size(
    artifacts: dict[str, Artifact], expected: NDArray[np.float32], runtime: str
) -> None:
    if runtime != "eager":
        pytest.importorskip(runtime)
    backend = make_backend(runtime, device="cpu", num_threads=None)
    backend.open(artifacts[f"{find_backend(runtime).kind}-none"])
    for n in (1, 5, 1):
        logits = backend.predict(IMAGES[:n])
        assert logits.dtype == np.float32
        assert logits.shape == (n, NUM_CLASSES)
        np.testing.assert_allclose(logits, expected[:n], rtol=TOLERANCE, atol=TOLERANCE)
    # OpenVINO would take bfloat16 by itself on processors that have it.
    assert backend.facts["precision"].startswith("float32")
    assert backend.compile_s is None
    backend.close()


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime", "openvino"])
def test_logits_stay_when_the_next_are_asked_for_and_images_may_be_read_only(
    artifacts: dict[str, Artifact], expected: NDArray[np.float32], runtime: str
) -> None:
    if runtime != "eager":
        pytest.importorskip(runtime)
    backend = make_backend(runtime, device="cpu", num_threads=None)
    backend.open(artifacts[f"{find_backend(runtime).kind}-none"])
    images = IMAGES.copy()
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = backend.predict(images[:1])
        backend.predict(images[1:2])
    np.testing.assert_allclose(first, expected[:1], rtol=TOLERANCE, atol=TOLERANCE)


def test_compiling_is_counted_for_each_new_batch_size_and_only_then(tmp_path: Path) -> None:
    # Of a product of matrices alone Inductor makes a graph without a kernel to compile in C++.
    torch.manual_seed(0)
    small = nn.Sequential(nn.Flatten(), nn.Linear(64, NUM_CLASSES, bias=False)).eval()
    with torch.no_grad():
        expected = small(torch.from_numpy(IMAGES)).numpy()
    artifact = prepare(
        partial(copy.deepcopy, small),
        combination("compile", "none", "cpu"),
        channels_last=False,
        calibration=IMAGES,
        folder=tmp_path,
    )
    seconds = itertools.count()  # each reading of the clock is a second after the last
    backend = CompileBackend(device="cpu", num_threads=None, clock=lambda: next(seconds))
    backend.open(artifact)
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    spent_s, num_graphs = [backend.compile_s], [0]
    for n in (1, 5, 1, 5, 6):
        logits = backend.predict(IMAGES[:n])
        np.testing.assert_allclose(logits, expected[:n], rtol=TOLERANCE, atol=TOLERANCE)
        spent_s.append(backend.compile_s)
        num_graphs.append(graphs["unique_graphs"] - before)
    assert spent_s == [0, 1, 2, 2, 2, 3]
    assert num_graphs == [0, 1, 2, 2, 2, 2], "larger batches share a graph"
    assert backend.facts["precision"] == "float32"
    backend.close()


def test_a_statically_quantized_model_is_compiled_to_int8_layers(
    artifacts: dict[str, Artifact], expected: NDArray[np.float32]
) -> None:
    backend = make_backend("compile", device="cpu", num_threads=None)
    backend.open(artifacts["torch-int8_static"])
    before = inductor._num_int8_layers()
    logits = backend.predict(IMAGES[:2])
    assert inductor._num_int8_layers() - before == 2  # a convolution and a linear layer
    # Each of two layers rounds its inputs and weights to one of 255 steps of their range.
    np.testing.assert_allclose(logits, expected[:2], atol=0.05 * np.abs(expected).max())
    assert backend.facts["precision"].startswith("int8")


def test_a_quantized_model_that_was_not_compiled_to_int8_is_refused(
    artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = CompileBackend(device="cpu", num_threads=None)
    backend.open(artifacts["torch-int8_static"])
    monkeypatch.setattr(
        backend._model, "call", lambda images: torch.zeros(len(images), NUM_CLASSES)
    )
    with pytest.raises(BackendUnavailable, match="no layer of this model in int8"):
        backend.predict(IMAGES[:1])


class Branching(nn.Module):
    """Which way it goes depends on the image: no single graph."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) if images.sum() > 0 else -images.flatten(1)


def test_a_model_of_several_graphs_is_refused_by_compile_in_one_line(
    monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, Artifact]
) -> None:
    model = InferenceModel(Branching())
    monkeypatch.setattr(torch_models, "open_torch", lambda *args: model)
    backend = CompileBackend(device="cpu", num_threads=None)
    backend.open(artifacts["torch-none"])
    with pytest.raises(
        BackendUnavailable, match=r"torch.compile failed .*use backend=ea"
    ) as caught:
        backend.predict(IMAGES[:1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["stance", "disable"])
def test_a_compiler_that_compiles_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, Artifact], how: str
) -> None:
    """Whatever switched it off: a variable of the environment, or code of the user's own."""
    # As in a process of its own, in which nothing has been compiled yet.
    torch._dynamo.reset()
    monkeypatch.setitem(torch._dynamo.utils.counters["stats"], "unique_graphs", 0)
    backend = CompileBackend(device="cpu", num_threads=None)
    backend.open(artifacts["torch-none"])
    off = (
        torch.compiler.set_stance("force_eager")
        if how == "stance"
        else torch._dynamo.config.patch(disable=True)
    )
    with off, pytest.raises(BackendUnavailable, match="compiled nothing in this process"):
        backend.predict(IMAGES[:1])


@pytest.mark.parametrize("uuid", ["5e0e5f6e-0000", "GPU-5e0e5f6e-0000"])
def test_a_backend_on_a_gpu_names_it_as_nvml_does(
    monkeypatch: pytest.MonkeyPatch, uuid: str
) -> None:
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuid)
    )
    for kind in (EagerBackend, CompileBackend):
        facts = kind(device="cuda", num_threads=None).facts
        assert (facts["device"], facts["gpu_uuid"]) == ("cuda", "GPU-5e0e5f6e-0000")
        assert "gpu_uuid" not in kind(device="cpu", num_threads=None).facts


@pytest.mark.usefixtures("torch_threads")
def test_threads_are_set_when_the_model_is_opened(artifacts: dict[str, Artifact]) -> None:
    torch.set_num_threads(2)
    backend = EagerBackend(device="cpu", num_threads=1)
    assert torch.get_num_threads() == 2
    backend.open(artifacts["torch-none"])
    assert torch.get_num_threads() == 1
    assert backend.facts["threads"] == "1"


def test_openvino_reports_the_threads_that_it_uses(artifacts: dict[str, Artifact]) -> None:
    pytest.importorskip("openvino")
    backend = make_backend("openvino", device="cpu", num_threads=1)
    backend.open(artifacts["onnx-none"])
    assert backend.facts["threads"] == "1"


def save_logits(folder: Path, opened: Sequence[tuple[str, Artifact]]) -> None:
    """In a process of its own: the logits of each model, as logits0.npy and so on."""
    for number, (runtime, artifact) in enumerate(opened):
        backend = make_backend(runtime, device="cpu", num_threads=1)
        backend.open(artifact)
        np.save(folder / f"logits{number}.npy", backend.predict(IMAGES))


def test_a_model_opens_in_another_process(
    artifacts: dict[str, Artifact], expected: NDArray[np.float32], tmp_path: Path
) -> None:
    opened = [
        ("eager", artifacts["torch-none"]),
        ("eager", artifacts["torch-int8_static"]),
        ("onnxruntime", artifacts["onnx-none"]),
    ]
    # It has seen neither the models nor their classes; it imports without garbage collections.
    with own_fork_server():
        get_context("forkserver").set_forkserver_preload(server_modules([]))
        process = get_context("forkserver").Process(target=save_logits, args=(tmp_path, opened))
        process.start()
        process.join(timeout=120)
    assert process.exitcode == 0
    for number, tolerance in enumerate((TOLERANCE, 0.05 * np.abs(expected).max(), TOLERANCE)):
        logits = np.load(tmp_path / f"logits{number}.npy")
        np.testing.assert_allclose(logits, expected, rtol=TOLERANCE, atol=tolerance)


@pytest.mark.parametrize("runtime", ["eager", "compile", "onnxruntime", "openvino"])
@pytest.mark.parametrize("content", [b"", b"not a model", "half"])
def test_a_corrupt_model_is_refused_in_one_line_that_names_the_file(
    artifacts: dict[str, Artifact], tmp_path: Path, runtime: str, content: bytes | str
) -> None:
    if runtime in ("onnxruntime", "openvino"):
        pytest.importorskip(runtime)
    kind = find_backend(runtime).kind
    whole = artifacts[f"{kind}-none"].path.read_bytes()
    broken = Artifact(kind=kind, folder=tmp_path, compression="none")
    broken.path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(BackendUnavailable, match=f"{broken.path}: .*cannot open") as caught:
        make_backend(runtime, device="cpu", num_threads=None).open(broken)
    assert "\n" not in str(caught.value)


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "model.pt")
    artifact = Artifact(kind="torch", folder=tmp_path, compression="none")
    with pytest.raises(BackendUnavailable, match="it holds a dict"):
        make_backend("eager", device="cpu", num_threads=None).open(artifact)


@pytest.mark.parametrize("runtime", ["eager", "compile", "onnxruntime", "openvino"])
def test_a_missing_model_and_one_of_another_kind_are_refused(
    artifacts: dict[str, Artifact], tmp_path: Path, runtime: str
) -> None:
    if runtime in ("onnxruntime", "openvino"):
        pytest.importorskip(runtime)
    kind = find_backend(runtime).kind
    backend = make_backend(runtime, device="cpu", num_threads=None)
    with pytest.raises(FileNotFoundError, match="no such file"):
        backend.open(Artifact(kind=kind, folder=tmp_path, compression="none"))
    other = "onnx" if kind == "torch" else "torch"
    with pytest.raises(BackendUnavailable, match=f"opens kind {kind}"):
        backend.open(artifacts[f"{other}-none"])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system lists no threads")
@pytest.mark.parametrize("num_threads", [1, 3, None])
def test_onnx_runtime_says_how_many_threads_it_really_uses(
    artifacts: dict[str, Artifact], num_threads: int | None
) -> None:
    """They are counted, so a number that was asked for is found again."""
    pytest.importorskip("onnxruntime")
    backend = make_backend("onnxruntime", device="cpu", num_threads=num_threads)
    assert backend.facts["threads"] == str(num_threads or "its own choice")
    backend.open(artifacts["onnx-none"])
    counted = int(backend.facts["threads"])
    assert counted == num_threads if num_threads else 1 <= counted <= (os.cpu_count() or 1)
    backend.close()


def test_precision_says_what_float32_products_are_reduced_to() -> None:
    model = InferenceModel(nn.Linear(2, 2))
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert torch_precision(model, "none", cpu) == "float32"
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        assert torch_precision(model, "none", cuda) == "float32 (tf32 in convolutions)"
        assert torch_precision(model, "none", cpu) == "float32"
    finally:
        torch.backends.cudnn.allow_tf32 = before
    half = InferenceModel(nn.Linear(2, 2), dtype=torch.float16)
    assert torch_precision(half, "fp16", cuda) == "float16"
    assert torch_precision(model, "int8_dynamic", cpu).startswith("int8 in linear layers")
