"""Metrics that the user adds to a task: any torchmetrics class, by `metrics.NAME._target_`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from bench.core.metric import Better
from bench.core.qualities import QUALITIES, require_metric_name


class UserMetrics:
    """The metrics of a user, checked once, and then computed in every evaluation."""

    def __init__(self, metrics: Mapping[str, Any], own_names: Collection[str]) -> None:
        """Check the metrics.

        Args:
            metrics: What the `_target_` of each name gave.
            own_names: The qualities that the task itself reports.

        Raises:
            ValueError: A name is taken, is no name, or is in the catalogue with the other
                direction, or an object is not a torchmetrics.Metric.
        """
        for name, metric in metrics.items():
            require_metric_name(name, own_names)
            _require_metric(name, metric)
            _require_meaning(name, metric)
        self._metrics: dict[str, Metric] = dict(metrics)
        for metric in self._metrics.values():
            _keep_to_one_rank(metric)
        self._has_nan: list[Tensor] = []  # per batch, on its device, so that none is waited for

    @property
    def directions(self) -> dict[str, Better | None]:
        """The better direction of each metric; None if torchmetrics does not know it."""
        return {name: _direction(metric) for name, metric in self._metrics.items()}

    def reset(self) -> None:
        """Forget earlier batches; call this before each evaluation."""
        for metric in self._metrics.values():
            metric.reset()
        self._has_nan.clear()

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch.

        Args:
            predictions: What torchmetrics takes for this task, such as probabilities of classes
                (n, num_classes), of class 1 (n,), of labels (n, num_labels), or values.
            targets: What is true.

        Raises:
            ValueError: A metric does not take them; the message names it and has the reason.
        """
        self._has_nan.append(predictions.isnan().any())
        for name, metric in self._metrics.items():
            if metric.device != predictions.device:
                metric.to(predictions.device)
            _run(name, metric.update, predictions, targets)

    def compute(self) -> dict[str, float]:
        """Compute the value of each metric over the batches since reset().

        All are NaN if a prediction was. Most metrics of torchmetrics take NaN for class 0, so a
        model that has diverged could reach a target.

        Raises:
            ValueError: A metric cannot be computed, or its value is not one number; the message
                names it.
        """
        if any(self._has_nan):
            return dict.fromkeys(self._metrics, math.nan)
        return {
            name: _number(name, metric, _run(name, metric.compute))
            for name, metric in self._metrics.items()
        }


def _require_metric(name: str, metric: Any) -> None:
    if not isinstance(metric, Metric):
        raise ValueError(
            f"metrics.{name}: _target_ gave {_describe(metric)}, must give a torchmetrics.Metric"
        )


def _require_meaning(name: str, metric: Metric) -> None:
    """Refuse a name of the catalogue for a metric that is better the other way."""
    direction = _direction(metric)
    if name in QUALITIES and direction not in (None, QUALITIES[name].mode):
        better = "larger" if direction == "max" else "smaller"
        raise ValueError(
            f"metrics.{name}: {type(metric).__name__} is better when it is {better}, and {name} "
            "of other tasks the other way; choose another name"
        )


def _direction(metric: Metric) -> Better | None:
    if metric.higher_is_better is None:
        return None
    return "max" if metric.higher_is_better else "min"


def _keep_to_one_rank(metric: Metric) -> None:
    """Have a metric, and those it wraps, compute from the samples of this process alone."""
    for part in metric.modules():
        if isinstance(part, Metric):
            # Each rank sees the whole split, so adding up the ranks would count samples twice.
            part.distributed_available_fn = _is_never_distributed


def _is_never_distributed() -> bool:
    return False


def _run(name: str, call: Callable[..., Any], *arguments: Tensor) -> Any:
    try:
        return call(*arguments)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # the run is recorded as out of memory, whoever asked for it
    except Exception as error:  # a metric may fail in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"metrics.{name}: {reason}") from error


def _number(name: str, metric: Metric, value: Any) -> float:
    if isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1):
        return float(value)
    raise ValueError(
        f"metrics.{name}: {type(metric).__name__} computes {_describe(value)}, must compute one "
        "number; give it an average, or use another class"
    )


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an object of type {type(value).__name__}"
