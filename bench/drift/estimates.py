"""Estimates without all labels: of accuracy, of the error, of the frequencies of the classes.

Each is valid only under an assumption that its docstring names. Where it would be a guess, the
estimate is None, and `reason` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from bench.drift.samples import Floats, Index

_Doubles = NDArray[np.float64]
# The error of the shares of predictions, about 0.02 in a window of 500, times this is the error of
# the estimated frequencies. Beyond 10 the estimate says nothing.
MAX_CONDITION = 10.0


class Cbpe:
    """Estimates the accuracy of a model from its own probabilities, without labels.

    The estimate is the mean calibrated probability of the predicted class. It is right as long as
    P(label | input) stays the same: under covariate shift. It is blind to concept drift, because
    the model knows nothing of it.

    Source: confidence-based performance estimation (CBPE) of NannyML, "Estimation of performance of
    the monitored model"; isotonic calibration: Zadrozny and Elkan, KDD 2002.
    """

    def __init__(self, probabilities: Floats, labels: Index) -> None:
        """Calibrate the probability of the predicted class.

        Args:
            probabilities: Of held-out samples, (n, num_classes), n >= 1.
            labels: Their classes, (n,).
        """
        self._calibration = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        self._calibration.fit(probabilities.max(1), probabilities.argmax(1) == labels)

    def accuracy(self, probabilities: Floats) -> float:
        """Estimate the share of right predictions.

        Args:
            probabilities: Of samples without labels, (m, num_classes), m >= 1.
        """
        return float(self.confidences(probabilities).mean())

    def confidences(self, probabilities: Floats) -> _Doubles:
        """Estimate the probability that each prediction is right, (m,)."""
        confidences: _Doubles = self._calibration.predict(probabilities.max(1))
        return confidences


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEstimate:
    """The share of wrong predictions among all, estimated from those whose labels were seen.

    Attributes:
        error: The share; None if it cannot be estimated.
        standard_error: Its standard error; None likewise.
        reason: Why there is no estimate; empty if there is one.
    """

    error: float | None = None
    standard_error: float | None = None
    reason: str = ""


def hajek_error(
    errors: NDArray[np.bool_], propensities: _Doubles, *, is_censored: bool = False
) -> ErrorEstimate:
    """Estimate the error where labels are seen with known but different probabilities.

    Each seen label counts 1/propensity times, for those like it that were not seen. The standard
    error is that of the linearised ratio, and treats predictions as independent.

    Args:
        errors: Whether the predictions whose labels were seen are wrong, (m,).
        propensities: The probability with which each of these labels was to be seen, (m,), > 0.
        is_censored: Whether some predictions can never be seen: no weight makes up for these.

    Source: J. Hajek, comment in Godambe and Sprott, "Foundations of Statistical Inference", 1971;
    Sarndal, Swensson and Wretman, "Model Assisted Survey Sampling", 1992, section 5.7.
    """
    if is_censored:
        return ErrorEstimate(reason="the labels of some predictions can never be seen")
    if not len(errors):
        return ErrorEstimate(reason="no label has been seen")
    weights = 1 / propensities
    error = float(np.average(errors, weights=weights))
    deviations = weights * (errors - error)
    standard_error = float(np.sqrt((deviations**2).sum()) / weights.sum())
    return ErrorEstimate(error=error, standard_error=standard_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelShift:
    """How frequent the classes have become.

    Attributes:
        frequencies: Of the classes now, (num_classes,), sum 1; None if they cannot be estimated.
        weights: The same, divided by the frequencies in the reference, (num_classes,); None
            likewise.
        condition: Condition number of the matrix that was inverted; inf if it is singular.
        reason: Why there is no estimate; empty if there is one.
    """

    frequencies: _Doubles | None = None
    weights: _Doubles | None = None
    condition: float = np.inf
    reason: str = ""


def label_shift(
    reference_probabilities: Floats, reference_labels: Index, probabilities: Floats
) -> LabelShift:
    """Estimate the frequencies of the classes from the predicted classes alone.

    It solves sum_j P(predicted i | class j) q_j = P(predicted i now) for q, which is valid as long
    as P(input | class) stays the same: under label shift. Negative frequencies become 0. Unlike the
    source, which inverts the joint P(predicted i, class j), the condition number here is that of
    the conditional one: it measures how well the model separates the classes, and not how rare a
    class is in the reference. Both give the same q.

    Args:
        reference_probabilities: Of held-out samples of the model, (n, num_classes).
        reference_labels: Their classes, (n,).
        probabilities: Of samples now, whose labels are unknown, (m, num_classes), m >= 1.

    Source: Lipton, Wang and Smola, "Detecting and correcting for label shift with black box
    predictors", ICML 2018 (BBSE).
    """
    num_classes = probabilities.shape[1]
    counts = np.bincount(reference_labels, minlength=num_classes)
    if not counts.all():
        absent = int(counts.argmin())
        return LabelShift(reason=f"no held-out sample has class {absent}")
    confusion = np.zeros((num_classes, num_classes))
    np.add.at(confusion, (reference_probabilities.argmax(1), reference_labels), 1.0)
    confusion /= counts
    condition = float(np.linalg.cond(confusion))
    if not condition <= MAX_CONDITION:
        return LabelShift(
            condition=condition,
            reason=f"the model confuses classes: condition number {condition:.3g} > "
            f"{MAX_CONDITION:g}",
        )
    predicted = np.bincount(probabilities.argmax(1), minlength=num_classes) / len(probabilities)
    positive = np.clip(np.linalg.solve(confusion, predicted), 0.0, None)
    frequencies = positive / positive.sum()
    weights = frequencies / (counts / counts.sum())
    return LabelShift(frequencies=frequencies, weights=weights, condition=condition)


def adjusted(probabilities: Floats, weights: _Doubles) -> Floats:
    """Move the prior of predicted probabilities: p'(y | x) is proportional to w_y p(y | x).

    Args:
        probabilities: Of the classes, (n, num_classes).
        weights: New frequency / old frequency of each class, (num_classes,), >= 0.

    Returns:
        Probabilities of the same shape. A row whose classes all have weight 0 stays as it is.

    Source: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a
    priori probabilities", Neural Computation 14, 2002, equation 2.4.
    """
    weighted = probabilities * weights
    total = weighted.sum(1, keepdims=True)
    moved: Floats = np.divide(
        weighted, total, out=probabilities.astype(np.float64), where=total > 0
    ).astype(np.float32)
    return moved
