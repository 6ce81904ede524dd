"""Models on the shapes of the data sets here: grey 8x8 and 28x28, colour 32x32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.tasks.models import Cnn, InputShape, Mlp, torchvision_model

NAMES = ("mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "resnet18", "efficientnet_b0")
SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32))


def check_trains(model: nn.Module, shape: InputShape) -> None:
    torch.manual_seed(0)
    model.train()
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (2, 7)
    cross_entropy(logits, torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [*NAMES, "mnasnet0_5"])
def test_torchvision_models_train_on_small_images(name: str, shape: InputShape) -> None:
    check_trains(torchvision_model(name, shape, 7), shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_small_models_train(shape: InputShape) -> None:
    check_trains(Mlp(shape, 7, width=5, depth=2, dropout=0.1), shape)
    check_trains(Cnn(shape, 7, width=4, depth=5), shape)


def test_a_small_image_keeps_its_size_through_the_stem() -> None:
    model = torchvision_model("resnet18", (1, 28, 28), 10)
    stem = model.get_submodule("conv1")
    assert stem(torch.zeros(1, 1, 28, 28)).shape == (1, 64, 28, 28)
    assert isinstance(model.get_submodule("maxpool"), nn.Identity)


def test_a_large_colour_image_meets_the_model_as_torchvision_has_it() -> None:
    model = torchvision_model("resnet18", (3, 64, 64), 10)
    assert model.get_parameter("conv1.weight").shape == (64, 3, 7, 7)
    assert isinstance(model.get_submodule("maxpool"), nn.MaxPool2d)


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_size_of_an_mlp() -> None:
    # 64 inputs to 10, 10 to 10, 10 to 3, each with biases.
    model = Mlp((1, 8, 8), 3, width=10, depth=2)
    assert num_parameters(model) == (64 * 10 + 10) + (10 * 10 + 10) + (10 * 3 + 3)
    assert num_parameters(Mlp((1, 8, 8), 3, width=10, depth=0)) == 64 * 3 + 3


def test_the_size_of_a_cnn() -> None:
    # 3x3 kernels, 2 to 4 to 8 channels, two values of batch norm per channel; then 8 to 3.
    model = Cnn((2, 8, 8), 3, width=4, depth=2)
    assert num_parameters(model) == (9 * 2 * 4 + 2 * 4) + (9 * 4 * 8 + 2 * 8) + (8 * 3 + 3)


def test_an_unknown_name_is_refused_with_what_may_have_been_meant() -> None:
    with pytest.raises(ValueError, match=r"model.name=resnet19: .* did you mean .*resnet18"):
        torchvision_model("resnet19", (3, 32, 32), 10)


def test_a_model_that_cannot_take_the_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.name=vit_b_16: cannot take inputs of shape 3x32x"):
        torchvision_model("vit_b_16", (3, 32, 32), 10)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 0}, "model.width=0: must be at least 1"),
        ({"depth": -1}, "model.depth=-1: must be at least 0"),
        ({"dropout": 1.0}, "model.dropout=1.0: must be at least 0 and less than 1"),
    ],
)
def test_an_mlp_out_of_range_is_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Mlp((1, 8, 8), 10, **{"width": 1, "depth": 1, **changes})  # type: ignore[arg-type]


def test_rows_of_a_table_and_values_to_predict() -> None:
    assert Mlp((30,), num_outputs=2, width=4, depth=1)(torch.zeros(5, 30)).shape == (5, 2)
    assert Cnn((1, 8, 8), num_outputs=1, width=4, depth=1)(torch.zeros(5, 1, 8, 8)).shape == (5, 1)


def test_a_model_of_images_refuses_rows_of_a_table() -> None:
    words = r"takes images, and an input of this data has the shape \(30,\); use model=mlp"
    with pytest.raises(ValueError, match=f"model=cnn: {words}"):
        Cnn((30,), 2, width=4, depth=1)
    with pytest.raises(ValueError, match=f"model.name=resnet18: {words}"):
        torchvision_model("resnet18", (30,), 2)


@pytest.mark.parametrize("sizes", [{}, {"vocabulary_size": 256, "context": 8}, {"num_clases": 3}])
def test_a_model_without_outputs_for_the_task_is_refused(sizes: dict[str, Any]) -> None:
    words = "model=mlp: needs one of num_classes, num_outputs of the data, which gave"
    with pytest.raises(ValueError, match=words) as caught:
        Mlp(width=4, depth=1, **sizes)
    assert f"gave {', '.join(sizes) or 'none'}; use model=gpt for text" in str(caught.value)


def test_a_cnn_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.depth=0: must be at least 1"):
        Cnn((1, 8, 8), 10, width=1, depth=0)


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.children()]


def test_a_cnn_is_the_usual_one_by_default() -> None:
    block = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    model = Cnn((1, 8, 8), 10, width=4, depth=2)
    assert kinds(model) == [*block, *block, "AdaptiveAvgPool2d", "Flatten", "Linear"]
    assert [each.out_channels for each in model if isinstance(each, nn.Conv2d)] == [4, 8]
    assert {each.momentum for each in model if isinstance(each, nn.BatchNorm2d)} == {0.1}


def test_a_cnn_on_whitened_patches() -> None:
    model = Cnn(
        *((3, 32, 32), 10),
        width=5,
        depth=2,
        growth=3,
        patch_size=4,
        patch_stride=2,
        whitening=True,
        early_pooling=True,
        batch_norm_momentum=0.5,
    )
    block = ["Conv2d", "MaxPool2d", "BatchNorm2d", "ReLU"]
    head = ["AdaptiveAvgPool2d", "Flatten", "Linear"]
    assert kinds(model) == ["WhitenedPatches", "ReLU", *block, *block, *head]
    # 2 x 3 channels x 4 x 4 pixels; then 5 channels, and 3 times as many.
    assert [each.out_channels for each in model if isinstance(each, nn.Conv2d)] == [96, 5, 15]
    assert {each.momentum for each in model if isinstance(each, nn.BatchNorm2d)} == {0.5}
    # Patches begin at 0, 2, ..., 28 of 32 pixels.
    assert model[0](torch.zeros(1, 3, 32, 32)).shape == (1, 96, 15, 15)
    cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()  # type: ignore[no-untyped-call]
    trained = {name for name, each in model.named_parameters() if each.grad is not None}
    assert trained == {name for name, _ in model.named_parameters() if not name.startswith("0.")}


def test_learned_patches_are_normalised() -> None:
    model = Cnn((1, 8, 8), 10, width=4, depth=1, patch_size=4, patch_stride=4)
    assert kinds(model)[:3] == ["Conv2d", "BatchNorm2d", "ReLU"]
    check_trains(Cnn((1, 8, 8), 7, width=4, depth=1, patch_size=4, patch_stride=4), (1, 8, 8))


def test_patches_larger_than_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model.patch_size=9: .* only 8 pixels; use at most 8"):
        Cnn((1, 8, 12), 10, width=4, depth=1, patch_size=9)
