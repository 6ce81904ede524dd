"""The label vault opens each label at its time, and not before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bench.cli.app import register
from bench.config.maintain import LabelsConfig
from bench.core.files import config_dir
from bench.drift.labels import LabelVault, SealedLabel
from bench.drift.samples import UNKNOWN, Index, Samples

CONF = config_dir()


def served(labels: list[int], known_after: list[int] | None = None) -> Samples:
    return Samples(
        ids=np.arange(len(labels)),
        features=np.zeros((len(labels), 1), dtype=np.float32),
        labels=np.array(labels, dtype=np.int64),
        known_after=None if known_after is None else np.array(known_after, dtype=np.int64),
    )


def filled(
    config: LabelsConfig, samples: Samples, predicted: Index | None = None, seed: int = 0
) -> LabelVault:
    vault = LabelVault(config, num_classes=2, seed=seed)
    vault.add(
        0, samples, np.zeros(len(samples), dtype=np.int64) if predicted is None else predicted
    )
    return vault


ALTERNATING = served([0, 1] * 1000)


def test_immediate_labels_open_with_their_prediction() -> None:
    vault = filled(LabelsConfig(), served([1, 0, 1]))
    assert vault.open(0).predictions.tolist() == []
    assert vault.open(2).predictions.tolist() == [0, 1]
    opened = vault.open(3)
    assert (opened.predictions.tolist(), opened.labels.tolist()) == ([2], [1])
    assert vault.open(3).predictions.tolist() == []
    assert vault.num_opened == 3
    assert opened.propensities.tolist() == [1.0]


def test_natural_labels_open_in_the_order_in_which_they_become_known() -> None:
    # Known at i + 1 + delay: 0 + 1 + 3 = 4, 1 + 1 + 1 = 3, 2 + 1 + 1 = 4, and never.
    samples = served([1, 0, 1, UNKNOWN], [3, 1, 1, 0])
    vault = filled(LabelsConfig(kind="natural"), samples)
    assert vault.open(4).predictions.tolist() == [1, 0, 2]
    assert vault.known(4).tolist() == [0, 1, 2]
    with pytest.raises(SealedLabel, match=r"1 of 2 labels are not known at 4.*prediction 3"):
        vault.labels_of(np.array([0, 3]), now=4)


def test_natural_labels_need_data_that_says_when() -> None:
    with pytest.raises(ValueError, match="labels=natural: the data does not say"):
        filled(LabelsConfig(kind="natural"), served([0]))


@pytest.mark.parametrize("kind", ["immediate", "delayed", "partial", "selective"])
def test_an_unknown_label_never_opens(kind: str) -> None:
    vault = filled(LabelsConfig(kind=kind), served([UNKNOWN, 0]))
    assert vault.open(2).predictions.tolist() == [1]
    with pytest.raises(SealedLabel):
        vault.labels_of(np.array([0]), now=10**9)


@given(
    delay=st.integers(0, 40),
    kind=st.sampled_from(["delayed", "partial", "selective"]),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6),
)
def test_no_label_newer_than_its_delay_is_ever_known(
    delay: int, kind: str, sizes: list[int]
) -> None:
    vault = LabelVault(
        LabelsConfig(
            kind=kind,
            delay=delay,
            fraction=0.5 if kind == "partial" else 1.0,
            held_out=0.3 if kind == "selective" else 0.0,
        ),
        num_classes=2,
        seed=1,
    )
    now, opened = 0, []
    for size in sizes:
        vault.add(now, served([0, 1] * size)[slice(size)], np.arange(size) % 2)
        now += size
        opened += vault.open(now).predictions.tolist()
        assert all(number < now - delay for number in opened)
        assert sorted(opened) == vault.known(now).tolist()
        sealed = np.setdiff1d(np.arange(now), opened)
        for number in (*sealed[:3], *sealed[-3:]):
            with pytest.raises(SealedLabel):
                vault.labels_of(np.array([number]), now)
    assert len(opened) == len(set(opened)) == vault.num_opened


def test_a_label_can_be_read_when_its_delay_is_over() -> None:
    vault = filled(LabelsConfig(kind="delayed", delay=1), served([1, 0, 0]))
    with pytest.raises(SealedLabel):
        vault.labels_of(np.array([0]), now=1)
    assert vault.labels_of(np.array([0]), now=2).tolist() == [1]


def test_partial_labels_are_drawn_with_their_propensity() -> None:
    vault = filled(LabelsConfig(kind="partial", fraction=0.3), ALTERNATING)
    opened = vault.open(2000)
    # 4 standard errors of a share of 0.3 in 2,000.
    assert len(opened) / 2000 == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 2000))
    assert set(opened.propensities) == {0.3} == {vault.least_propensity}


def test_selective_labels_are_seen_where_the_model_says_no() -> None:
    predicted = np.repeat([0, 1], 1000)
    vault = filled(LabelsConfig(kind="selective", held_out=0.2), ALTERNATING, predicted)
    opened = vault.open(2000)
    let_through = opened.predictions[opened.predictions >= 1000]
    assert opened.predictions[:1000].tolist() == list(range(1000))
    assert len(let_through) / 1000 == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 1000))
    assert set(opened.propensities[:1000]) == {1.0}
    assert set(opened.propensities[1000:]) == {0.2}
    assert vault.held_out_errors == int((let_through % 2 == 1).sum()) > 0
    assert (vault.least_propensity, vault.is_censored) == (0.2, False)


def test_without_held_out_traffic_a_refusal_is_never_judged() -> None:
    predicted = np.repeat([0, 1], 1000)
    vault = filled(LabelsConfig(kind="selective"), ALTERNATING, predicted)
    assert vault.open(2000).predictions.tolist() == list(range(1000))
    assert vault.held_out_errors == 0
    assert vault.is_censored


def test_coins_depend_on_the_seed_and_the_number_alone() -> None:
    config = LabelsConfig(kind="partial", fraction=0.5)
    whole = filled(config, ALTERNATING).known(2000)
    parts = LabelVault(config, num_classes=2, seed=0)
    for first, last in ((0, 7), (7, 1200), (1200, 2000)):
        parts.add(first, ALTERNATING[first:last], np.ones(last - first, dtype=np.int64))
    assert parts.known(2000).tolist() == whole.tolist()
    assert filled(config, ALTERNATING, seed=1).known(2000).tolist() != whole.tolist()


def test_a_model_that_says_no_more_often_flips_no_other_coin() -> None:
    config = LabelsConfig(kind="selective", held_out=0.5)
    every = filled(config, ALTERNATING, np.ones(2000, dtype=np.int64)).known(2000)
    half = filled(config, ALTERNATING, np.arange(2000) % 2).known(2000)
    assert [i for i in half if i % 2 == 1] == [i for i in every if i % 2 == 1]


def test_a_gap_between_predictions_is_refused() -> None:
    vault = filled(LabelsConfig(), served([0, 1]))
    with pytest.raises(ValueError, match="prediction 5: 2 are in the vault"):
        vault.add(5, served([0]), np.zeros(1, dtype=np.int64))
    with pytest.raises(ValueError, match="now=3: only 2 predictions"):
        vault.open(3)


def test_the_positive_class_must_exist() -> None:
    config = LabelsConfig(kind="selective", positive_class=2)
    with pytest.raises(ValueError, match=r"labels.positive_class=2: .* classes 0 to 1"):
        LabelVault(config, num_classes=2, seed=0)


@pytest.mark.parametrize("option", sorted(path.stem for path in CONF.glob("labels/*.yaml")))
def test_every_option_is_in_range_and_of_its_kind(option: str) -> None:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(overrides=[f"+labels={option}"])
    values: Any = OmegaConf.to_container(composed.labels, resolve=True)
    assert LabelsConfig.from_dict(values, "labels.").kind == option
