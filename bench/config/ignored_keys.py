"""Keys of bench.train that would have no effect because another key decides the same thing.

A wrong one would change the configuration's hash and nothing else, so it is refused. The shape of
the data, which a model is given too, is compared when the data is there (bench/training/parts.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.checks import refuse_contradictions, value_at

# Keys that repeat another one: they must not say anything else.
_REPEATED = {
    "optimizer.lr": "lr",
    "schedule.lr": "lr",
    "codecarbon.country_iso_code": "grid.country_iso_code",
}
# Arguments that the job fills in itself, and the key that decides each.
_FILLED_IN = {
    "data.batch_size": "batch_size",
    "data.seed": "seed",
    "optimizer.lr": "lr",
    "optimizer.params": "model",
    "schedule.lr": "lr",
    "schedule.optimizer": "optimizer",
    "schedule.total_steps": "budget.max_epochs",
    "logger.save_dir": "results",
}


def refuse_ignored_keys(config: Mapping[str, Any]) -> None:
    """Refuse keys that contradict the one that decides, or that the job would overwrite.

    Args:
        config: The resolved configuration.

    Raises:
        ValueError: One of them does; the message names both keys.
    """
    refuse_contradictions(config, _REPEATED)
    for key, deciding in _FILLED_IN.items():
        group, _, name = key.partition(".")
        given = value_at(config, group)
        if isinstance(given, Mapping) and name in given:
            raise ValueError(
                f"{key}={given[name]}: would be ignored, because {deciding} decides it; "
                f"leave {key} out"
            )
