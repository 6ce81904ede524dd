"""Overrides: how to write them, and the plain values that Hydra makes of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from bench.core.checks import value_at
from bench.core.files import expanded
from bench.core.identity import CHOICES
from bench.core.printable import printable
from bench.launch.needs import Need

# The flags that make Hydra sweep.
MULTIRUN = frozenset(("-m", "--multirun"))


def key_of(override: str) -> str:
    """The dotted key or the group of an override, without `+`, `~` and its package."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


_PLAIN = re.compile(r"[\w/\\+.$%*@?|:\s-]", re.ASCII)  # what the grammar takes outside of quotes
_SHELL_SPECIAL = re.compile(r'["$`\\!]')  # what it reads inside of double quotes


def quoted(text: str) -> str:
    """Quote a text so that Hydra's grammar takes it as it is; `${` is no interpolation then."""
    return QuotedString(text=text.replace("${", "\\${"), quote=Quote.single).with_quotes()


def for_shell(argument: str) -> str:
    """Quote an argument so that a shell passes it on as it is."""
    return shlex.quote(argument) if _SHELL_SPECIAL.search(argument) else f'"{argument}"'


def how_to_quote(key: str, value: str, *, sweeps: bool) -> str:
    """The end of a message: why the grammar does not take a value, and what to type instead.

    Args:
        key: As the command line has it, with its `+`.
        value: The value that the grammar does not take.
        sweeps: Whether commas separate values to be run one after another.
    """
    meant = _quoted_as_meant(value, sweeps=sweeps)
    argument = f"{key}={meant}"
    kept = "" if meant == quoted(value) else "[,]"  # these separate its elements
    strange = [each for each in dict.fromkeys(value) if not _PLAIN.match(each) and each not in kept]
    named = [character for character in strange if character.isascii()]
    if len(named) < len(strange):
        named.append("characters beyond ASCII")
    reason = f"Hydra takes {' '.join(named)} in quotes only" if named else "Hydra needs quotes here"
    argument_typed = for_shell(argument)
    if not parses(argument) or printable(argument_typed) != argument_typed:
        return reason
    return f"{reason}: {argument_typed}"


def parses(argument: str) -> bool:
    """Whether Hydra's grammar takes an argument of a command line."""
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def _quoted_as_meant(value: str, *, sweeps: bool) -> str:
    """Each element of a list or sweep on its own, if that is one, else the whole value."""
    is_list = value.startswith("[") and value.endswith("]")
    for applies, inner, wrap in (
        (is_list, value[1:-1], lambda text: f"[{text}]"),
        (sweeps and "," in value, value, str),
    ):
        if applies and not set("[]{}()'\"") & set(inner):
            parts = [part if parses(f"k={part}") else quoted(part) for part in inner.split(",")]
            made: Callable[[str], str] = wrap
            return made(",".join(parts))
    return quoted(value)


# Keys that name a file or a folder, or may do so.
_PATHS = ("results", "data.root", "data_root", "run", "recipe.teacher", "recipe.run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One run to make: its configuration, the identity of that, and a title for people.

    adds is what tells it apart from other runs of the same job, in the form of overrides.
    """

    config: dict[str, Any]
    digest: str
    title: str
    adds: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A job whose values are right: the runs that it comes to, and what they need here."""

    num_runs: int = 1
    needs: Sequence[Need] = ()


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, without Hydra's own part, with paths as a shell has them.

    Raises:
        ValueError: A value is missing.
    """
    return with_paths(resolved_values(config))


def resolved_values(config: DictConfig) -> dict[str, Any]:
    """The resolved values as they were given, without Hydra's own part.

    Raises:
        ValueError: A value is missing.
    """
    without_hydra = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    container = OmegaConf.to_container(without_hydra, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def with_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `~` and variables such as $HOME replaced in all that names a place."""
    written_out = dict(values)
    for key in _PATHS:
        given = value_at(values, key)
        # Any other name stays as it was given: a slash in it would make a run's id a folder.
        if isinstance(given, str) and (given.startswith("~") or "$" in given):
            group, _, name = key.rpartition(".")
            if group:
                written_out[group] = {**written_out[group], name: str(expanded(given))}
            else:
                written_out[name] = str(expanded(given))
    return written_out


def with_choices(config: DictConfig, values: dict[str, Any]) -> dict[str, Any]:
    """The resolved configuration with the option that was chosen for each of its groups.

    Args:
        config: As Hydra composed it; in a running job Hydra keeps its own part elsewhere.
        values: The same, resolved.
    """
    chosen: Any = {}
    if "hydra" in config:
        chosen = config.hydra.runtime.choices
    elif HydraConfig.initialized():
        chosen = HydraConfig.get().runtime.choices
    names = {str(group): str(option) for group, option in chosen.items() if option is not None}
    return {**values, CHOICES: {group: names[group] for group in values if group in names}}


@dataclass(slots=True)
class Agenda:
    """The runs of this command, as its sweeper has planned them.

    Attributes:
        num_runs: Of all jobs together.
        swept: The keys that differ between the jobs.
    """

    num_runs: int = 1
    swept: Sequence[str] = ()


# Hydra makes the sweeper itself, so that there is no other way from there to the sweep.
AGENDA = Agenda()
