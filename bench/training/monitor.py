"""Reads the metric that the target is about from what a validation logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor

from bench.core.target import Target, meets, require_possible

_log = logging.getLogger(__name__)

_COARSE = (torch.bfloat16, torch.float16)


class Monitor:
    """Tells what the module logged in the validation that just ended, and in no other."""

    def __init__(self, name: str, target: Target) -> None:
        """Nothing is read yet.

        Args:
            name: Under which the module logs the metric in validation.
            target: Which metric that is, and its threshold.
        """
        self._name, self._target = name, target
        self._before: Mapping[str, Tensor] = {}

    def validation_started(self, trainer: pl.Trainer) -> None:
        """Remember what was logged before: Lightning keeps it, of training steps as well."""
        self._before = dict(trainer.callback_metrics)

    def is_logged(self, trainer: pl.Trainer) -> bool:
        """Whether there is a value."""
        return self._name in self._logged(trainer)

    def value(self, trainer: pl.Trainer) -> float:
        """The value that was logged.

        Raises:
            ValueError: It was not logged in this validation, or the metric cannot have it.
        """
        logged = self._logged(trainer)
        if self._name not in logged:
            names = ", ".join(sorted(logged)) or "nothing"
            raise ValueError(f"monitor={self._name}: not logged in validation; logged: {names}")
        value = float(logged[self._name])
        try:
            require_possible(self._target.metric, value)
        except ValueError as error:
            raise ValueError(f"monitor={self._name}: {error}") from error
        self._warn_of_coarse(value)
        return value

    def _logged(self, trainer: pl.Trainer) -> dict[str, Tensor]:
        # Each time that Lightning takes in what was logged, it makes new tensors.
        return {
            name: value
            for name, value in trainer.callback_metrics.items()
            if value is not self._before.get(name)
        }

    def _warn_of_coarse(self, value: float) -> None:
        """Tell of a miss that is due to a coarse type alone; Lightning does not keep the type."""
        threshold = self._target.value
        if meets(value, threshold, self._target.mode):
            return
        for dtype in _COARSE:
            if value == float(torch.tensor(threshold, dtype=dtype)):
                _log.warning(
                    "monitor=%s: %g is %g rounded to %s, which misses it; if it was computed in "
                    "this type, log it in float32",
                    *(self._name, value, threshold, dtype),
                )
