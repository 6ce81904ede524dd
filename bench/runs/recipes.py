"""Recipes: a training that builds on another run, from its plan to the total cost of both.

bench/compression changes the network. This module finds the run that a recipe builds on, checks
that it can be used, and adds up the costs of the two runs for the record. It does not import torch,
because a plan is made before anything is launched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.cli.overrides import key_of
from bench.config.recipe import PruneConfig, RecipeConfig, recipe_config
from bench.config.train import TrainConfig
from bench.config.trust import BUILT_IN, list_targets, require_trusted
from bench.core.identity import CHOICES, SAME_SAMPLES
from bench.core.labels import weakest_label
from bench.core.records.recipe import Recipe
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.runs.find import TRAIN, find_runs, trained_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The training run that a recipe builds on.

    Attributes:
        recipe: The recipe that names it.
        folder: Its run folder.
        record: Its record.
        results: The results folder of this command.
        trust: Code that may be called: what `trust` allows, and the data and model of this command.
    """

    recipe: RecipeConfig
    folder: Path
    record: RunRecord
    results: Path
    trust: Sequence[str]

    @property
    def reference(self) -> str:
        """Its name in a configuration: the run id, or the folder if it is not in `results`."""
        is_here = self.folder.parent == self.results / TRAIN
        return self.folder.name if is_here else str(self.folder)

    @property
    def key(self) -> str:
        """The key of the configuration that names it."""
        return _key(self.recipe)


def find_source(config: TrainConfig) -> Source | None:
    """Find the run that a configuration's recipe builds on; None if there is no recipe.

    Args:
        config: The configuration of the new run.

    Raises:
        ValueError: There is no such run or more than one; or it failed, missed its target, was
            trained on other data, or its model is code that is not trusted.
    """
    recipe: RecipeConfig | None = config.recipe
    if recipe is None:
        return None
    key = _key(recipe)
    results = Path(config.results).absolute()
    folder = _one_run(results, key, str(getattr(recipe, recipe.source_key)))
    record = trained_record(folder, allow_missed=recipe.allow_missed, key=key)
    _require_same_data(key, record, config.data)
    # Whoever names a class on the command line trusts it; a stored configuration may be
    # somebody else's.
    chosen = list_targets({"data": config.data, "model": config.model})
    trust = sorted({*config.trust, *chosen} - BUILT_IN)
    require_trusted(record.config, folder, trust, parts=("model",))
    return Source(recipe=recipe, folder=folder, record=record, results=results, trust=trust)


def _key(recipe: RecipeConfig) -> str:
    return f"recipe.{recipe.source_key}"


def _one_run(results: Path, key: str, run: str) -> Path:
    folders = find_runs(results, run, key=key)
    if len(folders) > 1:
        raise ValueError(
            f"{key}={run}: {len(folders)} training runs match; name one of them, such as "
            f"{folders[-1].name}"
        )
    return folders[0]


def _require_same_data(key: str, record: RunRecord, ours: Mapping[str, Any]) -> None:
    """Refuse a run that used another data set, or other splits of it.

    If it was trained on our validation samples, our network would learn them from it.
    """
    theirs = record.config["data"]  # as it was resolved, so defaults compare as well
    for name in sorted({*theirs, *ours} - SAME_SAMPLES):
        if theirs.get(name) != ours.get(name):
            raise ValueError(
                f"{key}={record.run_id}: trained on other data, data.{name}={theirs.get(name)} and "
                f"not {ours.get(name)}; give both runs the same data"
            )


def refuse_other_model(
    model: Mapping[str, Any], source: Source | None, overrides: Sequence[str]
) -> None:
    """Refuse a model on the command line if the recipe takes another one from its source.

    Args:
        model: The model of the configuration.
        source: The run that it builds on.
        overrides: The overrides of the command line.

    Raises:
        ValueError: The models differ.
    """
    if source is None or not isinstance(source.recipe, PruneConfig):
        return
    choices = [text for text in overrides if key_of(text).partition(".")[0] == "model"]
    if choices and model != source.record.config["model"]:
        raise ValueError(
            f"{choices[0]}: recipe=prune takes the model of {source.key}={source.record.run_id}, "
            f"which is another one; leave out {choices[0].partition('=')[0]}"
        )


