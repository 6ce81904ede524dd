"""Size and quality of the trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Quality on one split; None if it is not a finite number.

    Attributes:
        at: Which model was evaluated: the one at the `crossing`, the one at the `end` of a run that
            missed, or the one that was `served`.
        loss: Mean cross-entropy.
        accuracy: Share of samples whose largest logit is the one of their class.
        macro_f1: Mean of the F1 score over the classes that occur or are predicted.
        worst_class_recall: Smallest recall among the classes that occur in the split.
        expected_calibration_error: Mean absolute gap between confidence and accuracy over 15 equal
            bins of confidence, weighted by samples (L1).
        num_samples: Size of the split.
    """

    at: Literal["crossing", "end", "served"]
    loss: float | None
    accuracy: float | None
    macro_f1: float | None
    worst_class_recall: float | None
    expected_calibration_error: float | None
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Size of the trained model, or of the served model.

    Attributes:
        name: Name of the model.
        num_parameters: All parameters.
        size_bytes: Size of `checkpoint.pt`, the weights as PyTorch saves them. For `bench.serve`,
            the size of all files of the served model.
        flops_per_sample: Floating-point operations of one forward pass of one sample, by torch's
            `FlopCounterMode` (a multiply-add counts two).
        flops_uncounted_ops: Operators without a formula in the counter, which are not in the sum.
    """

    name: str
    num_parameters: int | None = None
    size_bytes: int | None = None
    flops_per_sample: int | None = None
    flops_uncounted_ops: list[str] = field(default_factory=list)
