"""Regression: one or several numbers for each example.

A network would take long to learn a unit such as 150 +- 75. Its outputs are therefore scaled by
the mean and the deviation of the targets, if the data has `target_mean` and `target_std`. The
scaling is part of the model, so what is trained, saved and served is in the unit of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from typing_extensions import override

from bench.core.qualities import REGRESSION
from bench.tasks.evaluation import Evaluation, SplitEvaluation
from bench.tasks.regression_quality import matching_outputs, regression_quality
from bench.tasks.rescaled import Rescaled
from bench.tasks.task import Split, Task, wrong_targets


class Regression(Task):
    """num_outputs numbers: outputs and targets (n, num_outputs), or (n,) for one.

    The loss is that of standardised targets, so that each output counts the same.
    """

    name: ClassVar[str] = "regression"
    needs: ClassVar[Mapping[str, str]] = {"num_outputs": "give the numbers of one target"}

    @override
    def whole_model(self, network: nn.Module) -> nn.Module:
        """Add the scaling of the outputs to a network."""
        model = Rescaled(network, self.data.num_outputs)
        model.mean.copy_(getattr(self.data, "target_mean", model.mean))
        model.std.copy_(getattr(self.data, "target_std", model.std))
        return model

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
        # A user's targets may be float64; the gradient needs one type.
        std = getattr(self.data, "target_std", torch.ones(())).to(outputs)
        expected = targets.to(outputs.dtype) / std
        return mse_loss(matching_outputs(outputs, targets) / std, expected)

    @override
    def predictions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return matching_outputs(outputs, targets), targets

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
        return SplitEvaluation(regression_quality)
