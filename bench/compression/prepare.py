"""From a trained network to the model that is served: in its backend's form and precision.

A precision that the backend would silently compute in float32 is refused: a smaller file that is no
faster, or half precision that is only converted, would be reported as what it is not.

Exporters and quantizers print and warn a good deal: that goes to the log, at level debug.
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

from bench.compression.artifact import Artifact
from bench.compression.onnx_model import write_onnx
from bench.compression.precisions import Combination
from bench.compression.torch_model import write_torch

_log = logging.getLogger(__name__)


def prepare(
    make_network: Callable[[], nn.Module],
    combination: Combination,
    *,
    channels_last: bool,
    calibration: NDArray[np.float32],
    folder: Path,
) -> Artifact:
    """Write the model that a backend opens, in the precision that is asked for.

    The model is written on the CPU, whatever device will serve it.

    Args:
        make_network: Makes the trained network anew: it maps images (n, c, h, w) to logits
            (n, num_classes), on the CPU, in evaluation mode. What it makes is changed. Where that
            cannot be pickled, as a torch model is, this is pickled in its place, beside weights.
        combination: Backend, precision and device.
        channels_last: Whether a torch model has channels last in memory; an ONNX model has them
            first by definition.
        calibration: Training images, float32 of shape (n, c, h, w), n >= 1: int8_static takes its
            scales from them, and all others their shape.
        folder: Exists and is empty; gets the model's files and nothing else, or nothing at all if
            this raises.

    Raises:
        CompressionRefused: The backend would not really compute in this precision, or cannot run
            the model.
        LibraryMissing: It needs a library that is not installed.
        ValueError: There is no calibration image, or the folder is not empty.
    """
    _check(calibration, folder)
    combination.require()
    kind, method = combination.backend.kind, combination.method
    with tempfile.TemporaryDirectory() as temporary, quiet():
        staged = Artifact(kind=kind, folder=Path(temporary), compression=method)
        if kind == "torch":
            write_torch(
                make_network,
                staged.path,
                combination,
                channels_last=channels_last,
                calibration=calibration,
            )
        else:
            write_onnx(make_network(), staged.folder, combination, calibration)
        for file in staged.folder.iterdir():
            shutil.move(file, folder / file.name)
    return Artifact(kind=kind, folder=folder, compression=method)


def _check(calibration: NDArray[np.float32], folder: Path) -> None:
    if calibration.ndim != 4 or len(calibration) == 0:
        raise ValueError(
            f"calibration images of shape {calibration.shape}: must be (n, c, h, w) with n at "
            "least 1"
        )
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty; give a folder of its own to each model")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what is printed and warned of to the log; torch's own log goes the same way.

    What libraries in C++ write to the terminal's own file descriptor is not caught.
    """
    text = io.StringIO()
    caught: list[warnings.WarningMessage] = []
    try:
        with (
            contextlib.redirect_stdout(text),
            contextlib.redirect_stderr(text),
            warnings.catch_warnings(record=True) as caught,
        ):
            yield
    finally:
        for line in filter(str.strip, text.getvalue().splitlines()):
            _log.debug("%s", line)
        for warning in caught:
            _log.debug("%s: %s", warning.category.__name__, warning.message)
