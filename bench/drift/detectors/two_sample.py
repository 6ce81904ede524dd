"""Univariate tests of what the model gets and of what it answers, corrected for their number."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bench.drift.detectors.base import Reference, Served
from bench.drift.detectors.batch import BatchDetector
from bench.drift.detectors.columns import Columns
from bench.drift.samples import Floats


class TwoSample(BatchDetector):
    """Tests each input of the model, after preprocessing; see Columns.

    It alarms at any change of an input, whether it harms the model or not, and sees no change of
    the labels alone.

    Source: Rabanser, Guennemann, Lipton, "Failing loudly", NeurIPS 2019 (arXiv 1810.11953).
    """

    name: ClassVar[str] = "two_sample"

    def _prepare(self, reference: Reference) -> None:
        self._columns = Columns(reference.inputs)

    def _smallest_p(self, num_window: int) -> float:
        return self._columns.smallest_p(num_window)

    def _p_value(self, served: Served) -> float:
        return self._columns.p_value(served.inputs)


class BlackBoxShift(BatchDetector):
    """Tests the answers of the model: its probabilities, or only the classes that it predicts.

    The classes are tested by their shares; with all of them, that is what a chi-square test does.

    Source: Lipton, Wang, Smola, "Detecting and correcting for label shift with black box
        predictors", ICML 2018 (arXiv 1802.03916).
    """

    name: ClassVar[str] = "bbsd"

    def __init__(self, *, outputs: str = "probabilities") -> None:
        """Keep the setting.

        Args:
            outputs: `probabilities` or `classes`.

        Raises:
            ValueError: It is neither.
        """
        if outputs not in ("probabilities", "classes"):
            raise ValueError(f"detector.outputs={outputs}: must be probabilities or classes")
        self._outputs = outputs

    def _prepare(self, reference: Reference) -> None:
        self._columns = Columns(self._watched(reference.probabilities))

    def _smallest_p(self, num_window: int) -> float:
        return self._columns.smallest_p(num_window)

    def _p_value(self, served: Served) -> float:
        return self._columns.p_value(self._watched(served.probabilities))

    def _watched(self, probabilities: Floats) -> Floats:
        """What is tested, a column for each class."""
        num_classes = probabilities.shape[1]
        if self._outputs == "classes":
            predicted: Floats = np.eye(num_classes, dtype=np.float32)[probabilities.argmax(1)]
            return predicted
        # The probability of the second of two classes says the same as that of the first.
        return probabilities[:, :1] if num_classes == 2 else probabilities
