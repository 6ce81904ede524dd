"""Finds a task by its name, and makes it for a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.tasks.classification import Classification, Labelling
from bench.tasks.language_modelling import LanguageModelling
from bench.tasks.regression import Regression
from bench.tasks.task import Task

# How to provide the attributes of any data, after setup().
_OF_ANY_DATA = {
    "input_shape": "give (channels, height, width) of one image, or the shape of another input",
    "num_train_samples": "give the number of samples in the training split",
}
_TASKS: dict[str, type[Task]] = {
    each.name: each for each in (Classification, Regression, LanguageModelling)
}


def make_task(
    name: str,
    data: Any,
    metrics: Mapping[str, Any] | None = None,
    *,
    label_smoothing: float = 0.0,
) -> Task:
    """Make the task of a run.

    Args:
        name: Value of the key `task`.
        data: The data after setup().
        metrics: The user's torchmetrics objects by name.
        label_smoothing: Of the training loss; as in Task.

    Raises:
        ValueError: The data is not made for the task, or a metric cannot be used.
    """
    kind = _TASKS[name]
    if kind is Classification and hasattr(data, "num_labels"):
        kind = Labelling
    _require_attributes(kind, data)
    return kind(data, metrics, label_smoothing=label_smoothing)


def _require_attributes(kind: type[Task], data: Any) -> None:
    for name, remedy in {**kind.needs, **_OF_ANY_DATA}.items():
        if not hasattr(data, name):
            other = _other(data) if name in kind.needs else ""
            raise ValueError(f"data: {name} is missing after setup(); {remedy}{other}")
    for name in (*kind.needs, "num_train_samples"):
        value = getattr(data, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"data: {name} is {value!r}, must be a whole number of at least 1")


def _other(data: Any) -> str:
    """Name the task that the data is made for, if there is one."""
    for name, kind in _TASKS.items():
        if all(hasattr(data, each) for each in kind.needs):
            return f", or choose task={name}, which this data is made for"
    return ""
