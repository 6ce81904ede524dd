"""Ranges and choices that the fields of a configuration declare, and how it is checked.

A group of keys is one dataclass. Hydra takes its annotations as the schema of names and types;
pydantic checks what `Annotated` adds to them, once the configuration is resolved. A `__post_init__`
holds only what relates several keys.
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

from bench.core.files import expanded
from bench.core.printable import printable
from bench.core.suggest import did_you_mean

MISSING: Any = "???"  # OmegaConf's mark for a value that must be given

# A larger value is a slip, and would only fail deep inside a library.
_MOST_COUNTED = 2**31 - 1  # what libraries hold a count, or a length in milliseconds, in
_MOST_MEASURED = 1e18
_MOST_SEED = 2**32 - 1  # of NumPy's generators
_MOST_THREADS = 1024

Count = Annotated[int, Ge(0), Le(_MOST_COUNTED)]
PositiveCount = Annotated[int, Ge(1), Le(_MOST_COUNTED)]
Amount = Annotated[float, Ge(0), Le(_MOST_COUNTED)]
PositiveAmount = Annotated[float, Gt(0), Le(_MOST_MEASURED)]
Seed = Annotated[int, Ge(0), Le(_MOST_SEED)]
Threads = Annotated[int, Ge(1), Le(_MOST_THREADS)]


def one_of(allowed: Collection[object]) -> AfterValidator:
    """Declare the choices of a field, in the annotation: `one_of` beside its type."""

    def check(value: object) -> object:
        if value not in allowed:
            raise _wrong(_choices(value, allowed))
        return value

    return AfterValidator(check)


def require_one_of(key: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is none of those allowed, where no field declares them.

    Raises:
        ValueError: It is not; the message names the key.
    """
    if value not in allowed:
        raise ValueError(f"{key}={value}: {_choices(value, allowed)}")


def _choices(value: object, allowed: Collection[object]) -> str:
    names = [str(each).lower() if isinstance(each, bool) else str(each) for each in allowed]
    return f"must be one of {', '.join(names)}{did_you_mean(str(value), names)}"


def matching(pattern: str, remedy: str) -> AfterValidator:
    """Declare how a text begins, by a regular expression, and what is said of any other."""
    compiled = re.compile(pattern)

    def check(value: str | None) -> str | None:
        if value is not None and not compiled.match(value):
            raise _wrong(remedy)
        return value

    return AfterValidator(check)


def not_blank(remedy: str) -> AfterValidator:
    """Declare that a text must say something; it does not where a shell's variable is not set."""
    return matching(r"\s*\S", remedy)


def _wrong(reason: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{reason}", {"reason": reason})


@dataclass(frozen=True, slots=True)
class CheckedAs:
    """Declares that a field, which is `Any` for Hydra, is checked as, and becomes, something else.

    OmegaConf has no type for it, or would convert its values, and with them the hash.
    """

    kind: Any

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of that kind in place of that of Any."""
        return handler.generate_schema(self.kind)


def _listed(value: object) -> object:
    return [str(value)] if isinstance(value, (str, int, float)) else value


def _selected(value: object) -> object:
    return None if value in (ALL, [ALL], None) else _listed(value)


ALL = "all"
# One text or a list of them, given without brackets or with; `all` becomes None.
Texts = Annotated[Any, CheckedAs(Annotated[list[str], BeforeValidator(_listed)])]
SomeTexts = Annotated[Texts, MinLen(1)]
Selection = Annotated[
    Any, CheckedAs(Annotated[Annotated[list[str], MinLen(1)] | None, BeforeValidator(_selected)])
]
# Replaces `~` and variables in a path as a shell does.
EXPANDED = AfterValidator(lambda path: path and str(expanded(path)))
Folder = Annotated[str, not_blank("must name a folder")]


class KeyGroup:
    """Base of the dataclasses that hold keys of a command."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """Make the dataclass of resolved values, and check them.

        Args:
            values: May hold keys that were added with `+`, which Hydra does not check.
            above: What the names of the keys begin with in messages, such as `recipe.`.

        Raises:
            ValueError: A key is unknown or a value is wrong; one line with key, value and remedy.
        """
        try:
            adapter: TypeAdapter[Self] = _adapter(cls)  # type: ignore[arg-type]  # mypy #11469
            return adapter.validate_python(dict(values))
        except ValidationError as error:
            raise ValueError(_message(error.errors()[0], cls, above)) from error


@cache
def _adapter(group: type) -> TypeAdapter[Any]:
    return TypeAdapter(group)


def _message(error: ErrorDetails, group: type, above: str) -> str:
    """An error of pydantic in one line: the only place where its words become ours."""
    kind, value, bound = error["type"], error["input"], error.get("ctx", {})
    if kind == "value_error":  # of a __post_init__, which names the keys that it relates
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
        "too_short": "must be one or more of them",
        "wrong": "{reason}",
    }
    # The rest is said by pydantic: "Input should be a valid integer, unable to parse ..."
    reason = reasons[kind].format(**bound) if kind in reasons else error["msg"].partition(",")[0]
    return f"{above}{name}={printable(value)}: {reason.replace('Input should be', 'must be')}"


def keys_of(group: type) -> list[str]:
    """Every key of a group, dotted, with those of the groups within it."""
    hints = get_type_hints(group, include_extras=True)
    keys = []
    for field in fields(group):
        keys.append(field.name)
        for inner in _groups_in(hints[field.name]):
            keys += [f"{field.name}.{key}" for key in keys_of(inner)]
    return keys


def _groups_in(hint: Any) -> Iterator[type]:
    """The dataclasses that an annotation names."""
    if isinstance(hint, CheckedAs):
        yield from _groups_in(hint.kind)
    elif isinstance(hint, type) and is_dataclass(hint):
        yield hint
    else:
        for part in get_args(hint):
            yield from _groups_in(part)


def require_at_least(key: str, value: float | None, least: float) -> None:
    """Refuse a number that is too small; None is not given.

    Raises:
        ValueError: It is; the message names the key and the bound.
    """
    if value is not None and not value >= least:
        raise ValueError(f"{key}={value}: must be at least {least:g}")


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
        repeated: Dotted key to the dotted key that it repeats; either may be absent.

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
