"""The base class of all backends, which run a model when it is served, and its first calls.

The class of a backend declares its name, the form of model that it opens, its devices and its
precisions. Compression, the plan of a run and the HTTP server read these. docs/architecture.md has
the steps to add a backend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.compression.artifact import Artifact, ArtifactKind
from bench.core.arrays import Inputs
from bench.core.errors import (
    CombinationRefused,
    PassFailed,
    first_line,
    kind_and_line,
    needs_extra,
)

Outputs = NDArray[np.float32]


class BackendUnavailable(ValueError):  # noqa: N818 -- named like MeterUnavailable
    """A backend is not installed, or cannot run this model; one line with the reason and remedy."""


class BackendRefuses(BackendUnavailable, CombinationRefused):
    """An installed backend does not run this model in this way: the run is refused."""


class Backend(ABC):
    """A backend with one model; calls come one at a time.

    The module of the class is imported before any run, so it must import its runtime only when the
    class is used.

    Attributes:
        name: Name in records and messages.
        kind: Form of the model that it opens.
        devices: Devices on which it can compute: "cpu", "cuda".
        precisions: Compression methods in which it computes on at least some machines; see
            refusal().
        half_at_open: Whether it opens an ONNX model in float32 and converts it to half precision
            itself.
        int8_operators: ONNX operators that get scales in static int8; None for ONNX Runtime's own
            choice, whose optimised graph is then checked.
        libraries: Modules that it needs, each with the extra of this project that installs it.
        compiles: Whether it needs torch's compiler.
        generates: Whether it continues prompts; see generate().
    """

    name: ClassVar[str]
    kind: ClassVar[ArtifactKind]
    devices: ClassVar[Sequence[str]] = ("cpu",)
    precisions: ClassVar[Sequence[str]] = ("none",)
    libraries: ClassVar[Mapping[str, str]] = {}
    compiles: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    half_at_open: ClassVar[bool] = False
    int8_operators: ClassVar[Sequence[str] | None] = None

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        """Load nothing before open().

        Args:
            device: One of `devices`.
            num_threads: Threads of one operator; None lets the runtime choose.

        Raises:
            BackendUnavailable: The runtime is not installed, or not with this device.
        """
        self.device = device
        self.num_threads = num_threads
        self.precision: str | None = None  # known once a model is open

    @classmethod
    def import_library(cls, name: str) -> Any:
        """Import one of `libraries`.

        Raises:
            BackendUnavailable: It is not installed; the message names the extra that installs it.
        """
        with needs_extra(cls.libraries[name], f"backend={cls.name}: {name}", BackendUnavailable):
            return import_module(name)

    @classmethod
    def refusal(cls, method: str, device: str) -> str | None:
        """The reason why it would not really compute in a precision on this machine, or None.

        A method that is missing from `precisions` is refused in any case.

        Args:
            method: One of bench.config.serve.COMPRESSIONS.
            device: One of `devices`.
        """
        return None

    @classmethod
    def takes_cuda(cls) -> bool:
        """Whether device=auto means CUDA on a machine with a GPU, if the class has that device."""
        return True

    @property
    def facts(self) -> Mapping[str, str]:
        """Runtime, version, device and settings; once a model is open, also the precision."""
        facts = {"runtime": self.name, "version": self.version(), "device": self.device}
        if self.device == "cuda":
            facts["gpu_uuid"] = _gpu_uuid()
        facts |= self.settings()
        return facts if self.precision is None else {**facts, "precision": self.precision}

    def version(self) -> str:
        """Library and version."""
        return self.name

    def settings(self) -> Mapping[str, str]:
        """Further settings that affect how it runs the model, such as its threads."""
        return {}

    @property
    def compile_s(self) -> float | None:
        """Seconds of compiling so far; None if nothing is compiled after open()."""
        return None

    @abstractmethod
    def open(self, artifact: Artifact) -> None:
        """Load the model, ready for warm-up.

        Raises:
            BackendUnavailable: The runtime refuses the model.
            OSError: A file of the model is missing.
        """

    @abstractmethod
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch and wait for the device.

        Args:
            inputs: Shape (n, ...), n >= 1: float32, or another type that the data has, such as
                int64 for tokens. If an example is several tensors, their structured array (see
                bench.core.arrays).

        Returns:
            float32 of shape (n, ...), on the host.
        """

    def generate(self, prompt: Inputs, num_tokens: int) -> Iterator[int]:
        """Continue a prompt, each time by the likeliest token; a language model needs this.

        The model must keep what it has read (a key-value cache), so that each token after the first
        costs one step.

        Args:
            prompt: Tokens, int64 of shape (1, prompt_length).
            num_tokens: Tokens to generate, at least 1.

        Yields:
            Each token as soon as it is on the host.

        Raises:
            BackendRefuses: The backend or the model cannot do this.
        """
        raise BackendRefuses(
            f"scenario=generate: backend={self.name} does not continue prompts with a key-value "
            "cache; use backend=eager"
        )

    @abstractmethod
    def close(self) -> None:
        """Release what open() took."""

    def require_file(self, artifact: Artifact) -> None:
        """Refuse a model in the form of other backends, or one whose file is missing.

        Raises:
            BackendUnavailable: The model has another form.
            FileNotFoundError: Its file is missing.
        """
        if artifact.kind != self.kind:
            raise BackendUnavailable(
                f"{artifact.path}: a model of kind {artifact.kind}, but backend={self.name} opens "
                f"kind {self.kind}; prepare the model for this backend"
            )
        if not artifact.path.is_file():
            raise FileNotFoundError(f"{artifact.path}: no such file; prepare the model again")


