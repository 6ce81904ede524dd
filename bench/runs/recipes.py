"""Recipes: a training that builds on another run, from its plan to the total that it cost.

What a recipe does to the network is in bench/compression; this is which run it builds on, whether
that run is fit for it, and the part of the record that adds the two up. Without torch: a plan is
made before anything is launched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.cli.overrides import key_of
from bench.config.recipe import PruneConfig, RecipeConfig, recipe_config
from bench.config.train import TrainConfig
from bench.config.trust import BUILT_IN, require_trusted, targets_of
from bench.core.identity import CHOICES, SAME_SAMPLES
from bench.core.labels import weakest_label
from bench.core.records.recipe import Recipe
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.runs.find import TRAIN, find_runs, trained_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The training run that a recipe builds on.

    trust is what is allowed, and what the command itself names as its data and its model.
    """

    recipe: RecipeConfig
    folder: Path
    record: RunRecord
    results: Path
    trust: Sequence[str]

    @property
    def reference(self) -> str:
        """What a configuration calls it: its run id, or its folder where that lies elsewhere."""
        known = self.folder.parent == self.results / TRAIN
        return self.folder.name if known else str(self.folder)

    @property
    def key(self) -> str:
        """The key that names it."""
        return _key(self.recipe)


def find_source(config: TrainConfig) -> Source | None:
    """The run that a configuration's recipe builds on; None where there is no recipe.

    Args:
        config: Of the run.

    Raises:
        ValueError: There is no such run or more than one, it is not fit to be built on, its model
            is code that is not trusted.
    """
    recipe: RecipeConfig | None = config.recipe
    if recipe is None:
        return None
    key = _key(recipe)
    results = Path(config.results).absolute()
    folder = _one_run(results, key, str(getattr(recipe, recipe.source_key)))
    record = trained_record(folder, allow_missed=recipe.allow_missed, key=key)
    _require_same_data(key, record, config.data)
    named = targets_of({"data": config.data, "model": config.model})
    trust = sorted({*config.trust, *named} - BUILT_IN)
    require_trusted(record.config, folder, trust, parts=("model",))
    return Source(recipe=recipe, folder=folder, record=record, results=results, trust=trust)


def _key(recipe: RecipeConfig) -> str:
    return f"recipe.{recipe.source_key}"


def _one_run(results: Path, key: str, run: str) -> Path:
    folders = find_runs(results, run, key=key)
    if len(folders) > 1:
        raise ValueError(
            f"{key}={run}: {len(folders)} training runs are called so; name one of them, such as "
            f"{folders[-1].name}"
        )
    return folders[0]


def _require_same_data(key: str, record: RunRecord, ours: Mapping[str, Any]) -> None:
    """Refuse a run of another data set, or of other splits of it.

    A network that was trained on what is a validation sample here would hand on what it has seen.
    """
    theirs = record.config["data"]
    for name in sorted({*theirs, *ours} - SAME_SAMPLES):
        if theirs.get(name) != ours.get(name):
            raise ValueError(
                f"{key}={record.run_id}: trained on other data, data.{name}={theirs.get(name)} and "
                f"not {ours.get(name)}; give both runs the same data"
            )


def refuse_other_model(
    model: Mapping[str, Any], source: Source | None, overrides: Sequence[str]
) -> None:
    """Refuse a model that was asked for by name where the recipe brings another one.

    Args:
        model: Of the configuration.
        source: What it builds on.
        overrides: What was given on the command line.

    Raises:
        ValueError: It is; the message names the key and the remedy.
    """
    if source is None or not isinstance(source.recipe, PruneConfig):
        return
    asked = [text for text in overrides if _names_model(text)]
    if asked and model != source.record.config["model"]:
        raise ValueError(
            f"{asked[0]}: recipe=prune takes the model of {_key(source.recipe)}="
            f"{source.record.run_id}, which is another one; leave {asked[0].partition('=')[0]} out"
        )


def _names_model(override: str) -> bool:
    return key_of(override).partition(".")[0] == "model"


