"""What torch.compile makes of a model: one graph, turned into machine code at its first calls.

A batch of one is compiled for exactly that size, larger batches with their size left open; a graph
that was quantized statically is compiled for each size, because Inductor's int8 convolutions do not
work with an open one. A new size may therefore compile in the middle of a measurement, which shows
in compile_s: the first call of each size counts as compiling in full, its one prediction included.
Compiling starts from an empty cache, so that it takes the same time in each run.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable

import torch
import torch._dynamo
import torch._dynamo.utils
import torch._inductor.config
from torch import Tensor
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler
from torch._inductor.utils import fresh_cache

from bench.core.errors import first_line, kind_and_line
from bench.serving.backend import BackendRefuses, BackendUnavailable, Images, Logits
from bench.tasks.inference import InferenceModel

# Sizes that a graph compiled for each may have: torch gives up at 8 by itself.
_MAX_GRAPHS = 64
_INT8_COUNTERS = ("qconv_weight_prepack_matcher_count", "qlinear_weight_prepack_matcher_count")
_UNCOMPILED = (
    "backend=compile: torch.compile compiled nothing in this process; find what switches it off, "
    "or use backend=eager"
)
_REFUSALS = (TorchDynamoException, FailOnRecompileLimitHit)
_FAILURES = (*_REFUSALS, CppCompileError, InvalidCxxCompiler)


class CompiledModel:
    """A torch model with what Inductor compiled of it, and the seconds that compiling took."""

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
        # One graph or an error: a break in it would leave parts uncompiled without a warning.
        self.call: Callable[[Tensor], Tensor] = torch.compile(
            model, fullgraph=True, dynamic=False if quantized else None
        )
        self.compile_s = 0.0
        self._device = device
        self._quantized = quantized
        self._clock = clock
        self._shapes: set[tuple[int, ...]] = set()

    # Not inference mode: int8 convolutions are not packed in it.
    @torch.no_grad()
    def predict(self, images: Images) -> Logits:
        """Compute the logits of a batch; see CompileBackend.predict."""
        if images.shape not in self._shapes:
            return self._first(images)
        logits: Logits = self.call(torch.from_numpy(images).to(self._device)).cpu().numpy()
        return logits

    def _first(self, images: Images) -> Logits:
        """Call with a new size, from an empty cache, and count its time as compiling."""
        num_int8 = _num_int8_layers()
        start_s = self._clock()
        batch = torch.from_numpy(images).to(self._device)
        if len(batch) > 1 and not self._quantized:
            torch._dynamo.maybe_mark_dynamic(batch, 0)
        try:
            logits = self._compiled(batch)
        except _FAILURES as error:
            kind = BackendRefuses if isinstance(error, _REFUSALS) else BackendUnavailable
            # Eager would compute a statically quantized graph in float32.
            instead = "backend=onnxruntime" if self._quantized else "backend=eager"
            raise kind(
                f"backend=compile: torch.compile failed for a batch of {len(images)} "
                f"({kind_and_line(error)}); use {instead}"
            ) from error
        except RuntimeError as error:
            if _num_graphs():
                raise
            # torch has no exception of its own for this.
            raise BackendUnavailable(f"{_UNCOMPILED} ({first_line(error)})") from error
        if not _num_graphs():
            raise BackendUnavailable(_UNCOMPILED)
        self.compile_s += self._clock() - start_s
        self._shapes.add(images.shape)
        if self._quantized and _num_int8_layers() == num_int8:
            raise BackendRefuses(
                "backend=compile compression=int8_static: Inductor compiled no layer of this model "
                "in int8; use backend=onnxruntime"
            )
        return logits

    def _compiled(self, batch: Tensor) -> Logits:
        with (
            tempfile.TemporaryDirectory() as folder,
            fresh_cache(dir=folder),
            torch._dynamo.config.patch(recompile_limit=_MAX_GRAPHS),
            torch._inductor.config.patch(freezing=True),
            warnings.catch_warnings(action="ignore", category=UserWarning),
        ):
            logits: Logits = self.call(batch).cpu().numpy()
        return logits


def _num_graphs() -> int:
    """Graphs that Dynamo has handed to the compiler in this process.

    Of the process, and not of one call: a model that is opened again may use the graph that was
    compiled for it before.
    """
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _num_int8_layers() -> int:
    """Convolutions and linear layers that Inductor has turned into int8 ones in this process."""
    found = torch._dynamo.utils.counters["inductor"]
    return int(sum(found[name] for name in _INT8_COUNTERS))
