"""torch.compile: the model as one graph, turned into machine code at its first calls.

Compiled are a batch of one, for exactly that, and larger batches, with their size left open; a
graph that was quantized statically is compiled for each size, because Inductor's int8 convolutions
do not work with an open one. A size that was not called before may therefore compile in the middle
of a measurement. That is seen: the first call of each size counts as compiling in full, the one
prediction in it included. It counts from an empty cache, so that it is the same each time.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping

import torch
import torch._dynamo
import torch._dynamo.utils
import torch._inductor.config
from torch import Tensor
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler
from torch._inductor.utils import fresh_cache

from bench.core.artifact import Artifact
from bench.core.errors import first_line, kind_and_line
from bench.serving.backends.base import (
    BackendUnavailable,
    Images,
    Logits,
    RuntimeRefuses,
)
from bench.serving.backends.loading import (
    accept_read_only_arrays,
    gpu_facts,
    load_torch,
    torch_precision,
    use_threads,
)

RUNTIME = "compile"
# Sizes that a graph compiled for each may have: torch gives up at 8 by itself.
_MAX_GRAPHS = 64
_INT8_COUNTERS = ("qconv_weight_prepack_matcher_count", "qlinear_weight_prepack_matcher_count")
_UNCOMPILED = (
    "backend=compile: torch.compile compiled nothing in this process; find what switches it off, "
    "or use backend=eager"
)
_REFUSALS = (TorchDynamoException, FailOnRecompileLimitHit)
_FAILURES = (*_REFUSALS, CppCompileError, InvalidCxxCompiler)


class CompiledBackend:
    """A torch model compiled by Inductor, its weights frozen into the graph."""

    def __init__(
        self,
        *,
        device: str,
        num_threads: int | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Nothing is loaded before open(), and nothing compiled before the first predict().

        Args:
            device: "cpu" or "cuda".
            num_threads: Of one operator, set for the whole process by open(); None for torch's
                own choice.
            clock: Monotonic seconds.
        """
        self._device = torch.device(device)
        self._num_threads = num_threads
        self._clock = clock
        self._model: Callable[[Tensor], Tensor] | None = None
        self._quantized = False
        self._precision: str | None = None
        self._shapes: set[tuple[int, ...]] = set()
        self._compile_s = 0.0

    @property
    def facts(self) -> Mapping[str, str]:
        """Runtime, version, device, threads and way of compiling; once open, the precision too."""
        facts = {
            "runtime": RUNTIME,
            "version": f"torch {torch.__version__}",
            "device": self._device.type,
            **gpu_facts(self._device.type),
            "threads": str(self._num_threads or torch.get_num_threads()),
            "compiler": "inductor, weights frozen, one graph, from an empty cache",
        }
        return facts if self._precision is None else {**facts, "precision": self._precision}

    @property
    def compile_s(self) -> float | None:
        """Seconds of the first calls of all batch sizes so far."""
        return self._compile_s

    def open(self, artifact: Artifact) -> None:
        """Load the model, to be compiled when it is called; see Backend."""
        use_threads(self._num_threads)
        accept_read_only_arrays()
        model = load_torch(artifact, RUNTIME, self._device)
        self._precision = torch_precision(model, artifact.compression, self._device)
        self._quantized = artifact.compression == "int8_static"
        # One graph or an error: a break in it would leave parts uncompiled without a word.
        self._model = torch.compile(
            model, fullgraph=True, dynamic=False if self._quantized else None
        )
        self._shapes.clear()
        self._compile_s = 0.0

    # Not inference mode: int8 convolutions are not packed in it.
    @torch.no_grad()
    def predict(self, images: Images) -> Logits:
        """Logits of a batch, on the host; see Backend.

        Raises:
            BackendUnavailable: The model cannot be compiled, or not for so many batch sizes; or
                something has switched the compiler off.
        """
        assert self._model is not None, "predict() before open()"
        if images.shape not in self._shapes:
            return self._first(images)
        logits: Logits = self._model(torch.from_numpy(images).to(self._device)).cpu().numpy()
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
            kind = RuntimeRefuses if isinstance(error, _REFUSALS) else BackendUnavailable
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
        self._compile_s += self._clock() - start_s
        self._shapes.add(images.shape)
        if self._quantized and _num_int8_layers() == num_int8:
            raise RuntimeRefuses(
                "backend=compile compression=int8_static: Inductor compiled no layer of this model "
                "in int8; use backend=onnxruntime"
            )
        return logits

    def _compiled(self, batch: Tensor) -> Logits:
        assert self._model is not None
        with (
            tempfile.TemporaryDirectory() as folder,
            fresh_cache(dir=folder),
            torch._dynamo.config.patch(recompile_limit=_MAX_GRAPHS),
            torch._inductor.config.patch(freezing=True),
            warnings.catch_warnings(action="ignore", category=UserWarning),
        ):
            logits: Logits = self._model(batch).cpu().numpy()
        return logits

    def close(self) -> None:
        """Let go of the model; what was compiled for it stays with the process."""
        self._model = None


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
