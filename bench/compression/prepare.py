"""Turns a trained network into the model that is served, in its backend's form and precision.

A precision that the backend would silently compute in float32 is refused. Otherwise, a smaller file
that is no faster, or half precision that is only converted, would be reported as a real gain.

Exporters and quantizers print many lines and warnings, which go to the log at level debug.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from bench.compression.artifact import Artifact
from bench.compression.onnx_model import write_onnx
from bench.compression.precisions import Combination
from bench.compression.torch_model import write_torch
from bench.core.arrays import Inputs

_log = logging.getLogger(__name__)


def prepare(
    make_network: Callable[[], nn.Module],
    combination: Combination,
    *,
    channels_last: bool,
    calibration: Inputs,
    folder: Path,
) -> Artifact:
    """Write the model in the form that the backend opens, in the precision of the combination.

    This happens on the CPU, whatever device will serve the model.

    Args:
        make_network: Makes the trained network, on the CPU, in evaluation mode; what it makes may
            be changed. If a torch model cannot be pickled, this is pickled beside its weights.
        combination: Backend, precision and device.
        channels_last: Whether a torch model has channels last in memory; ONNX has them first.
        calibration: Training inputs, shape (n, ...), n >= 1, for the scales of int8_static; they
            also show the form of an input.
        folder: Exists and is empty; gets only the model's files, or nothing if this raises.

    Raises:
        CompressionRefused: The backend would not really compute in this precision, or cannot run
            the model.
        LibraryMissing: A library is not installed.
        ValueError: There is no calibration input, or the folder is not empty.
    """
    _check(calibration, folder)
    combination.require()
    artifact = Artifact(
        kind=combination.backend.kind, folder=folder, compression=combination.method
    )
    with tempfile.TemporaryDirectory() as temporary, quiet():
        staged = replace(artifact, folder=Path(temporary))
        if artifact.kind == "torch":
            write_torch(make_network, staged.path, combination, channels_last, calibration)
        else:
            write_onnx(make_network(), staged.folder, combination, calibration)
        for file in staged.folder.iterdir():
            shutil.move(file, folder / file.name)
    return artifact


def _check(calibration: Inputs, folder: Path) -> None:
    if len(calibration) == 0:
        raise ValueError(
            f"calibration inputs of shape {calibration.shape}: must be at least one input"
        )
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty; give a folder of its own to each model")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send printed lines and warnings of libraries to the log, also those of torch's own log.

    It does not catch what C++ libraries write to the file descriptor of the terminal.
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
