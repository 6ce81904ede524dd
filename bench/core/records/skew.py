"""Whether the serving path gives the model what its training gave it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """What the training and the serving path make of the same inputs of the test split.

    Attributes:
        planted: Fault that was planted in the serving path; None without one.
        num_samples: Inputs that were compared.
        features_max_difference: Largest difference of a feature between what the data module gives
            and what the serving path gives the model; features are as the model gets them, so
            standardised. None if they cannot be seen, or if one path gives a number where the other
            gives none.
        features_tolerance: Largest difference that is put down to rounding.
        features_reason: Why the features cannot be seen.
        outputs_max_difference: Largest difference of an output between what was served and what the
            same model gives for the inputs of the data module: logits of a classification or a
            language model, values of a regression. The same model is the served one in its runtime
            and precision; for a server of your own, it is the trained network in PyTorch. None if
            one of them gives a number where the other gives none.
        outputs_tolerance: Largest difference that is put down to rounding; None if the outputs are
            not judged.
        changed_predictions_frac: Share of inputs whose predicted class is another one. Only for a
            classification into one of several classes.
        found: Whether a difference is larger than rounding explains. The command then ends with
            exit code 1.
        finding: What differs by how much, in one line; None if nothing does.
    """

    planted: str | None = None
    num_samples: int
    features_max_difference: float | None = None
    features_tolerance: float | None = None
    features_reason: str | None = None
    outputs_max_difference: float | None = None
    outputs_tolerance: float | None = None
    changed_predictions_frac: float | None = None
    found: bool
    finding: str | None = None
