"""Properties that all ways of preparing a model share."""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.compression.prepare import prepare, quiet
from bench.tasks.models import Cnn
from tests.compression.networks import NUM_CLASSES, SHAPE, combination, images_and_labels

# One of them exports, and so it is with the other files that do: the first time takes seconds.
pytestmark = [pytest.mark.xdist_group("runtimes"), pytest.mark.usefixtures("one_onnx_registry")]
IMAGES = images_and_labels(8, seed=1)[0]


def made(folder: Path, **change: Any) -> Any:
    options: dict[str, Any] = {
        "channels_last": False,
        "calibration": IMAGES,
        "folder": folder,
    }
    torch.manual_seed(0)
    network = Cnn(SHAPE, NUM_CLASSES, width=4, depth=1).eval()
    wanted = combination(change.pop("runtime", "eager"), change.pop("method", "none"), "cpu")
    return prepare(partial(copy.deepcopy, network), wanted, **{**options, **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runtime": "tensorrt"}, "backend=tensorrt: must be one of eager, compile, onnxruntime"),
        ({"calibration": IMAGES[:0]}, r"shape \(0, 1, 8, 8\): must be"),
    ],
)
def test_arguments_that_are_not_of_their_set_are_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, **change)


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(ValueError, match="not empty"):
        made(tmp_path)


def test_the_artifact_says_what_it_is_and_how_large(tmp_path: Path) -> None:
    artifact = made(tmp_path, runtime="eager")
    assert (artifact.kind, artifact.compression) == ("torch", "none")
    assert artifact.path == tmp_path / "model.pt"
    assert artifact.size_bytes == artifact.path.stat().st_size > 0


def test_exporters_write_to_the_log_and_not_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(tmp_path, runtime="onnxruntime", method="int8_static")
    assert capfd.readouterr() == ("", "")


def test_what_was_printed_and_warned_of_is_in_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="bench.compression.prepare"), quiet():
        print("printed")
        print("complained", file=sys.stderr)
        warnings.warn("warned", UserWarning, stacklevel=1)
        logging.getLogger("torch.onnx").warning("logged")  # it has a handler of its own
    said = [record.getMessage() for record in caplog.records if record.name.endswith("prepare")]
    assert said[:2] == ["printed", "complained"]
    assert said[2].endswith("logged")
    assert said[3] == "UserWarning: warned"
    assert capfd.readouterr() == ("", "")


def test_what_fails_in_quiet_still_fails_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="bench.compression.prepare")

    def fail() -> None:
        print("what led to it")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), quiet():
        fail()
    assert "what led to it" in caplog.text
