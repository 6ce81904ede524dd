"""Checks a configuration against the ranges and choices that its dataclasses declare.

Each group of keys is one dataclass. Hydra reads the names and types from its annotations. Once the
configuration is resolved, pydantic checks the ranges and choices that `Annotated` adds. A
`__post_init__` only checks rules that involve several keys.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from bench.core.files import expand_path
from bench.core.printable import printable
from bench.core.suggest import did_you_mean

MISSING: Any = "???"  # OmegaConf's mark for a value that must be given

# Only a typing error exceeds these limits; it would otherwise fail deep inside a library.
_MAX_COUNT = 2**31 - 1  # libraries keep counts, and durations in milliseconds, in 32 bits
_MAX_AMOUNT = 1e18
_MAX_SEED = 2**32 - 1  # NumPy's generators take no larger one
_MAX_THREADS = 1024

Count = Annotated[int, Ge(0), Le(_MAX_COUNT)]
PositiveCount = Annotated[int, Ge(1), Le(_MAX_COUNT)]
Amount = Annotated[float, Ge(0), Le(_MAX_COUNT)]
PositiveAmount = Annotated[float, Gt(0), Le(_MAX_AMOUNT)]
Seed = Annotated[int, Ge(0), Le(_MAX_SEED)]
Threads = Annotated[int, Ge(1), Le(_MAX_THREADS)]


def one_of(allowed: Collection[object]) -> AfterValidator:
    """Declare the allowed values of a field, beside its type in `Annotated`."""

    def check(value: object) -> object:
        if value not in allowed:
            raise _refusal(_choices(value, allowed))
        return value

    return AfterValidator(check)


def require_one_of(key: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is not allowed; for values that no field of a dataclass declares.

    Raises:
        ValueError: The value is not allowed; the message names the key and the choices.
    """
    if value not in allowed:
        raise ValueError(f"{key}={value}: {_choices(value, allowed)}")


def _choices(value: object, allowed: Collection[object]) -> str:
    names = [str(each).lower() if isinstance(each, bool) else str(each) for each in allowed]
    return f"must be one of {', '.join(names)}{did_you_mean(str(value), names)}"


def matches_pattern(pattern: str, remedy: str) -> AfterValidator:
    """Declare that a text matches a pattern from its beginning; None is always accepted.

    Args:
        pattern: The regular expression.
        remedy: The end of the error message for any other text.
    """
    compiled = re.compile(pattern)

    def check(value: str | None) -> str | None:
        if value is not None and not compiled.match(value):
            raise _refusal(remedy)
        return value

    return AfterValidator(check)


def refuse_texts(remedy: str, **words: str) -> BeforeValidator:
    """Declare that texts are refused, with a remedy; some words have one of their own."""

    def check(value: object) -> object:
        if isinstance(value, str):
            raise _refusal(words.get(value, remedy))
        return value

    return BeforeValidator(check)


def not_blank(remedy: str) -> AfterValidator:
    """Declare that a text is not empty, as `KEY=$NAME` is if the shell variable is not set."""
    return matches_pattern(r"\s*\S", remedy)


