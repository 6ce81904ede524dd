"""What a run needs of this machine, looked at before it waits for its turn to be measured.

Whether a library is installed is seen here. Whether a class exists, a device or the files of a data
set, only the libraries can tell: they are asked in a process of their own, as jobs are made, so
that this one imports neither torch nor the modules of the user.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.cli.recipes import Source
from bench.core.config import TrainConfig
from bench.core.config_nodes import NODES, FashionMnistNode
from bench.core.extras import install_hint
from bench.core.log_tail import last_lines
from bench.core.measure_nodes import MEASURE_NODES
from bench.core.recipe_nodes import PruneConfig
from bench.core.records import RunRecord
from bench.core.serve_config import ServeConfig
from bench.launch.isolation import ForkServer, NotStarted

_LOGGERS = "pytorch_lightning.loggers."
# What comes with an extra of this project: its modules.
_LOGGER_MODULES = {
    "TensorBoardLogger": ("tensorboard", ["tensorboard"]),
    "MLFlowLogger": ("mlflow", ["mlflow", "sqlalchemy", "alembic"]),
    "WandbLogger": ("wandb", ["wandb"]),
}
_RUNTIME_MODULES = {
    "onnxruntime": [("onnxruntime", "serving"), ("onnx", "serving"), ("onnxscript", "serving")],
    "openvino": [("openvino", "openvino"), ("onnx", "serving"), ("onnxscript", "serving")],
}
_HTTP_MODULES = ("aiohttp", "starlette", "uvicorn")
# Targets of our own options, which need no look.
_OWN = frozenset(
    [
        *(
            str(getattr(node, "_target_", ""))
            for groups in (NODES, MEASURE_NODES)
            for nodes in groups.values()
            for node in nodes.values()
        ),
        *(f"{_LOGGERS}{name}" for name in ("CSVLogger", *_LOGGER_MODULES)),
    ]
)
_FILE_DATA = {
    node._target_: name
    for name, node in NODES["data"].items()
    if issubclass(node, FashionMnistNode)
}


@dataclass(frozen=True, slots=True)
class Need:
    """Something to look at: a function of bench/cli/needs_job.py, and what it is given."""

    check: str
    arguments: tuple[Any, ...]


# What the job gives a part besides the keys of its configuration.
_GIVEN = {"data": (), "model": ("input_shape", "num_classes")}
_OF_HYDRA = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_", "_mode_"}


# What was there when it was looked at is not looked at again by this command.
_met: set[Need] = set()


def forget() -> None:
    """Look at everything again, as a new command does."""
    _met.clear()


def require(needs: Iterable[Need]) -> None:
    """Refuse what is not here, before anything is measured for it.

    Raises:
        ValueError: Something is missing; the message names the key and the remedy.
    """
    asked = [need for need in dict.fromkeys(needs) if need not in _met]
    if not asked:
        return
    for need, refusal in zip(asked, _refusals(asked), strict=True):
        if refusal is not None:
            raise ValueError(refusal)
        _met.add(need)


def _refusals(needs: Sequence[Need]) -> list[str | None]:
    """Why each need is not met, None where it is, from a process of its own."""
    answers: list[str | None] = []
    with TemporaryDirectory(prefix="bench-needs-") as folder:
        log = Path(folder) / "log.txt"
        server = ForkServer(preload=())
        try:
            ending = server.run(
                "bench.cli.needs_job:run", needs, log=log, on_message=answers.append
            )
        except NotStarted as error:
            raise ValueError(str(error)) from error
        if len(answers) < len(needs):
            key, value = needs[len(answers)].arguments[:2]
            how = ending.signal_name or f"exit code {ending.exit_code}"
            said = " ".join(last_lines(log, 3, most_bytes=1000))
            answers.append(f"{key}={value}: looking at it ended by {how} ({said or 'no word'})")
    return answers + [None] * (len(needs) - len(answers))


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
    logger = str((checked.logger or {}).get("_target_", "")).removeprefix(_LOGGERS)
    extra, modules = _LOGGER_MODULES.get(logger, ("", []))
    for module in modules:
        _require_module(f"logger={extra}", module, extra)
    if isinstance(checked.recipe, PruneConfig):
        _require_module("recipe=prune", "torch_pruning", "serving")
    needs = [*_target_needs(values), *_file_needs(values["data"], "data.root")]
    if source is not None:
        model = {"model": source.record.config["model"]}
        needs += _target_needs(model, f"{source.key}={source.record.run_id}: ")
    options, precision = checked.trainer, checked.precision
    wants_gpu = options.accelerator == "gpu" or options.devices > 1 or precision == "16-mixed"
    if options.accelerator != "cpu" and wants_gpu:
        needs.append(Need("devices", (options.accelerator, options.devices, precision)))
    return needs


def splits_need(data: Mapping[str, Any]) -> Need:
    """That a data set can be split as asked for, which is seen by doing it."""
    size = data.get("num_validation_samples")
    return Need("splits", ("data.num_validation_samples", size, json.dumps(dict(data))))


def serving_needs(
    values: Mapping[str, Any], checked: ServeConfig, trained: RunRecord
) -> list[Need]:
    """What serving a trained model needs.

    Args:
        values: The resolved values.
        checked: The same, typed.
        trained: The record of the training run.

    Raises:
        ValueError: A library is not installed.
    """
    backend = checked.backend
    _require_module(f"scenario={checked.scenario.name}", "mlperf_loadgen", "serving")
    for module in _HTTP_MODULES if backend.http is not None else ():
        _require_module("backend=http", module, "serving")
    if checked.placement.has_network:
        _require_module(f"placement={checked.placement.name}", "envoy", "serving")
    needs = _target_needs(values)
    parts = {name: trained.config[name] for name in ("data", "model")}
    needs += _target_needs(parts, f"run={trained.run_id}: ")
    data = parts["data"]
    if checked.data_root is not None and "root" in data:
        data = {**data, "root": checked.data_root}
    needs += _file_needs(data, "data_root")
    if backend.serves_elsewhere:
        return needs
    for module, extra in _RUNTIME_MODULES.get(backend.runtime, ()):
        _require_module(f"backend={backend.runtime}", module, extra)
    if backend.device == "cuda":
        needs.append(Need("runtime", (backend.runtime, backend.device)))
    return needs


@cache
def _require_module(key: str, module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"{key}: {module} is not installed; {install_hint(extra)}")


def _target_needs(values: Mapping[str, Any], of: str = "") -> list[Need]:
    """That the classes exist that are named in some groups."""
    needs = []
    for key, target in _targets(values):
        if target not in _OWN:
            needs.append(Need("target", (f"{of}{key}", target)))
            part = key.removesuffix("._target_")
            if part in _GIVEN and not of:  # another run has been made with it
                names = sorted({*_GIVEN[part], *values[part]} - _OF_HYDRA)
                needs.append(Need("call", (f"{of}{key}", target, tuple(names))))
    return needs


def _targets(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted keys of all `_target_`s that are made of a configuration, and what they say."""
    below: list[tuple[str, Any]] = list(values.items())
    for key, value in below:  # which grows: a plan looks at thousands of jobs
        if isinstance(value, list):
            below += [(f"{key}.{index}", item) for index, item in enumerate(value)]
        elif isinstance(value, dict):
            if isinstance(value.get("_target_"), str):
                yield f"{key}._target_", value["_target_"]
            if value.get("_recursive_") is not False:
                below += [(f"{key}.{name}", item) for name, item in value.items()]


def _file_needs(data: Mapping[str, Any], key: str) -> list[Need]:
    """That the files are there, of a data set of ours that lies in files."""
    name = _FILE_DATA.get(data["_target_"])
    if name is None:
        return []
    return [Need("files", (key, data.get("root"), name, bool(data.get("download", True))))]
