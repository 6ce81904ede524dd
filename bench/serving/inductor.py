"""Compiles a model with torch.compile: one graph, turned into machine code at its first calls.

A batch of one is compiled for exactly that size, and larger batches for any size. A statically
quantized graph is compiled for each size, because Inductor's int8 convolutions do not work with an
unknown one. So a new size may compile in the middle of a measurement, which compile_s shows: the
whole first call of each size counts as compiling, including its one prediction. Compiling starts
from an empty cache, so that it takes the same time in each run.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable

import torch
import torch._dynamo
import torch._dynamo.utils
import torch._inductor.config
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler
from torch._inductor.utils import fresh_cache

from bench.core.arrays import Inputs
from bench.core.errors import first_line, kind_and_line
from bench.serving.backend import BackendRefuses, BackendUnavailable, Outputs
from bench.tasks.inference import InferenceModel
from bench.tasks.input_arrays import Tensors, as_tensors, to_device

# Most sizes of a graph that is compiled for each; torch's own limit is 8.
_MAX_GRAPHS = 64
_INT8_COUNTERS = ("qconv_weight_prepack_matcher_count", "qlinear_weight_prepack_matcher_count")
_UNCOMPILED = (
    "backend=compile: torch.compile compiled nothing in this process; find out what switches it "
    "off, or use backend=eager"
)
_REFUSALS = (TorchDynamoException, FailOnRecompileLimitHit)
_FAILURES = (*_REFUSALS, CppCompileError, InvalidCxxCompiler)


class CompiledModel:
    """A torch model with its compiled code, and the seconds that compiling took."""

    def __init__(
        self,
        model: InferenceModel,
        device: str,
        *,
        quantized: bool,
        clock: Callable[[], float],
    ) -> None:
        """Compile nothing before the first predict().

        Args:
            model: On the device, in evaluation mode.
            device: "cpu" or "cuda".
            quantized: Whether it was quantized statically.
            clock: Monotonic seconds.
        """
        # fullgraph: one graph or an error. Otherwise, parts could stay uncompiled without warning.
        self.call: Callable[[Tensors], torch.Tensor] = torch.compile(
            model, fullgraph=True, dynamic=False if quantized else None
        )
        self.compile_s = 0.0
        self._device = device
        self._quantized = quantized
        self._clock = clock
        self._shapes: set[tuple[int, ...]] = set()

    # Not inference mode: int8 convolutions are not packed in it.
    @torch.no_grad()
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch; see CompileBackend.predict."""
        if inputs.shape not in self._shapes:
            return self._predict_first(inputs)
        outputs: Outputs = self.call(to_device(as_tensors(inputs), self._device)).cpu().numpy()
        return outputs

    def _predict_first(self, inputs: Inputs) -> Outputs:
        """Predict with a new size, starting from an empty cache; count the time as compiling."""
        num_int8 = _num_int8_layers()
        start_s = self._clock()
        batch = to_device(as_tensors(inputs), self._device)
        if len(inputs) > 1 and not self._quantized:
            # Else torch would compile for exactly this size first, and for any size at the next
            # one.
            for tensor in [batch] if isinstance(batch, torch.Tensor) else batch.values():
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        try:
            outputs = self._compile_and_call(batch)
        except _FAILURES as error:
            kind = BackendRefuses if isinstance(error, _REFUSALS) else BackendUnavailable
            # Not backend=eager, which would compute a statically quantized graph in float32.
            instead = "backend=onnxruntime" if self._quantized else "backend=eager"
            raise kind(
                f"backend=compile: torch.compile failed for a batch of {len(inputs)} "
                f"({kind_and_line(error)}); use {instead}"
            ) from error
        except RuntimeError as error:
            if _num_graphs():
                raise
            # torch raises a plain RuntimeError if its compiler is switched off.
            raise BackendUnavailable(f"{_UNCOMPILED} ({first_line(error)})") from error
        if not _num_graphs():
            raise BackendUnavailable(_UNCOMPILED)
        self.compile_s += self._clock() - start_s
        self._shapes.add(inputs.shape)
        if self._quantized and _num_int8_layers() == num_int8:
            raise BackendRefuses(
                "backend=compile compression=int8_static: Inductor compiled no layer of this model "
                "in int8; use backend=onnxruntime"
            )
        return outputs

    def _compile_and_call(self, batch: Tensors) -> Outputs:
        with (
            tempfile.TemporaryDirectory() as folder,
            fresh_cache(dir=folder),
            torch._dynamo.config.patch(recompile_limit=_MAX_GRAPHS),
            # Weights become constants, as in the other runtimes, which know them when they
            # optimise.
            torch._inductor.config.patch(freezing=True),
            warnings.catch_warnings(action="ignore", category=UserWarning),
        ):
            outputs: Outputs = self.call(batch).cpu().numpy()
        return outputs


def _num_graphs() -> int:
    """Graphs that Dynamo has handed to the compiler in this process.

    It counts for the process and not for one call, because a model that is opened again may use the
    graph that was compiled before.
    """
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _num_int8_layers() -> int:
    """Convolutions and linear layers that Inductor has compiled in int8 in this process."""
    counters = torch._dynamo.utils.counters["inductor"]
    return int(sum(counters[name] for name in _INT8_COUNTERS))
