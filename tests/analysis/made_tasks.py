"""Synthetic trainings of tasks other than the classification of digits, as real run folders.

    folders = make_mixed(results)                     # every task, and servings of some
    folder = make_task_run(results, TASKS["regression"], Made(seed=1))

Times, joules and samples are those of made_records.py. The qualities follow from its accuracy: a
run that reaches the accuracy of its Made reaches the target of its task at the same evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from bench.core.ledger import append_ledger
from bench.core.qualities import QUALITIES
from bench.core.records.curve import CurveRow
from bench.core.records.model import Quality
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.records.task import TaskFacts
from bench.core.store import CurveWriter, create_run_folder, write_record
from bench.core.target import Spent, Target, ladder, target_result
from tests.analysis.made import Made, Served, identity, make_run, make_served
from tests.analysis.made_records import SWEEP_START, curve_of, record_of

OWN = "val/score <b>$x$"  # a user may name a metric so
Qualities = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class MadeTask:
    """A task, and its qualities at each share of the progress that a training can make."""

    facts: TaskFacts
    metric: str
    mode: Literal["max", "min"]
    data: str
    qualities: Callable[[float], Qualities]
    rungs: Sequence[float] = (0.5, 0.8, 0.9)

    def value(self, accuracy: float) -> float:
        """The value of the target's metric where made_records has this accuracy."""
        value = self.qualities(_progress(accuracy))[self.metric]
        # Four digits, rounded to the easier side: a run that hits exactly still hits.
        unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
        rounded = math.ceil(value / unit) if self.mode == "min" else math.floor(value / unit)
        return float(f"{rounded * unit:.4g}")

    def target(self, made: Made) -> Target:
        """The target that a run of this Made has."""
        return Target(
            metric=self.metric,
            value=self.value(made.target),
            mode=self.mode,
            rule="first",
            consecutive=2,
            ladder=tuple(self.value(rung) for rung in self.rungs),
        )

    def config(self, made: Made) -> dict[str, Any]:
        """The resolved configuration, in the form of bench.train's."""
        target = self.target(made)
        chosen = {"metric": self.metric, "mode": self.mode, "value": target.value}
        return {
            **made.config,
            "task": self.facts.name,
            "data": {**made.config["data"], "_target_": f"bench.tasks.{self.data}"},
            "target": {**made.config["target"], **chosen, "ladder": list(target.ladder)},
        }


def _progress(accuracy: float) -> float:
    return (accuracy - 0.1) / 0.9


def _regression(progress: float) -> Qualities:
    """Targets have a variance of 77^2; R2 begins below 0, since the first guess is 0."""
    rmse = 152.0 * 0.32**progress
    return {"mse": rmse**2, "mae": 0.8 * rmse, "rmse": rmse, "r2": 1 - (rmse / 77.0) ** 2}


def _language(progress: float) -> Qualities:
    loss = math.log(256) * (1 - 0.62 * progress)
    bits = loss / math.log(2)
    accuracy = 0.004 + 0.4 * progress
    return {
        "loss": loss,
        "accuracy": accuracy,
        "perplexity": math.exp(loss),
        "bits_per_byte": bits,
    }


def _binary(progress: float) -> Qualities:
    return {
        "loss": 0.69 - 0.6 * progress,
        "accuracy": 0.6 + 0.38 * progress,
        "auroc": 0.5 + 0.49 * progress,
        "f1": 0.5 + 0.47 * progress,
        "brier_score": 0.25 - 0.22 * progress,
    }


def _own(progress: float) -> Qualities:
    return {OWN: -6.0 + 9.0 * progress, "val_err_s": 4.0 - 3.0 * progress}


def _facts(name: str, kind: str, sample: str, names: Qualities, **more: Any) -> TaskFacts:
    directions = {each: QUALITIES[each].mode for each in names if each in QUALITIES}
    return TaskFacts(name=name, kind=kind, sample=sample, **{"directions": directions, **more})


TASKS = {
    "regression": MadeTask(
        facts=_facts("regression", "regression", "row", _regression(0), data_hash="d" * 64),
        metric="rmse",
        mode="min",
        data="tabular.diabetes",
        qualities=_regression,
    ),
    "language": MadeTask(
        facts=_facts("language_modelling", "next_token", "token", _language(0), data_hash="e" * 64),
        metric="perplexity",
        mode="min",
        data="text.text",
        qualities=_language,
    ),
    "binary": MadeTask(
        facts=_facts("classification", "binary", "row", _binary(0), data_hash="f" * 64),
        metric="auroc",
        mode="max",
        data="tabular.breast_cancer",
        qualities=_binary,
    ),
    "module": MadeTask(
        facts=_facts("module", "module", "row", {}, directions={OWN: "max"}),
        metric=OWN,
        mode="max",
        data="own.Rows",
        qualities=_own,
    ),
}


def make_task_run(results: Path, task: MadeTask, made: Made) -> Path:
    """One training run of a task; the folder that it is in."""
    config = task.config(made)
    who = identity("train", config, made.start)
    folder = create_run_folder(results, who, config)
    append_ledger(results, "launched", who, overrides=[], sweep_id="made")
    rows = [
        replace(row, quality=dict(task.qualities(_progress(row.quality["accuracy"] or 0.0))))
        for row in curve_of(made)
    ]
    writer = CurveWriter(folder)
    for row in rows:
        writer.append(row)
    writer.close()
    (folder / "log.txt").write_text("")
    record = _record(task, made, rows, who)
    write_record(folder, record)
    reached = record.target.reached if record.target else None
    append_ledger(results, "ended", who, status=record.status, reached=reached)
    return folder


def _record(task: MadeTask, made: Made, rows: Sequence[CurveRow], who: RunIdentity) -> RunRecord:
    record = record_of(made, curve_of(made), who)
    target, last = task.target(made), rows[-1]
    result = target_result(rows, target, finished=True, spent=Spent.at(last))
    assert record.target is not None
    costs = ("cost_to_target_usd", "emissions_to_target_gco2e")
    result = replace(result, **{name: getattr(record.target, name) for name in costs})
    at: Literal["crossing", "end"] = "crossing" if result.reached else "end"
    test = task.qualities(_progress((curve_of(made)[-1].quality["accuracy"] or 0.0) - 0.01))
    return replace(
        record,
        config=task.config(made),
        task=task.facts,
        target=result,
        ladder=ladder(rows, target),
        quality=Quality(at=at, num_samples=100, values=dict(last.quality)),
        quality_test=Quality(at=at, num_samples=100, values=dict(test)),
    )


def make_mixed(results: Path, *, num_seeds: int = 3) -> list[Path]:
    """Trainings of digits without a task, as older versions wrote them, and of every task.

    Each has two batch sizes; one run misses. The last seed of digits and of the regression is
    served, plain and in int8.
    """
    folders = []
    for place, task in enumerate([None, *TASKS.values()]):
        for size in (32, 256):
            for seed in range(num_seeds):
                start = SWEEP_START + timedelta(seconds=1000 * place + 10 * seed + size)
                made = Made(batch_size=size, seed=seed, start=start)
                if (size, seed) == (256, 0):
                    made = replace(made, outcome="missed")
                make = make_run(results, made) if task is None else None
                folders.append(make or make_task_run(results, task, made))  # type: ignore[arg-type]
    trained = [folders[num_seeds - 1], folders[3 * num_seeds - 1]]
    for place, folder in enumerate(trained):
        for method in ("none", "int8_static"):
            start = SWEEP_START + timedelta(days=1, seconds=10 * place)
            folders.append(make_served(results, folder, Served(compression=method, start=start)))
    return folders
