"""Language modelling: the next token, at each place of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from typing_extensions import override

from bench.core.qualities import LANGUAGE
from bench.tasks.evaluation import Evaluation
from bench.tasks.language_quality import IGNORED_TOKEN, LanguageEvaluation, require_tokens
from bench.tasks.task import Sample, Split, Task, wrong_targets


class LanguageModelling(Task):
    """Tokens (n, context) to logits (n, context, vocabulary_size); targets are the next tokens."""

    name: ClassVar[str] = "language_modelling"
    needs: ClassVar[Mapping[str, str]] = {
        "vocabulary_size": "give the number of different tokens",
        "context": "give the tokens of a sequence",
    }
    output_word: ClassVar[str] = "logits"

    @property
    @override
    def kind(self) -> str:
        return "next_token"

    @property
    @override
    def sample(self) -> Sample:
        return "token"

    @override
    def own_names(self) -> tuple[str, ...]:
        return LANGUAGE

    @override
    def model_arguments(self) -> dict[str, Any]:
        return {"vocabulary_size": self.data.vocabulary_size, "context": self.data.context}

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits, tokens = outputs.flatten(0, 1), targets.flatten()
        return cross_entropy(logits, tokens, label_smoothing=self._label_smoothing)

    @override
    def predictions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        kept = targets != IGNORED_TOKEN
        return outputs[kept], targets[kept]

    @override
    def require_targets(self, targets: Tensor, num: int, where: str) -> None:
        shape = (num, self.data.context)
        if targets.shape != shape or targets.dtype != torch.int64:
            raise wrong_targets(where, self.target_word, f"int64 of shape {shape}", targets)
        require_tokens(targets, self.data.vocabulary_size, where=f"data: {where}")

    @override
    def output_shape(self, targets: Tensor) -> tuple[int, ...]:
        return (*targets.shape, self.data.vocabulary_size)

    @override
    def _own_evaluation(self, split: Split) -> Evaluation:
        return LanguageEvaluation(getattr(self.data, "bytes_per_token", None))
