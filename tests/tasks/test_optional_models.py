"""Tiny models of timm and transformers, and refusals where a library or a name is missing."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from bench.core.errors import LibraryMissing
from bench.tasks.decoding import generate
from bench.tasks.models import InputShape
from bench.tasks.optional_models import timm_model, transformers_model

TINY_GPT2 = {"n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 6}
TINY_VIT = {
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "patch_size": 4,
}
TOKENS = torch.arange(12).reshape(2, 6)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet10t", (1, 28, 28)), ("vit_tiny_patch16_224", (3, 32, 32))],
)
def test_timm_models_take_the_images_of_the_data(name: str, shape: InputShape) -> None:
    pytest.importorskip("timm")
    model = timm_model(name, shape, 7)
    assert model(torch.zeros(2, *shape)).shape == (2, 7)
    assert model.training


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("resnet10", (3, 32, 32), "model.name=resnet10: timm has no such model; did you mean"),
        (
            "vit_tiny_patch16_224",
            (1, 8, 8),
            "model.name=vit_tiny_.*cannot take inputs of shape 1x8x8",
        ),
        ("resnet10t", (30,), r"model.name=resnet10t: takes images.* has the shape \(30,\)"),
    ],
)
def test_what_timm_cannot_make_is_refused(name: str, shape: InputShape, words: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=words):
        timm_model(name, shape, 7)


def test_a_language_model_of_transformers_decodes_with_its_cache() -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers_model(
        "gpt2", TINY_GPT2, input_shape=(6,), vocabulary_size=256, context=6
    ).eval()
    with torch.no_grad():
        expected = model(TOKENS)
        assert expected.shape == (2, 6, 256)
        logits, cache = model.prefill(TOKENS[:, :2])  # type: ignore[operator]
        torch.testing.assert_close(logits, expected[:, 1])
        for place in range(2, 6):
            logits, cache = model.step(TOKENS[:, place], cache)  # type: ignore[operator]
            torch.testing.assert_close(logits, expected[:, place])
    assert generate(model, TOKENS[:, :2], 3).shape == (2, 3)  # type: ignore[arg-type]


def test_a_classifier_of_transformers_takes_images() -> None:
    pytest.importorskip("transformers")
    model = transformers_model("vit", TINY_VIT, input_shape=(1, 8, 8), num_classes=10)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert model.training


@pytest.mark.parametrize(
    ("name", "config", "data", "words"),
    [
        ("gpt3", {}, {"vocabulary_size": 9}, "model.name=gpt3: .*no such kind.*did you mean gpt2"),
        (
            "gpt2",
            {"n_layers": 1},
            {"vocabulary_size": 9},
            "model.config.n_layers: GPT2Config has no such value; did you mean n_layer",
        ),
        (
            "gpt2",
            TINY_GPT2,
            {"vocabulary_size": 9, "context": 7},
            "model.name=gpt2: cannot be made for inputs of shape 7 .index out of range.*change mod",
        ),
        ("vit", TINY_VIT, {"num_classes": 2, "input_shape": (30,)}, "model.name=vit: takes images"),
        ("vit", TINY_VIT, {"input_shape": (1, 8, 8)}, "model.name=vit: needs one of num_classes"),
    ],
)
def test_what_transformers_cannot_make_is_refused(
    name: str, config: dict[str, Any], data: dict[str, Any], words: str
) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=words):
        transformers_model(name, config, **data)


def test_a_missing_library_is_refused_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("timm", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)  # import then fails
    with pytest.raises(LibraryMissing, match=r"model=timm: timm is not installed; .*extra 'timm'"):
        timm_model("resnet10t", (1, 28, 28), 7)
    words = r"model=transformers: transformers is not installed; .*extra 'transformers'"
    with pytest.raises(LibraryMissing, match=words):
        transformers_model("gpt2", vocabulary_size=256)
