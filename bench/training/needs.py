"""What a training needs of this machine, to be looked at before it waits for its turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.config.recipe_nodes import PruneConfig
from bench.config.train import TrainConfig
from bench.launch.needs import Need
from bench.runs.needs import LOGGER_MODULES, LOGGERS, file_needs, require_module, target_needs
from bench.runs.recipes import Source


def training_needs(
    values: Mapping[str, Any], checked: TrainConfig, source: Source | None
) -> list[Need]:
    """What a training needs.

    Args:
        values: The resolved values.
        checked: The same, typed.
        source: The run that its recipe builds on.

    Raises:
        ValueError: A library is not installed.
    """
    logger = str((checked.logger or {}).get("_target_", "")).removeprefix(LOGGERS)
    extra, modules = LOGGER_MODULES.get(logger, ("", []))
    for module in modules:
        require_module(f"logger={extra}", module, extra)
    if isinstance(checked.recipe, PruneConfig):
        require_module("recipe=prune", "torch_pruning", "serving")
    needs = [*target_needs(values), *file_needs(values["data"], "data.root")]
    if source is not None:
        model = {"model": source.record.config["model"]}
        needs += target_needs(model, f"{source.key}={source.record.run_id}: ")
    options, precision = checked.trainer, checked.precision
    wants_gpu = options.accelerator == "gpu" or options.devices > 1 or precision == "16-mixed"
    if options.accelerator != "cpu" and wants_gpu:
        needs.append(
            Need(
                "bench.training.fit:require_devices",
                (options.accelerator, options.devices, precision),
            )
        )
    return needs


def splits_need(data: Mapping[str, Any]) -> Need:
    """That a data set can be split as asked for, which is seen by doing it."""
    size = data.get("num_validation_samples")
    return Need(
        "bench.runs.targets:require_splits",
        ("data.num_validation_samples", size, json.dumps(dict(data))),
    )
