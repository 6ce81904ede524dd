"""From Hydra's configuration to plain, checked values and their identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from bench.core.checks import value_at
from bench.core.files import expanded
from bench.core.identity import CHOICES
from bench.launch.needs import Need

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
    return with_paths(own_values(config))


def own_values(config: DictConfig) -> dict[str, Any]:
    """The resolved values as they were given, without Hydra's own part.

    Raises:
        ValueError: A value is missing.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    container = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def with_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `~` and variables such as $HOME replaced in all that names a place."""
    written_out = dict(values)
    for key in _PATHS:
        given = value_at(values, key)
        # A name without either stays as it is: a run's id is told from its folder by the slash.
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
