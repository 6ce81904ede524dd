"""From Hydra's configuration to plain, checked values and their identity."""

from __future__ import annotations

import importlib.util
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.core.config import TrainConfig, config_hash

# Loggers come as extras: the module that each needs, and the extra that brings it.
_LOGGER_EXTRAS = {
    "TensorBoardLogger": ("tensorboard", "tensorboard"),
    "MLFlowLogger": ("mlflow", "mlflow"),
    "WandbLogger": ("wandb", "wandb"),
}


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain, checked values, without Hydra's own part.

    Raises:
        ValueError: A value is missing or out of range, or needs an extra that is not installed.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    container = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    plain = {str(key): value for key, value in container.items()}
    TrainConfig.from_dict(plain)
    _refuse_missing_extra(plain["logger"])
    return plain


def _refuse_missing_extra(logger: dict[str, Any] | None) -> None:
    name = (logger or {}).get("_target_", "").rpartition(".")[2]
    module, extra = _LOGGER_EXTRAS.get(name, (None, None))
    if module is not None and importlib.util.find_spec(module) is None:
        raise ValueError(
            f"logger={extra}: {module} is not installed; "
            f"pip install 'operational-metrics-bench[{extra}]'"
        )


def hash_of(config: DictConfig) -> str:
    """Identity of the configuration: seed and repeat are set alike first, as are their copies."""
    alike = config.copy()
    alike.seed = 0
    alike.repeat = 0
    return config_hash(resolved(alike))
