"""Plans the run of a configuration of bench.train, and checks what it needs on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from bench.cli.messages import root_cause
from bench.cli.overrides import (
    Checked,
    Planned,
    job_overrides,
    key_of,
    plain_values,
    values_of_repeats,
    with_choices,
)
from bench.config.recipe import PruneConfig
from bench.config.run import MeterConfig
from bench.config.train import BudgetConfig, TrainConfig
from bench.config.trainer import TrainerConfig
from bench.core.checks import value_at
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
from bench.training.module_plan import refuse_decided, with_module


def check_values(values: Mapping[str, Any]) -> TrainConfig:
    """Read the configuration of bench.train from resolved values.

    Raises:
        ValueError: A value is missing or out of range, or would have no effect: because of an
            environment variable, or because no meter checks it.
    """
    config = TrainConfig.from_dict(values)
    refuse_trainer_variables()
    if config.trainer.compile:
        refuse_disabled_compiler("trainer.compile=true")
    refuse_unmetered(config.budget, config.meter)
    return config


def refuse_unmetered(budget: BudgetConfig, meter: MeterConfig) -> None:
    """Refuse a budget of joules that no meter checks.

    Raises:
        ValueError: None does.
    """
    if budget.max_energy_j is not None and not meter.sources:
        raise ValueError(
            f"budget.max_energy_j={budget.max_energy_j:g}: nothing would check it with "
            "meter=none; choose a meter, such as meter=auto"
        )


def check_training(values: Mapping[str, Any], overrides: Sequence[str]) -> Checked:
    """Check the values of a job of bench.train before a sweep starts.

    Args:
        values: The resolved values, with paths as a shell writes them.
        overrides: The overrides of this job on the command line.

    Raises:
        ValueError: As plan_training(), except for what the job needs on this machine; or the job is
            a training over several nodes, each of which a launcher starts by itself.
    """
    needs = _source_and_needs(values, overrides)[1]
    num_nodes = value_at(values, "trainer.num_nodes") or 1
    if num_nodes > 1:
        raise ValueError(
            f"trainer.num_nodes={num_nodes}: a sweep is made on one node; leave -m out, and call "
            "srun or torchrun once for each combination of values"
        )
    return Checked(needs=needs)


def training_digests(values: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """The hash of the run of a job, as plan_training() computes it.

    Args:
        values: The resolved values of a job whose seed and repeat are 0.
        overrides: The overrides of the job on the command line.

    Raises:
        ValueError: As check_training().
    """
    source = find_source(TrainConfig.from_dict(with_module(values, overrides)))
    return [_digest(values, overrides, source)]


def _digest(values: Mapping[str, Any], overrides: Sequence[str], source: Source | None) -> str:
    return config_hash(with_source(with_module(values, overrides), source, portable=True))


def _source_and_needs(
    values: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[Source | None, list[Need]]:
    """The run that a job builds on, and what the job needs; see check_training()."""
    check_values(values)
    refuse_decided(values, overrides)
    config = TrainConfig.from_dict(with_module(values, overrides))
    require_rates(config)
    target_mode(config)
    source = find_source(config)
    refuse_other_model(config.model, source, overrides)
    needs = training_needs(config, source)
    # Reading a data set takes time, so its split is only tried if the user chose another size.
    if "data.num_validation_samples" in map(key_of, overrides):
        needs.append(splits_need(config.data))
    return source, needs


def plan_training(config: DictConfig) -> list[Planned]:
    """Plan the one run of a configuration of bench.train.

    If its recipe builds on another run, that run is looked up here, and its id goes into the
    configuration and its hash.

    Raises:
        ValueError: As check_values(); or the run that it builds on is missing or cannot be used; or
            something that it needs is not on this machine.
    """
    values = plain_values(config)
    overrides = job_overrides(config)
    source, needs = _source_and_needs(values, overrides)
    require(needs)
    settled = with_source(with_module(with_choices(config, values), overrides), source)
    # The record must say which way is better even if the run is killed.
    settled["target"]["mode"] = target_mode(TrainConfig.from_dict(values))
    chosen = settled[CHOICES]
    title = f"{chosen.get('model', 'model')} on {chosen.get('data', 'data')}"
    if source is not None:
        title = f"{title}, {source.recipe.name}"
    return [Planned(config=settled, digest=hash_of(config, source), title=title)]


def target_mode(config: TrainConfig) -> str | None:
    """The direction of the target's metric: as configured, else that of the user's own metric.

    Raises:
        ValueError: The metric cannot be made, or its class does not know its direction.
    """
    metric, mode = config.target.metric, config.target.mode
    if metric not in config.metrics or mode is not None:
        return mode
    return _direction(metric, json.dumps(config.metrics[metric]))


@cache
def _direction(metric: str, node: str) -> str:
    from bench.tasks.user_metrics import UserMetrics  # it imports torch

    try:
        made = instantiate(json.loads(node))
    except InstantiationException as error:
        raise ValueError(f"metrics.{metric}: {root_cause(error)}") from error
    direction = UserMetrics({metric: made}, ()).directions[metric]
    if direction is None:
        raise ValueError(
            f"target.metric={metric}: {type(made).__name__} does not say whether more or less of "
            "it is better; give target.mode=max or target.mode=min"
        )
    return direction


def hash_of(config: DictConfig, source: Source | None = None) -> str:
    """Hash a configuration such that all seeds and repeats have the same hash.

    Args:
        config: The configuration as Hydra composed it.
        source: The run that its recipe builds on.
    """
    return _digest(values_of_repeats(config), job_overrides(config), source)


def training_needs(config: TrainConfig, source: Source | None) -> list[Need]:
    """List what a training needs on this machine.

    Args:
        config: The configuration of the run.
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
    return [*needs, *device_needs(config.trainer, config.precision)]


def device_needs(options: TrainerConfig, precision: str) -> list[Need]:
    """Require the devices of a training.

    Looking for a GPU means importing torch in another process, so only do it if one is needed.
    """
    wants_gpu = options.accelerator == "gpu" or options.devices > 1 or precision == "16-mixed"
    if options.gpu_keys:
        asked = ("trainer.accelerator", options.accelerator, precision)
        return [Need("bench.training.gpus:require_trainer", (*asked, tuple(vars(options).items())))]
    if options.accelerator == "cpu" or not wants_gpu:
        return []
    arguments = (options.accelerator, options.devices, precision)
    return [Need("bench.training.loop:require_devices", arguments)]


def splits_need(data: Mapping[str, Any]) -> Need:
    """Require that a data set can be split as configured, by splitting it."""
    size = data.get("num_validation_samples")
    return Need(
        "bench.runs.importable:require_splits",
        ("data.num_validation_samples", size, json.dumps(dict(data))),
    )
