"""From Hydra's configuration to plain, checked values and their identity."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from bench.cli.recipes import Source, find_source, refuse_other_model, with_source
from bench.core.config import CHOICES, TrainConfig, config_hash
from bench.core.environment import refuse_disabled_compiler, refuse_trainer_variables

# Loggers come as extras: the module that each needs, and the extra that brings it.
_LOGGER_EXTRAS = {
    "TensorBoardLogger": ("tensorboard", "tensorboard"),
    "MLFlowLogger": ("mlflow", "mlflow"),
    "WandbLogger": ("wandb", "wandb"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One run to make: its configuration, the identity of that, and a title for people.

    adds is what tells it apart from other runs of the same job, in the form of overrides.
    """

    config: dict[str, Any]
    digest: str
    title: str
    adds: Sequence[str] = ()


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, without Hydra's own part.

    Raises:
        ValueError: A value is missing.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    container = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


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
        ValueError: A value is missing or out of range, needs an extra that is not installed, or
            would not hold: because of the environment, or because nothing checks it.
    """
    values = plain(config)
    checked = TrainConfig.from_dict(values)
    _refuse_missing_extra(values["logger"])
    refuse_trainer_variables()
    if checked.trainer.compile:
        refuse_disabled_compiler("trainer.compile=true")
    if checked.budget.max_energy_j is not None and not checked.meter.sources:
        raise ValueError(
            f"budget.max_energy_j={checked.budget.max_energy_j:g}: nothing would check it with "
            "meter=none; choose a meter, such as meter=auto"
        )
    return values


def plan_training(config: DictConfig) -> list[Planned]:
    """The one run that a configuration of bench.train asks for.

    A run that its recipe builds on is looked up here, and goes into the configuration and its
    hash by its id.

    Raises:
        ValueError: As resolved; or the run that it builds on is not there or not fit for it.
    """
    values = resolved(config)
    source = find_source(values)
    refuse_other_model(values, source, _overrides(config))
    title = f"batch_size={values['batch_size']} seed={values['seed']}"
    if source is not None:
        title = f"{source.recipe.name} {title}"
    settled = with_source(with_choices(config, values), source)
    return [Planned(config=settled, digest=hash_of(config, source), title=title)]


def _overrides(config: DictConfig) -> list[str]:
    """What was given on the command line for this job; Hydra keeps it apart from a running job."""
    if "hydra" in config:
        return list(config.hydra.overrides.task)
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _refuse_missing_extra(logger: dict[str, Any] | None) -> None:
    name = (logger or {}).get("_target_", "").rpartition(".")[2]
    module, extra = _LOGGER_EXTRAS.get(name, (None, None))
    if module is not None and importlib.util.find_spec(module) is None:
        raise ValueError(
            f"logger={extra}: {module} is not installed; "
            f"pip install 'operational-metrics-bench[{extra}]'"
        )


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
