"""Models of libraries that come with an extra: timm and Hugging Face's transformers.

They are made from a name and a configuration, with random weights. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bench.core.errors import LibraryMissing, first_line, needs_extra
from bench.core.suggest import did_you_mean
from bench.tasks.models import (
    InputShape,
    count_outputs,
    require_fitting_input,
    require_images,
)


def timm_model(
    name: str, input_shape: InputShape = (), num_classes: int | None = None, **others: int
) -> nn.Module:
    """Make a model of timm for images of this shape.

    Only the first layer is adapted to the number of channels, and a model that is made for one size
    of image to that size. So many models need images of at least 32 pixels.

    Args:
        name: One of timm.list_models().
        input_shape: (channels, height, width).
        num_classes: Logits per image, for classes.
        others: num_outputs instead of num_classes.

    Raises:
        ValueError: timm is not installed or has no such model, or the data or the task does not
            fit.
    """
    key = f"model.name={name}"
    num_outputs = count_outputs(key, num_classes, others)
    require_images(key, input_shape)
    with needs_extra("timm", "model=timm: timm", LibraryMissing):
        import timm
    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models()) or "; timm.list_models() lists them"
        raise ValueError(f"{key}: timm has no such model{hint}")
    options: dict[str, Any] = {"num_classes": num_outputs, "in_chans": input_shape[0]}
    facts: Any = timm.get_pretrained_cfg(name)
    if facts.fixed_input_size:
        options["img_size"] = input_shape[1:]
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(f"{key}: cannot be made for this data ({first_line(error)})") from error
    require_fitting_input(model, name, input_shape)
    return model


class TransformersModel(nn.Module):
    """Gives the logits of a model of transformers, whose own output is an object of many parts."""

    def __init__(self, model: nn.Module) -> None:
        """Wrap a model whose output has `logits`."""
        super().__init__()
        self.model = model

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, t, vocabulary_size) of tokens (n, t), or (n, num_classes) of images."""
        logits: Tensor = self.model(inputs, return_dict=True).logits
        return logits

    def prefill(self, tokens: Tensor) -> tuple[Tensor, Any]:
        """Read a prompt; see bench.tasks.decoding.Decoder."""
        output = self.model(tokens, use_cache=True, return_dict=True)
        return output.logits[:, -1], output.cache

    def step(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Read one more token of each sequence; see bench.tasks.decoding.Decoder."""
        output = self.model(tokens[:, None], cache=cache, use_cache=True, return_dict=True)
        return output.logits[:, -1], output.cache


def transformers_model(
    name: str,
    config: Mapping[str, Any] | None = None,
    *,
    input_shape: InputShape = (),
    num_classes: int | None = None,
    vocabulary_size: int | None = None,
    context: int = 1,
    **others: int,
) -> nn.Module:
    """Make a model of transformers: a causal language model for tokens, a classifier for images.

    Args:
        name: The kind of its configuration, such as `gpt2` or `vit`.
        config: Values of that configuration, such as `n_layer`.
        input_shape: (channels, height, width) of an image.
        num_classes: Logits per image.
        vocabulary_size: Number of different tokens.
        context: Tokens of the longest sequence.
        others: num_outputs instead of num_classes.

    Raises:
        ValueError: transformers is not installed or has no such kind, or the configuration or the
            data does not fit.
    """
    with needs_extra("transformers", "model=transformers: transformers", LibraryMissing):
        import transformers
    auto: Any
    key, chosen = f"model.name={name}", dict(config or {})
    default = _default_config(name, chosen)
    if vocabulary_size is not None:
        sizes = _language_settings(default, vocabulary_size)
        auto, example = transformers.AutoModelForCausalLM, torch.zeros(1, context).long()
    else:
        num_outputs = count_outputs(key, num_classes, others)
        require_images(key, input_shape)
        channels, *sides = input_shape
        sizes = {"num_labels": num_outputs, "num_channels": channels, "image_size": sides}
        auto, example = transformers.AutoModelForImageClassification, torch.zeros(1, *input_shape)
    try:
        model = TransformersModel(auto.from_config(type(default)(**chosen, **sizes))).eval()
        with torch.no_grad():
            model(example)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        shape = "x".join(map(str, example.shape[1:]))
        raise ValueError(
            f"{key}: cannot be made for inputs of shape {shape} ({first_line(error)}); change "
            "model.config or the data"
        ) from error
    return model.train()


def _default_config(name: str, chosen: Mapping[str, Any]) -> Any:
    """The configuration of this kind with its default values; refuses what it does not know."""
    from transformers import CONFIG_MAPPING

    if name not in CONFIG_MAPPING:
        hint = did_you_mean(name, CONFIG_MAPPING) or "; transformers.CONFIG_MAPPING lists them"
        raise ValueError(f"model.name={name}: transformers has no such kind of model{hint}")
    default = CONFIG_MAPPING[name]()
    for key in chosen:  # transformers would keep a misspelt one, and not use it
        if not hasattr(default, key):
            raise ValueError(
                f"model.config.{key}: {type(default).__name__} has no such value"
                f"{did_you_mean(key, vars(default))}"
            )
    return default


def _language_settings(default: Any, vocabulary_size: int) -> dict[str, Any]:
    """What follows from the data: its vocabulary has no special tokens, and the text is causal."""
    settings = {
        "vocab_size": vocabulary_size,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
        "is_decoder": True,
    }
    return {name: value for name, value in settings.items() if hasattr(default, name)}
