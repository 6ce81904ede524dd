"""From Hydra's configuration to plain, checked values and their identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from bench.cli.costs import require_rates
from bench.cli.needs import Need, require, splits_need, training_needs
from bench.cli.overrides import key_of
from bench.cli.recipes import Source, find_source, refuse_other_model, with_source
from bench.core.checks import value_at
from bench.core.config import CHOICES, TrainConfig, config_hash
from bench.core.environment import refuse_disabled_compiler, refuse_trainer_variables
from bench.core.files import expanded

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


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration of bench.train as plain, checked values.

    Raises:
        ValueError: As check_values.
    """
    values = plain(config)
    check_values(values)
    return values


def check_values(values: Mapping[str, Any]) -> TrainConfig:
    """The typed form of the resolved values of bench.train.

    Raises:
        ValueError: A value is missing or out of range, or would not hold: because of the
            environment, or because nothing checks it.
    """
    checked = TrainConfig.from_dict(values)
    refuse_trainer_variables()
    if checked.trainer.compile:
        refuse_disabled_compiler("trainer.compile=true")
    if checked.budget.max_energy_j is not None and not checked.meter.sources:
        raise ValueError(
            f"budget.max_energy_j={checked.budget.max_energy_j:g}: nothing would check it with "
            "meter=none; choose a meter, such as meter=auto"
        )
    return checked


def check_training(values: Mapping[str, Any], overrides: Sequence[str]) -> Checked:
    """Check a job of bench.train by its values.

    Args:
        values: Resolved, with paths as a shell has them.
        overrides: What was given on the command line for this job.

    Raises:
        ValueError: As plan_training, but for what it needs here.
    """
    checked = check_values(values)
    require_rates(values)
    source = find_source(values)
    refuse_other_model(values, source, overrides)
    needs = training_needs(values, checked, source)
    if "data.num_validation_samples" in map(key_of, overrides):
        needs.append(splits_need(values["data"]))
    return Checked(needs=needs)


def plan_training(config: DictConfig) -> list[Planned]:
    """The one run that a configuration of bench.train asks for.

    A run that its recipe builds on is looked up here, and goes into the configuration and its
    hash by its id.

    Raises:
        ValueError: As check_values; or the run that it builds on is not there or not fit for it;
            or what it needs is not here.
    """
    values = plain(config)
    require(check_training(values, _overrides(config)).needs)
    source = find_source(values)
    settled = with_source(with_choices(config, values), source)
    chosen = settled[CHOICES]
    title = f"{chosen.get('model', 'model')} on {chosen.get('data', 'data')}"
    if source is not None:
        title = f"{title}, {source.recipe.name}"
    return [Planned(config=settled, digest=hash_of(config, source), title=title)]


def _overrides(config: DictConfig) -> list[str]:
    """What was given on the command line for this job; Hydra keeps it apart from a running job."""
    if "hydra" in config:
        return list(config.hydra.overrides.task)
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def hash_of(config: DictConfig, source: Source | None = None) -> str:
    """Identity of the configuration: seed and repeat are set alike first, as are their copies.

    Args:
        config: As Hydra composed it.
        source: The run that its recipe builds on, whose id stands for what it was called.
    """
    alike = config.copy()
    alike.seed = 0
    alike.repeat = 0
    return config_hash(with_source(plain(alike), source, portable=True))