def with_source(
    values: Mapping[str, Any], source: Source | None, *, portable: bool = False
) -> dict[str, Any]:
    """The configuration with the run that is meant in place of what it was called.

    Pruning has the architecture of that run, too.

    Args:
        values: The resolved configuration.
        source: What it builds on; None changes nothing.
        portable: Whether to name the run by its id wherever it lies, for a configuration's hash.
    """
    if source is None:
        return dict(values)
    reference = source.record.run_id if portable else source.reference
    settled = {**values, "recipe": {**values["recipe"], source.recipe.source_key: reference}}
    settled["trust"] = list(source.trust)
    if isinstance(source.recipe, PruneConfig):
        settled["model"] = source.record.config["model"]
        if CHOICES in values:
            theirs = source.record.config.get(CHOICES, {}).get("model")
            settled[CHOICES] = {**values[CHOICES], "model": theirs}
    return settled


def source_folder(results: str, recipe: RecipeConfig) -> Path:
    """The folder of the run that a planned recipe builds on.

    Args:
        results: Of the configuration.
        recipe: Of a configuration that with_source gave.
    """
    return Path(results).absolute() / TRAIN / str(getattr(recipe, recipe.source_key))


def source_record(results: str, recipe: RecipeConfig | None) -> RunRecord | None:
    """The record of the run that a planned training builds on; None where it builds on none.

    Args:
        results: Of the configuration.
        recipe: Of a configuration that with_source gave.

    Raises:
        StoreError: The run is gone or its record is damaged.
    """
    return None if recipe is None else read_record(source_folder(results, recipe))


def recorded_source(stored: Mapping[str, Any]) -> RunRecord | None:
    """The same from a record's configuration, which of before recipes has none.

    Raises:
        StoreError: The run is gone or its record is damaged.
    """
    recipe = recipe_config(stored.get("recipe"))
    return None if recipe is None else source_record(stored["results"], recipe)


def with_recipe(record: RunRecord, source: RunRecord | None) -> RunRecord:
    """The record with what the run before had cost, and both together.

    Totals are up to the targets, as every headline is: a part that is not known, or a target that
    was missed, leaves its total unknown.

    Args:
        record: Of the run with the recipe, with its costs.
        source: Of the run that it builds on; None changes nothing.
    """
    if source is None:
        return record
    before, own = _spent(source), _spent(replace(record, recipe=None), is_alone=True)
    both = {
        name: None if before[name] is None or own[name] is None else before[name] + own[name]
        for name in _TO_TARGET
    }
    labels = [label for label in (before["energy_label"], own["energy_label"]) if label is not None]
    return replace(
        record,
        recipe=Recipe(
            name=record.config["recipe"]["name"],
            source_run_id=source.run_id,
            source_num_parameters=source.model.num_parameters if source.model else None,
            source_flops_per_sample=source.model.flops_per_sample if source.model else None,
            total_energy_label=None if both["energy_j"] is None else weakest_label(labels),
            **{f"source_{name}": value for name, value in before.items()},
            **{f"total_{_TO_TARGET[name]}": value for name, value in both.items()},
        ),
    )


# What reaching a target takes, and the field that has it; of a recipe's total, behind `total_`.
_TO_TARGET = {
    "time_s": "time_to_target_s",
    "energy_j": "energy_to_target_j",
    "cost_usd": "cost_to_target_usd",
    "emissions_gco2e": "emissions_to_target_gco2e",
}


def _spent(record: RunRecord, *, is_alone: bool = False) -> dict[str, Any]:
    """What a run took to its target, with what it was built on itself.

    Args:
        record: Of the run.
        is_alone: Whether only its own clock counts, though it has a recipe.
    """
    if record.recipe is not None:
        recipe = asdict(record.recipe)
        spent = {name: recipe[f"total_{field}"] for name, field in _TO_TARGET.items()}
        return {**spent, "energy_label": record.recipe.total_energy_label}
    known = is_alone or not record.config.get("recipe")
    target = asdict(record.target) if record.target and known else {}
    spent = {name: target.get(field) for name, field in _TO_TARGET.items()}
    return {**spent, "energy_label": None if spent["energy_j"] is None else record.energy_label}
