"""Reads tables: sets that come with scikit-learn, and CSV files.

A table is checked here as a whole: a value that no model could learn from is refused with its row
and column. Splits, missing features and standardisation come later (bench/tasks/tabular.py).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes

from bench.core.checks import require_one_of
from bench.core.errors import first_line
from bench.core.printable import printable
from bench.core.suggest import did_you_mean
from bench.tasks.own_files import hash_file, locate_file

Kind = Literal["classification", "multilabel", "regression"]
_TASKS = ("classification", "regression")
_MAX_LISTED = 30  # columns in a message
_TAB = r"\t"  # a tab as it is typed: neither the shell nor Hydra turns it into one character
_COMMA_NUMBER = r"[+-]?[\d.]*,\d+"
Targets = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of a data set, before they are split.

    Attributes:
        features: The columns to learn from, with n rows. Values may be missing, none is infinite.
        targets: Classes, int64 of shape (n,); or float32 of shape (n, num_targets): labels of 0 and
            1, or values.
        kind: Which of these the targets are.
        data_hash: SHA-256 of the data, in hex digits.
    """

    features: pd.DataFrame
    targets: Targets
    kind: Kind
    data_hash: str


def read_breast_cancer() -> Table:
    """Read 569 tumours with 30 measurements each; class 0 is malignant and class 1 benign."""
    return _read_bundled(load_breast_cancer(as_frame=True), "classification")


def read_diabetes() -> Table:
    """Read 442 patients with 10 values each; the target is how far the disease is after a year.

    The values are those of the patients: scikit-learn's scaled ones know all rows, and so the test
    split too.
    """
    return _read_bundled(load_diabetes(as_frame=True, scaled=False), "regression")


def _read_bundled(bunch: Any, kind: Kind) -> Table:
    values = bunch.frame.to_numpy(dtype="<f8", copy=True)
    target = bunch.target
    return Table(
        features=bunch.data,
        targets=_classes("data", target) if kind == "classification" else _values("data", [target]),
        kind=kind,
        data_hash=hashlib.sha256(values.tobytes()).hexdigest(),
    )


def read_csv(
    path: str,
    root: str | None,
    separator: str,
    target: Any,
    task: str,
    *,
    decimal: str = ".",
    owner: str = "data",
) -> Table:
    """Read a CSV file with a header.

    Args:
        path: The file.
        root: The folder that it is in; see locate_file().
        separator: What separates two values of a row.
        target: The column to predict. A list of columns is multilabel, or several values.
        task: `classification` or `regression`.
        decimal: The decimal point of numbers.
        owner: The keys are those of this one, for messages.

    Raises:
        ValueError: The file, a column or a value cannot be used.
    """
    require_one_of(f"{owner}.task", task, _TASKS)
    several = isinstance(target, Sequence) and not isinstance(target, str)
    names = [str(name) for name in target] if several else [str(target)]
    if len(names) != len(set(names)):
        raise ValueError(
            f"{owner}.target=[{','.join(names)}]: names a column twice; name each once"
        )
    file = locate_file(path, root, owner)
    frame = _read_frame(owner, path, file, separator, decimal)
    if len(frame.columns) == 1 and names != [*frame.columns]:
        raise ValueError(
            f"{owner}.path={path}: its first line has one name, {list_names(frame.columns)}, if "
            f"{separator!r} separates values; give {owner}.separator if another character does"
        )
    for name in names:
        require_column(f"{owner}.target", name, frame.columns)
    features = frame.drop(columns=names)
    if features.empty or not names:
        raise ValueError(
            f"{owner}.path={path}: needs a row, a target and another column to learn from; it has "
            f"{len(frame)} rows of {list_names(frame.columns)}"
        )
    _require_numbers(owner, features)
    columns = [frame[name] for name in names]
    kind: Kind = "regression"
    if task == "classification":
        kind = "multilabel" if several else "classification"
    read: dict[Kind, Callable[[], Targets]] = {
        "classification": lambda: _classes(owner, columns[0]),
        "multilabel": lambda: _labels(owner, columns),
        "regression": lambda: _values(owner, columns),
    }
    return Table(
        features=features,
        targets=read[kind](),
        kind=kind,
        data_hash=hash_file(file),
    )


