"""Two-sample tests of all columns of a table at once."""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom, ks_2samp

from bench.drift.detectors.batch import best_p
from bench.drift.samples import Floats, Index


class Columns:
    """The columns of a reference, to compare those of other samples with.

    A column with more than two values in the reference gets the test of Kolmogorov and Smirnov with
    its exact p-value. Equal values, such as those that replace missing ones, make that p-value too
    large and never too small, so they cost power and no false alarms.

    A column with one or two values gets an exact test of the share of each value. The chi-square
    test is only approximate, and wrong for rare values at the small levels that the corrections
    leave: for 3 of 100 against 0 of 1,000 it has p = 4e-8, where the exact test has p = 7e-4.

    Source: ties: Noether, "Note on the Kolmogorov statistic in the discrete case", Metrika 7
        (1963); shares: Fisher's exact test, two-sided by doubling the smaller tail.
    """

    def __init__(self, reference: Floats) -> None:
        """Sort the columns.

        Args:
            reference: Shape (n, num_columns), n >= 1.
        """
        self._num = len(reference)
        ordered = np.sort(reference, axis=0)
        has_many = (np.diff(ordered, axis=0) != 0).sum(axis=0) > 1
        self._many = np.flatnonzero(has_many)
        self._ordered = np.ascontiguousarray(ordered[:, has_many].T)
        # Both values of a column: the share of one alone would not show a third value.
        shares = [
            (column, value)
            for column in np.flatnonzero(~has_many)
            for value in np.unique(reference[:, column])
        ]
        self._few = np.array([column for column, _ in shares], dtype=np.int64)
        self._values = np.array([value for _, value in shares], dtype=reference.dtype)
        self._counts = self._count(reference)

    @property
    def num_tests(self) -> int:
        """Number of tests, by which the smallest p-value is multiplied."""
        return len(self._many) + len(self._few)

    def smallest_p(self, num: int) -> float:
        """The result of p_value() for samples that differ as much as `num` samples can."""
        return min(1.0, 2 * best_p(self._num, num) * self.num_tests)

    def p_value(self, values: Floats) -> float:
        """Test all columns.

        Args:
            values: Samples, shape (m, num_columns), m >= 1.

        Returns:
            The smallest p-value, times the number of tests (Bonferroni), at most 1.
        """
        smallest = min(self._smallest_of_many(values), self._smallest_of_shares(values))
        return min(1.0, smallest * self.num_tests)

    def _smallest_of_many(self, values: Floats) -> float:
        """Of columns with many values; all have the same size, so the largest distance decides."""
        if not len(self._many):
            return 1.0
        ordered = np.sort(values[:, self._many], axis=0).T
        distances = [
            ks_distance(before, now) for before, now in zip(self._ordered, ordered, strict=True)
        ]
        largest = int(np.argmax(distances))
        return float(ks_2samp(self._ordered[largest], ordered[largest]).pvalue)

    def _smallest_of_shares(self, values: Floats) -> float:
        if not len(self._few):
            return 1.0
        counts, num = self._count(values), len(values)
        drawn = (self._num + num, self._counts + counts, num)
        tails = np.minimum(hypergeom.cdf(counts, *drawn), hypergeom.sf(counts - 1, *drawn))
        return float(2 * tails.min())

    def _count(self, values: Floats) -> Index:
        """How often each value occurs in its column, shape (number of shares,)."""
        counts: Index = (values[:, self._few] == self._values).sum(axis=0, dtype=np.int64)
        return counts


def ks_distance(reference: Floats, values: Floats) -> float:
    """The largest distance of two empirical distribution functions.

    The function of the values only changes at the values, so the largest distance is at one of
    them, or just before it. With few values, this is faster than scipy's, which sorts both samples.

    Args:
        reference: Ascending, shape (n,), n >= 1.
        values: Ascending, shape (m,), m >= 1.
    """
    steps = np.arange(len(values) + 1) / len(values)
    below = np.searchsorted(reference, values, side="left") / len(reference)
    up_to = np.searchsorted(reference, values, side="right") / len(reference)
    return float(max((below - steps[:-1]).max(), (steps[1:] - up_to).max()))
