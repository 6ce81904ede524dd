"""Models: two small ones, and torchvision's classifiers by name.

Each is called with the data's input_shape, (channels, height, width) or (num_features,), and with
num_classes (or labels) or num_outputs, whichever the data has. It maps inputs (n, *input_shape) to
as many outputs (n, num_outputs). Weights are drawn at random; nothing is downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from bench.core.checks import require_at_least
from bench.core.errors import first_line
from bench.core.suggest import did_you_mean

# Stems of torchvision are made for 224 pixels. They would leave too little of an image below this.
_SMALL_PX = 64
_SMALL_KERNEL = 3
# By default these two return extra outputs in training.
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")

InputShape = tuple[int, ...]
# What data of one task or another gives for the size of the output.
_OUTPUTS = frozenset(("num_classes", "num_outputs"))


def count_outputs(model: str, num_classes: int | None, others: Mapping[str, int]) -> int:
    """Find out how many outputs the data asks of a model: for classes, labels or values.

    Args:
        model: The model's key and value, for the error.
        num_classes: Number of classes or labels; None if the task is not a classification.
        others: What the data gives instead.

    Raises:
        ValueError: The data does not give exactly one of the two numbers.
    """
    given = {**({} if num_classes is None else {"num_classes": num_classes}), **others}
    if len(given) != 1 or not given.keys() <= _OUTPUTS:
        raise ValueError(
            f"{model}: needs one of {', '.join(sorted(_OUTPUTS))} of the data, which gave "
            f"{', '.join(given) or 'none'}; use model=gpt for text, or a model of your own"
        )
    return next(iter(given.values()))


def require_images(model: str, input_shape: InputShape) -> None:
    """Refuse data that is not images.

    Args:
        model: The model's key and value, for the error.
        input_shape: The shape of one input.

    Raises:
        ValueError: It is not (channels, height, width).
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"{model}: takes images, and an input of this data has the shape {tuple(input_shape)}; "
            "use model=mlp, or data with images"
        )


