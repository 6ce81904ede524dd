"""Splits, encoding and groups of scikit-learn's tables, and of tables whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from bench.tasks.tables import Kind, Table, Targets
from bench.tasks.tabular import (
    TabularDataModule,
    breast_cancer,
    diabetes,
    encode,
    group_rows,
    split_rows,
)

ALL = np.arange(4)


def ready(data: TabularDataModule) -> TabularDataModule:
    data.setup()
    return data


def made(
    targets: Targets, kind: Kind = "classification", group: str | None = None, **columns: Any
) -> TabularDataModule:
    features = pd.DataFrame({"x": np.arange(float(len(targets))), **columns})
    table = Table(features=features, targets=targets, kind=kind, data_hash="")
    return TabularDataModule(read=lambda: table, batch_size=1, seed=0, group=group)


def loaded(loader: Any) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*loader, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def test_breast_cancer_is_split_by_class() -> None:
    data = ready(breast_cancer(batch_size=1, seed=0))
    parts = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    splits = [loaded(part) for part in parts]
    # Of 569 rows, four folds have 114 and one has 113.
    assert [inputs.shape for inputs, _ in splits] == [(342, 30), (114, 30), (113, 30)]
    assert (data.num_train_samples, data.input_shape, data.num_classes) == (342, (30,), 2)
    assert not hasattr(data, "num_outputs")
    for _, targets in splits:  # 357 of 569 are benign, 62.7%
        assert targets.dtype == torch.int64
        assert targets.double().mean().item() == pytest.approx(357 / 569, abs=0.01)


def test_diabetes_keeps_its_unit_and_tells_its_scale() -> None:
    data = ready(diabetes(batch_size=1, seed=0))
    _, targets = loaded(data.train_dataloader())
    assert (data.num_outputs, targets.shape) == (1, (266, 1))
    assert 25 <= targets.min() < targets.max() <= 346  # scikit-learn's description
    assert data.target_mean.tolist() == pytest.approx([targets.mean().item()])
    assert data.target_std.tolist() == pytest.approx([targets.std(correction=0).item()])


def test_statistics_are_those_of_the_training_split_alone() -> None:
    data = ready(diabetes(batch_size=1, seed=0))
    train, _ = loaded(data.train_dataloader())
    assert train.mean(dim=0).abs().max().item() == pytest.approx(0, abs=1e-5)
    assert train.std(dim=0, correction=0).tolist() == pytest.approx([1] * 10, abs=1e-4)
    validation, _ = loaded(data.val_dataloader())
    assert validation.mean(dim=0).abs().min().item() > 1e-4


def test_rows_outside_of_the_training_split_change_no_encoding() -> None:
    features = pd.DataFrame({"x": [1.0, 3, 5, 100], "c": ["a", "b", "a", "zzz"]})
    train = np.array([0, 1, 2])
    other = features.assign(x=[1.0, 3, 5, -7], c=["a", "b", "a", "b"])
    assert (encode(features, train)[0][train] == encode(other, train)[0][train]).all()


def test_numbers_are_standardised_and_categories_become_zeros_and_ones() -> None:
    features = pd.DataFrame(
        {
            "c": ["b", None, "a", "new"],
            "x": [
                1,
                np.nan,
                3,
                5,
            ],  # the median of 1 and 3 is 2; their mean is 2, their std 1 / 1.5
            "constant": [7, 7, 7, 9],
            "empty": [np.nan, np.nan, np.nan, 4],
            "yes": [True, False, True, False],  # of True, False and True: mean 2/3, std sqrt(2)/3
        }
    )
    encoded, scale = encode(features, np.array([0, 1, 2]))
    std = (2 / 3) ** 0.5
    assert encoded[:, 0].tolist() == pytest.approx([-1 / std, 0, 1 / std, 3 / std])
    assert encoded[:, 1].tolist() == [0, 0, 0, 2]  # a constant is divided by 1
    assert encoded[:, 2].tolist() == [0, 0, 0, 4]
    assert encoded[:2, 3].tolist() == pytest.approx([(1 / 3) / (2**0.5 / 3), -(2**0.5)])
    # a, b and missing, in this order; a category that no training row has is none of them.
    assert encoded[:, 4:].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert encoded.dtype == np.float32
    assert scale.names == ["x", "constant", "empty", "yes"]
    assert scale.num_features == 4
    assert scale.mean.tolist() == pytest.approx([2, 7, 0, 2 / 3, 0, 0, 0])
    assert scale.std.tolist() == pytest.approx([std, 1, 1, 2**0.5 / 3, 1, 1, 1])


def test_the_rarest_of_many_categories_share_an_input() -> None:
    # 150 categories: 99 are kept, and the other 51 are one.
    features = pd.DataFrame({"id": [f"{i:03}" for i in range(150)]})
    encoded, scale = encode(features, np.arange(150))
    assert scale.num_features == 0
    assert encoded.shape == (150, 100)
    assert sorted(encoded.sum(axis=0))[-2:] == [1, 51]


def test_the_split_seed_decides_the_splits_and_the_seed_the_order() -> None:
    table = Table(
        features=pd.DataFrame(), targets=np.arange(40) % 2, kind="classification", data_hash=""
    )
    one, other = split_rows(table, 0), split_rows(table, 1)
    assert not np.array_equal(one["val"], other["val"])
    assert sorted(np.concatenate(list(one.values()))) == list(range(40))
    assert {name: len(rows) for name, rows in one.items()} == {"train": 24, "val": 8, "test": 8}
    first, second = (ready(breast_cancer(batch_size=32, seed=seed)) for seed in (0, 1))
    assert torch.equal(loaded(first.val_dataloader())[0], loaded(second.val_dataloader())[0])
    train = [loaded(data.train_dataloader())[0] for data in (first, second)]
    assert train[0].shape == (320, 30)  # 342 = 10 x 32 + 22
    assert not torch.equal(*train)


def test_a_class_may_be_missing_in_a_split() -> None:
    data = ready(made(np.array([0] * 6 + [1] * 6 + [2])))
    assert data.num_classes == 3
    splits = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    assert sum(2 in loaded(split)[1] for split in splits) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (made(np.array([0, 1, 0, 1])), "data: has 4 rows; three splits need at least 5"),
        (made(np.arange(8)), "data: none of its 8 classes has 5 rows.*task=regression"),
        (made(np.arange(10) % 2, group="z"), "data.group=z: no such column among x"),
        (
            made(np.arange(10) % 2, group="g", g=["a"] * 10),
            "data.group=g: the validation split has only the group g=a; name a column with two",
        ),
        (
            made(np.ones((10, 1), np.float32), "regression", group="x"),
            "data.group=x: only a classification has groups",
        ),
        (
            breast_cancer(batch_size=343, seed=0),
            "batch_size=343: larger than num_train_samples=342",
        ),
    ],
)
def test_what_the_table_does_not_allow_is_refused(data: TabularDataModule, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.setup()


def test_labels_of_several_kinds() -> None:
    labels = np.stack([np.arange(10) % 2, np.arange(10) % 3 == 0], axis=1).astype(np.float32)
    data = ready(made(labels, "multilabel"))
    assert data.num_labels == 2
    _, targets = loaded(data.val_dataloader())
    assert (targets.shape, targets.dtype) == ((2, 2), torch.float32)


def test_groups_are_in_the_order_of_the_loader() -> None:
    colours = ["red", "blue"] * 10
    data = ready(made(np.arange(20) % 4 // 2, group="colour", colour=colours))
    assert data.group_names == ["colour=blue", "colour=red"]
    assert data.groups.keys() == {"val", "test"}
    for name, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        inputs, _ = loaded(loader)
        # x is first, then blue and red: the group stays a feature.
        assert torch.equal(inputs[:, 2].long(), data.groups[name])


@pytest.mark.parametrize(
    ("column", "codes", "names"),
    [
        (["b", "a", None, "a"], [1, 0, 2, 0], ["g=a", "g=b", "g=missing"]),
        ([10, 9, 10, 9], [1, 0, 1, 0], ["g=9", "g=10"]),
        ([True, False, True, True], [1, 0, 1, 1], ["g=False", "g=True"]),
    ],
)
def test_each_value_is_a_group(column: list[Any], codes: list[int], names: list[str]) -> None:
    indices, found = group_rows(pd.Series(column, name="g"), ALL)
    assert (indices.tolist(), found) == (codes, names)


def test_many_numbers_are_cut_at_the_median_of_the_training_split() -> None:
    column = pd.Series([*range(11), 1000.0, np.nan], name="age")
    indices, names = group_rows(column, np.arange(11))  # the median of 0 to 10 is 5
    assert names == ["age<=5", "age>5", "age=missing"]
    assert indices.tolist() == [0] * 6 + [1] * 6 + [2]
