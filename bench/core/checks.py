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


def require_where_and_how(results: str, resume: object) -> None:
    """Refuse results= without a folder, and what resume= does not know.

    Raises:
        ValueError: One of them is wrong; the message names the key.
    """
    if not results.strip():  # as of a variable that is not set
        raise ValueError("results=: must name a folder")
    if resume not in (False, True, "fit"):
        raise ValueError(f"resume={resume}: must be one of false, true, fit")


def require_at_least(key: str, value: float | None, least: float) -> None:
    """Refuse a number below the least that is allowed; None is no number.

    Raises:
        ValueError: It is; the message names the key.
    """
    if value is not None and not value >= least:
        raise ValueError(f"{key}={value}: must be at least {least:g}")


def require_positive(key: str, value: float | None) -> None:
    """Refuse a number that is not positive or not finite; None is no number.

    Raises:
        ValueError: It is not; the message names the key.
    """
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{key}={value}: must be a positive number")


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