def _refusal(reason: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{reason}", {"reason": reason})


@dataclass(frozen=True, slots=True)
class CheckedAs:
    """Gives a field that Hydra sees as `Any` another type for pydantic, which converts the value.

    Use it where OmegaConf does not support the type, or would convert the values and so change the
    hash of the configuration.
    """

    kind: Any

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of that type in place of that of Any."""
        return handler.generate_schema(self.kind)


def _as_list(value: object) -> object:
    return [str(value)] if isinstance(value, (str, int, float)) else value


def _as_selection(value: object) -> object:
    return None if value in (ALL, [ALL], None) else _as_list(value)


ALL = "all"
# One text or a list of texts: users may leave out the brackets around a single one.
Texts = Annotated[Any, CheckedAs(Annotated[list[str], BeforeValidator(_as_list)])]
SomeTexts = Annotated[Texts, MinLen(1)]
# The same, but `all` becomes None.
Selection = Annotated[
    Any,
    CheckedAs(Annotated[Annotated[list[str], MinLen(1)] | None, BeforeValidator(_as_selection)]),
]
# Replaces `~` and variables in a path, as a shell does.
EXPAND_PATH = AfterValidator(lambda path: path and str(expand_path(path)))
Folder = Annotated[str, not_blank("must name a folder")]


class KeyGroup:
    """Base of the dataclasses that hold keys of a command."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)
    # Keys without a default; each has the rest of the message for a user who leaves it out. Hydra
    # reports other missing keys when it resolves the configuration.
    required_keys: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """Check resolved values and make the dataclass.

        Args:
            values: The values. They may contain keys added with `+`, which Hydra does not check.
            above: Prefix of the keys in messages, such as `recipe.`.

        Raises:
            ValueError: A key is missing or unknown, or a value is wrong; one line with key, value
                and remedy.
        """
        missing = [key for key in cls.required_keys if values.get(key, MISSING) == MISSING]
        if missing:
            keys = ", ".join(missing)
            raise ValueError(f"{keys}: must be given{cls.required_keys[missing[0]]}")
        try:
            adapter: TypeAdapter[Self] = _adapter(cls)  # type: ignore[arg-type]  # mypy #11469
            return adapter.validate_python(dict(values))
        except ValidationError as error:
            raise ValueError(_message(error.errors()[0], cls, above)) from error


def require_in_range(key: str, value: object, annotation: Any) -> None:
    """Refuse a value that its annotation does not allow; for values that are in no dataclass.

    Raises:
        ValueError: The value is wrong; one line with key, value and remedy.
    """
    try:
        _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise ValueError(_message(error.errors()[0], KeyGroup, key)) from error


@cache
def _adapter(group: Any) -> TypeAdapter[Any]:
    return TypeAdapter(group)


def _message(error: ErrorDetails, group: type, above: str) -> str:
    """Translate an error of pydantic into one line that names the key, the value and the remedy."""
    kind, value, bound = error["type"], error["input"], error.get("ctx", {})
    if kind == "value_error":  # raised by a __post_init__, whose message names its keys itself
        return str(bound["error"])
    name = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
    if kind == "unexpected_keyword_argument":
        return f"{above}{name}: no such key{did_you_mean(name, keys_of(group))}"
    reasons = {
        "greater_than_equal": "must be at least {ge:g}",
        "greater_than": "must be more than {gt:g}"
        if bound.get("gt")
        else "must be a positive number",
        "less_than_equal": "must be at most {le:.10g}",
        "less_than": "must be less than {lt:g}",
        "too_short": "must have at least one element",
        "refused": "{reason}",
    }
    # Other messages are pydantic's own: "Input should be a valid integer, unable to parse ..."
    reason = reasons[kind].format(**bound) if kind in reasons else error["msg"].partition(",")[0]
    return f"{above}{name}={printable(value)}: {reason.replace('Input should be', 'must be')}"


def keys_of(group: type) -> list[str]:
    """Every key of a group; keys of groups inside it are dotted."""
    hints = get_type_hints(group, include_extras=True)
    keys = []
    for field in fields(group):
        keys.append(field.name)
        for inner in _groups_in(hints[field.name]):
            keys += [f"{field.name}.{key}" for key in keys_of(inner)]
    return keys


def _groups_in(hint: Any) -> Iterator[type]:
    """Find the dataclasses that an annotation names."""
    if isinstance(hint, CheckedAs):
        yield from _groups_in(hint.kind)
    elif isinstance(hint, type) and is_dataclass(hint):
        yield hint
    else:
        for part in get_args(hint):
            yield from _groups_in(part)


def require_at_least(key: str, value: float | None, least: float) -> None:
    """Refuse a number that is too small; None means that the key was not given.

    Raises:
        ValueError: The number is too small; the message names the key and the bound.
    """
    if value is not None and not value >= least:
        raise ValueError(f"{key}={value}: must be at least {least:g}")


def require_writable(key: str, path: Path) -> None:
    """Refuse an output file that cannot be written, before hours are spent on measuring.

    Raises:
        ValueError: The file cannot be written, or its folder cannot be made; the message names the
            key.
    """
    file = Path(os.path.realpath(path))
    existing = next(each for each in (file, *file.parents) if os.path.lexists(each))
    try:
        if existing != file:
            # Permission bits do not show a read-only file system, so really write something.
            with tempfile.TemporaryFile(dir=existing):
                return
        if not os.access(existing, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = f"{existing}: {error.strerror}"
        raise ValueError(f"{key}={path}: cannot write there ({reason})") from error


def refuse_contradictions(config: Mapping[str, Any], repeated: Mapping[str, str]) -> None:
    """Refuse a key that copies another one but has a different value.

    Args:
        config: A nested configuration.
        repeated: For each such key, the key that it copies. Both are dotted, and both may be
            absent.

    Raises:
        ValueError: Two values differ; the message names both keys.
    """
    for key, original in repeated.items():
        value, expected = value_at(config, key), value_at(config, original)
        if value is not None and expected is not None and value != expected:
            raise ValueError(
                f"{key}={value}: contradicts {original}={expected}; give only {original}"
            )


def value_at(config: Mapping[str, Any], dotted: str) -> Any:
    """Look up a dotted key in a nested configuration; None if it is absent."""
    value: Any = config
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
