"""Shifts: each changes one distribution as its definition says, and keeps the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.drift.estimates import label_shift
from bench.drift.samples import Samples
from bench.drift.streams.build import DriftStream
from bench.drift.streams.shifts import draw_in_proportion
from bench.drift.streams.synthetic import bayes_accuracy, class_probabilities
from tests.drift.made_streams import make, source_of

Keys = dict[str, Any]
SEPARATION = 3.25
# 10 windows of 400, of which the last 5 are drifted, from chunks of 4,900.
LONG = {
    "num_windows": 10,
    "window": 400,
    "initial_samples": 1000,
    "source": source_of(50_000),
}


def joined(stream: DriftStream, first: int, last: int) -> Samples:
    windows = [stream.samples(window) for window in range(first, last)]
    return Samples(
        ids=np.concatenate([window.ids for window in windows]),
        features=np.concatenate([window.features for window in windows]),
        labels=np.concatenate([window.labels for window in windows]),
    )


def truth(samples: Samples) -> NDArray[np.float64]:
    return class_probabilities(samples.features, num_classes=3, separation=SEPARATION)


def test_the_true_probabilities_of_the_synthetic_pool_are_calibrated() -> None:
    """Their argmax is right as often as bayes_accuracy() says, and sum(y - p) is noise."""
    pool = make(LONG).pool.samples
    probabilities = truth(pool)
    accuracy = (probabilities.argmax(1) == pool.labels).mean()
    expected = bayes_accuracy(num_classes=3, separation=SEPARATION)
    assert expected == pytest.approx(0.9087, abs=1e-4)
    assert abs(accuracy - expected) < 4 * np.sqrt(expected * (1 - expected) / len(pool))
    for number in range(3):
        assert_unchanged(probabilities[:, number], pool.labels == number)


def assert_unchanged(probability: NDArray[np.float64], happened: NDArray[np.bool_]) -> None:
    """Events happen as often as their probabilities say, in total and in 5 bins of them.

    Each event is Bernoulli(p_i), so sum(y - p)/sqrt(sum p (1 - p)) is about N(0, 1), and the
    squares of the 5 bins add up to about chi2(5).
    """
    bins = np.array_split(np.argsort(probability), 5)

    def z(part: Any) -> float:
        p = probability[part]
        return float((happened[part] - p).sum() / np.sqrt((p * (1 - p)).sum()))

    assert abs(z(slice(None))) <= 4
    assert stats.chi2(5).sf(sum(z(part) ** 2 for part in bins)) >= 0.001


def test_covariate_shift_keeps_the_class_of_an_input_and_moves_the_inputs() -> None:
    """x0 decides about class 0. The frequency of class 0 moves, P(y|x) does not."""
    stream = make(LONG, kind="covariate", strength=0.8, feature="x0")
    drifted = joined(stream, 5, 10)
    for number in range(3):
        assert_unchanged(truth(drifted)[:, number], drifted.labels == number)
    assert (drifted.labels == 0).mean() > 0.5


@pytest.mark.parametrize("strength", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("schedule", ["sudden", "burst"])
def test_covariate_shift_moves_a_normal_feature_by_its_strength(
    strength: float, schedule: str
) -> None:
    """Weights exp(gamma z) turn N(0, 1) into N(gamma, 1); x9 is noise, so it is normal."""
    width = None if schedule == "sudden" else 2000
    keys: Keys = {"schedule": schedule, "strength": strength, "feature": "x9", "width": width}
    stream = make(LONG, kind="covariate", **keys)
    initial = stream.initial.features[:, 9]
    for first, last, moved in ((0, 5, 0.0), (5, 10, strength)):
        z = (joined(stream, first, last).features[:, 9] - initial.mean()) / initial.std()
        # The mean of the initial samples, which z subtracts, has an error of its own.
        error = np.sqrt(1 / len(z) + 1 / len(initial))
        assert abs(z.mean() - moved) <= 4 * error


def test_a_sliding_covariate_shift_moves_with_its_strength() -> None:
    stream = make(LONG, kind="covariate", strength=0.8, feature="x9", schedule="seasonal")
    means = [stream.samples(window).features[:, 9].mean() for window in range(10)]
    expected = [0.8 * float(stream.strength(window) or 0.0) for window in range(10)]
    assert max(expected) > 0.7
    assert np.abs(np.subtract(means, expected)).max() <= 4 * np.sqrt(1 / 400 + 1 / 1000)


@pytest.mark.parametrize("strength", [1.4, 3.0, 100.0])
def test_a_covariate_shift_too_strong_for_its_chunk_is_refused(strength: float) -> None:
    """A chunk of 4,900 has 4,900 exp(-gamma^2) effective samples: 690 for 1.4, and 1,200 needed."""
    stream = make(LONG, kind="covariate", strength=strength, feature="x9")
    stream.samples(4)
    with pytest.raises(ValueError, match=rf"drift.strength={strength:g}: .*needs 1200; lower"):
        stream.samples(5)


def test_samples_are_drawn_with_probabilities_in_proportion_to_their_weights() -> None:
    """Of weights 1, 2, 3, 4, 10 and two draws, the probabilities are 0.1, 0.2, 0.3, 0.4 and 1.

    One draw after the other would draw the first with probability 0.05 + 0.05 x (weight of others),
    which is not in proportion.
    """
    generator = np.random.default_rng(0)
    weights = np.array([1.0, 2, 3, 4, 10])
    drawn = np.stack([draw_in_proportion(weights, 2, generator) for _ in range(4000)])
    assert (drawn[:, 0] != drawn[:, 1]).all()
    shares = np.bincount(drawn.ravel(), minlength=5) / len(drawn)
    expected = np.array([0.1, 0.2, 0.3, 0.4, 1.0])
    assert (np.abs(shares - expected) <= 4 * np.sqrt(expected * (1 - expected) / 4000)).all()
    # In random order: the heaviest is as often the first as the second.
    assert abs((drawn[:, 0] == 4).mean() - 0.5) <= 4 * np.sqrt(0.25 / 4000)


@pytest.mark.parametrize(("effective", "within"), [(3, (-1.0, 0.0)), (1, (-6.0, -4.0))])
def test_three_windows_of_effective_samples_make_a_selection_honest(
    effective: int, within: tuple[float, float]
) -> None:
    """The mean of a window of 400 lacks less than a standard error with three, and 5 with one.

    For strength gamma = 1, a chunk of n has n exp(-gamma^2) effective samples. Samples whose
    probability would exceed 1 are drawn for certain, and the rest of their mass is lost.
    """
    generator = np.random.default_rng(0)
    means = []
    for _ in range(100):
        z = generator.standard_normal(round(effective * 400 * np.e))
        means.append(z[draw_in_proportion(np.exp(z), 400, generator)].mean())
    bias = (np.mean(means) - 1) / np.sqrt(1 / 400)
    assert within[0] < bias < within[1]


def test_more_than_one_sample_can_be_certain() -> None:
    """Of weights 1, 1, 50, 1000 and three draws, the third is certain once the fourth is."""
    generator = np.random.default_rng(0)
    weights = np.array([1.0, 1, 50, 1000])
    drawn = [set(draw_in_proportion(weights, 3, generator)) for _ in range(50)]
    assert all({2, 3} < each for each in drawn)
    assert {0, 2, 3} in drawn
    assert {1, 2, 3} in drawn


def test_label_shift_keeps_the_inputs_of_each_class_and_follows_its_frequencies() -> None:
    """Class 1 gets 70%, and 30% remain for the others, in proportion."""
    stream = make(LONG, kind="label", strength=0.7, target_class=1)
    pool, drifted = stream.pool.samples, joined(stream, 5, 10)
    shares = np.bincount(pool.labels) / len(pool)
    expected = shares * 0.3 / (1 - shares[1])
    expected[1] = 0.7
    counts = np.bincount(drifted.labels)
    assert stats.chisquare(counts, expected * len(drifted)).pvalue >= 0.001
    tests = [
        stats.ks_2samp(
            drifted.features[drifted.labels == number][:, column],
            pool.features[pool.labels == number][:, column],
        ).pvalue
        for number in range(3)
        for column in range(10)
    ]
    assert min(tests) * len(tests) >= 0.001


def test_label_shift_slides_with_its_strength() -> None:
    stream = make(LONG, kind="label", strength=0.9, schedule="incremental", at=0, width=4000)
    own = (stream.pool.samples.labels == 0).mean()
    for window in range(10):
        strength = float(stream.strength(window) or 0.0)
        expected = own + strength * (0.9 - own)
        share = (stream.samples(window).labels == 0).mean()
        assert abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / 400)


def test_black_box_shift_estimation_finds_the_frequencies_of_a_label_shift() -> None:
    """With 500 samples the L1 error is at most 0.25 in 95 of 100 windows; the model is the best."""
    sizes = {"num_windows": 100, "window": 500, "source": source_of(120_000)}
    stream = make({**LONG, **sizes}, kind="label", strength=0.7, at=0)
    initial = stream.initial
    expected = np.array([0.7, 0.15, 0.15])
    errors = []
    for window in range(100):
        estimate = label_shift(
            truth(initial).astype(np.float32),
            initial.labels,
            truth(stream.samples(window)).astype(np.float32),
        )
        assert estimate.frequencies is not None
        errors.append(np.abs(estimate.frequencies - expected).sum())
    assert np.sum(np.array(errors) <= 0.25) >= 95


def test_label_shift_beyond_the_samples_of_a_class_is_refused() -> None:
    """10 windows share 4,000 samples: a chunk has about 133 of a class, and 360 are needed."""
    stream = make({**LONG, "source": source_of(5000)}, kind="label", strength=0.9)
    with pytest.raises(ValueError, match=r"drift.strength=0.9: a window needs \d+ samples of cla"):
        stream.samples(5)


def changed_labels(stream: DriftStream, first: int, last: int) -> tuple[Samples, Samples]:
    """The samples of a concept drift and those without, whose inputs must be the same bits."""
    sizes = {"num_windows": stream.num_windows, "window": stream.window}
    plain = joined(make({**LONG, **sizes}), first, last)
    drifted = joined(stream, first, last)
    np.testing.assert_array_equal(drifted.ids, plain.ids)
    assert drifted.features.tobytes() == plain.features.tobytes()
    return drifted, plain


@pytest.mark.parametrize("schedule", ["sudden", "gradual", "incremental", "seasonal", "burst"])
def test_concept_drift_keeps_the_inputs_and_changes_labels_of_its_region_only(
    schedule: str,
) -> None:
    region = [0.25, 0.75]
    keys: Keys = {"strength": 0.6, "feature": "x1", "region": region, "target_class": 2}
    stream = make(LONG, kind="concept", schedule=schedule, **keys)
    drifted, plain = changed_labels(stream, 0, 10)
    low, high = np.quantile(stream.initial.features[:, 1], region)
    inside = (plain.features[:, 1] >= low) & (plain.features[:, 1] <= high)
    changed = drifted.labels != plain.labels
    assert changed.any()
    assert not changed[~inside].any()
    # A label becomes class 2, and one that is class 2 becomes the next one, class 0.
    assert (drifted.labels[changed] == np.where(plain.labels[changed] == 2, 0, 2)).all()
    means = [0.6 * float(stream.strength(window) or 0.0) for window in range(10)]
    expected = np.repeat(means, 400)[inside]
    error = np.sqrt((expected * (1 - expected)).sum() + 1e-9)
    assert abs(changed[inside].sum() - expected.sum()) <= 4 * error


def test_sudden_concept_drift_begins_exactly_at_its_prediction() -> None:
    stream = make(LONG, kind="concept", strength=1.0, region=[0.0, 1.0], at=1037)
    drifted, plain = changed_labels(stream, 0, 10)
    assert ((drifted.labels != plain.labels) == (np.arange(4000) >= 1037)).all()


def test_half_of_the_samples_are_of_the_new_concept_in_the_middle_of_a_gradual_drift() -> None:
    """By symmetry, around t0 the expected share is 0.5; changed labels show which ones are new."""
    keys: Keys = {"region": [0.0, 1.0], "at": 2200, "width": 1000}
    stream = make(LONG, kind="concept", schedule="gradual", strength=1.0, **keys)
    drifted, plain = changed_labels(stream, 5, 6)
    share = (drifted.labels != plain.labels).mean()
    assert abs(share - 0.5) <= 4 * np.sqrt(0.25 / 400)
    assert share == stream.strength(5)


def test_gradual_covariate_shift_is_a_mixture_of_old_and_new_inputs() -> None:
    """Half N(0, 1) and half N(1, 1): mean 0.5, variance 1 + 1/4; a moved normal would have 1."""
    keys: Keys = {"feature": "x9", "at": 2000, "width": 100_000, "strength": 1.0}
    stream = make(LONG, kind="covariate", schedule="gradual", **keys)
    z = joined(stream, 0, 10).features[:, 9]
    assert abs(z.mean() - 0.5) <= 4 * np.sqrt(1.25 / 4000 + 1 / 1000)
    # The variance of a variance is about 2 sigma^4 / n.
    assert abs(z.var() - 1.25) <= 4 * 1.25 * np.sqrt(2 / 4000 + 2 / 1000)
