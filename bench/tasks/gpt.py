"""A small decoder-only transformer: it predicts the next token of a text.

Each block normalises its input before attention and before its MLP (pre-norm). Positions are
learned, and the matrix that embeds tokens also computes the logits, so it is trained once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from typing_extensions import override

from bench.core.checks import require_at_least
from bench.tasks.models import require_dropout

_INIT_STD = 0.02
_MLP_FACTOR = 4


class KeyValueCache:
    """The keys and values of the tokens that a model has read, for each of its blocks."""

    def __init__(self, depth: int) -> None:
        """Start without a token."""
        self._blocks: list[tuple[Tensor, Tensor] | None] = [None] * depth

    @property
    def num_tokens(self) -> int:
        """How many tokens of each sequence have been read."""
        first = self._blocks[0]
        return 0 if first is None else first[0].shape[2]

    def extend(self, block: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values of new tokens, (n, heads, t, head_width); return all of them."""
        before = self._blocks[block]
        if before is not None:
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        self._blocks[block] = (keys, values)
        return keys, values


class Block(nn.Module):
    """Causal self-attention, then an MLP; each is added to its input."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Make the layers; `heads` must divide `width`."""
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project_attention = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.expand = nn.Linear(width, _MLP_FACTOR * width)
        self.activation = nn.GELU()
        self.project_mlp = nn.Linear(_MLP_FACTOR * width, width)
        self.drop = nn.Dropout(dropout)

    @override
    def forward(self, hidden: Tensor, cache: KeyValueCache | None = None, index: int = 0) -> Tensor:
        """Map (n, t, width) to (n, t, width); `index` is the place of the block in the cache."""
        hidden = hidden + self.drop(self._attend(self.norm_attention(hidden), cache, index))
        mlp = self.project_mlp(self.activation(self.expand(self.norm_mlp(hidden))))
        changed: Tensor = hidden + self.drop(mlp)
        return changed

    def _attend(self, hidden: Tensor, cache: KeyValueCache | None, index: int) -> Tensor:
        num, length, width = hidden.shape
        parts = self.query_key_value(hidden).view(num, length, 3, self.heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        if cache is not None:
            keys, values = cache.extend(index, keys, values)
        # PyTorch aligns its causal mask with the first key, which is right only without a past.
        past = keys.shape[2] - length
        mask = _causal_mask(length, past, hidden.device) if past and length > 1 else None
        attended = scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=past == 0,
        )
        joined = attended.transpose(1, 2).reshape(num, length, width)
        projected: Tensor = self.project_attention(joined)
        return projected


def _causal_mask(length: int, past: int, device: torch.device) -> Tensor:
    """Whether each new token sees each key, bool of shape (length, past + length)."""
    return torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)


class Gpt(nn.Module):
    """A decoder-only transformer that maps tokens (n, t) to logits (n, t, vocabulary_size)."""

    def __init__(
        self,
        vocabulary_size: int | None = None,
        context: int | None = None,
        *,
        width: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        **others: object,
    ) -> None:
        """Make the layers.

        Args:
            vocabulary_size: Number of different tokens; the data gives it.
            context: The longest sequence; the data gives it.
            width: Size of the vector of each token.
            depth: Number of blocks.
            heads: Attention heads of each block; must divide the width.
            dropout: Fraction of values dropped in training, in [0, 1).
            others: What data of another kind gives, which this model has no use for.

        Raises:
            ValueError: A value is out of range, or the data has no tokens.

        Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (GPT-2).
        """
        super().__init__()
        if vocabulary_size is None or context is None:
            raise ValueError(
                "model=gpt: reads tokens, and this data has none; use data=text with "
                "task=language_modelling, or another model"
            )
        for name, value in (("width", width), ("depth", depth), ("heads", heads)):
            require_at_least(f"model.{name}", value, 1)
        if width % heads:
            raise ValueError(f"model.heads={heads}: must divide model.width={width}")
        require_dropout(dropout)
        self.context = context
        self.tokens = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.apply(_draw_weights)
        # Each of the 2 x depth projections adds to the hidden vector, so its variance would grow.
        for name, weight in self.named_parameters():
            if "project_" in name and name.endswith("weight"):
                nn.init.normal_(weight, std=_INIT_STD / math.sqrt(2 * depth))

    @override
    def forward(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Compute the logits of the token after each one, shape (n, t, vocabulary_size).

        Args:
            tokens: int64 of shape (n, t).
            cache: The tokens before these, which are then added to it; None if there are none.

        Raises:
            ValueError: The sequence is longer than the context.
        """
        past = 0 if cache is None else cache.num_tokens
        end = past + tokens.shape[1]
        if end > self.context:
            raise ValueError(
                f"a sequence of {end} tokens is longer than the model's context of {self.context}"
            )
        hidden = self.drop(self.tokens(tokens) + self.positions.weight[past:end])
        for index, block in enumerate(self.blocks):
            hidden = block(hidden, cache, index)
        return linear(self.norm(hidden), self.tokens.weight)

    def prefill(self, tokens: Tensor) -> tuple[Tensor, KeyValueCache]:
        """Read a prompt; see bench.tasks.decoding.Decoder."""
        cache = KeyValueCache(len(self.blocks))
        return self(tokens, cache)[:, -1], cache

    def step(self, tokens: Tensor, cache: KeyValueCache) -> tuple[Tensor, KeyValueCache]:
        """Read one more token of each sequence; see bench.tasks.decoding.Decoder."""
        return self(tokens[:, None], cache)[:, -1], cache


def _draw_weights(part: nn.Module) -> None:
    if isinstance(part, nn.Linear | nn.Embedding):
        nn.init.normal_(part.weight, std=_INIT_STD)
    if isinstance(part, nn.Linear):
        nn.init.zeros_(part.bias)
