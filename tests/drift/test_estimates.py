"""Accuracy without labels, error from some labels, and frequencies of classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from bench.drift.estimates import Cbpe, adjusted, hajek_error, label_shift
from bench.drift.samples import Floats, Index

Doubles = NDArray[np.float64]


def binary(scores: Doubles) -> Floats:
    """Probabilities of a model with two classes, (n, 2)."""
    positive = expit(scores)
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def drawn(probability: Doubles, rng: np.random.Generator) -> Index:
    return (rng.random(len(probability)) < probability).astype(np.int64)


def overconfident(center: float, rng: np.random.Generator, size: int) -> tuple[Floats, Index]:
    """A model that says expit(3x), while P(y=1|x) is expit(x); inputs are N(center, 1)."""
    x = rng.normal(center, 1.0, size)
    return binary(3 * x), drawn(expit(x), rng)


@pytest.mark.parametrize("center", [0.0, 1.0, 2.0])
def test_cbpe_is_right_under_covariate_shift(center: float) -> None:
    rng = np.random.default_rng(0)
    cbpe = Cbpe(*overconfident(0.0, rng, 20_000))
    probabilities, labels = overconfident(center, rng, 50_000)
    truth = float((probabilities.argmax(1) == labels).mean())
    assert cbpe.accuracy(probabilities) == pytest.approx(truth, abs=0.01)
    # What the model claims without calibration is far off, so calibration is what makes it right.
    assert probabilities.max(1).mean() - truth > 0.02


def test_cbpe_is_blind_to_concept_drift() -> None:
    rng = np.random.default_rng(1)
    cbpe = Cbpe(*overconfident(0.0, rng, 20_000))
    probabilities, labels = overconfident(0.0, rng, 50_000)
    changed = np.where(rng.random(len(labels)) < 0.5, 1 - labels, labels)
    truth = float((probabilities.argmax(1) == changed).mean())
    assert truth == pytest.approx(0.5, abs=0.02)
    assert cbpe.accuracy(probabilities) - truth > 0.1


def test_hajek_by_hand() -> None:
    # Two seen with certainty (one wrong), one seen with probability 1/4 (wrong): weights 1, 1, 4.
    # Error (1 + 4)/6 = 5/6; deviations 1*1/6, -1*5/6, 4*1/6; sqrt(1 + 25 + 16)/6/6 = sqrt(42)/36.
    estimate = hajek_error(np.array([True, False, True]), np.array([1.0, 1.0, 0.25]))
    assert estimate.error == pytest.approx(5 / 6)
    assert estimate.standard_error == pytest.approx(np.sqrt(42) / 36)
    assert estimate.reason == ""


def selective(
    held_out: float, num_windows: int, window: int = 2000
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """True, naive and Hajek error per window, and the standard error of the last, if the label is
    seen where the model says negative (and errs in 10%), or is let through (and errs in 40%).
    """
    rng = np.random.default_rng([2, int(1000 * held_out)])
    says_positive = rng.random((num_windows, window)) < 1 / 3
    wrong = rng.random((num_windows, window)) < np.where(says_positive, 0.4, 0.1)
    propensity = np.where(says_positive, held_out, 1.0)
    seen = rng.random((num_windows, window)) < propensity
    estimates = [
        hajek_error(errors[mask], chance[mask])
        for errors, mask, chance in zip(wrong, seen, propensity, strict=True)
    ]
    return (
        wrong.mean(1),
        np.array([errors[mask].mean() for errors, mask in zip(wrong, seen, strict=True)]),
        np.array([each.error for each in estimates]),
        np.array([each.standard_error for each in estimates]),
    )


def test_hajek_is_right_where_the_naive_error_is_not() -> None:
    truth, naive, estimate, standard_error = selective(0.05, 200)
    bias = estimate - truth
    assert abs(bias.mean()) <= 4 * bias.std(ddof=1) / np.sqrt(200)
    assert abs((naive - truth).mean()) > 0.05
    # The true error is 1/3*0.4 + 2/3*0.1 = 0.2, and estimates scatter around it as they say.
    assert estimate.std(ddof=1) == pytest.approx(standard_error.mean(), rel=0.2)


def test_hajek_has_no_estimate_of_what_is_never_seen() -> None:
    seen = np.array([True, False])
    censored = hajek_error(seen, np.ones(2), is_censored=True)
    assert censored.error is None
    assert censored.standard_error is None
    assert "never be seen" in censored.reason
    assert "no label" in hajek_error(seen[:0], np.ones(0)).reason


@pytest.fixture(scope="module")
def digits() -> tuple[Floats, Index, Floats, Index]:
    """Held-out probabilities and labels of a digits model: a reference, and what is drawn from."""
    pixels, labels = load_digits(return_X_y=True)
    fit, rest, y_fit, y_rest = train_test_split(pixels, labels, train_size=500, random_state=0)
    model = LogisticRegression(max_iter=200).fit(fit / 16, y_fit)
    probabilities = model.predict_proba(rest / 16).astype(np.float32)
    return (probabilities[:600], y_rest[:600], probabilities[600:], y_rest[600:])


def test_bbse_finds_the_new_frequencies(digits: tuple[Floats, Index, Floats, Index]) -> None:
    reference, reference_labels, pool, pool_labels = digits
    by_class = [np.flatnonzero(pool_labels == k) for k in range(10)]
    distances = []
    for seed in range(100):
        rng = np.random.default_rng([3, seed])
        frequencies = rng.dirichlet(np.ones(10))
        counts = rng.multinomial(500, frequencies)
        chosen = [rng.choice(of_class, num) for of_class, num in zip(by_class, counts, strict=True)]
        shift = label_shift(reference, reference_labels, pool[np.concatenate(chosen)])
        assert shift.frequencies is not None
        distances.append(np.abs(shift.frequencies - frequencies).sum())
    assert np.mean(np.array(distances) <= 0.25) >= 0.95


def test_bbse_by_hand() -> None:
    # Reference: class 0 is predicted right in 9 of 10, class 1 in 8 of 10. Now 45 of 100 are
    # predicted as 1: q = (0.45 - 0.1)/(0.8 - 0.1) = 0.5 for class 1, which had 10 of 20.
    labels = np.repeat([0, 1], 10)
    said = np.array([0] * 9 + [1] + [1] * 8 + [0] * 2)
    now = np.array([1] * 45 + [0] * 55)
    eye = np.eye(2, dtype=np.float32)
    shift = label_shift(eye[said], labels, eye[now])
    assert shift.frequencies is not None
    assert shift.weights is not None
    np.testing.assert_allclose(shift.frequencies, [0.5, 0.5])
    np.testing.assert_allclose(shift.weights, [1.0, 1.0])
    assert shift.condition == pytest.approx(np.linalg.cond([[0.9, 0.2], [0.1, 0.8]]))


def test_bbse_leaves_no_negative_frequency() -> None:
    # Less is predicted as 1 than the errors of class 0 alone give: q_1 = (0 - 0.1)/0.7 < 0.
    labels = np.repeat([0, 1], 10)
    said = np.array([0] * 9 + [1] + [1] * 8 + [0] * 2)
    eye = np.eye(2, dtype=np.float32)
    shift = label_shift(eye[said], labels, eye[np.zeros(50, dtype=np.int64)])
    assert shift.frequencies is not None
    np.testing.assert_array_equal(shift.frequencies, [1.0, 0.0])


def test_bbse_refuses_a_model_that_confuses_classes() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(2, size=500)
    guesses = np.eye(2, dtype=np.float32)[rng.integers(2, size=500)]
    shift = label_shift(guesses, labels, guesses)
    assert shift.frequencies is None
    assert shift.weights is None
    assert "condition number" in shift.reason
    constant = np.eye(2, dtype=np.float32)[np.zeros(500, dtype=np.int64)]
    assert "condition number" in label_shift(constant, labels, constant).reason


def test_bbse_refuses_a_reference_without_a_class() -> None:
    perfect = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]
    shift = label_shift(perfect, np.array([0, 1, 0, 1]), perfect)
    assert shift.reason == "no held-out sample has class 2"


def test_adjusting_gives_the_posterior_of_the_new_prior() -> None:
    # Two classes N(-1, 1) and N(1, 1): P(1|x) = expit(2x + log(odds of the prior)).
    x = np.linspace(-3, 3, 13)
    moved = adjusted(binary(2 * x), np.array([0.2 / 0.5, 0.8 / 0.5]))
    np.testing.assert_allclose(moved, binary(2 * x + np.log(4)), atol=1e-6)
    assert moved.dtype == np.float32


def test_adjusting_keeps_a_row_that_has_only_impossible_classes() -> None:
    rows = np.array([[1.0, 0.0], [0.5, 0.5]], dtype=np.float32)
    np.testing.assert_array_equal(adjusted(rows, np.array([0.0, 1.0])), [[1.0, 0.0], [0.0, 1.0]])
