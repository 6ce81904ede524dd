"""Gives launchers in this process the configurations of jobs without composing each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig


class DerivingLoader:
    """Hydra's loader of configurations, which is asked only for those that cannot be derived."""

    def __init__(
        self, loader: ConfigLoader, derive: Callable[[Sequence[str]], DictConfig | None]
    ) -> None:
        """Load nothing yet.

        Args:
            loader: Hydra's loader.
            derive: Makes the configuration of a job from its overrides, as the loader would make
                it; None if only the loader can.
        """
        self._loader = loader
        self._derive = derive

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Make the configuration of a job."""
        derived = self._derive(sweep_overrides)
        if derived is not None:
            return derived
        return self._loader.load_sweep_config(
            master_config=master_config, sweep_overrides=sweep_overrides
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
