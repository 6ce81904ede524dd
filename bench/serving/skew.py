"""Training-serving skew: what two paths make of the same inputs of the test split.

The training path is what the data module gives. The serving path is what reaches the model when the
load generator asks for the same inputs; over HTTP, the server prepares them from what it has
stored. Both must give the same features up to rounding, and the same model then gives the same
outputs. Whatever differs more is a defect of one of the two paths.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.compression.artifact import Artifact
from bench.config.serve import ServeConfig
from bench.core.arrays import Inputs, named_arrays
from bench.core.records.skew import Skew
from bench.serving.backend import Outputs
from bench.serving.find_backend import make_backend
from bench.serving.in_process import InProcessSystem
from bench.serving.model import TrainedModel
from bench.serving.scenarios import run_accuracy
from bench.serving.system_under_test import UnderTest

# Both paths compute (x - mean) / std in float32, whose rounding is 6e-8 of each result. Ten times
# that allows for another order of the operations.
_FEATURES_FRAC = 1e-6
# Of the largest output. In float32, another batch size changes outputs of ResNet-18,
# MobileNetV3-small and EfficientNet-B0 by 2e-6 of it at most, in PyTorch and ONNX Runtime on a CPU.
_OUTPUTS_FRAC = 1e-5
# On a GPU, convolutions may round their inputs to the 10 bits of TF32, which is 5e-4 of each.
_OUTPUTS_FRAC_CUDA = 1e-3
# A server of the user's own has a runtime and a precision that nobody knows here.
_OUTPUTS_FRAC_ELSEWHERE = 1e-3
_CLASSES = ("binary", "multiclass")
_UNSEEN = "the server is your own, and prepares its features itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What counts as skew besides a difference of features.

    Attributes:
        by: `outputs`: any difference of outputs beyond rounding. `classes`: a predicted class that
            changes, with a difference beyond rounding. `features`: nothing else.
        outputs_frac: Rounding of outputs, as a share of the largest output.
    """

    by: Literal["outputs", "classes", "features"]
    outputs_frac: float


def check_skew(
    config: ServeConfig,
    trained: TrainedModel,
    under_test: UnderTest,
    artifact: Artifact | None,
    answers: Outputs,
) -> Skew:
    """Compare the training and the serving path on every input of the test split.

    Args:
        config: The configuration.
        trained: The model's training run.
        under_test: The system that gave the answers.
        artifact: The served model; None for a server of the user's own.
        answers: What was served for the test split, shape (n, ...), in its order.

    Raises:
        ValueError: The model cannot be opened once more, or cannot answer.
    """
    facts = trained.task_facts()
    predicts_classes = facts is not None and facts.kind in _CLASSES
    if artifact is None:
        # Its outputs may be probabilities, on which the predicted classes do not depend.
        by: Literal["classes", "outputs"] = "classes" if predicts_classes else "outputs"
        rule = Rule(by=by, outputs_frac=_OUTPUTS_FRAC_ELSEWHERE)
    elif config.compression.method != "none":
        # Scales and roundings may depend on the other inputs of a batch.
        rule = Rule(by="features", outputs_frac=0.0)
    else:
        on_gpu = under_test.facts.get("device") == "cuda"
        rule = Rule(by="outputs", outputs_frac=_OUTPUTS_FRAC_CUDA if on_gpu else _OUTPUTS_FRAC)
    return compare_paths(
        trained.test.inputs,
        under_test.features(),
        _reference(config, trained, under_test, artifact),
        answers,
        rule=rule,
        planted=config.skew.kind if config.skew else None,
        predicts_classes=predicts_classes,
    )


def _reference(
    config: ServeConfig, trained: TrainedModel, under_test: UnderTest, artifact: Artifact | None
) -> Outputs:
    """What the same model gives for the inputs of the data module, shape (n, ...)."""
    if artifact is None:
        return trained.outputs()
    with ExitStack() as stack:
        backend = under_test.backend
        if backend is None:  # the server has it in another process
            backend = make_backend(
                config.backend.runtime, device=config.backend.device, num_threads=config.num_threads
            )
            backend.open(artifact)
            stack.callback(backend.close)
        # In batches of the size that was served: another one would round differently.
        system = InProcessSystem(
            backend,
            trained.test.inputs,
            max_batch_size=under_test.max_batch_size,
            queued=False,
        )
        return run_accuracy(system, len(trained.test), seed=config.seed)[1]


