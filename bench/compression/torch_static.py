"""Static int8 for torch.compile: exports a network and quantizes it for Inductor on x86."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from typing_extensions import override

from bench.compression.precisions import Combination
from bench.compression.processor import needs_smaller_int8
from bench.core.errors import CompressionRefused, LibraryMissing, install_hint, kind_and_line

_BATCH_SIZE = 32
# Exceptions of the export and the quantizer for networks that they do not understand.
_UNSUPPORTED = (
    TorchDynamoException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ExportedNetwork(nn.Module):
    """A network in the form of torch.export, which is the only way to pickle its graph."""

    def __init__(self, exported: bytes) -> None:
        """Take the bytes that torch.export.save wrote, and load them."""
        super().__init__()
        self._exported = exported
        self._load()

    def _load(self) -> None:
        import torchao.quantization.pt2e  # noqa: F401 -- brings the operators that the graph calls

        program = torch.export.load(io.BytesIO(self._exported))
        self.graph = program.module(check_guards=False)

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, c, h, w)."""
        logits: Tensor = self.graph(images)
        return logits

    @override
    def train(self, mode: bool = True) -> ExportedNetwork:
        """Do nothing: it was exported in evaluation mode and cannot leave it."""
        return self

    @override
    def __reduce__(self) -> tuple[type[ExportedNetwork], tuple[bytes]]:
        return ExportedNetwork, (self._exported,)


def quantize_for_inductor(
    network: nn.Module, calibration: NDArray[np.float32], combination: Combination
) -> ExportedNetwork:
    """Quantize convolutions and linear layers to int8, with scales from calibration images.

    Args:
        network: In evaluation mode, on the CPU of an x86 machine.
        calibration: Training images, shape (n, c, h, w), n >= 1.
        combination: The backend that shall run it; for advice in errors.

    Raises:
        CompressionRefused: The quantizer does not accept this network.
        LibraryMissing: It is not installed.
    """
    exported = _quantize_and_export(network, torch.from_numpy(calibration), combination)
    if not any(weight.dtype is torch.int8 for weight in exported.state_dict.values()):
        raise CompressionRefused(
            "compression=int8_static: torchao found no convolution or linear layer to quantize in "
            "this model; use compression=none"
        )
    for node in exported.graph.nodes:  # where each came from is useless here, and half of the file
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(key, None)
    file = io.BytesIO()
    torch.export.save(exported, file)
    return ExportedNetwork(file.getvalue())


def _quantize_and_export(
    network: nn.Module, images: Tensor, combination: Combination
) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            quantized = _quantize(network, images)
            return torch.export.export(quantized, (_example(images),), dynamic_shapes=_any_batch())
    except ImportError as error:
        raise LibraryMissing(
            f"compression=int8_static: torchao is not installed; {install_hint('serving')}"
        ) from error
    except _UNSUPPORTED as error:
        raise CompressionRefused(
            "compression=int8_static: torchao's quantizer does not understand this model "
            f"({kind_and_line(error)}); {combination.advice()}"
        ) from error


def _quantize(network: nn.Module, images: Tensor) -> torch.fx.GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    # strict: only Dynamo can tell two calls of the same module apart, as in a ResNet.
    graph = torch.export.export(
        network, (_example(images),), dynamic_shapes=_any_batch(), strict=True
    ).module(check_guards=False)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(
        x86.get_default_x86_inductor_quantization_config(reduce_range=needs_smaller_int8())
    )
    observed = prepare_pt2e(graph, quantizer)
    for batch in torch.split(images, _BATCH_SIZE):
        observed(batch)
    converted: torch.fx.GraphModule = convert_pt2e(observed)
    _delete_unused_tensors(converted)
    return converted


def _example(images: Tensor) -> Tensor:
    """Two images, because an export takes a batch size of one for a constant."""
    return images.new_zeros(2, *images.shape[1:])


def _any_batch() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch", min=1, max=2**20)},)


def _delete_unused_tensors(graph: torch.fx.GraphModule) -> None:
    """Delete tensors that no node reads: float32 weights that int8 ones have replaced."""
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    names = [name for name, _ in (*graph.named_parameters(), *graph.named_buffers())]
    for name in names:
        if name not in used:
            path, _, key = name.rpartition(".")
            delattr(graph.get_submodule(path), key)
