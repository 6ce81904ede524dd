"""The group `recipe`: how a training builds on another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator

from bench.core.checks import (
    MISSING,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    require_one_of,
)


@dataclass(kw_only=True)
class DistillConfig(KeyGroup):
    """conf/recipe/distill.yaml: a student network learns from the outputs of a trained teacher."""

    name: str = "distill"
    teacher: str = MISSING
    temperature: PositiveAmount = MISSING
    alpha: Annotated[float, Ge(0), Le(1)] = MISSING
    allow_missed: bool = MISSING

    # The key that names the run to build on.
    source_key: ClassVar[str] = "teacher"


@dataclass(kw_only=True)
class PruneConfig(KeyGroup):
    """conf/recipe/prune.yaml: a trained network is pruned and then trained further."""

    name: str = "prune"
    run: str = MISSING
    ratio: Annotated[float, Gt(0), Lt(1)] = MISSING
    iterative_steps: PositiveCount = MISSING
    round_to: PositiveCount | None = None
    allow_missed: bool = MISSING

    source_key: ClassVar[str] = "run"


RecipeConfig = DistillConfig | PruneConfig
RECIPES: dict[str, type[DistillConfig] | type[PruneConfig]] = {
    "distill": DistillConfig,
    "prune": PruneConfig,
}


def recipe_config(node: RecipeConfig | Mapping[str, Any] | None) -> RecipeConfig | None:
    """Check the recipe of a resolved configuration; None if the training builds on no other run.

    Raises:
        ValueError: The recipe does not exist, or a value is out of range.
    """
    if isinstance(node, RecipeConfig):
        return node
    if not node:
        return None
    name = node.get("name")
    require_one_of("recipe.name", name, RECIPES)
    return RECIPES[str(name)].from_dict(node, "recipe.")


# OmegaConf cannot express a union of dataclasses, so the field is `Any` until pydantic checks it.
Recipe = Annotated[Any, BeforeValidator(recipe_config)]
