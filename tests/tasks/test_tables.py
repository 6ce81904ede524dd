"""Reading tables: which values are refused, with their row and column, and what targets become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.tasks.tables import Table, read_breast_cancer, read_csv, read_diabetes


def read(folder: Path, text: str, target: Any = "y", task: str = "classification") -> Table:
    (folder / "table.csv").write_text(text)
    return read_csv("table.csv", str(folder), ",", target, task)


def test_the_bundled_sets_are_those_of_scikit_learn() -> None:
    cancer, diabetes = read_breast_cancer(), read_diabetes()
    assert cancer.features.shape == (569, 30)
    # 212 malignant and 357 benign: scikit-learn's description of the data set.
    assert np.bincount(cancer.targets).tolist() == [212, 357]
    assert diabetes.features.shape == (442, 10)
    # As they are, not scaled with the statistics of all rows: an age is a number of years.
    assert diabetes.features["age"].between(19, 79).all()
    assert diabetes.targets.shape == (442, 1)
    assert diabetes.targets[:3, 0].tolist() == [151, 75, 141]


def test_the_hash_is_that_of_the_data() -> None:
    assert read_breast_cancer().data_hash == read_breast_cancer().data_hash
    assert read_breast_cancer().data_hash != read_diabetes().data_hash


def test_the_hash_of_a_csv_is_that_of_its_bytes(tmp_path: Path) -> None:
    # printf 'x,y\n1,a\n2,b\n' | sha256sum
    known = "01331cf653a16b7278f66569b5719303c2f18ce869c87638c09943a49d3e73dd"
    assert read(tmp_path, "x,y\n1,a\n2,b\n").data_hash == known


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        ("b,a,b", [1, 0, 1]),
        ("10,9,9", [1, 0, 0]),  # in the order of numbers, not of texts
        ("1.0,0.0,1.0", [1, 0, 1]),
        ("True,False,True", [1, 0, 1]),
    ],
)
def test_classes_are_numbered_in_sorted_order(
    tmp_path: Path, column: str, classes: list[int]
) -> None:
    rows = "".join(f"{value},0\n" for value in column.split(","))
    table = read(tmp_path, f"y,x\n{rows}")
    assert table.kind == "classification"
    assert table.targets.tolist() == classes
    assert table.targets.dtype == np.int64


def test_several_targets_are_labels_or_values(tmp_path: Path) -> None:
    labels = read(tmp_path, "a,b,x\n1,0,5\n0,1,6\n", ["a", "b"])
    assert labels.kind == "multilabel"
    assert labels.targets.tolist() == [[1, 0], [0, 1]]
    values = read(tmp_path, "a,b,x\n1.5,-2,5\n0,1,6\n", ["a", "b"], "regression")
    assert values.kind == "regression"
    assert values.targets.tolist() == [[1.5, -2], [0, 1]]


@pytest.mark.parametrize(
    ("text", "target", "task", "words"),
    [
        (
            "age,sex,y\n1,2,3\n",
            "agge",
            "regression",
            "data.target=agge: no such column among age, sex, y; did you mean age",
        ),
        ("x,y\n1,a\n2,\n", "y", "classification", "row 2 of column y is missing; each row needs a"),
        ("x,y\n1,1.5\n2,1\n", "y", "classification", "row 1 of column y is 1.5; .*task=regression"),
        ("x,y\n1,a\n2,a\n", "y", "classification", "data.target=y: has only one class, a;"),
        ("x,y\n1,3\n2,inf\n", "y", "regression", "row 2 of column y is inf; .*finite"),
        ("x,y\n1,3\n2,\n", "y", "regression", "row 2 of column y is missing; .*finite"),
        ("x,y\n1,3\n2,b\n", "y", "regression", "row 2 of column y is b; .*finite"),
        ("x,y\n1,1e39\n2,1\n", "y", "regression", r"row 1 of column y is 1e\+39; .*finite"),
        (
            "x,y\n1,0\n2,2\n",
            ["y"],
            "classification",
            "row 2 of column y is 2; .*must be 0 or 1; fo",
        ),
        ("x,y\n-inf,a\n2,b\n", "y", "classification", "row 1 of column x is -inf; features must"),
        ("y\na\nb\n", "y", "classification", "data.path=table.csv: needs a row, a target and ano"),
        ("x,y\n", "y", "classification", "data.path=table.csv: needs a row.* has 0 rows of x, y"),
        ("", "y", "classification", "data.path=table.csv: no CSV file .No columns to parse"),
        ('x,y\n1,"a\n', "y", "classification", "data.path=table.csv: no CSV file"),
        (
            "x,y\n1,a\n",
            "y",
            "module",
            "data.task=module: must be one of classification, regression",
        ),
    ],
)
def test_a_table_that_no_model_can_learn_from_is_refused(
    tmp_path: Path, text: str, target: Any, task: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read(tmp_path, text, target, task)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.path=no.csv: no such file here; .* in data.root"):
        read_csv("no.csv", None, ",", "y", "regression")
    with pytest.raises(ValueError, match=r"data.path=no.csv: no such file in data.root=/"):
        read_csv("no.csv", str(tmp_path), ",", "y", "regression")
    with pytest.raises(ValueError, match=r"data.path=/.*: cannot be read \(.*not a file"):
        read_csv(str(tmp_path), None, ",", "y", "regression")


def test_an_absolute_path_is_looked_up_by_its_name_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x;y\n1;2\n")
    table = read_csv("/elsewhere/table.csv", str(tmp_path), ";", "y", "regression")
    assert table.targets.tolist() == [[2]]


@pytest.mark.parametrize(
    ("text", "target", "separator", "message"),
    [
        ("x,y\n1,2,0\n", "y", ",", "rows have more values than the first line has names"),
        ("x;y\n1;0\n", "y", ",", "one name, x;y, if ',' separates values; give data.separator"),
        ("x,y\n1,0\n", "y", "ab", "data.separator=ab: must be one character, such as ; or"),
        ("x,y\n1,0\n", "y", "", "data.separator=: must be one character"),
        ("x;y\n14,23;0\n;1\n-1.000,5;1\n", "y", ";", "row 1 of column x is 14,23; like all"),
        ("x,y,z\n1,0,1\n", ["y", "y"], ",", r"data.target=\[y,y\]: names a column twice"),
    ],
)
def test_a_table_that_would_be_misread_is_refused(
    tmp_path: Path, text: str, target: Any, separator: str, message: str
) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_csv("table.csv", str(tmp_path), separator, target, "classification")


@pytest.mark.parametrize(
    ("text", "separator", "decimal"),
    [
        ("x;y\n1,5;0\n2,5;1\n", ";", ","),
        ("x\ty\n1.5\t0\n2.5\t1\n", r"\t", "."),  # as the shell and Hydra hand a tab on
        ("x, y\n1.5, 0\n2.5, 1\n", ",", "."),
        ("x,y\n1.5,0,\n2.5,1,\n", ",", "."),  # lines that end with the separator
        ("\ufeffx,y\n1.5,0\n2.5,1\n", ",", "."),
    ],
)
def test_tables_of_other_programs_are_read(
    tmp_path: Path, text: str, separator: str, decimal: str
) -> None:
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    table = read_csv("table.csv", str(tmp_path), separator, "y", "classification", decimal=decimal)
    assert table.features["x"].tolist() == [1.5, 2.5]
    assert table.targets.tolist() == [0, 1]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second one would be a feature, and may be a copy of the target."""
    (tmp_path / "twice.csv").write_text("x,y,y\n" + "1,2,2\n" * 10)
    with pytest.raises(ValueError, match="two columns are called y; rename one of them"):
        read_csv(str(tmp_path / "twice.csv"), None, ",", "y", "regression")
