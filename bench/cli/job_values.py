"""The values of each job of a sweep, without composing each job's configuration anew.

Hydra takes a sixth of a second to compose one. Jobs that differ in plain values only, such as
`seed=1` and `seed=2`, are composed once: the values of each are set in that configuration by
OmegaConf, which checks their types as it does for Hydra, and what copies them is resolved again.
Whatever is not known to be as plain as that is left to Hydra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, ValueNode
from omegaconf.errors import OmegaConfBaseException

from bench.cli.overrides import resolved_values

# What Hydra and OmegaConf raise over a job; Hydra, asked next, raises it again.
_REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
_KEY = re.compile(r"\w+(?:\.\w+)*")
_INTEGER = re.compile(rf"({_KEY.pattern})=(0|-?[1-9][0-9]*)")
# A reference to one key from the top: `${seed}`, not `${.seed}`, `${a}-${b}` or `${f:x}`.
_REFERENCE = re.compile(rf"\$\{{({_KEY.pattern})\}}")


class JobValues:
    """Gives the values of jobs, one after the other."""

    def __init__(
        self, compose: Callable[[list[str]], DictConfig], is_group: Callable[[str], bool]
    ) -> None:
        """Nothing is composed yet.

        Args:
            compose: Has Hydra compose the configuration of a job from its overrides.
            is_group: Whether there is a group of that name, so that a key chooses its option.
        """
        self._compose = compose
        self._is_group = cache(is_group)
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], _Base | None] = {}

    def quick(self, overrides: Sequence[str]) -> dict[str, Any] | None:
        """The resolved values of a job, nested, without Hydra's own part.

        They hold until the next call, and are not to be changed.

        Args:
            overrides: Of the job, without sweeps, as Hydra's sweeper has them.

        Returns:
            The values; None where Hydra must be asked, which says best what is wrong, too.
        """
        try:
            parsed = [self._parse(text) for text in overrides]
        except HydraException:
            return None
        plain = {one.key_or_group: one for one in parsed if self._is_plain(one)}
        # What is composed once is all that is not plain, and which keys are.
        shape = tuple(
            text.partition("=")[0] if one.key_or_group in plain else text
            for one, text in zip(parsed, overrides, strict=True)
        )
        if shape not in self._bases:
            if not self._may_stand_for_others(parsed):
                self._bases[shape] = None
            else:
                try:
                    config = self._compose(list(overrides))
                    values = resolved_values(config)
                except _REFUSALS:
                    return None
                self._bases[shape] = _base(config, values, plain)
        base = self._bases[shape]
        try:
            return base.values_of(plain) if base is not None else None
        except _REFUSALS:
            del self._bases[shape]  # it is half set
            return None

    def _parse(self, text: str) -> Override:
        if text in self._parsed:
            return self._parsed[text]
        number = _INTEGER.fullmatch(text)
        if number is None:
            parsed = self._parser.parse_override(text)
        else:  # thousands of seeds: Hydra's grammar takes as long as all that is done with them
            zero = self._parse(f"{number[1]}=-0")
            parsed = replace(zero, _value=int(number[2]), input_line=text)
        self._parsed[text] = parsed
        return parsed

    def _is_plain(self, override: Override) -> bool:
        """Whether it gives one key its value, and chooses or deletes nothing."""
        return (
            not override.is_delete()
            and override.package is None
            and _KEY.fullmatch(override.key_or_group) is not None
            and not self._is_group(override.key_or_group)
            and _is_plain_value(override.value())
        )

    def _is_choice(self, override: Override) -> bool:
        """Whether it chooses the option of a group."""
        return self._is_group(override.key_or_group) and not isinstance(override.value(), dict)

    def _may_stand_for_others(self, parsed: Sequence[Override]) -> bool:
        """Whether the other jobs of its shape differ from a job by their values alone."""
        if any(one.is_delete() and one.value() is not None for one in parsed):
            return False  # deletes what has that value, which another key may decide
        keys = [one.key_or_group for one in parsed if not self._is_choice(one)]
        return not _overlap(keys)  # else their order would matter


class _Base:
    """A composed configuration in which the plain values of one job after the other are set."""

    def __init__(
        self,
        config: DictConfig,
        values: dict[str, Any],
        plain: Mapping[str, Override],
        references: Iterable[_Reference],
    ) -> None:
        self._config = config
        self._values = values
        self._set = {key: str(override.input_line) for key, override in plain.items()}
        self._copies = [
            one.path for one in references if _may_depend(config, one.text, list(plain))
        ]

    def values_of(self, plain: Mapping[str, Override]) -> dict[str, Any]:
        """The values of the job that gives the same keys these values.

        Raises:
            OmegaConfBaseException: A value is not of its key's type, or a copy of it not of its.
        """
        changed = [key for key, one in plain.items() if self._set[key] != one.input_line]
        for key in changed:
            OmegaConf.update(self._config, key, plain[key].value(), merge=True)
            self._set[key] = str(plain[key].input_line)
        if changed:
            for path in (*(tuple(key.split(".")) for key in changed), *self._copies):
                self._read(path)
        return self._values

    def _read(self, path: tuple[Any, ...]) -> None:
        node: Any = self._config
        values: Any = self._values
        *parents, name = path
        for parent in parents:
            node, values = node[parent], values[parent]
        value = node[name]
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        values[name] = value


def _base(
    config: DictConfig, values: dict[str, Any], plain: Mapping[str, Override]
) -> _Base | None:
    """The configuration of a job, if those of others can be made of it; else None."""
    references = list(_references(config))
    if any("hydra" in one.text or one.text.count("${") > 1 for one in references):
        return None  # Hydra's own part is another one for each job
    if not all(_is_leaf(config, key) for key in plain):
        return None
    return _Base(config, values, plain, references)


@dataclass(frozen=True, slots=True)
class _Reference:
    """A value that is taken from elsewhere: where it stands, and its text."""

    path: tuple[Any, ...]
    text: str


def _references(config: DictConfig) -> Iterator[_Reference]:
    """All interpolations outside of Hydra's own part."""

    def below(node: Any, path: tuple[Any, ...]) -> Iterator[_Reference]:
        if node._is_interpolation():
            yield _Reference(path, str(node._value()))
        elif isinstance(node, DictConfig | ListConfig) and not (
            node._is_none() or node._is_missing()
        ):
            names: Iterable[Any] = node.keys() if isinstance(node, DictConfig) else range(len(node))
            for name in names:
                if (*path, name) != ("hydra",):
                    yield from below(node._get_node(name), (*path, name))

    return below(config, ())


