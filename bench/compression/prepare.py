"""From a trained network to the model that is served: in its runtime's form and precision.

What a runtime would accept and then compute in float32 is refused: a smaller file that is no
faster, or half precision that is only converted, would be reported as what it is not.

Exporters and quantizers print and warn a good deal meanwhile: it goes to the log, at level debug.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bench.compression.onnx_model import write_onnx
from bench.compression.precisions import artifact_kind
from bench.compression.torch_model import write_torch
from bench.config.serve import COMPRESSIONS
from bench.core.artifact import Artifact

_DEVICES = ("cpu", "cuda")
_log = logging.getLogger(__name__)


def prepare(
    make_network: Callable[[], nn.Module],
    *,
    runtime: str,
    method: str,
    channels_last: bool,
    calibration: NDArray[np.float32],
    device: str,
    folder: Path,
) -> Artifact:
    """Write the model that a runtime opens, in the asked precision.

    Args:
        make_network: Makes the trained network anew: it maps images (n, c, h, w) to logits
            (n, num_classes), on the CPU, in evaluation mode. What it makes is changed. Where that
            cannot be pickled, as a torch model is, this is pickled in its place, beside weights.
        runtime: One of bench.config.serve.RUNTIMES.
        method: One of bench.config.serve.COMPRESSIONS.
        channels_last: Whether a torch model has channels last in memory; an ONNX model has them
            first by definition.
        calibration: Training images, float32 of shape (n, c, h, w), n >= 1: int8_static takes its
            scales from them, and all others their shape.
        device: Where it is to be served, "cpu" or "cuda"; the model itself is written on the CPU.
        folder: Exists and is empty; gets the model's files and nothing else, or nothing at all if
            this raises.

    Raises:
        CompressionRefused: The runtime would not really compute in the asked precision, or cannot
            run the model.
        LibraryMissing: It needs a library that is not installed.
        ValueError: An argument is not one of its set, or the folder is not empty.
    """
    kind = artifact_kind(runtime)
    _check(method, device, calibration, folder)
    with tempfile.TemporaryDirectory() as temporary, quiet():
        staged = Artifact(kind=kind, folder=Path(temporary), compression=method)
        if kind == "torch":
            write_torch(
                make_network,
                staged.path,
                runtime=runtime,
                method=method,
                channels_last=channels_last,
                calibration=calibration,
                device=device,
            )
        else:
            write_onnx(
                make_network(),
                staged.folder,
                runtime=runtime,
                method=method,
                calibration=calibration,
                device=device,
            )
        for file in staged.folder.iterdir():
            shutil.move(file, folder / file.name)
    return Artifact(kind=kind, folder=folder, compression=method)


def _check(method: str, device: str, calibration: NDArray[np.float32], folder: Path) -> None:
    for key, value, known in (
        ("compression", method, COMPRESSIONS),
        ("device", device, _DEVICES),
    ):
        if value not in known:
            raise ValueError(f"{key}={value}: must be one of {', '.join(known)}")
    if calibration.ndim != 4 or len(calibration) == 0:
        raise ValueError(
            f"calibration images of shape {calibration.shape}: must be (n, c, h, w) with n at "
            "least 1"
        )
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty; give a folder of its own to each model")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what is printed and warned of off the terminal; torch's own log goes the same way.

    What libraries in C++ write to the terminal's own file descriptor is not caught.
    """
    text = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(text))
        stack.enter_context(contextlib.redirect_stderr(text))
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        stack.callback(lambda: _write(text.getvalue(), caught))
        yield


def _write(text: str, caught: list[warnings.WarningMessage] | None) -> None:
    for line in text.splitlines():
        if line.strip():
            _log.debug("%s", line)
    for warning in caught or []:
        _log.debug("%s: %s", warning.category.__name__, warning.message)
