"""Preprocessing: standardisation with the statistics of the training samples, and gaps."""

from __future__ import annotations

import numpy as np

from bench.drift.preprocessing import Preprocessing

NAN = np.nan


def test_columns_are_standardised_with_the_statistics_they_were_fitted_to() -> None:
    """Of 1, 3 the mean is 2 and the deviation 1; of 10, 30 they are 20 and 10."""
    preprocessing = Preprocessing.fit(np.array([[1, 10], [3, 30]], dtype=np.float32))
    applied = preprocessing.apply(np.array([[4, 10]], dtype=np.float32))
    assert applied.tolist() == [[2, -1]]
    assert applied.dtype == np.float32


def test_a_missing_value_counts_for_nothing_and_becomes_the_mean() -> None:
    features = np.array([[1], [NAN], [3]], dtype=np.float32)
    applied = Preprocessing.fit(features).apply(features)
    assert applied[:, 0].tolist() == [-1, 0, 1]


def test_constant_and_empty_columns_are_zero_whatever_comes_later() -> None:
    # 0.1 is no float: a mean of a thousand has a rounding error, so a deviation is above zero.
    features = np.stack([np.full(1000, 0.1), np.full(1000, NAN)], 1).astype(np.float32)
    preprocessing = Preprocessing.fit(features)
    later = np.array([[0.1, NAN], [5e30, 7], [NAN, -1]], dtype=np.float32)
    assert (preprocessing.apply(features) == 0).all()
    assert (preprocessing.apply(later) == 0).all()


def test_images_are_standardised_by_channel() -> None:
    images = np.random.default_rng(0).normal([[[5]], [[-3]]], 2, (50, 2, 4, 4)).astype(np.float32)
    applied = Preprocessing.fit(images).apply(images)
    assert applied.shape == images.shape
    np.testing.assert_allclose(applied.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(applied.std((0, 2, 3)), 1, atol=1e-6)