def _may_depend(config: DictConfig, text: str, keys: Sequence[str]) -> bool:
    """Whether an interpolation may have another value once some keys have another one."""
    whole = _REFERENCE.fullmatch(text)
    if whole is None:
        return True
    return not _is_leaf(config, whole[1]) or _overlap([*keys, whole[1]])


def _is_leaf(config: DictConfig, key: str) -> bool:
    """Whether a dotted key is a value or a list, and all above it written out where they stand."""
    *parents, name = key.split(".")
    node: Any = config
    for parent in parents:
        node = node._get_node(parent) if _is_written_out(node) else None
    leaf = node._get_node(name) if _is_written_out(node) else None
    return isinstance(leaf, ValueNode | ListConfig) and not leaf._is_interpolation()


def _is_written_out(node: Any) -> bool:
    return isinstance(node, DictConfig) and not (
        node._is_interpolation() or node._is_none() or node._is_missing()
    )


def _overlap(keys: Sequence[str]) -> bool:
    """Whether two of these keys are the same or one is a part of the other."""
    parts = sorted(key.split(".") for key in keys)
    pairs = pairwise(parts)
    return any(later[: len(earlier)] == earlier for earlier, later in pairs)


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain_value, value))
    if isinstance(value, str):
        return "${" not in value and value != "???"
    return value is None or isinstance(value, bool | int | float)