def _read_frame(owner: str, path: str, file: Path, separator: str, decimal: str) -> pd.DataFrame:
    sep = "\t" if separator == _TAB else separator
    for key, character in (("separator", sep), ("decimal", decimal)):
        if len(character) != 1:
            example = f"; or {_TAB} for a tab" if key == "separator" else ","
            raise ValueError(f"{owner}.{key}={character}: must be one character, such as {example}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Without index_col=False, a row that is too long would shift its columns to the left.
            frame = pd.read_csv(
                file,
                sep=sep,
                decimal=decimal,
                index_col=False,
                skipinitialspace=True,
                low_memory=False,
            )
        header = pd.read_csv(file, sep=sep, header=None, nrows=1, dtype=str, skipinitialspace=True)
    except pd.errors.ParserWarning as error:
        raise ValueError(
            f"{owner}.path={path}: rows have more values than the first line has names; name each "
            f"column there, or set {owner}.separator if {separator!r} is not what separates values"
        ) from error
    except (ValueError, OSError, EOFError) as error:  # no CSV, an empty file, other text encodings
        raise ValueError(f"{owner}.path={path}: no CSV file ({first_line(error)})") from error
    # pandas would call the second one `y.1`: a copy of the target would become a feature.
    names = header.iloc[0].dropna()
    if names.duplicated().any():
        name = printable(names[names.duplicated()].iloc[0])
        raise ValueError(f"{owner}.path={path}: two columns are called {name}; rename one of them")
    frame.columns = frame.columns.map(str)
    return frame


def require_column(key: str, name: str, columns: Sequence[str] | pd.Index[str]) -> None:
    """Refuse a column that does not exist, with those that do.

    Raises:
        ValueError: It does not exist.
    """
    if name not in columns:
        raise ValueError(
            f"{key}={name}: no such column among {list_names(columns)}{did_you_mean(name, columns)}"
        )


def list_names(columns: Sequence[str] | pd.Index[str]) -> str:
    """List names of columns for an error, at most 30 of them."""
    names = ", ".join(columns[:_MAX_LISTED])
    rest = len(columns) - _MAX_LISTED
    return printable(f"{names} and {rest} more" if rest > 0 else names)


def _require_numbers(owner: str, features: pd.DataFrame) -> None:
    for name, column in features.select_dtypes("number").items():
        beyond = ~_is_finite(column) & column.notna().to_numpy()
        remedy = "features must be finite numbers or missing"
        _refuse_first(owner, str(name), column, beyond, remedy)
    for name, column in features.select_dtypes(exclude=["number", "bool"]).items():
        texts = column.dropna().astype(str)
        if len(texts) and texts.str.fullmatch(_COMMA_NUMBER).all():
            # As texts, each of these numbers would be a category of its own.
            remedy = (
                f"like all its values; give {owner}.decimal=',' or write numbers without commas"
            )
            _refuse_first(owner, str(name), column, column.notna().to_numpy(), remedy)


def _classes(owner: str, column: pd.Series[Any]) -> NDArray[np.int64]:
    """Number the classes of a column in sorted order, int64 of shape (n,)."""
    name = str(column.name)
    _refuse_first(owner, name, column, column.isna().to_numpy(), "each row needs a class")
    if pd.api.types.is_float_dtype(column):
        remedy = "a class must be a whole number or a text"
        if owner == "data":  # a stream always has classes
            remedy += "; use task=regression for other numbers"
        _refuse_first(owner, name, column, (column % 1 != 0).to_numpy(), remedy)
    codes, classes = pd.factorize(column, sort=True)
    if len(classes) < 2:
        raise ValueError(
            f"{owner}.target={name}: has only one class, {printable(classes[0])}; a classification "
            "needs two or more"
        )
    return codes.astype(np.int64)


def _labels(owner: str, columns: Sequence[pd.Series[Any]]) -> NDArray[np.float32]:
    """Read columns of 0 and 1 as float32 of shape (n, num_labels)."""
    for column in columns:
        other = ~_numbers(column).isin((0, 1)).to_numpy()
        remedy = "targets in a list must be 0 or 1; for classes, name one column without brackets"
        _refuse_first(owner, str(column.name), column, other, remedy)
    return _stack(columns)


def _values(owner: str, columns: Sequence[pd.Series[Any]]) -> NDArray[np.float32]:
    """Read columns of numbers as float32 of shape (n, num_outputs)."""
    for column in columns:
        remedy = "the target of a regression must be a finite number"
        wrong = ~_is_finite(_numbers(column))
        _refuse_first(owner, str(column.name), column, wrong, remedy)
    return _stack(columns)


def _stack(columns: Sequence[pd.Series[Any]]) -> NDArray[np.float32]:
    return np.stack([_numbers(each).to_numpy(dtype=np.float32) for each in columns], axis=1)


def _numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """The values as numbers; NaN where a value is none."""
    return pd.to_numeric(column, errors="coerce")


def _is_finite(column: pd.Series[Any]) -> NDArray[np.bool_]:
    """Whether each number is finite, also as float32."""
    with np.errstate(over="ignore"):
        finite: NDArray[np.bool_] = np.isfinite(column.to_numpy(dtype=np.float32, na_value=np.nan))
    return finite


def _refuse_first(
    owner: str, name: str, column: pd.Series[Any], wrong: NDArray[np.bool_], remedy: str
) -> None:
    """Name the first wrong value of a column; rows are counted from 1, without the header."""
    if wrong.any():
        row = int(wrong.argmax())
        value = column.iloc[row]
        text = "missing" if pd.isna(value) else printable(value)
        raise ValueError(f"{owner}: row {row + 1} of column {printable(name)} is {text}; {remedy}")
