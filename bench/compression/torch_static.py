"""Static int8 for torch.compile: exports a network and quantizes it for Inductor on x86."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from typing_extensions import override

from bench.compression.precisions import Combination
from bench.compression.processor import needs_smaller_int8
from bench.core.arrays import Inputs
from bench.core.errors import CompressionRefused, LibraryMissing, install_hint, kind_and_line
from bench.tasks.input_arrays import Tensors, as_tensors, example_and_shapes

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
    def forward(self, inputs: Tensors) -> Tensor:
        """Outputs (n, ...) of inputs (n, ...)."""
        outputs: Tensor = self.graph(inputs)
        return outputs

    @override
    def train(self, mode: bool = True) -> ExportedNetwork:
        """Do nothing: it was exported in evaluation mode and cannot leave it."""
        return self

    @override
    def __reduce__(self) -> tuple[type[ExportedNetwork], tuple[bytes]]:
        return ExportedNetwork, (self._exported,)


def quantize_for_inductor(
    network: nn.Module, calibration: Inputs, combination: Combination
) -> ExportedNetwork:
    """Quantize convolutions and linear layers to int8, with scales from calibration inputs.

    Args:
        network: In evaluation mode, on the CPU of an x86 machine.
        calibration: Training inputs, shape (n, ...), n >= 1.
        combination: The backend that shall run it; for advice in errors.

    Raises:
        CompressionRefused: The quantizer does not accept this network.
        LibraryMissing: It is not installed.
    """
    exported = _quantize_and_export(network, calibration, combination)
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
    network: nn.Module, calibration: Inputs, combination: Combination
) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            quantized = _quantize(network, calibration)
            example, shapes = example_and_shapes(calibration)
            return torch.export.export(quantized, (example,), dynamic_shapes=(shapes,))
    except ImportError as error:
        raise LibraryMissing(
            f"compression=int8_static: torchao is not installed; {install_hint('serving')}"
        ) from error
    except _UNSUPPORTED as error:
        raise CompressionRefused(
            "compression=int8_static: torchao's quantizer does not understand this model "
            f"({kind_and_line(error)}); {combination.advice()}"
        ) from error


def _quantize(network: nn.Module, calibration: Inputs) -> torch.fx.GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    # strict: only Dynamo can tell two calls of the same module apart, as in a ResNet.
    example, shapes = example_and_shapes(calibration)
    graph = torch.export.export(network, (example,), dynamic_shapes=(shapes,), strict=True).module(
        check_guards=False
    )
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(
        x86.get_default_x86_inductor_quantization_config(reduce_range=needs_smaller_int8())
    )
    observed = prepare_pt2e(graph, quantizer)
    for start in range(0, len(calibration), _BATCH_SIZE):
        observed(as_tensors(calibration[start : start + _BATCH_SIZE]))
    converted: torch.fx.GraphModule = convert_pt2e(observed)
    _delete_unused_tensors(converted)
    return converted


def _delete_unused_tensors(graph: torch.fx.GraphModule) -> None:
    """Delete tensors that no node reads: float32 weights that int8 ones have replaced."""
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    names = [name for name, _ in (*graph.named_parameters(), *graph.named_buffers())]
    for name in names:
        if name not in used:
            path, _, key = name.rpartition(".")
            delattr(graph.get_submodule(path), key)
