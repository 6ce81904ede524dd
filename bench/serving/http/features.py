"""The server's feature store: raw inputs by id in an embedded database, and their preparation.

One SQLite file has two tables: `features` with the raw values of each input as bytes, and `about`
with their shape, their type and, for pixels, the mean and standard deviation of each channel. A
real service would store raw values, too, so standardising them is part of answering a request.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import Inputs
from bench.serving.planted_skew import PlantedSkew

# Largest key of a row in SQLite.
_MAX_ID = 2**63 - 1

_Floats = NDArray[np.float32]


def write_features(
    path: Path,
    inputs: Inputs,
    *,
    mean: _Floats | None = None,
    std: _Floats | None = None,
    skew: PlantedSkew | None = None,
) -> None:
    """Write the inputs of a split; the id of each is its index.

    Args:
        path: The file to write; its folder exists.
        inputs: Shape (n, ...), n >= 1: raw pixels as uint8, or prepared inputs of any type.
        mean: Per channel, shape (c, 1, 1); for uint8 only.
        std: Per channel, shape (c, 1, 1), positive; for uint8 only.
        skew: A fault that is planted in the preparation.

    Raises:
        ValueError: There is no input, or the file cannot be written.
    """
    if not len(inputs):
        raise ValueError(f"features of shape {inputs.shape}: must hold at least one input")
    about: dict[str, Any] = {"shape": inputs.shape[1:], "dtype": inputs.dtype.descr}
    if mean is not None and std is not None:
        # JSON text keeps the exact value of a float32.
        about |= {"mean": mean.reshape(-1).tolist(), "std": std.reshape(-1).tolist()}
    if skew is not None:
        about["skew"] = skew.to_json()
    try:
        # closing() closes the connection; as a context manager, it only commits.
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE features (id INTEGER PRIMARY KEY, raw BLOB NOT NULL)")
            connection.execute("CREATE TABLE about (facts TEXT NOT NULL)")
            rows = ((index, each.tobytes()) for index, each in enumerate(inputs))
            connection.executemany("INSERT INTO features VALUES (?, ?)", rows)
            connection.execute("INSERT INTO about VALUES (?)", (json.dumps(about),))
    except sqlite3.OperationalError as error:
        raise ValueError(
            f"{path}: the inputs for the server cannot be written ({error}); make room on the "
            "disk, or set TMPDIR to another folder"
        ) from error


class FeatureStore:
    """Reads a feature store; from one thread at a time.

    Attributes:
        example: An input of zeros, in the form of preprocess().
    """

    def __init__(self, path: Path) -> None:
        """Open the file for reading only.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not a feature store.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such feature store")
        location = f"file:{quote(str(path.absolute()))}?mode=ro"
        self._connection = sqlite3.connect(location, uri=True, check_same_thread=False)
        try:
            (facts,) = self._connection.execute("SELECT facts FROM about").fetchone()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ValueError(f"{path}: not a feature store ({error})") from error
        about = json.loads(facts)
        self._shape = tuple(about["shape"])
        self._dtype = _dtype(about["dtype"])
        self._mean = self._statistic(about.get("mean"))
        self._std = self._statistic(about.get("std"))
        skew = about.get("skew")
        self._skew = PlantedSkew.from_json(skew) if skew else None
        self.example = self.preprocess(np.zeros(self._shape, self._dtype).tobytes())

    def fetch(self, index: int) -> bytes:
        """The raw values of one input.

        Args:
            index: Its id.

        Raises:
            KeyError: There is none with this id.
        """
        row = None
        if 0 <= index <= _MAX_ID:
            query = "SELECT raw FROM features WHERE id = ?"
            row = self._connection.execute(query, (index,)).fetchone()
        if row is None:
            raise KeyError(index)
        raw: bytes = row[0]
        return raw

    def preprocess(self, raw: bytes) -> Inputs:
        """The input in the model's form, without the dimension of a batch.

        The operations and their precision are those of bench.tasks.loaders.standardise, so that
        the model gets exactly the numbers on which it was tested.

        Args:
            raw: Values from fetch().
        """
        values: Inputs = np.frombuffer(raw, dtype=self._dtype).reshape(self._shape)
        if self._mean is None or self._std is None:
            values = values.copy()  # the bytes are read-only, and a model may write into its input
        else:
            values = (values.astype(np.float32) - self._mean) / self._std
        return values if self._skew is None else self._skew.apply(values[None])[0]

    def __len__(self) -> int:
        """The number of inputs."""
        (num,) = self._connection.execute("SELECT count(*) FROM features").fetchone()
        return int(num)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @staticmethod
    def _statistic(values: list[float] | None) -> _Floats | None:
        return None if values is None else np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def read_features(path: Path) -> Inputs:
    """What a server makes of each input of its store, by its own code, shape (n, ...).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a feature store.
    """
    with closing(FeatureStore(path)) as store:
        return np.stack([store.preprocess(store.fetch(index)) for index in range(len(store))])


def _dtype(described: list[list[Any]]) -> np.dtype[Any]:
    """The type that NumPy described, after a passage through JSON."""
    if len(described) == 1 and not described[0][0]:
        return np.dtype(str(described[0][1]))
    return np.dtype([(name, kind, *map(tuple, shape)) for name, kind, *shape in described])
