"""Regression: one or several numbers for each example.

A network gives standardised numbers if the data has `target_mean` and `target_std`: it would take
long to learn a unit such as 150 +- 75. Qualities are in the unit of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from typing_extensions import override

from bench.core.qualities import REGRESSION
from bench.tasks.evaluation import Evaluation, SplitEvaluation
from bench.tasks.regression_quality import matching_outputs, regression_quality
from bench.tasks.task import Split, Task, wrong_targets


class Regression(Task):
    """num_outputs numbers: outputs and targets (n, num_outputs), or (n,) for one.

    The loss is that of standardised targets, so that each output counts the same.
    """

    name: ClassVar[str] = "regression"
    needs: ClassVar[Mapping[str, str]] = {"num_outputs": "give the numbers of one target"}

    def __init__(self, data: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Take the data; its target_mean and target_std are float32 of shape (num_outputs,)."""
        super().__init__(data, metrics)
        num_outputs = int(data.num_outputs)
        self._mean: Tensor = getattr(data, "target_mean", torch.zeros(num_outputs))
        self._std: Tensor = getattr(data, "target_std", torch.ones(num_outputs))

    @property
    @override
    def kind(self) -> str:
        return "regression"

    @override
    def own_names(self) -> tuple[str, ...]:
        return REGRESSION

    @override
    def model_arguments(self) -> dict[str, Any]:
        return {"input_shape": self.data.input_shape, "num_outputs": self.data.num_outputs}

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        mean, std = self._scale(targets)
        # A user's targets may be float64; the gradient needs one type.
        standardised = ((targets - mean) / std).to(outputs.dtype)
        return mse_loss(matching_outputs(outputs, targets), standardised)

    @override
    def predictions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self._scale(targets)
        return matching_outputs(outputs, targets) * std + mean, targets

    def _scale(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation on the device of the targets, which stay there."""
        if self._mean.device != targets.device:
            self._mean, self._std = self._mean.to(targets.device), self._std.to(targets.device)
        return self._mean, self._std

    @override
    def require_targets(self, targets: Tensor, num: int, where: str) -> None:
        shapes = [(num, self.data.num_outputs), *([(num,)] if self.data.num_outputs == 1 else [])]
        if tuple(targets.shape) not in shapes or not targets.is_floating_point():
            raise wrong_targets(where, self.target_word, f"floats of shape {shapes[-1]}", targets)
        if not targets.isfinite().all():
            raise ValueError(f"data: a target of {where} is NaN or infinite; leave its row out")

    @override
    def output_shape(self, targets: Tensor) -> tuple[int, ...]:
        return len(targets), self.data.num_outputs

    @override
    def _is_output_shape(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
        return shape == wanted or (wanted[1] == 1 and shape == wanted[:1])

    @override
    def _own_evaluation(self, split: Split) -> Evaluation:
        return SplitEvaluation(
            lambda outputs, targets: regression_quality(*self.predictions(outputs, targets))
        )