def require_dropout(dropout: float) -> None:
    """Refuse a fraction of dropped values that leaves none.

    Raises:
        ValueError: It is not in [0, 1).
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"model.dropout={dropout}: must be at least 0 and less than 1")


class Mlp(nn.Sequential):
    """Fully connected layers with ReLU; with depth 0 it is logistic regression."""

    def __init__(
        self,
        input_shape: InputShape = (),
        num_classes: int | None = None,
        *,
        width: int,
        depth: int,
        dropout: float = 0.0,
        **others: int,
    ) -> None:
        """Make the layers.

        Args:
            input_shape: Any shape; an input is flattened.
            num_classes: Logits per input, for classes.
            width: Units of each hidden layer.
            depth: Number of hidden layers.
            dropout: Fraction of hidden units dropped in training, in [0, 1).
            others: num_outputs instead of num_classes.

        Raises:
            ValueError: A value is out of range, or the task asks for no such outputs.
        """
        num_outputs = count_outputs("model=mlp", num_classes, others)
        require_at_least("model.width", width, 1)
        require_at_least("model.depth", depth, 0)
        require_dropout(dropout)
        layers: list[nn.Module] = [nn.Flatten()]
        num_features = math.prod(input_shape)
        for _ in range(depth):
            layers += [nn.Linear(num_features, width), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            num_features = width
        super().__init__(*layers, nn.Linear(num_features, num_outputs))


class Cnn(nn.Sequential):
    """3x3 convolutions, each with batch norm, ReLU and max pooling, then a linear layer.

    A layer of patches may come before them. The defaults of its arguments make none, and leave the
    rest as it is usual.
    """

    def __init__(
        self,
        input_shape: InputShape = (),
        num_classes: int | None = None,
        *,
        width: int,
        depth: int,
        growth: int = 2,
        patch_size: int = 0,
        patch_stride: int = 1,
        whitening: bool = False,
        early_pooling: bool = False,
        batch_norm_momentum: float = 0.1,
        **others: int,
    ) -> None:
        """Make the layers.

        Args:
            input_shape: (channels, height, width).
            num_classes: Logits per image, for classes.
            width: Channels of the first 3x3 convolution.
            depth: Number of 3x3 convolutions.
            growth: Each of them has this many times as many channels as the one before.
            patch_size: Side in pixels of the patches of a first layer; 0 for no such layer.
            patch_stride: Pixels from one patch to the next.
            whitening: Whether the filters of the patches are computed (WhitenedPatches), not
                learned.
            early_pooling: Whether max pooling comes right after a convolution.
            batch_norm_momentum: Weight of a batch in the running statistics of batch norm.
            others: num_outputs instead of num_classes.

        Raises:
            ValueError: A value is out of range, or the data or the task does not fit.
        """
        num_outputs = count_outputs("model=cnn", num_classes, others)
        require_images("model=cnn", input_shape)
        require_at_least("model.width", width, 1)
        require_at_least("model.depth", depth, 1)
        num_channels, *sides = input_shape
        side = min(sides)
        norm = partial(nn.BatchNorm2d, momentum=batch_norm_momentum)
        layers: list[nn.Module] = []
        if patch_size:
            _require_patches(patch_size, side)
            layers, num_channels = _patch_layers(
                num_channels, patch_size, patch_stride, whitening, norm
            )
            side = (side - patch_size) // patch_stride + 1
        for block in range(depth):
            num_filters = width * growth**block
            convolution = nn.Conv2d(num_channels, num_filters, 3, padding=1, bias=False)
            pooling = [nn.MaxPool2d(2)] if side > 1 else []
            activation = [norm(num_filters), nn.ReLU()]
            parts = [*pooling, *activation] if early_pooling else [*activation, *pooling]
            layers += [convolution, *parts]
            side = max(1, side // 2)
            num_channels = num_filters
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_channels, num_outputs)]
        super().__init__(*layers, *head)


def _require_patches(size: int, side: int) -> None:
    if size > side:
        raise ValueError(
            f"model.patch_size={size}: the images have only {side} pixels; use at most {side}"
        )


def _patch_layers(
    num_channels: int, size: int, stride: int, whitening: bool, norm: Callable[[int], nn.Module]
) -> tuple[list[nn.Module], int]:
    """The layer of patches and its number of filters; learned ones need batch norm."""
    # Here, because it imports torch's compiler, which takes a server of other models a second.
    from bench.tasks.patches import WhitenedPatches, num_patch_filters

    num_filters = num_patch_filters(num_channels, size)
    if whitening:
        return [WhitenedPatches(num_channels, size, stride), nn.ReLU()], num_filters
    filters = nn.Conv2d(num_channels, num_filters, size, stride, bias=False)
    return [filters, norm(num_filters), nn.ReLU()], num_filters


def torchvision_model(
    name: str, input_shape: InputShape = (), num_classes: int | None = None, **others: int
) -> nn.Module:
    """Make a classifier of torchvision and adapt its stem to the input.

    The first convolution gets as many channels as the images have. For images below 64 pixels it
    becomes 3x3 with stride 1, and the max pooling after it is removed, as is usual for CIFAR.

    Args:
        name: One of torchvision.models.list_models(module=torchvision.models).
        input_shape: (channels, height, width).
        num_classes: Logits per image, for classes.
        others: num_outputs instead of num_classes.

    Raises:
        ValueError: There is no such model, or the data or the task does not fit.
    """
    num_outputs = count_outputs(f"model.name={name}", num_classes, others)
    require_images(f"model.name={name}", input_shape)
    import torchvision  # takes a second; a server of another model does not need it

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        hint = did_you_mean(name, known) or f"; use {', '.join(known)}"
        raise ValueError(f"model.name={name}: torchvision has no such model{hint}")
    options: dict[str, Any] = {"weights": None, "num_classes": num_outputs}
    if name in _WITH_AUXILIARY_HEADS:
        options |= {"aux_logits": False, "init_weights": True}
    model: nn.Module = torchvision.models.get_model(name, **options)
    _adapt_stem(model, input_shape)
    require_fitting_input(model, name, input_shape)
    return model


def _adapt_stem(model: nn.Module, input_shape: InputShape) -> None:
    num_channels, *sides = input_shape
    small = min(sides) < _SMALL_PX
    path, first = next(
        (path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d)
    )
    if not small and first.in_channels == num_channels:
        return
    model.set_submodule(path, _stem_convolution(first, num_channels, small=small))
    # ResNets and ShuffleNets have this attribute. Other poolings leave enough of a small image.
    if small and isinstance(getattr(model, "maxpool", None), nn.MaxPool2d):
        model.set_submodule("maxpool", nn.Identity())


def _stem_convolution(first: nn.Conv2d, num_channels: int, *, small: bool) -> nn.Conv2d:
    kernel, stride, padding = first.kernel_size, first.stride, first.padding
    if small:
        side = min(_SMALL_KERNEL, *kernel)
        kernel, stride, padding = (side, side), (1, 1), (side // 2, side // 2)
    stem = nn.Conv2d(
        num_channels,
        first.out_channels,
        kernel_size=kernel,  # type: ignore[arg-type]  # stored as a tuple of any length
        stride=stride,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    # Most networks of torchvision draw their weights like this.
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    if stem.bias is not None:
        nn.init.zeros_(stem.bias)
    return stem


def require_fitting_input(model: nn.Module, name: str, input_shape: InputShape) -> None:
    """Refuse a model that cannot take an input, by trying one.

    It runs in evaluation mode, so that no statistics or random states change.

    Raises:
        ValueError: It cannot; the message has the reason.
    """
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, *input_shape))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise ValueError(
            f"model.name={name}: cannot take inputs of shape {'x'.join(map(str, input_shape))} "
            f"({reason}); use another model, or data with larger images"
        ) from error
    model.train()
