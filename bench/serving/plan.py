"""From a configuration of bench.serve to its runs, one for each trained model, and their needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bench.cli.overrides import (
    Checked,
    Planned,
    job_overrides,
    key_of,
    plain_values,
    quote_value,
    with_choices,
)
from bench.cli.terminal import say
from bench.config.serve import GENERATE, ServeConfig
from bench.config.trust import PARTS, metric_nodes, require_trusted
from bench.core.environment import refuse_disabled_compiler
from bench.core.identity import config_hash
from bench.core.records.run import RunRecord
from bench.launch.needs import Need, require
from bench.runs.charges import require_rates
from bench.runs.find import find_runs, trained_record
from bench.runs.requirements import file_needs, require_module, target_needs
from bench.serving.find_backend import find_backend
from bench.serving.planted_skew import refuse_impossible
from bench.serving.retraining import training_values

_HTTP_MODULES = ("aiohttp", "httptools", "starlette", "uvicorn")


def plan_serving(config: DictConfig) -> list[Planned]:
    """Plan one run for each training run that the key `run` names.

    The hash covers the configuration of the training but not its seed or repeat, so that serving
    the models of several seeds gives repeats of one another.

    Raises:
        ValueError: A value is out of range, there is no such run, it cannot be served, or
            something that serving it needs is missing here.
    """
    values = with_choices(config, serving_values(config))
    require(check_serving(values, job_overrides(config)).needs)
    checked = ServeConfig.from_dict(values)
    folders = _folders(checked)
    planned = []
    for folder in folders:
        record = _record(folder, allow_missed=checked.allow_missed)
        planned.append(
            Planned(
                config={**values, "run": str(folder)},
                digest=_digest(values, record),
                title=f"{model_name(record)} {checked.backend.name} {checked.compression.method}",
                adds=[f"run={record.run_id}"] if len(folders) > 1 else [],
            )
        )
    return planned


def serving_digests(values: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """The hash of each run of a job, as plan_serving() computes it.

    Args:
        values: The resolved values of the job.
        overrides: The overrides of the job on the command line.

    Raises:
        ValueError: As check_serving().
    """
    checked = ServeConfig.from_dict(values)
    return [
        _digest(values, _record(folder, allow_missed=checked.allow_missed))
        for folder in _folders(checked)
    ]


def spread_serving(values: Mapping[str, Any], overrides: Sequence[str]) -> list[list[str]]:
    """Make one job for each run that the key `run` of a job names.

    Args:
        values: The resolved values of the job.
        overrides: The overrides of the job on the command line.

    Raises:
        ValueError: As check_serving().
    """
    checked = ServeConfig.from_dict(values)
    folders = _folders(checked)
    if len(folders) == 1:
        return [list(overrides)]
    trained = Path(checked.results).absolute() / "train"
    others = [text for text in overrides if key_of(text) != "run"]
    return [
        [f"run={each.name if each.parent == trained else quote_value(str(each))}", *others]
        for each in folders
    ]


def _digest(values: Mapping[str, Any], trained: RunRecord) -> str:
    # It must not depend on which repeat of the training is served.
    return config_hash({**values, "run": trained.config_hash, "seed": 0, "repeat": 0})


def serving_values(config: DictConfig) -> dict[str, Any]:
    """The resolved values of a configuration of bench.serve.

    Raises:
        ValueError: A value is missing.
    """
    if OmegaConf.is_missing(config, "run"):
        raise ValueError("run: must be given: a training run's id or folder, a glob, or latest")
    return plain_values(config)


def check_serving(values: Mapping[str, Any], overrides: Sequence[str]) -> Checked:
    """Check the values of a job of bench.serve.

    Args:
        values: Resolved, with paths as a shell has them.
        overrides: The job's overrides on the command line.

    Raises:
        ValueError: As plan_serving, except for needs on this machine.
    """
    checked = ServeConfig.from_dict(values)
    _refuse_no_compiler(checked)
    _refuse_ignored_batch_size(checked, overrides)
    require_rates(checked)
    folders = _folders(checked)
    records = [_record(folder, allow_missed=checked.allow_missed) for folder in folders]
    # Check trust before importing anything that the records name. A server of the user's own has
    # its model already, so then only the data matters.
    parts = ("data",) if checked.backend.serves_elsewhere else PARTS
    for folder, record in zip(folders, records, strict=True):
        require_trusted(record.config, folder, checked.trust, parts=parts)
        metrics = metric_nodes(record.config)
        require_trusted(metrics, folder, checked.trust, parts=list(metrics))
    for folder, record in zip(folders, records, strict=True):
        _refuse_generation(checked, record)
        _refuse_skew(checked, record)
        if checked.beside is not None:
            training_values(record, folder, checked.trust, checked.data_root)
    needs = dict.fromkeys(need for each in records for need in serving_needs(checked, each))
    return Checked(num_runs=len(folders), needs=list(needs))


def _folders(checked: ServeConfig) -> Sequence[Path]:
    results = Path(checked.results).absolute()
    return servable_runs(results, checked.run, allow_missed=checked.allow_missed)


@cache
def servable_runs(results: Path, run: str, *, allow_missed: bool) -> Sequence[Path]:
    """The runs that the key `run` names; of several, those that can be served.

    They are looked up once in a command, so that each reason is reported once.

    Raises:
        ValueError: There is none that can be served.
    """
    folders = find_runs(results, run)
    if len(folders) == 1:
        return folders
    reasons: dict[Path, ValueError] = {}
    for folder in folders:
        try:
            _record(folder, allow_missed=allow_missed)
        except ValueError as error:
            reasons[folder] = error
            say(Console(stderr=True), f"left out: {str(error).partition('; choose')[0]}")
    if len(reasons) == len(folders):
        raise reasons[folders[0]]
    return tuple(folder for folder in folders if folder not in reasons)


def _record(folder: Path, *, allow_missed: bool) -> RunRecord:
    return trained_record(folder, allow_missed=allow_missed, allow_module=True)


def _refuse_no_compiler(config: ServeConfig) -> None:
    """Refuse a backend that compiles if the environment switches torch's compiler off.

    Raises:
        ValueError: It does; the message names the variable.
    """
    backend = config.backend
    if backend.serves_elsewhere or "." in backend.runtime:
        return
    if find_backend(backend.runtime, backend.runtime_key).compiles:
        refuse_disabled_compiler(f"{backend.runtime_key}={backend.runtime}")


def _refuse_ignored_batch_size(config: ServeConfig, overrides: Sequence[str]) -> None:
    """Refuse a batch size of the scenario over HTTP, where the server makes the batches.

    Only one that was typed: the default differs between scenarios, and nobody asked for it.

    Raises:
        ValueError: It was typed; the message names the key that has an effect.
    """
    key = "scenario.max_batch_size"
    if config.backend.http is not None and key in map(key_of, overrides):
        raise ValueError(
            f"{key}={config.scenario.max_batch_size}: has no effect with backend="
            f"{config.backend.name}, whose server makes the batches; set "
            "backend.http.max_batch_size instead"
        )


def _refuse_generation(config: ServeConfig, trained: RunRecord) -> None:
    """Refuse to generate with a model or a backend that cannot, as far as the records tell.

    Raises:
        ValueError: It cannot; the message has the reason.
    """
    if config.scenario.name != GENERATE:
        return
    task = trained.config.get("task", "classification")
    if task != "language_modelling":
        raise ValueError(
            f"scenario={GENERATE}: run={trained.run_id} learned task={task}, and only a language "
            "model generates tokens; use scenario=single_stream"
        )
    runtime = config.backend.runtime
    if "." not in runtime and not find_backend(runtime).generates:
        raise ValueError(
            f"scenario={GENERATE}: backend={runtime} does not continue prompts with a key-value "
            "cache; use backend=eager"
        )
    context = trained.config["data"].get("context")
    if isinstance(context, int):  # data of the user's own may only know it once it is set up
        config.scenario.require_context(context)


def _refuse_skew(config: ServeConfig, trained: RunRecord) -> None:
    """Refuse a fault that cannot be planted in the data, as far as its record tells.

    Raises:
        ValueError: It cannot; the message has the reason.
    """
    if config.skew is None or trained.task is None:
        return
    refuse_impossible(config.skew, trained.task.sample)


def model_name(record: RunRecord) -> str:
    """The name of the model of a training run."""
    return record.model.name if record.model else "model"


def serving_needs(config: ServeConfig, trained: RunRecord) -> list[Need]:
    """The needs of serving a trained model.

    Args:
        config: Configuration of the run.
        trained: Record of the training run.

    Raises:
        ValueError: A library is not installed.
    """
    backend = config.backend
    require_module(f"scenario={config.scenario.name}", "mlperf_loadgen", "serving")
    for module in _HTTP_MODULES if backend.http is not None else ():
        require_module("backend=http", module, "serving")
    if config.placement.has_network:
        require_module(f"placement={config.placement.name}", "envoy", "serving")
    needs = target_needs(vars(config))
    # A served model needs its own class and data, but not the optimizer of its training.
    parts = {name: trained.config[name] for name in ("data", "model")}
    needs += target_needs(parts, f"run={trained.run_id}: ")
    data = parts["data"]
    if config.data_root is not None and "root" in data:
        data = {**data, "root": config.data_root}
    needs += file_needs(data, "data_root")
    if backend.serves_elsewhere:
        return needs
    is_custom = "." in backend.runtime
    if is_custom:  # the user's class may do anything, so only another process imports it
        target = "bench.runs.importable:require_target"
        needs.append(Need(target, (backend.runtime_key, backend.runtime)))
    else:
        for module, extra in find_backend(backend.runtime).libraries.items():
            require_module(f"backend={backend.runtime}", module, extra)
    if is_custom or backend.device == "cuda":
        arguments = (backend.runtime_key, backend.runtime, backend.device)
        needs.append(Need("bench.serving.find_backend:require_backend", arguments))
    return needs
