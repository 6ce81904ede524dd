"""Reads and quotes overrides, and turns composed configurations into plain values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bench.core.checks import value_at
from bench.core.files import expand_path
from bench.core.identity import CHOICES
from bench.core.printable import printable
from bench.launch.needs import Need


def key_of(override: str) -> str:
    """The dotted key or the group of an override, without `+`, `~` and its package."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def of_swept_keys(overrides: Sequence[str], swept: Sequence[str]) -> list[str]:
    """The overrides of the keys that differ between the jobs."""
    return [text for text in overrides if key_of(text) in swept]


def distinguishing(overrides: Sequence[str], swept: Sequence[str]) -> str:
    """Name a job by its overrides of the keys that differ between the jobs, or by all of them."""
    return " ".join(of_swept_keys(overrides, swept) or overrides)


def job_overrides(config: DictConfig) -> list[str]:
    """The overrides of this job on the command line, before the job runs or while it does."""
    if "hydra" in config:
        return list(config.hydra.overrides.task)
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


_PLAIN = re.compile(r"[\w/\\+.$%*@?|:\s-]", re.ASCII)  # allowed in Hydra's grammar without quotes
_SHELL_SPECIAL = re.compile(r'["$`\\!]')  # a shell interprets these inside double quotes


def quote_value(text: str) -> str:
    """Quote a text for Hydra's grammar, so that nothing in it is interpreted, not even `${`."""
    return QuotedString(text=text.replace("${", "\\${"), quote=Quote.single).with_quotes()


def quote_for_shell(argument: str) -> str:
    """Quote an argument so that a shell passes it on unchanged."""
    return shlex.quote(argument) if _SHELL_SPECIAL.search(argument) else f'"{argument}"'


def how_to_quote(key: str, value: str, *, sweeps: bool) -> str:
    """The end of a message: why the grammar refuses a value, and what to type instead.

    Args:
        key: The key on the command line, with its `+`.
        value: The value that the grammar refuses.
        sweeps: Whether commas separate the values of a sweep.
    """
    fixed = _quote_elements(value, sweeps=sweeps)
    separators = "" if fixed == quote_value(value) else "[,]"
    special = [
        each for each in dict.fromkeys(value) if not _PLAIN.match(each) and each not in separators
    ]
    named = [character for character in special if character.isascii()]
    if len(named) < len(special):
        named.append("characters beyond ASCII")
    reason = f"Hydra takes {' '.join(named)} in quotes only" if named else "Hydra needs quotes here"
    argument = f"{key}={fixed}"
    to_type = quote_for_shell(argument)
    # Do not suggest what would fail again, or what a terminal cannot show.
    if not parses(argument) or printable(to_type) != to_type:
        return reason
    return f"{reason}: {to_type}"


def parses(argument: str) -> bool:
    """Whether Hydra's grammar accepts an argument of a command line."""
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def _quote_elements(value: str, *, sweeps: bool) -> str:
    """Quote the elements of a list or sweep one by one, and any other value as a whole."""
    is_list = value.startswith("[") and value.endswith("]")
    inner = value[1:-1] if is_list else value
    has_elements = is_list or (sweeps and "," in value)
    # Where brackets or quotes are nested, only a parser could tell the elements apart.
    if not has_elements or set("[]{}()'\"") & set(inner):
        return quote_value(value)
    parts = [part if parses(f"k={part}") else quote_value(part) for part in inner.split(",")]
    joined = ",".join(parts)
    return f"[{joined}]" if is_list else joined


# Keys whose values name a file or a folder, or may do so.
_PATHS = ("results", "data.root", "data_root", "run", "recipe.teacher", "recipe.run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One run to make.

    Attributes:
        config: The resolved configuration.
        digest: The hash of the configuration.
        title: A title for people.
        adds: What distinguishes the run from other runs of the same job, written as overrides.
    """

    config: dict[str, Any]
    digest: str
    title: str
    adds: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A job whose values are valid: its number of runs, and what they need from this machine."""

    num_runs: int = 1
    needs: Sequence[Need] = ()


def plain_values(config: DictConfig) -> dict[str, Any]:
    """The resolved values without Hydra's own part, with paths expanded.

    Raises:
        ValueError: A value is missing.
    """
    return with_paths(resolved_values(config))


def values_of_repeats(config: DictConfig) -> dict[str, Any]:
    """As plain_values(), with seed and repeat 0: the same for all repeats of a configuration."""
    # Before it is resolved, because other keys may refer to the seed.
    repeats = config.copy()
    repeats.seed = 0
    repeats.repeat = 0
    return plain_values(repeats)


def resolved_values(config: DictConfig) -> dict[str, Any]:
    """The resolved values without Hydra's own part.

    Raises:
        ValueError: A value is missing.
    """
    without_hydra = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    container = OmegaConf.to_container(without_hydra, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def with_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the values, with `~` and variables such as $HOME replaced in every path."""
    copy = dict(values)
    for key in _PATHS:
        path = value_at(values, key)
        # Leave other values exactly as given: a slash decides whether `run` is an id or a folder.
        if isinstance(path, str) and (path.startswith("~") or "$" in path):
            group, _, name = key.rpartition(".")
            if group:
                copy[group] = {**copy[group], name: str(expand_path(path))}
            else:
                copy[name] = str(expand_path(path))
    return copy


def with_choices(config: DictConfig, values: dict[str, Any]) -> dict[str, Any]:
    """Add the chosen option of each group to a resolved configuration.

    Args:
        config: The composed configuration. In a running job, Hydra's own part is not in it.
        values: The same configuration, resolved.
    """
    chosen: Any = {}
    if "hydra" in config:
        chosen = config.hydra.runtime.choices
    elif HydraConfig.initialized():
        chosen = HydraConfig.get().runtime.choices
    names = {str(group): str(option) for group, option in chosen.items() if option is not None}
    return {**values, CHOICES: {group: names[group] for group in values if group in names}}


def refuse_parts_of_sweeps(hydra: HydraConf) -> None:
    """Refuse a launcher or a sweeper for a single run: Hydra would make the run here without them.

    Raises:
        ValueError: One was chosen.
    """
    if hydra.mode != RunMode.RUN:
        return
    name = hydra.runtime.choices["hydra/launcher"]
    chosen = [f"hydra/launcher={name}"] * (name != "basic")
    chosen += [text for text in hydra.overrides.hydra if key_of(text).startswith("hydra/sweeper")]
    for text in chosen[:1]:
        raise ValueError(f"{text}: is for sweeps only; add -m")
