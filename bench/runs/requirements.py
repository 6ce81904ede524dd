"""What a run needs on this machine: libraries, the classes it names, and the files of its data."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from bench.config.nodes import NODES
from bench.config.train import MODULE
from bench.core.errors import install_hint
from bench.launch.needs import Need

LOGGERS = "pytorch_lightning.loggers."
# Loggers whose libraries come with an extra of this project: the extra, and its modules.
LOGGER_MODULES = {
    "TensorBoardLogger": ("tensorboard", ["tensorboard"]),
    "MLFlowLogger": ("mlflow", ["mlflow", "sqlalchemy", "alembic"]),
    "WandbLogger": ("wandb", ["wandb"]),
}
# The targets of our own options exist, and importing them for a check would take seconds.
_BUILT_IN = frozenset(
    [
        *(
            str(getattr(node, "_target_", ""))
            for nodes in NODES.values()
            for node in nodes.values()
        ),
        *(f"{LOGGERS}{name}" for name in ("CSVLogger", *LOGGER_MODULES)),
    ]
)
_DOWNLOADED = {
    node._target_: name for name, node in NODES["data"].items() if hasattr(node, "download")
}
# Reading and splitting these may fail by what the user chose: the file or, without one, the group.
_TRIED = {
    node._target_: key
    for node in NODES["data"].values()
    for key in ("group", "path")
    if hasattr(node, key)
}
# Models whose library comes with the extra of the same name.
_OPTIONAL = {NODES["model"][name]._target_: name for name in ("timm", "transformers")}
_TARGETS = "bench.runs.importable"

# Arguments that the job adds to those in the configuration.
_ADDED_TO_DATA = ("batch_size", "seed")
# By task: as Task.model_arguments() gives them, but without importing torch.
ADDED_TO_MODEL = {
    "classification": ("input_shape", "num_classes"),
    "regression": ("input_shape", "num_outputs"),
    "language_modelling": ("vocabulary_size", "context"),
    MODULE: (),
}
_HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_", "_mode_"}


@cache
def require_module(key: str, module: str, extra: str) -> None:
    """Refuse a key that needs a library which is not installed.

    Args:
        key: The key with its value, for the message.
        module: The library's module.
        extra: The extra of this project that installs it.

    Raises:
        ValueError: It is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"{key}: {module} is not installed; {install_hint(extra)}")


def target_needs(values: Mapping[str, Any], owner: str = "") -> list[Need]:
    """Require that the classes which a configuration names exist and take their arguments.

    Args:
        values: Groups of a configuration.
        owner: The beginning of messages if the configuration is that of another run.

    Raises:
        ValueError: The library of a model of ours is not installed.
    """
    needs = []
    task = values.get("task", "classification")
    added = {"data": _ADDED_TO_DATA, "model": ADDED_TO_MODEL[task]}
    if task == MODULE:  # its classes are called as they are, see bench.training.user_module
        added["data"] = ("batch_size",)
        added["model"] = ("lr",) if values.get("lr") is not None else ()
    for key, target in _targets(values):
        if target in _OPTIONAL:
            extra = _OPTIONAL[target]
            require_module(f"{owner}model={extra}", extra, extra)
        if target in _BUILT_IN:
            continue
        name = f"{owner}{key}"
        whose = (task,) if task == MODULE else ()
        needs.append(Need(f"{_TARGETS}:require_target", (name, target, *whose)))
        part = key.removesuffix("._target_")
        if part in added and not owner:  # another run has already called its classes
            arguments = sorted({*added[part], *values[part]} - _HYDRA_KEYS)
            needs.append(Need(f"{_TARGETS}:require_call", (name, target, tuple(arguments))))
    return needs


def _targets(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The dotted keys of all `_target_`s that Hydra would call, with their values."""
    below: list[tuple[str, Any]] = list(values.items())
    for key, value in below:  # the list grows; recursion would be slow for thousands of jobs
        if is_dataclass(value):
            value = vars(value)
        if isinstance(value, list):
            below += [(f"{key}.{index}", item) for index, item in enumerate(value)]
        elif isinstance(value, dict):
            if isinstance(value.get("_target_"), str):
                yield f"{key}._target_", value["_target_"]
            if value.get("_recursive_") is not False:
                below += [(f"{key}.{name}", item) for name, item in value.items()]


def file_needs(data: Mapping[str, Any], key: str) -> list[Need]:
    """Require the files of a data set of ours, and that it can be split as configured."""
    target = data["_target_"]
    tried, name = _TRIED.get(target), _DOWNLOADED.get(target)
    # A table that comes with a library can only fail by its group.
    if tried == "path" or (tried is not None and data.get(tried) is not None):
        arguments = (f"data.{tried}", data.get(tried), json.dumps(dict(data)))
        return [Need(f"{_TARGETS}:require_splits", arguments)]
    if name is None:
        return []
    return [
        Need(
            "bench.tasks.sources:require_files",
            (key, data.get("root"), name, bool(data.get("download", True))),
        )
    ]
