"""From a configuration of bench.train to the run that it asks for, and what that needs here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bench.cli.overrides import Checked, Planned, key_of, plain, with_choices
from bench.config.recipe import PruneConfig
from bench.config.train import TrainConfig
from bench.core.environment import refuse_disabled_compiler, refuse_trainer_variables
from bench.core.identity import CHOICES, config_hash
from bench.launch.needs import Need, require
from bench.runs.charges import require_rates
from bench.runs.recipes import Source, find_source, refuse_other_model, with_source
from bench.runs.requirements import (
    LOGGER_MODULES,
    LOGGERS,
    file_needs,
    require_module,
    target_needs,
)


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
    return Checked(needs=_looked_at(values, overrides)[1])


def _looked_at(
    values: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[Source | None, list[Need]]:
    """The run that a job builds on, and what it needs; see check_training."""
    config = check_values(values)
    require_rates(config)
    source = find_source(config)
    refuse_other_model(config.model, source, overrides)
    needs = training_needs(config, source)
    if "data.num_validation_samples" in map(key_of, overrides):
        needs.append(splits_need(config.data))
    return source, needs


def plan_training(config: DictConfig) -> list[Planned]:
    """The one run that a configuration of bench.train asks for.

    A run that its recipe builds on is looked up here, and goes into the configuration and its
    hash by its id.

    Raises:
        ValueError: As check_values; or the run that it builds on is not there or not fit for it;
            or what it needs is not here.
    """
    values = plain(config)
    source, needs = _looked_at(values, _overrides(config))
    require(needs)
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
    """Identity of the configuration: the same for all seeds and repeats, and what refers to them.

    Args:
        config: As Hydra composed it.
        source: The run that its recipe builds on, whose id stands for what it was called.
    """
    alike = config.copy()
    alike.seed = 0
    alike.repeat = 0
    return config_hash(with_source(plain(alike), source, portable=True))


def training_needs(config: TrainConfig, source: Source | None) -> list[Need]:
    """What a training needs.

    Args:
        config: Of the run.
        source: The run that its recipe builds on.

    Raises:
        ValueError: A library is not installed.
    """
    logger = str((config.logger or {}).get("_target_", "")).removeprefix(LOGGERS)
    extra, modules = LOGGER_MODULES.get(logger, ("", []))
    for module in modules:
        require_module(f"logger={extra}", module, extra)
    if isinstance(config.recipe, PruneConfig):
        require_module("recipe=prune", "torch_pruning", "serving")
    needs = [*target_needs(vars(config)), *file_needs(config.data, "data.root")]
    if source is not None:
        model = {"model": source.record.config["model"]}
        needs += target_needs(model, f"{source.key}={source.record.run_id}: ")
    options, precision = config.trainer, config.precision
    wants_gpu = options.accelerator == "gpu" or options.devices > 1 or precision == "16-mixed"
    if options.accelerator != "cpu" and wants_gpu:
        needs.append(
            Need(
                "bench.training.loop:require_devices",
                (options.accelerator, options.devices, precision),
            )
        )
    return needs


def splits_need(data: Mapping[str, Any]) -> Need:
    """That a data set can be split as asked for, which is seen by doing it."""
    size = data.get("num_validation_samples")
    return Need(
        "bench.runs.importable:require_splits",
        ("data.num_validation_samples", size, json.dumps(dict(data))),
    )
