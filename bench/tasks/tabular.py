"""The data module of tables: splits, encoding of columns, and groups of rows.

Everything that is computed from values, such as a mean or the categories, uses training rows only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor
from typing_extensions import override

from bench.core.printable import printable
from bench.tasks.feature_scale import FeatureScale
from bench.tasks.loaders import Index, PreparedSplit
from bench.tasks.split_data import SplitDataModule
from bench.tasks.tables import (
    Table,
    read_breast_cancer,
    read_csv,
    read_diabetes,
    require_column,
)

# Three folds are the training split, one is the validation and one the test split.
_NUM_FOLDS = 5
_MAX_CATEGORIES = 100  # of one column; the rarest beyond share one output
_MAX_NUMERIC_GROUPS = 10
_MISSING = "missing"


def breast_cancer(**options: Any) -> TabularDataModule:
    """Breast cancer Wisconsin, from scikit-learn: 569 rows of 30 numbers, two classes."""
    return TabularDataModule(read=read_breast_cancer, **options)


def diabetes(**options: Any) -> TabularDataModule:
    """Diabetes, from scikit-learn: 442 rows of 10 numbers, and a number to predict."""
    return TabularDataModule(read=read_diabetes, **options)


def csv_file(
    *,
    path: str,
    target: Any,
    task: str,
    root: str | None = None,
    separator: str = ",",
    decimal: str = ".",
    **options: Any,
) -> TabularDataModule:
    """A CSV file of the user's; see bench.tasks.tables.read_csv for the arguments."""
    read = partial(read_csv, path, root, separator, target, task, decimal=decimal)
    return TabularDataModule(read=read, **options)


@dataclass(kw_only=True, eq=False)
class TabularDataModule(SplitDataModule):
    """Rows of a table with their targets: 60% to train on, 20% to validate, 20% to test.

    Numbers are standardised; a missing one becomes the median of its column. Each category of a
    text column becomes an input of 0 or 1; a missing text is a category too, and one that no
    training row has is 0 in all of them.

    Nothing is read before setup(), which sets the attributes after `group`. Of num_classes,
    num_labels and num_outputs it sets the one that the targets need.

    Attributes:
        read: Reads the table.
        split_seed: Decides which rows are in which split; they are stratified by class.
        group: The column that divides rows into groups; it stays a feature.
        input_shape: (num_features,), of one encoded row.
        feature_scale: How its numbers were standardised.
        num_classes: Number of classes.
        num_labels: Number of labels, each 0 or 1.
        num_outputs: Number of values to predict.
        target_mean: For values, the mean of each over the training split, float32 (num_outputs,).
        target_std: The same for the standard deviation, 1 for a constant. Targets keep their unit.
        groups: For `val` and `test`, the group of each row in the order of the loader, int64 (n,).
        group_names: The names of the groups.
        data_hash: SHA-256 of the data.
    """

    read: Callable[[], Table]
    split_seed: int = 0
    group: str | None = None
    input_shape: tuple[int] = field(init=False)
    feature_scale: FeatureScale = field(init=False)
    num_classes: int = field(init=False)
    num_labels: int = field(init=False)
    num_outputs: int = field(init=False)
    target_mean: Tensor = field(init=False)
    target_std: Tensor = field(init=False)
    groups: dict[str, Tensor] = field(init=False, default_factory=dict)
    group_names: list[str] = field(init=False, default_factory=list)
    data_hash: str = field(init=False)

    @override
    def setup(self, stage: str = "fit") -> None:
        """Read, split and encode the table, once.

        Raises:
            ValueError: The table cannot be read or split, or the batch is larger than the training
                split.
        """
        if self.splits:
            return
        table = self.read()
        rows = split_rows(table, self.split_seed)
        self.data_hash = table.data_hash
        self.num_train_samples = len(rows["train"])
        self.train_order()  # refuses a batch that is too large
        if self.group is not None:
            self._set_groups(self.group, table, rows)
        self._describe_targets(table, rows["train"])
        features, self.feature_scale = encode(table.features, rows["train"])
        self.input_shape = (features.shape[1],)
        for name, index in rows.items():
            inputs, targets = torch.from_numpy(features[index]), table.targets[index]
            self.splits[name] = PreparedSplit(inputs, torch.from_numpy(targets))

    def _describe_targets(self, table: Table, train: Index) -> None:
        if table.kind == "classification":
            self.num_classes = int(table.targets.max()) + 1
        elif table.kind == "multilabel":
            self.num_labels = table.targets.shape[1]
        else:
            self.num_outputs = table.targets.shape[1]
            scaler = StandardScaler().fit(table.targets[train])
            self.target_mean = torch.from_numpy(scaler.mean_).float()
            self.target_std = torch.from_numpy(scaler.scale_).float()

    def _set_groups(self, column: str, table: Table, rows: dict[str, Index]) -> None:
        if table.kind == "regression":
            raise ValueError(f"data.group={column}: only a classification has groups; leave it out")
        require_column("data.group", column, table.features.columns)
        indices, self.group_names = group_rows(table.features[column], rows["train"])
        for name, title in (("val", "validation"), ("test", "test")):
            present = np.unique(indices[rows[name]])
            if len(present) < 2:
                raise ValueError(
                    f"data.group={column}: the {title} split has only the group "
                    f"{self.group_names[present[0]]}; name a column with two groups or more"
                )
            self.groups[name] = torch.from_numpy(indices[rows[name]])


