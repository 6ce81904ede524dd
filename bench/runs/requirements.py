"""What parts of a run need here: libraries, classes that a configuration names, files of data."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from bench.config.nodes import NODES
from bench.core.errors import install_hint
from bench.launch.needs import Need

LOGGERS = "pytorch_lightning.loggers."
# What comes with an extra of this project: its modules.
LOGGER_MODULES = {
    "TensorBoardLogger": ("tensorboard", ["tensorboard"]),
    "MLFlowLogger": ("mlflow", ["mlflow", "sqlalchemy", "alembic"]),
    "WandbLogger": ("wandb", ["wandb"]),
}
# Targets of our own options, which need no look.
_OWN = frozenset(
    [
        *(
            str(getattr(node, "_target_", ""))
            for nodes in NODES.values()
            for node in nodes.values()
        ),
        *(f"{LOGGERS}{name}" for name in ("CSVLogger", *LOGGER_MODULES)),
    ]
)
_FILE_DATA = {node._target_: name for name, node in NODES["data"].items() if hasattr(node, "root")}
_TARGETS = "bench.runs.importable"

# What the job gives a part besides the keys of its configuration.
_GIVEN = {"data": ("batch_size", "seed"), "model": ("input_shape", "num_classes")}
_OF_HYDRA = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_", "_mode_"}


@cache
def require_module(key: str, module: str, extra: str) -> None:
    """Refuse a key that needs a library which is not installed.

    Args:
        key: With its value, for the message.
        module: Of the library.
        extra: Of this project, which installs it.

    Raises:
        ValueError: It is not installed; the message says how to install it.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"{key}: {module} is not installed; {install_hint(extra)}")


def target_needs(values: Mapping[str, Any], of: str = "") -> list[Need]:
    """That the classes exist that are named in some groups: keys of a configuration."""
    needs = []
    for key, target in _targets(values):
        if target not in _OWN:
            needs.append(Need(f"{_TARGETS}:require_target", (f"{of}{key}", target)))
            part = key.removesuffix("._target_")
            if part in _GIVEN and not of:  # another run has been made with it
                names = sorted({*_GIVEN[part], *values[part]} - _OF_HYDRA)
                needs.append(Need(f"{_TARGETS}:require_call", (f"{of}{key}", target, tuple(names))))
    return needs


def _targets(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted keys of all `_target_`s that are made of a configuration, and what they say."""
    below: list[tuple[str, Any]] = list(values.items())
    for key, value in below:  # which grows: a plan looks at thousands of jobs
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
    """That the files are there, of a data set of ours that lies in files."""
    name = _FILE_DATA.get(data["_target_"])
    if name is None:
        return []
    return [
        Need(
            "bench.tasks.sources:require_files",
            (key, data.get("root"), name, bool(data.get("download", True))),
        )
    ]
