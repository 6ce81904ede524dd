"""Run folders of trainings of each task, made in this process without training anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.cli.overrides import plain_values
from bench.config.train import TrainConfig
from bench.core.identity import config_hash, part_name
from bench.core.outcome import outcome_record
from bench.core.records.model import ModelFacts
from bench.core.records.task import TaskFacts
from bench.core.store import create_run_folder, new_identity, write_record
from bench.training.parts import build_task_parts
from tests.cli.planning import composed
from tests.training import unusual

UNUSUAL = "tests.training.unusual"

GPT = ("model=gpt", "model.width=16", "model.depth=1", "model.heads=2")
# By task: overrides of bench.train. The metric of the target needs no value that is reached.
TASKS: Mapping[str, tuple[str, ...]] = {
    "binary": ("data=breast_cancer", "model=mlp", "target.metric=auroc", "target.value=0.99"),
    "regression": (
        *("task=regression", "data=diabetes", "model=mlp"),
        *("target.metric=rmse", "target.value=50"),
    ),
    "language": (
        *("task=language_modelling", "data=text", "data.context=12", "batch_size=4", *GPT),
        *("target.metric=loss", "target.value=2"),
    ),
}
CONTEXT = 12


def made_run(results: Path, *overrides: str) -> Path:
    """The folder of a run that ended well, with its initial weights; allow_missed=true serves it.

    Args:
        results: The results folder.
        overrides: Of bench.train.
    """
    values = plain_values(composed(results, *overrides))
    torch.manual_seed(0)
    parts = build_task_parts(TrainConfig.from_dict(values), None)
    return _write(results, values, parts.module.network, parts.task.facts())


def made_module(results: Path, model: str, data: str) -> Path:
    """As made_run, of a LightningModule and data of tests/training/unusual.py."""
    names = (f"model._target_={UNUSUAL}.{model}", f"data._target_={UNUSUAL}.{data}")
    target = ("target.metric=val/hits", "target.mode=max", "target.value=0.99")
    own = ("task=module", "model=custom", "data=custom", "batch_size=4")
    values = plain_values(composed(results, *own, *names, *target))
    torch.manual_seed(0)
    facts = TaskFacts(name="module", kind="module", sample="row", directions={"val/hits": "max"})
    return _write(results, values, getattr(unusual, model)(), facts)


def _write(results: Path, values: dict[str, Any], network: nn.Module, task: TaskFacts) -> Path:
    identity = new_identity("train", config_hash(values), 0, 0)
    folder = create_run_folder(results, identity, values)
    torch.save(network.state_dict(), folder / "checkpoint.pt")
    record = outcome_record(identity, values, [], status="ok")
    model = ModelFacts(name=part_name(values, "model"))
    write_record(folder, replace(record, model=model, task=task))
    return folder


def made_task(results: Path, name: str) -> Path:
    """A run of one of TASKS; the text of the language model is short."""
    overrides = TASKS[name]
    if name == "language":
        path = results.parent / "text.txt"
        path.write_text("the cat sat on the mat, and the dog sat on the cat. " * 12)
        overrides = (*overrides, f"data.path={path}")
    return made_run(results, *overrides)
