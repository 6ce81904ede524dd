"""What the configurations of the commands share: checks of values, and how a class is filled."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from bench.core.suggest import did_you_mean

MISSING: Any = "???"  # OmegaConf's mark for a value that must be given

# What is larger than these is a slip, and would end deep inside a library.
MOST_COUNTED = 2**31 - 1  # counts, and lengths in milliseconds
MOST_MEASURED = 1e18
MOST_SEED = 2**32 - 1  # of NumPy's generators
MOST_THREADS = 1024
_C = TypeVar("_C")


def require_one_of(key: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is none of those allowed.

    Raises:
        ValueError: It is not; the message names the key.
    """
    if value not in allowed:
        names = list(map(str, allowed))
        hint = did_you_mean(str(value), names)
        raise ValueError(f"{key}={value}: must be one of {', '.join(names)}{hint}")


def require_run_keys(seed: int, repeat: int, results: str, resume: object) -> None:
    """Refuse wrong values of the keys that every command with runs has.

    Raises:
        ValueError: One of them is wrong; the message names the key.
    """
    require_at_least("seed", seed, 0, MOST_SEED)
    require_at_least("repeat", repeat, 0)
    if not results.strip():  # as of a variable that is not set
        raise ValueError("results=: must name a folder")
    if resume not in (False, True, "fit"):
        raise ValueError(f"resume={resume}: must be one of false, true, fit")


def require_at_least(
    key: str, value: float | None, least: float, most: float = MOST_COUNTED
) -> None:
    """Refuse a number out of its range; None is no number.

    Args:
        key: Of the number.
        value: As it was given.
        least: That is allowed.
        most: Likewise; by default what libraries hold a count in.

    Raises:
        ValueError: It is out of range; the message names the key and the bound.
    """
    if value is not None and not value >= least:
        raise ValueError(f"{key}={value}: must be at least {least:g}")
    if value is not None and value > most:
        raise ValueError(f"{key}={value}: must be at most {most:.10g}")


def require_positive(key: str, value: float | None, most: float = MOST_MEASURED) -> None:
    """Refuse a number that is not positive, or too large; None is no number.

    Raises:
        ValueError: It is not; the message names the key.
    """
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{key}={value}: must be a positive number")
    if value is not None and value > most:
        raise ValueError(f"{key}={value}: must be at most {most:.10g}")


def require_writable(key: str, path: Path) -> None:
    """Refuse a file that could not be written, before hours of measuring for it.

    Raises:
        ValueError: It cannot be written, or its folder cannot be made; the message names the key.
    """
    place = Path(os.path.realpath(path))
    there = next(each for each in (place, *place.parents) if os.path.lexists(each))
    try:
        if there != place:
            with tempfile.TemporaryFile(dir=there):  # leaves nothing behind
                return
        if not os.access(there, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(f"{key}={path}: cannot write there ({there}: {error.strerror})") from error


def refuse_contradictions(config: Mapping[str, Any], repeated: Mapping[str, str]) -> None:
    """Refuse a key that repeats another one with a different value.

    Args:
        config: A nested configuration.
        repeated: Dotted key to the dotted key that it repeats; absent ones are fine.

    Raises:
        ValueError: One of them does; the message names both keys.
    """
    for key, original in repeated.items():
        value, wanted = value_at(config, key), value_at(config, original)
        if value is not None and wanted is not None and value != wanted:
            raise ValueError(
                f"{key}={value}: contradicts {original}={wanted}; give {original} alone"
            )


def value_at(config: Mapping[str, Any], dotted: str) -> Any:
    """A value of a nested configuration by its dotted key; None where there is none."""
    value: Any = config
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def build_config(cls: type[_C], values: Mapping[str, Any], prefix: str = "") -> _C:
    """Make a configuration class of a dict that may hold keys added with `+`.

    Raises:
        ValueError: A key is unknown or a value out of range; the message names the key.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise ValueError(f"{prefix}{key}: no such key{did_you_mean(key, names)}")
    return cls(**values)


def dotted_keys(cls: type, parts: Mapping[str, type]) -> list[str]:
    """Names of the keys of a configuration class, and of those of its parts, dotted."""
    nested = [f"{key}.{field.name}" for key, part in parts.items() for field in fields(part)]
    return [field.name for field in fields(cls)] + nested
