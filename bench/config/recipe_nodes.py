"""The schema of the group recipe: how a network is trained, where it builds on another run.

Values and comments are in conf/recipe/<name>.yaml; a misspelt key or a wrong type stops at
composition with its full path, a value out of range when the configuration is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.core.checks import (
    MISSING,
    build_config,
    require_at_least,
    require_one_of,
    require_positive,
)


def _require_between_0_and_1(key: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{key}={value}: must lie between 0 and 1, both excluded")


@dataclass(kw_only=True)
class DistillConfig:
    """conf/recipe/distill.yaml: a student learns from the outputs of a trained teacher."""

    name: str = "distill"
    teacher: str = MISSING
    temperature: float = MISSING
    alpha: float = MISSING
    allow_missed: bool = MISSING

    # The key that names the run which this one builds on.
    source_key: ClassVar[str] = "teacher"

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        require_positive("recipe.temperature", self.temperature)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"recipe.alpha={self.alpha}: must lie between 0 and 1")


@dataclass(kw_only=True)
class PruneConfig:
    """conf/recipe/prune.yaml: a trained network is made smaller and trained on."""

    name: str = "prune"
    run: str = MISSING
    ratio: float = MISSING
    iterative_steps: int = MISSING
    round_to: int | None = None
    allow_missed: bool = MISSING

    source_key: ClassVar[str] = "run"

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        _require_between_0_and_1("recipe.ratio", self.ratio)
        require_at_least("recipe.iterative_steps", self.iterative_steps, 1)
        require_at_least("recipe.round_to", self.round_to, 1)


RecipeConfig = DistillConfig | PruneConfig
_RECIPES: dict[str, type[DistillConfig] | type[PruneConfig]] = {
    "distill": DistillConfig,
    "prune": PruneConfig,
}


def recipe_config(node: Mapping[str, Any] | None) -> RecipeConfig | None:
    """The checked recipe of a resolved configuration; None for a training of the plain kind.

    Raises:
        ValueError: There is no such recipe, or a value is out of range.
    """
    if not node:
        return None
    name = node.get("name")
    require_one_of("recipe.name", name, _RECIPES)
    return build_config(_RECIPES[str(name)], node, "recipe.")


# {group: {name: class}}: a file of the group begins with `- /schema/<group>@_here_: <name>`.
RECIPE_NODES: dict[str, dict[str, type]] = {
    "recipe": {"distill": DistillConfig, "prune": PruneConfig},
}
