"""Pools: images of Fashion-MNIST, and the user's own table."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.drift.samples import Pool
from bench.drift.streams.csv import csv_stream
from bench.drift.streams.images import fashion_mnist

TABLE = """when,size,color,paid
2026-01-03,1.5,red,yes
2026-01-01,,blue,no
2026-01-02T08:00,3,,yes
2026-01-01,4,red,no
"""


def read(folder: Path, text: str = TABLE, **keys: Any) -> Pool:
    (folder / "orders.csv").write_text(text)
    usual = {"path": "orders.csv", "root": str(folder), "target": "paid", "time": "when"}
    return csv_stream(**{**usual, "separator": ",", "decimal": ".", **keys})


def test_rows_are_in_the_order_of_time_and_equal_times_in_that_of_the_file(tmp_path: Path) -> None:
    pool = read(tmp_path)
    assert pool.is_ordered
    assert pool.samples.ids.tolist() == [1, 3, 2, 0]
    assert pool.samples.labels.tolist() == [0, 0, 1, 1]
    assert pool.num_classes == 2


def test_numbers_stay_and_texts_become_columns(tmp_path: Path) -> None:
    pool = read(tmp_path)
    assert list(pool.feature_names) == ["size", "color=blue", "color=missing", "color=red"]
    nan = float("nan")
    expected = [[nan, 1, 0, 0], [4, 0, 0, 1], [3, 0, 1, 0], [1.5, 0, 0, 1]]
    np.testing.assert_array_equal(pool.samples.features, expected)
    assert pool.samples.features.dtype == np.float32


def test_times_can_be_numbers(tmp_path: Path) -> None:
    pool = read(tmp_path, "when,x,paid\n10,1,a\n9,2,b\n-1,3,a\n")
    assert pool.samples.ids.tolist() == [2, 1, 0]
    assert list(pool.feature_names) == ["x"]


def test_rare_categories_share_a_column(tmp_path: Path) -> None:
    """Of 300 rows, 1% are 3: `c` has as many, and `d`, `e` and `f` have fewer."""
    colors = "a" * 200 + "b" * 92 + "c" * 3 + "d" * 2 + "e" * 2 + "f"
    rows = [f"{number},{color},{number % 2}" for number, color in enumerate(colors)]
    pool = read(tmp_path, "\n".join(["when,color,paid", *rows]))
    assert list(pool.feature_names) == ["color=a", "color=b", "color=c", "color=other"]
    assert pool.samples.features.sum(0).tolist() == [200, 92, 3, 5]


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        (TABLE, {"path": "no.csv"}, r"stream.source.path=no.csv: .* stream.source.root$"),
        (TABLE, {"target": "payd"}, "stream.source.target=payd: no such column .* mean paid"),
        (TABLE, {"time": "wen"}, "stream.source.time=wen: no such column .* mean when"),
        (TABLE, {"separator": ";;"}, "stream.source.separator=;;: must be one character"),
        (TABLE, {"separator": ";"}, "stream.source.path=.*give stream.source.separator if"),
        (
            TABLE.replace("2026-01-02T08:00", "yesterday"),
            {},
            "stream.source.time=when: row 3 is yesterday; each row needs",
        ),
        (
            TABLE.replace("2026-01-02T08:00", ""),
            {},
            "stream.source.time=when: row 3 is missing; each row needs",
        ),
        ("when,paid\n1,a\n2,b\n", {}, "stream.source.path=orders.csv: needs a column to learn"),
        ("when,x,paid\n1,1,0.5\n2,1,1\n", {}, "stream.source: row 1 of column paid is 0.5.*text$"),
        ("when,x,paid\n1,1,a\n2,1,a\n", {}, "stream.source.target=paid: has only one class"),
    ],
)
def test_a_table_that_is_no_stream_is_refused(
    tmp_path: Path, text: str, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, **keys)


def write_idx(path: Path, values: Any) -> None:
    """Write the format of the MNIST files: type 8 is a byte, then the number of dimensions."""
    array = np.asarray(values, dtype=np.uint8)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_the_images_of_both_files_are_one_pool(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(5, 28, 28))
    for name, part in (("train", slice(0, 3)), ("t10k", slice(3, 5))):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", images[part])
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", np.arange(5)[part])
    pool = fashion_mnist(root=str(tmp_path), download=False)
    assert pool.input_shape == (1, 28, 28)
    np.testing.assert_array_equal(pool.samples.features[:, 0], images)
    assert pool.samples.labels.tolist() == [0, 1, 2, 3, 4]
    assert (pool.num_classes, pool.is_ordered) == (10, False)


def test_missing_images_are_refused_with_the_key_of_the_stream(tmp_path: Path) -> None:
    message = (
        r"stream=fashion_mnist: no data found \(stream.source.download=false\); set stream.sou"
    )
    with pytest.raises(FileNotFoundError, match=message):
        fashion_mnist(root=str(tmp_path), download=False)
