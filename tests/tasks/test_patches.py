"""Whitened patches: what their outputs are, and which batch sets the filters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from bench.tasks import patches
from bench.tasks.neutral import unchanged
from bench.tasks.patches import WhitenedPatches, num_patch_filters


def outputs_on(images: Tensor, size: int, stride: int) -> Tensor:
    """The outputs of a layer whose first batch these images are, one row per patch."""
    outputs: Tensor = WhitenedPatches(images.shape[1], size, stride)(images)
    return outputs.transpose(0, 1).flatten(1).T


def correlated(num: int, num_channels: int) -> Tensor:
    """Blurred noise with an offset, so that pixels are correlated and have a mean."""
    noise = torch.randn(num, num_channels, 14, 14, generator=torch.Generator().manual_seed(0))
    blurred = conv2d(noise.flatten(0, 1).unsqueeze(1), torch.tensor([[[[0.5, 1.0], [0.0, 0.5]]]]))
    return 3 + 2 * blurred.reshape(num, num_channels, 13, 13)


@pytest.mark.parametrize(("size", "stride", "num_channels"), [(2, 2, 1), (3, 2, 2)])
def test_the_covariance_on_the_first_batch_is_the_identity(
    size: int, stride: int, num_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "_REGULARISATION", 0.0)
    outputs = outputs_on(correlated(200, num_channels), size, stride)
    num_values = num_channels * size**2
    assert outputs.shape[1] == num_patch_filters(num_channels, size) == 2 * num_values
    whitened = outputs[:, :num_values]
    covariance = torch.cov(whitened.T, correction=0)
    torch.testing.assert_close(covariance, torch.eye(num_values), atol=1e-3, rtol=0)
    torch.testing.assert_close(whitened.mean(dim=0), torch.zeros(num_values), atol=1e-3, rtol=0)
    # Each value comes with its negative.
    torch.testing.assert_close(outputs[:, num_values:], -whitened)


def test_the_filters_of_single_pixels() -> None:
    # Half of the pixels are 0 and half are 2: mean 1, variance 1. The regularisation adds 0.005 of
    # the mean variance, so a 2 becomes (2 - 1) / sqrt(1.005).
    images = torch.tensor([0.0, 2.0, 2.0, 0.0]).reshape(1, 1, 2, 2)
    outputs = outputs_on(images, 1, 1)
    expected = torch.tensor([-1.0, 1.0, 1.0, -1.0]) / math.sqrt(1.005)
    torch.testing.assert_close(outputs[:, 0].abs(), expected.abs())
    torch.testing.assert_close(outputs[:, 0] * outputs[1, 0].sign(), expected)


def test_the_first_training_batch_sets_the_filters_and_no_other() -> None:
    first, second = correlated(8, 1), torch.rand(8, 1, 13, 13)
    layer = WhitenedPatches(1, 2, 2)
    random = layer.weight.clone()
    layer.eval()(first)
    assert torch.equal(layer.weight, random)
    layer.train()(first)
    whitening = layer.weight.clone()
    assert not torch.equal(whitening, random)
    layer(second)
    assert torch.equal(layer.weight, whitening)
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_a_warm_up_leaves_the_filters_to_the_first_batch() -> None:
    layer, expected = WhitenedPatches(1, 2, 2), WhitenedPatches(1, 2, 2)
    with unchanged([layer]):
        layer(torch.rand(8, 1, 13, 13))
    layer(correlated(8, 1))
    expected(correlated(8, 1))
    assert torch.equal(layer.weight, expected.weight)


def test_loaded_filters_stay() -> None:
    trained, loaded = WhitenedPatches(1, 2, 2), WhitenedPatches(1, 2, 2)
    trained(correlated(8, 1))
    loaded.load_state_dict(trained.state_dict())
    loaded.train()(torch.rand(8, 1, 13, 13))
    assert torch.equal(loaded.weight, trained.weight)


def test_images_without_any_difference_have_finite_filters() -> None:
    assert outputs_on(torch.full((4, 1, 4, 4), 3.0), 2, 2).abs().max() < 1


def test_ranks_share_their_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two ranks with other images, each gets the filters of the images of both."""
    images = correlated(16, 1)
    sums: list[Tensor] = []

    def record(statistic: Tensor) -> None:
        sums.append(statistic.clone())

    def add_other(statistic: Tensor) -> None:
        statistic += sums.pop(0)

    monkeypatch.setattr(patches, "distributed_world", lambda: (0, 2))
    monkeypatch.setattr(torch.distributed, "all_reduce", record)
    WhitenedPatches(1, 2, 2)(images[8:])
    monkeypatch.setattr(torch.distributed, "all_reduce", add_other)
    shared = WhitenedPatches(1, 2, 2)
    shared(images[:8])
    monkeypatch.undo()
    alone: Any = WhitenedPatches(1, 2, 2)
    alone(images)
    torch.testing.assert_close(shared.weight, alone.weight)
    torch.testing.assert_close(shared.bias, alone.bias)