def unusable(artifact: Artifact, backend: str, error: BaseException) -> BackendUnavailable:
    """The error for a model that a backend cannot open."""
    return BackendUnavailable(
        f"{artifact.path}: backend={backend} cannot open this model ({first_line(error)}); prepare "
        "it again, or use another backend"
    )


def _gpu_uuid() -> str:
    """The GPU's UUID in NVML's notation; all backends run on the first GPU of the process."""
    import torch

    uuid = str(torch.cuda.get_device_properties(0).uuid)
    return uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def call_once(
    backend: Backend,
    make_inputs: Callable[[int], Inputs],
    sizes: Iterable[int],
    *,
    model: str = "the model",
    output_shape: Sequence[int] | None = None,
) -> Outputs:
    """Call a model once with each batch size, and check what it returns.

    A runtime may do extra work at the first call of a size, which must not be measured.

    Args:
        backend: Open.
        make_inputs: Makes a batch of a size; the model may write into it.
        sizes: Sizes of the batches that will come, each at least 1.
        model: Name of the model, for errors.
        output_shape: Shape of the outputs for one input; None if it is not known.

    Returns:
        The last outputs.

    Raises:
        BackendUnavailable: The runtime refuses the model.
        PassFailed: The model raised; the cause is what it raised.
        ValueError: It gave something other than an array, or one of another shape.
    """
    for size in sizes:
        inputs = make_inputs(size)
        try:
            outputs = backend.predict(inputs)
        except BackendUnavailable:
            raise
        except Exception as error:  # a model is its user's code: it may raise anything
            expected = _expected(model, size, output_shape)
            raise PassFailed(f"{expected}; {kind_and_line(error)}") from error
        require_outputs(outputs, size, model=model, output_shape=output_shape)
    return outputs


def require_outputs(
    outputs: Outputs,
    size: int,
    *,
    model: str = "the model",
    output_shape: Sequence[int] | None = None,
) -> None:
    """Refuse anything but the outputs of each input.

    Args:
        outputs: What a backend gave.
        size: Number of inputs.
        model: Name of the model, for errors.
        output_shape: Shape of the outputs for one input; None for any. A single number may come
            without a dimension.

    Raises:
        ValueError: The outputs have another shape.
    """
    shape = tuple(getattr(outputs, "shape", ()))
    if not shape or shape[0] != size or not _is_shape(shape[1:], output_shape):
        given = f"shape {shape}" if hasattr(outputs, "shape") else f"a {type(outputs).__name__}"
        raise ValueError(f"{_expected(model, size, output_shape)}; gave {given}")


def _is_shape(shape: tuple[int, ...], wanted: Sequence[int] | None) -> bool:
    if wanted is None:
        return 0 not in shape
    # A regression of one number may give shape (n,) for (n, 1).
    return shape == tuple(wanted) or (shape, tuple(wanted)) == ((), (1,))


def _expected(model: str, size: int, output_shape: Sequence[int] | None) -> str:
    sizes = "..." if output_shape is None else ", ".join(map(str, output_shape))
    return f"{model}: must give outputs of shape ({size}, {sizes}) for a batch of {size}"
