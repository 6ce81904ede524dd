"""Classification: one of several classes, or several labels, for each example."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from typing_extensions import override

from bench.core.qualities import CLASSES, GROUPS, LABELS, MULTILABEL
from bench.tasks.evaluation import (
    Evaluation,
    SplitEvaluation,
    classification_quality,
    labelling_quality,
)
from bench.tasks.multilabel_quality import require_labels
from bench.tasks.quality import require_classes
from bench.tasks.task import Split, Task, wrong_targets

_CLASS_TYPES = (torch.int64, torch.uint8)  # that torch's cross-entropy takes


class Classification(Task):
    """One of num_classes classes: logits (n, num_classes), labels (n,)."""

    name: ClassVar[str] = "classification"
    needs: ClassVar[Mapping[str, str]] = {"num_classes": "give the number of classes"}
    target_word: ClassVar[str] = "labels"
    output_word: ClassVar[str] = "logits"

    @property
    @override
    def kind(self) -> str:
        return "binary" if self.data.num_classes == 2 else "multiclass"

    @override
    def own_names(self) -> tuple[str, ...]:
        return (*CLASSES, *(LABELS if self.kind == "binary" else ()), *self._group_names())

    def _group_names(self) -> tuple[str, ...]:
        return GROUPS if getattr(self.data, "groups", None) else ()

    @override
    def model_arguments(self) -> dict[str, Any]:
        return {"input_shape": self.data.input_shape, "num_classes": self.data.num_classes}

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets, label_smoothing=self._label_smoothing)

    @override
    def predictions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = outputs.softmax(dim=1)
        return (probabilities[:, 1] if self.kind == "binary" else probabilities), targets

    @override
    def require_targets(self, targets: Tensor, num: int, where: str) -> None:
        if targets.shape != (num,) or targets.dtype not in _CLASS_TYPES:
            raise wrong_targets(where, self.target_word, f"int64 of shape ({num},)", targets)
        require_classes(targets, self.data.num_classes, where=f"data: {where}")

    @override
    def output_shape(self, targets: Tensor) -> tuple[int, ...]:
        return len(targets), self.data.num_classes

    @override
    def _is_output_shape(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
        # A model may have more classes, which it rules out.
        return len(shape) == 2 and shape[0] == wanted[0] and shape[1] >= wanted[1]

    @override
    def _own_evaluation(self, split: Split) -> Evaluation:
        groups = _groups(self.data, split)
        return SplitEvaluation(partial(classification_quality, groups=groups))


class Labelling(Classification):
    """Each of num_labels labels or none: logits and targets of 0 and 1, both (n, num_labels)."""

    needs: ClassVar[Mapping[str, str]] = {"num_labels": "give the number of labels"}

    @property
    @override
    def kind(self) -> str:
        return "multilabel"

    @override
    def own_names(self) -> tuple[str, ...]:
        return (*MULTILABEL, *self._group_names())

    @override
    def model_arguments(self) -> dict[str, Any]:
        return {"input_shape": self.data.input_shape, "num_classes": self.data.num_labels}

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # The two classes of a label are: to have it, and not to have it.
        smoothed = torch.lerp(targets, torch.full_like(targets, 0.5), self._label_smoothing)
        return binary_cross_entropy_with_logits(outputs, smoothed.to(outputs.dtype))

    @override
    def predictions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.sigmoid(), targets.long()

    @override
    def require_targets(self, targets: Tensor, num: int, where: str) -> None:
        shape = (num, self.data.num_labels)
        if targets.shape != shape or not targets.is_floating_point():
            raise wrong_targets(where, self.target_word, f"floats of shape {shape}", targets)
        require_labels(targets, targets, where=f"data: {where}")

    @override
    def output_shape(self, targets: Tensor) -> tuple[int, ...]:
        return tuple(targets.shape)

    @override
    def _is_output_shape(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
        return shape == wanted

    @override
    def _own_evaluation(self, split: Split) -> Evaluation:
        groups = _groups(self.data, split)
        return SplitEvaluation(partial(labelling_quality, groups=groups))


def _groups(data: Any, split: Split) -> Tensor | None:
    """The index of the group of each sample of a split; None if the data has no groups."""
    groups: Tensor | None = (getattr(data, "groups", None) or {}).get(split)
    return groups
