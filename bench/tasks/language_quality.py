"""The quality of a language model: how well it predicts the next token."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.tasks.quality import require_classes

# The target that torch's cross-entropy leaves out by default, such as that of padding.
IGNORED_TOKEN = -100


class LanguageEvaluation:
    """Adds up the quality of batches; logits of a whole split would not fit into memory.

    The sums are float64 and stay on the device of the model, so a batch does not wait for it.
    """

    def __init__(self, bytes_per_token: float | None = None) -> None:
        """Start without a token.

        Args:
            bytes_per_token: Mean number of bytes of text per token of the split, 1 for bytes as
                tokens; None if it is unknown.
        """
        self._bytes_per_token = bytes_per_token
        # Per batch: nats, tokens that were right, tokens with a distribution, and all tokens.
        self._sums: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch.

        Args:
            outputs: Logits, shape (n, context, vocabulary_size).
            targets: The next tokens, int64 of shape (n, context); -100 is left out.

        Raises:
            ValueError: The shapes do not match.
        """
        require_token_logits(outputs, targets)
        logits, tokens = outputs.detach().flatten(0, 1), targets.flatten()
        logits = logits if logits.dtype == torch.float64 else logits.float()
        kept = tokens != IGNORED_TOKEN
        # Per token, and summed in float64: torchmetrics' perplexity sums in the logits' precision,
        # and takes the logarithm of probabilities that have been rounded to 0.
        nats = cross_entropy(logits, tokens, ignore_index=IGNORED_TOKEN, reduction="none").double()
        known = kept & ~nats.isnan()
        right = known & (logits.argmax(dim=1) == tokens)
        counts = [part.sum().double() for part in (right, known, kept)]
        self._sums.append(torch.stack([nats.sum(), *counts]))

    @property
    def num_samples(self) -> int:
        """The number of tokens so far, without those that were left out."""
        return int(self._total()[3])

    def compute(self) -> dict[str, float]:
        """Compute the quality of all batches.

        Returns:
            `loss` in nats per token, `accuracy` (the share of tokens whose logit was the largest),
            `perplexity` (the exponential of the loss), and `bits_per_byte` if the bytes per token
            are known. A token whose logits are no distribution (NaN, +inf or all -inf) counts as
            wrong, and makes the others NaN. If no token has a distribution, all values are NaN.

        Raises:
            ValueError: There was no token.
        """
        nats, right, known, num_tokens = self._total().tolist()
        if not num_tokens:
            raise ValueError("no token to evaluate: the split needs at least one target")
        loss = nats / num_tokens
        values = {
            "loss": loss,
            "accuracy": right / num_tokens if known else math.nan,
            "perplexity": float(torch.tensor(loss, dtype=torch.float64).exp()),
        }
        if self._bytes_per_token is not None:
            values["bits_per_byte"] = loss / math.log(2) / self._bytes_per_token
        return values

    def _total(self) -> Tensor:
        return torch.stack(self._sums).sum(dim=0) if self._sums else torch.zeros(4)


def require_token_logits(outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs that are not logits of each token.

    Args:
        outputs: Should be logits of shape (n, context, vocabulary_size).
        targets: The next tokens, shape (n, context).

    Raises:
        ValueError: The shapes do not match.
    """
    if outputs.ndim != 3 or targets.shape != outputs.shape[:2]:
        raise ValueError(
            f"logits of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}: "
            "must be (n, context, vocabulary_size) and (n, context)"
        )


def require_tokens(tokens: Tensor, vocabulary_size: int, *, where: str = "targets") -> None:
    """Refuse tokens that are not in the vocabulary; the ignored one passes.

    Args:
        tokens: Integers of any shape.
        vocabulary_size: Number of tokens.
        where: The origin of the tokens, for the error.

    Raises:
        ValueError: One is negative or too large.
    """
    kept = tokens[tokens != IGNORED_TOKEN]
    if len(kept):
        require_classes(kept, vocabulary_size, where=where, noun="token")
