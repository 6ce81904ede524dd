"""Every runtime serves a network that cannot be pickled as a whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.core.errors import CompressionRefused
from bench.serving.find_backend import make_backend
from tests.compression.networks import combination, images_and_labels, logits_of
from tests.compression.odd_networks import KINDS, WithExtraState, WithLambda, WithLock, made

# With other files that compile and export: the first time takes a process many seconds.
pytestmark = [
    pytest.mark.xdist_group("runtimes"),
    pytest.mark.usefixtures("one_instruction_set", "one_onnx_registry"),
]
Kind = Callable[[], nn.Module]
IMAGES = images_and_labels(64, seed=1)[0]


def prepared(kind: Kind, folder: Path, runtime: str, method: str = "none") -> Artifact:
    return prepare(
        partial(made, kind),
        combination(runtime, method, "cpu"),
        channels_last=False,
        calibration=IMAGES,
        folder=folder,
    )


def require_same(artifact: Artifact, runtime: str, kind: Kind, atol: float) -> None:
    backend = make_backend(runtime, device="cpu", num_threads=None)
    backend.open(artifact)
    expected = logits_of(made(kind), IMAGES)
    np.testing.assert_allclose(backend.predict(IMAGES), expected, atol=atol)
    backend.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_eager_serves_it(tmp_path: Path, kind: Kind) -> None:
    require_same(prepared(kind, tmp_path, "eager"), "eager", kind, 1e-6)


@pytest.mark.parametrize("method", ["int8_dynamic", "int8_static"])
@pytest.mark.parametrize("kind", [WithLambda, WithExtraState])
def test_it_is_compressed(tmp_path: Path, kind: Kind, method: str) -> None:
    artifact = prepared(kind, tmp_path, "compile", method)
    require_same(artifact, "eager", kind, 0.1)


def test_half_precision_is_that_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compression.processor.computes_natively", lambda method: True)
    model = torch.load(prepared(WithLambda, tmp_path, "eager", "bf16").path, weights_only=False)
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("runtime", ["compile", "onnxruntime"])
@pytest.mark.parametrize("kind", [WithLambda, WithLock])
def test_graphs_are_made_of_it(tmp_path: Path, kind: Kind, runtime: str) -> None:
    require_same(prepared(kind, tmp_path, runtime), runtime, kind, 1e-5)


def test_what_cannot_be_made_again_either_is_refused_in_one_line(tmp_path: Path) -> None:
    network = made(WithLock)

    def make() -> nn.Module:
        return network

    with pytest.raises(CompressionRefused, match=r"neither be pickled whole \(.*lock.* nor") as no:
        prepare(
            make,
            combination("eager", "none", "cpu"),
            channels_last=False,
            calibration=IMAGES,
            folder=tmp_path,
        )
    assert len(str(no.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