def compare_paths(
    training: Inputs,
    serving: Inputs | None,
    reference: Outputs,
    answers: Outputs,
    *,
    rule: Rule,
    planted: str | None = None,
    predicts_classes: bool,
) -> Skew:
    """Judge the differences between two paths.

    Args:
        training: Inputs as the training path gives them, shape (n, ...).
        serving: The same inputs as the serving path gives them; None if they cannot be seen.
        reference: Outputs for `training`, shape (n, ...).
        answers: Outputs that were served, shape (n, ...).
        rule: What counts as skew.
        planted: Fault that was planted.
        predicts_classes: Whether an output is a logit for each class.
    """
    features = None if serving is None else float(_differences(training, serving).max())
    features_tolerance = _FEATURES_FRAC * max(1.0, _magnitude(training))
    by_input = _differences(reference, answers)
    outputs, rounding = float(by_input.max()), rule.outputs_frac * _magnitude(reference)
    changed = _changed_frac(reference, answers, by_input > rounding) if predicts_classes else None
    wrong = [
        features is not None and features > features_tolerance,
        rule.by == "outputs" and outputs > rounding,
        rule.by == "classes" and changed != 0.0,
    ]
    skew = Skew(
        planted=planted,
        num_samples=len(training),
        features_max_difference=_finite(features),
        features_tolerance=None if serving is None else features_tolerance,
        features_reason=None if serving is not None else _UNSEEN,
        outputs_max_difference=_finite(outputs),
        outputs_tolerance=rounding if rule.by == "outputs" else None,
        changed_predictions_frac=changed,
        found=any(wrong),
    )
    return replace(skew, finding=_finding(skew)) if skew.found else skew


def _changed_frac(reference: Outputs, answers: Outputs, differ: NDArray[np.bool_]) -> float | None:
    """Share of predicted classes that change; None if the outputs are not as many.

    Rounding decides a tie, so a tie is no change.
    """
    if reference.shape != answers.shape:
        return None
    return float((differ & (reference.argmax(axis=1) != answers.argmax(axis=1))).mean())


def _differences(one: Inputs, other: Inputs) -> NDArray[np.float64]:
    """The largest difference of each input's numbers, shape (n,).

    Infinite if one has a number where the other has none, or has more numbers.
    """
    if one.dtype.names:
        arrays = zip(named_arrays(one).values(), named_arrays(other).values(), strict=True)
        largest: NDArray[np.float64] = np.array([_differences(*each) for each in arrays]).max(
            axis=0
        )
        return largest
    # Over HTTP, the outputs of an input are one flat list.
    first, second = (each.reshape(len(each), -1).astype(np.float64) for each in (one, other))
    if first.shape != second.shape:
        return np.full(len(one), np.inf)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        apart = np.abs(first - second)
    apart[(first == second) | (np.isnan(first) & np.isnan(second))] = 0
    of_inputs: NDArray[np.float64] = np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max(axis=1)
    return of_inputs


def _magnitude(values: Inputs) -> float:
    """The largest finite number; 0 if there is none, and for inputs of several tensors."""
    if values.dtype.names:
        return 0.0
    return float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))


def _finite(difference: float | None) -> float | None:
    return difference if difference is not None and math.isfinite(difference) else None


def _finding(skew: Skew) -> str:
    """What differs by how much, in one line."""
    parts = [
        f"{name} differ by up to {_amount(value)}{rounding}"
        for name, value, tolerance in (
            ("features", skew.features_max_difference, skew.features_tolerance),
            ("outputs", skew.outputs_max_difference, skew.outputs_tolerance),
        )
        if name == "outputs" or skew.features_reason is None
        for rounding in ("" if tolerance is None else f" (rounding: {tolerance:.2g})",)
    ]
    if skew.changed_predictions_frac is not None:
        frac = skew.changed_predictions_frac
        parts.append(f"{frac:.1%} of {skew.num_samples} predictions change")
    planted = f"; skew={skew.planted} was planted" if skew.planted else ""
    return f"skew between training and serving: {', '.join(parts)}{planted}"


def _amount(difference: float | None) -> str:
    return "any amount, as one is no number" if difference is None else f"{difference:.3g}"
