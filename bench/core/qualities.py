"""What is known of each quality that a built-in task reports: direction, range, title, unit.

A quality of a user's own metric has no row here; its direction comes from the metric or from the
key target.mode.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.core.metric import Better
from bench.core.records.model import RESERVED


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFacts:
    """The better direction of a quality, the range of its values, and how it is shown.

    Attributes:
        mode: Direction.
        definition: In a sentence, for docs/metrics.md.
        lower: Smallest possible value.
        upper: Largest possible value; 1 for a fraction.
        title: In words; empty for the name itself.
        unit: Empty if it is that of the data.
    """

    mode: Better
    definition: str
    lower: float = 0.0
    upper: float = float("inf")
    title: str = ""
    unit: str = ""


def _fraction(mode: Better, definition: str, title: str = "") -> QualityFacts:
    return QualityFacts(mode=mode, definition=definition, upper=1.0, title=title, unit="fraction")


QUALITIES: Mapping[str, QualityFacts] = {
    "accuracy": _fraction(
        "max",
        "Share of samples whose largest logit is the one of their class; with several labels for "
        "each example, the share of labels that are right.",
    ),
    "macro_f1": _fraction(
        "max", "Mean F1 score of the classes, or labels, that occur or are predicted.", "macro F1"
    ),
    "worst_class_recall": _fraction(
        "max",
        "Smallest recall among the classes, or labels, that occur in the split.",
        "recall of the worst class",
    ),
    "expected_calibration_error": _fraction(
        "min",
        "Mean absolute gap between confidence and accuracy over 15 equal bins of confidence, "
        "weighted by samples (L1).",
    ),
    "loss": QualityFacts(
        mode="min",
        definition="Mean cross-entropy per sample; a sample of a language model is a token.",
        unit="nats",
    ),
    "auroc": _fraction(
        "max",
        "Area under the ROC curve; with several labels, the mean over the labels that have "
        "positive and negative samples.",
        "area under the ROC curve",
    ),
    "average_precision": _fraction(
        "max",
        "Mean of the precision at each threshold, weighted by the gain in recall; with several "
        "labels, the mean over the labels that have positive and negative samples.",
    ),
    "f1": _fraction(
        "max", "F1 score of class 1; with several labels, over all labels together.", "F1"
    ),
    "log_loss": QualityFacts(
        mode="min",
        definition="Mean negative log-likelihood of the true class; with several labels, the mean "
        "over labels.",
        unit="nats",
    ),
    "brier_score": _fraction(
        "min",
        "Mean squared difference between the probability of class 1, or of a label, and 0 or 1.",
        "Brier score",
    ),
    "worst_group_accuracy": _fraction(
        "max", "Smallest accuracy among the groups of `data.group`.", "accuracy of the worst group"
    ),
    "group_accuracy_gap": _fraction(
        "min",
        "Largest minus smallest accuracy among the groups; needs samples of two groups.",
        "gap of accuracy between groups",
    ),
    "worst_group_recall": _fraction(
        "max",
        "Smallest recall of a class, or label, in a group in which it occurs.",
        "recall of the worst class of a group",
    ),
    "mse": QualityFacts(
        mode="min",
        definition="Mean squared error, in the squared unit of the data.",
        title="mean squared error",
    ),
    "mae": QualityFacts(
        mode="min",
        definition="Mean absolute error, in the unit of the data.",
        title="mean absolute error",
    ),
    "rmse": QualityFacts(
        mode="min", definition="Square root of `mse`.", title="root mean squared error"
    ),
    "r2": QualityFacts(
        mode="max",
        definition="1 minus the mean squared error divided by the variance of the targets; with "
        "several outputs, the mean over those whose targets vary.",
        lower=float("-inf"),
        upper=1.0,
        title="R2",
    ),
    "perplexity": QualityFacts(
        mode="min", definition="Exponential of `loss`, of a language model.", lower=1.0
    ),
    "bits_per_byte": QualityFacts(
        mode="min",
        definition="`loss` in bits, per byte of the text.",
        title="bits per byte",
        unit="bits",
    ),
}

# Names that no metric of a user can have: a loss is what is trained.
_TAKEN = (*RESERVED, "loss")


def require_metric_name(name: str, taken: Collection[str] = ()) -> None:
    """Refuse a name that a user's own metric cannot have.

    Args:
        name: The name under `metrics`.
        taken: Names of the qualities that the task itself reports.

    Raises:
        ValueError: It is no name, or it is taken.
    """
    if not str(name).isidentifier():
        raise ValueError(
            f"metrics.{name}: a name has letters, digits and underscores, and begins with no digit"
        )
    if name in (*_TAKEN, *taken):
        names = ", ".join(sorted({*taken, *_TAKEN}))
        raise ValueError(f"metrics.{name}: this name is taken; choose one other than {names}")


# What every classifier reports.
CLASSES = ("loss", "accuracy", "macro_f1", "worst_class_recall", "expected_calibration_error")
# What it reports besides where there are two classes, or several labels for each example.
LABELS = ("auroc", "average_precision", "f1", "log_loss", "brier_score")
# What a classifier of several labels reports. Its confidence is not that of one class.
MULTILABEL = (*CLASSES[:4], *LABELS)
# What it reports besides where data.group names a group for each example.
GROUPS = ("worst_group_accuracy", "group_accuracy_gap", "worst_group_recall")
REGRESSION = ("mse", "mae", "rmse", "r2")
LANGUAGE = ("loss", "accuracy", "perplexity", "bits_per_byte")

# The quality that stands for a run of each task where no target names another one.
MAIN_QUALITY: Mapping[str, str] = {
    "classification": "accuracy",
    "regression": "rmse",
    "language_modelling": "loss",
}

# By the name of the task: all that it can report. Which of them it does depends on the data.
TASK_QUALITIES: Mapping[str, tuple[str, ...]] = {
    "classification": (*CLASSES, *LABELS, *GROUPS),
    "regression": REGRESSION,
    "language_modelling": LANGUAGE,
}
