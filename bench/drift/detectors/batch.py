"""Detectors that test at the end of each window whether it comes from the same source."""

from __future__ import annotations

import math
from abc import abstractmethod

from bench.drift.detectors.base import Detection, Detector, Reference, Served


def best_p(num_reference: int, num_window: int) -> float:
    """The p-value of the most extreme of all equally probable divisions into two parts."""
    return 1 / math.comb(num_reference + num_window, num_window)


class BatchDetector(Detector):
    """Compares each window with the reference by a test, and alarms if its p-value is small.

    The level of each test is alpha / number of windows (Bonferroni). So alpha bounds the
    probability of a false alarm in the whole stream, although all tests share one reference. Each
    test is for samples that do not depend on one another.
    """

    def start(
        self, reference: Reference, *, alpha: float, num_windows: int, window: int, seed: int
    ) -> None:
        """Keep what each window is compared with.

        Raises:
            ValueError: The samples are too few for any evidence.
        """
        self._level = alpha / num_windows
        self._seed = seed
        num = len(reference.labels)
        if num >= 2:
            self._prepare(reference)
        if num < 2 or self._smallest_p(window) > self._level:
            raise ValueError(
                f"detector={self.name}: {num} held-out samples and windows of {window} are too "
                f"few: no difference is significant at the level {self._level:.2g} of one window; "
                "give more stream.initial_samples, a larger stream.window or a smaller "
                "stream.num_windows"
            )

    def update(self, served: Served) -> Detection:
        """Test a window."""
        p_value = self._p_value(served)
        return Detection(
            alarm=served.last if p_value <= self._level else None,
            statistic=p_value,
            threshold=self._level,
        )

    @abstractmethod
    def _prepare(self, reference: Reference) -> None:
        """Keep what each window is compared with."""

    @abstractmethod
    def _smallest_p(self, num_window: int) -> float:
        """The p-value of a window that differs as much as a window of this size can."""

    @abstractmethod
    def _p_value(self, served: Served) -> float:
        """The probability of a difference at least as large if nothing has changed."""