def split_rows(table: Table, split_seed: int) -> dict[str, Index]:
    """Divide the rows of a table into `train` (60%), `val` and `test` (20% each).

    Args:
        table: Its rows are stratified by class; those of other kinds are not.
        split_seed: Decides which row is in which split.

    Returns:
        The sorted indices of the rows in each split.

    Raises:
        ValueError: There are too few rows, or too few of each class.
    """
    num_rows = len(table.targets)
    if num_rows < _NUM_FOLDS:
        raise ValueError(f"data: has {num_rows} rows; three splits need at least {_NUM_FOLDS}")
    stratified = table.kind == "classification"
    if stratified and np.bincount(table.targets).max() < _NUM_FOLDS:
        raise ValueError(
            f"data: none of its {table.targets.max() + 1} classes has {_NUM_FOLDS} rows, which "
            "three splits need; use task=regression if the targets are amounts"
        )
    kind = StratifiedKFold if stratified else KFold
    folds = kind(_NUM_FOLDS, shuffle=True, random_state=split_seed)
    with warnings.catch_warnings():
        # A class of fewer rows than folds is missing in some splits, and that is allowed.
        warnings.simplefilter("ignore", UserWarning)
        parts = [part for _, part in folds.split(np.empty(num_rows), table.targets)]
    *train, val, test = parts
    return {"train": np.sort(np.concatenate(train)), "val": val, "test": test}


def encode(features: pd.DataFrame, train: Index) -> tuple[NDArray[np.float32], FeatureScale]:
    """Turn columns of numbers and texts into standardised numbers and zeros and ones.

    Args:
        features: The columns, with n rows.
        train: The rows that statistics and categories are taken from.

    Returns:
        Numbers first, then categories in sorted order, shape (n, num_features); and how the numbers
        were standardised.
    """
    numbers = features.select_dtypes(["number", "bool"]).columns
    texts = features.columns.difference(numbers, sort=False)
    frame = features.astype({name: float for name in numbers})
    frame[texts] = frame[texts].astype(str).where(frame[texts].notna(), _MISSING)
    # A column without a value in the training split becomes 0 everywhere.
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=_MAX_CATEGORIES, sparse_output=False
    )
    scale = make_pipeline(impute, StandardScaler())
    encoder = ColumnTransformer([("numbers", scale, numbers), ("texts", categories, texts)])
    encoder.fit(frame.iloc[train])
    encoded: NDArray[np.float32] = encoder.transform(frame).astype(np.float32)
    # Categories keep their zeros and ones, as if their mean were 0 and their deviation 1.
    mean, std = np.zeros(encoded.shape[1]), np.ones(encoded.shape[1])
    if len(numbers):
        fitted = encoder.named_transformers_["numbers"][-1]
        mean[: len(numbers)], std[: len(numbers)] = fitted.mean_, fitted.scale_
    names = [str(name) for name in numbers]
    return encoded, FeatureScale(mean=mean, std=std, axis=0, num_features=len(names), names=names)


def group_rows(column: pd.Series[Any], train: Index) -> tuple[NDArray[np.int64], list[str]]:
    """Divide rows into groups by the values of a column.

    Each value is a group. Numbers with more than 10 different values are cut at the median of the
    training split into two groups instead. Rows without a value are a group of their own.

    Args:
        column: The column, n rows.
        train: The rows of the training split.

    Returns:
        The index of each row's group, shape (n,), and the names of the groups.
    """
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if is_number and column.nunique() > _MAX_NUMERIC_GROUPS:
        median = column.iloc[train].median()
        names = [f"{column.name}<={median:g}", f"{column.name}>{median:g}"]
        codes = np.where(column.isna(), -1, column > median)
    else:
        codes, values = pd.factorize(column, sort=True)
        names = [f"{column.name}={value}" for value in values]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(names), codes)
        names.append(f"{column.name}={_MISSING}")
    return codes.astype(np.int64), [printable(name) for name in names]
