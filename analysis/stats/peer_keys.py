"""What has to be equal for runs to be compared with one another, as texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.load.once import once
from analysis.load.values import numbers, with_only
from bench.core.identity import SAME_SAMPLES
from bench.core.qualities import TASK_QUALITIES

# The columns of `peer_keys`. Runs that are equal in all of them are peers.
KEYS = (
    "task",
    "kind",
    "sample",
    "data_hash",
    "metric",
    "mode",
    "value",
    "rule",
    "data",
    "data_settings",
    "processor",
    "num_cpus",
    "memory_gib",
    "gpus",
    "scenario",
    "prompt_tokens",
    "output_tokens",
)
_LENGTHS = ("prompt_tokens", "output_tokens")
NOT_RECORDED = "not recorded"
NO_GPU = "none"
_GIB = 2**30
# The kind of a task where no record tells it: older versions learned classes only.
_CLASSES = "classification"
_KINDS = {
    _CLASSES: "multiclass",
    "regression": "regression",
    "language_modelling": "next_token",
}
_DATA, _TRAINED_ID = "config.data.", "trained.run_id"


@once
def peer_keys(runs: DataFrame) -> DataFrame:
    """Collect what has to be equal for runs to be compared, as texts.

    A run that was killed early does not record everything: not its host, for example. Such a value
    is taken from the other runs of the same configuration if they agree; otherwise it is
    NOT_RECORDED, which makes the run a peer of others like it only.

    Args:
        runs: Of load_runs. A column that is missing altogether counts as not recorded by any run.

    Returns:
        KEYS, one row per run under the runs' index; empty where a key does not apply: a serving has
        no target.
    """
    data, settings = _data(runs)
    keys = {
        **_task(runs, data, settings),
        **{name: _text(runs, f"target.{name}").fillna("") for name in ("metric", "mode", "value")},
        "rule": _rules(runs),
        "data": data,
        "data_settings": settings,
        **{name: _filled(runs, values) for name, values in _host(runs).items()},
        "scenario": _text(runs, "serving.scenario").fillna(""),
        # The time to the first token grows with the prompt, so other lengths are other work.
        **{name: _text(runs, f"serving.{name}").fillna("") for name in _LENGTHS},
    }
    return DataFrame(keys, index=runs.index, columns=list(KEYS))


def _task(runs: DataFrame, data: Series, settings: Series) -> dict[str, Series]:
    """What was learned, from which version of the data.

    A run without a task is of an older version, which learned classes only, or of a loop of the
    user's own: it gets the first task that reports the metric of its target. What else is unknown
    is taken from runs of the same data.
    """
    name = _text(runs, "task.name").fillna(_text(runs, "config.task"))
    name = _of_training(runs, name).fillna(_text(runs, "target.metric").map(_task_reporting))
    name = name.fillna(_CLASSES)
    alike = name + "\n" + data + "\n" + settings
    kind, sample, data_hash = (
        with_only(_of_training(runs, _text(runs, f"task.{each}")), alike)
        for each in ("kind", "sample", "data_hash")
    )
    return {
        "task": name,
        "kind": kind.fillna(name.map(_KINDS)).fillna(NOT_RECORDED),
        "sample": sample.fillna(""),
        "data_hash": data_hash.fillna(""),
    }


def _task_reporting(metric: Any) -> str | None:
    if metric is None:
        return None
    return next((task for task, names in TASK_QUALITIES.items() if metric in names), NOT_RECORDED)


def _of_training(runs: DataFrame, values: Series) -> Series:
    """Fill in missing values of servings from their trainings, if these are among the runs."""
    trained_id = _column(runs, _TRAINED_ID).astype(object)
    if trained_id.isna().all():
        return values
    run_id = _column(runs, "run_id")
    return values.fillna(trained_id.map(dict(zip(run_id, values, strict=True))))


def _column(runs: DataFrame, name: str) -> Series:
    return runs[name] if name in runs else Series(None, index=runs.index, dtype=object)


def _text(runs: DataFrame, name: str) -> Series:
    return texts(_column(runs, name))


def texts(values: Series) -> Series:
    """Values as texts, None where they are missing; numbers without a needless point."""
    codes, kinds = pd.factorize(values.astype(object))  # few kinds among many runs
    names = np.array([*map(_as_text, kinds), None], dtype=object)
    return Series(names[codes], index=values.index, dtype=object)  # code -1, missing, is the last


def _as_text(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, (int, float)) else str(value)


def _filled(runs: DataFrame, values: Series) -> Series:
    """Fill in missing values from runs of the same configuration, if these have only one."""
    return with_only(values, _column(runs, "config_hash").astype(object)).fillna(NOT_RECORDED)


def _rules(runs: DataFrame) -> Series:
    rule, num = _text(runs, "target.rule"), _text(runs, "target.consecutive").fillna("?")
    return rule.where(rule != "consecutive", num + " in a row").fillna("")


def _host(runs: DataFrame) -> dict[str, Series]:
    """The kind of host: machines of one kind can stand for one another."""
    allowed, installed = _text(runs, "host.num_cpus_allowed"), _text(runs, "host.num_cpus")
    memory_gib = numbers(runs, "host.memory_bytes") / _GIB
    return {
        "processor": _text(runs, "host.cpu_name"),
        # The CPUs that the process may use decide its speed, not those that the machine has.
        "num_cpus": allowed.fillna(installed),
        # Rounded, because virtual machines of one kind differ by some kilobytes.
        "memory_gib": texts(memory_gib.round()),
        "gpus": _text(runs, "host.gpus.name").fillna(_text(runs, "host.gpus").replace("", NO_GPU)),
    }


def _data(runs: DataFrame) -> tuple[Series, Series]:
    """Name of the data, and the settings that decide which samples are in its splits.

    A model is served on the data that it was trained on, which the training names if it is among
    the runs.
    """
    name, settings = (_of_training(runs, values) for values in _configured_data(runs))
    name = name.fillna(_text(runs, "trained.data"))
    # Servings of one training's configuration served the same data.
    trained_hash = _column(runs, "trained.config_hash").astype(object)
    hashes = trained_hash.fillna(_column(runs, "config_hash").astype(object))
    alike = DataFrame({"config_hash": hashes})
    return _filled(alike, name), _filled(alike, settings)


def _configured_data(runs: DataFrame) -> tuple[Series, Series]:
    """Name and settings as the runs' own configurations have them; None where they have none."""
    target = _text(runs, f"{_DATA}_target_").fillna(_text(runs, "config.data"))
    settings = target.fillna("")
    for column in sorted(str(name) for name in runs if str(name).startswith(_DATA)):
        key = column.removeprefix(_DATA)
        if key not in SAME_SAMPLES and key != "_target_":
            setting = f"\n{key}=" + _text(runs, column)
            settings = settings.where(setting.isna(), settings + setting)
    settings = settings.where(settings != "", None)
    return target.map(lambda path: str(path).rpartition(".")[2], "ignore"), settings
