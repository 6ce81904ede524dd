"""Prepares the searches that our sweepers make: a race, and repeats until an interval is narrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from bench.cli.adaptive import AdaptiveSweep
from bench.cli.candidates import Candidate, candidates_of
from bench.cli.multirun import MULTIRUN
from bench.cli.worker import Worker
from bench.config.sweeper import RaceConfig, RepeatsConfig
from bench.core.identity import SAME_SAMPLES
from bench.core.metrics import metric_at
from bench.core.sweep_folder import PlannedJob
from bench.runs.search_results import LIMITS, cost_result, value_result
from bench.runs.table.race import RaceReport
from bench.runs.table.repeated import RepeatsReport
from bench.search.race import Race
from bench.search.repeats import RepeatRules, Repeats, Statistic
from bench.search.rules import Rules
from bench.search.suggest import OptunaOrder, RandomOrder
from bench.search.trial import Order

_OF_TARGET = ("metric", "value", "mode", "rule", "consecutive")  # keys that say what is reached


def prepare_race(
    config: RaceConfig,
    jobs: Sequence[PlannedJob],
    facts: Sequence[Mapping[str, Any]],
    worker: Worker,
) -> AdaptiveSweep:
    """Prepare a race over the jobs of a grid.

    Raises:
        ValueError: The race cannot be run, or Optuna is not installed.
    """
    cost = _cost(facts)
    _require_one_target(facts)
    candidates, seeds = candidates_of(jobs, facts)
    if len(candidates) < 2:
        raise ValueError(
            "hydra/sweeper=race: the grid has only one configuration; give a key several values, "
            "such as lr=0.01,0.1, or repeat the one with repeat=auto and without a race"
        )
    if len(seeds) == 1:
        seeds = list(range(seeds[0], seeds[0] + config.max_seeds))
    rules = Rules(
        beta=config.beta,
        max_seeds=len(seeds),
        max_candidates=config.max_candidates,
        max_spent=config.max_spent,
        alpha=config.alpha,
    )
    race = Race(len(candidates), _order(config, candidates), rules)
    sweep = AdaptiveSweep(
        race,
        candidates,
        seeds,
        worker=worker,
        multirun=MULTIRUN,
        result_of=partial(cost_result, quantity=cost),
        limit_key=LIMITS[cost],
    )
    MULTIRUN.search = RaceReport(
        race=race,
        cost=cost,
        names=[candidate.overrides for candidate in candidates],
        swept=MULTIRUN.swept,
        history=sweep.history,
    )
    return sweep


def prepare_repeats(
    config: RepeatsConfig,
    jobs: Sequence[PlannedJob],
    facts: Sequence[Mapping[str, Any]],
    worker: Worker,
) -> AdaptiveSweep:
    """Prepare the repeats of all configurations of a grid.

    Raises:
        ValueError: The rule cannot be followed.
    """
    quantity = _objective(facts)
    _require_meter(quantity, facts)
    is_cost = quantity in LIMITS
    for key in ("max_spent", "statistic"):
        value = getattr(config, key)
        if not is_cost and value not in (None, "median"):
            raise ValueError(
                f"hydra.sweeper.repeats.{key}={value}: objective={quantity} is not what a run "
                f"spends; give one of {', '.join(LIMITS)}"
            )
    candidates, seeds = candidates_of(jobs, facts)
    if len(seeds) > 1:
        raise ValueError(
            f"seed={','.join(map(str, seeds))}: repeat=auto chooses the seeds; give the first one"
        )
    rules = RepeatRules(
        width_frac=config.width_frac,
        statistic=cast(Statistic, config.statistic),
        max_runs=config.max_runs,
        max_spent=config.max_spent,
        alpha=config.alpha,
    )
    repeats = Repeats(len(candidates), rules)
    sweep = AdaptiveSweep(
        repeats,
        candidates,
        list(range(seeds[0], seeds[0] + config.max_runs)),
        worker=worker,
        multirun=MULTIRUN,
        result_of=partial(cost_result if is_cost else value_result, quantity=quantity),
    )
    MULTIRUN.search = RepeatsReport(
        repeats=repeats,
        quantity=quantity,
        names=[candidate.overrides for candidate in candidates],
        swept=MULTIRUN.swept,
        history=sweep.history,
    )
    return sweep


def _objective(facts: Sequence[Mapping[str, Any]]) -> str:
    """The objective of all jobs.

    Raises:
        ValueError: They have none, or several.
    """
    names = dict.fromkeys(str(each["objective"]) for each in facts)
    if len(names) > 1 or "None" in names:
        raise ValueError(
            f"objective={','.join(names)}: a search goes by one quantity for all jobs; give one"
        )
    return next(iter(names))


def _cost(facts: Sequence[Mapping[str, Any]]) -> str:
    """The cost of a race: the objective of all its jobs.

    Raises:
        ValueError: It cannot be a cost, or nothing would measure it.
    """
    cost = _objective(facts)
    if cost not in LIMITS:
        raise ValueError(f"objective={cost}: a race is by a cost; give one of {', '.join(LIMITS)}")
    _require_meter(cost, facts)
    return cost


def _require_meter(objective: str, facts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to search by joules that nothing measures.

    Raises:
        ValueError: A job has no meter, and the objective is joules, or money for them.
    """
    metered = metric_at(objective).joules is not None or (
        objective.endswith("_usd") and any(each["price"].get("usd_per_kwh") for each in facts)
    )
    if metered and any(not each["meter"]["sources"] for each in facts):
        raise ValueError(
            f"objective={objective}: nothing would measure it with meter=none; choose a meter, "
            "such as meter=auto"
        )


def _require_one_target(facts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a race to several targets: costs of different work are not comparable.

    Raises:
        ValueError: The task, the samples or the target of the jobs differ.
    """
    values: dict[str, dict[str, None]] = {}
    for each in facts:
        data = {
            f"data.{key}": text for key, text in each["data"].items() if key not in SAME_SAMPLES
        }
        target = {f"target.{key}": each["target"][key] for key in _OF_TARGET}
        for key, value in {"task": each["task"], **data, **target}.items():
            values.setdefault(key, {})[str(value)] = None
    for key, found in values.items():
        if len(found) > 1:
            raise ValueError(
                f"{key}={','.join(found)}: a race compares the cost of one target on the same "
                "data; make a race for each"
            )


def _order(config: RaceConfig, candidates: Sequence[Candidate]) -> Order:
    """In which order the configurations are tried.

    Raises:
        ValueError: Optuna is not installed.
    """
    if config.suggest == "random":
        return RandomOrder(len(candidates), config.order_seed)
    return OptunaOrder(_grid(candidates), config.order_seed)


def _grid(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """The values of each configuration by the key, numbers as such."""
    rows = []
    for candidate in candidates:
        pairs = (text.lstrip("+").partition("=") for text in candidate.overrides)
        rows.append({key: _number(value) for key, _, value in pairs})
    return rows


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
