"""Greedy decoding: a language model reads a prompt once, then continues it token by token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor


class Decoder(Protocol):
    """A language model that keeps what it has read, so that a step computes one token only.

    The cache belongs to the model: pass it on as it is. A step may write into it.
    """

    def prefill(self, tokens: Tensor) -> tuple[Tensor, Any]:
        """Read a prompt.

        Args:
            tokens: int64 of shape (n, prompt_length), at least one token.

        Returns:
            The logits of the next token, shape (n, vocabulary_size), and the cache.
        """

    def step(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Read one more token of each sequence.

        Args:
            tokens: int64 of shape (n,).
            cache: From prefill() or the step before.

        Returns:
            As prefill().
        """


def generate(model: Decoder, prompt: Tensor, num_tokens: int) -> Tensor:
    """Continue prompts, each time by the token with the highest logit.

    Args:
        model: In evaluation mode.
        prompt: int64 of shape (n, prompt_length), at least one token.
        num_tokens: Tokens to generate, at least one.

    Returns:
        The generated tokens, int64 of shape (n, num_tokens).

    Raises:
        ValueError: Prompt and generated tokens exceed the context of the model.
    """
    return torch.stack(list(next_tokens(model, prompt, num_tokens)), dim=1)


@torch.no_grad()
def next_tokens(model: Decoder, prompt: Tensor, num_tokens: int) -> Iterator[Tensor]:
    """Continue prompts like generate(), and yield the tokens of each step, int64 of shape (n,)."""
    logits, cache = model.prefill(prompt)
    tokens = logits.argmax(dim=1)
    yield tokens
    for _ in range(num_tokens - 1):
        logits, cache = model.step(tokens, cache)
        tokens = logits.argmax(dim=1)
        yield tokens