def with_source(
    values: Mapping[str, Any], source: Source | None, *, portable: bool = False
) -> dict[str, Any]:
    """Put the run that was found into a configuration, in place of a glob or `latest`.

    Pruning also takes over the model of that run.

    Args:
        values: The resolved configuration.
        source: The run that it builds on; None changes nothing.
        portable: Name the run by its id even if it lies elsewhere, as the configuration's hash
            needs.
    """
    if source is None:
        return dict(values)
    reference = source.record.run_id if portable else source.reference
    settled = {**values, "recipe": {**values["recipe"], source.recipe.source_key: reference}}
    # The job loads the network of the source, and may call exactly what this command may call.
    settled["trust"] = list(source.trust)
    if isinstance(source.recipe, PruneConfig):
        settled["model"] = source.record.config["model"]
        if CHOICES in values:
            theirs = source.record.config.get(CHOICES, {}).get("model")
            settled[CHOICES] = {**values[CHOICES], "model": theirs}
    return settled


def source_folder(results: str, recipe: RecipeConfig) -> Path:
    """The folder of the run that a recipe builds on.

    Args:
        results: The results folder of the configuration.
        recipe: The recipe of a configuration that with_source() returned.
    """
    return Path(results).absolute() / TRAIN / str(getattr(recipe, recipe.source_key))


def source_record(config: Mapping[str, Any]) -> RunRecord | None:
    """Read the record of the run that a training builds on; None if there is none.

    Args:
        config: A configuration that with_source() returned, or that of a record. Records from
            before recipes existed have no key `recipe`.

    Raises:
        StoreError: The run is gone or its record is damaged.
    """
    recipe = recipe_config(config.get("recipe"))
    return None if recipe is None else read_record(source_folder(config["results"], recipe))


def with_recipe(record: RunRecord, source: RunRecord | None) -> RunRecord:
    """Add to a record the cost of the run that it builds on, and the total of both.

    Costs are up to the target, as in every headline. If one of the two is unknown, or its run
    missed its target, the total is unknown.

    Args:
        record: The record of the run with the recipe, including its money and emissions.
        source: The record of the run that it builds on; None changes nothing.
    """
    if source is None:
        return record
    before, after = _total_costs(source), _clock_costs(record)
    both = {
        name: None if before[name] is None or after[name] is None else before[name] + after[name]
        for name in _TO_TARGET
    }
    labels = [each["energy_label"] for each in (before, after) if each["energy_label"] is not None]
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


# The costs of reaching a target: their names after `source_` in Recipe, and their fields in
# TargetResult. In Recipe, the fields of totals have the same names after `total_`.
_TO_TARGET = {
    "time_s": "time_to_target_s",
    "energy_j": "energy_to_target_j",
    "cost_usd": "cost_to_target_usd",
    "emissions_gco2e": "emissions_to_target_gco2e",
}


def _clock_costs(record: RunRecord) -> dict[str, Any]:
    """The costs of reaching the target, counted from the start of this run's own clock."""
    target = asdict(record.target) if record.target else {}
    costs = {name: target.get(field) for name, field in _TO_TARGET.items()}
    return {**costs, "energy_label": None if costs["energy_j"] is None else record.energy_label}


def _total_costs(record: RunRecord) -> dict[str, Any]:
    """The costs of reaching the target, including the runs that this one builds on."""
    if record.recipe is not None:
        recipe = asdict(record.recipe)
        costs = {name: recipe[f"total_{field}"] for name, field in _TO_TARGET.items()}
        return {**costs, "energy_label": record.recipe.total_energy_label}
    if record.config.get("recipe"):  # its source was gone when its record was written
        return dict.fromkeys([*_TO_TARGET, "energy_label"])
    return _clock_costs(record)
