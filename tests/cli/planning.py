"""Plans a command line of bench.train without running it."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from bench.cli.app import register
from bench.cli.overrides import Planned
from bench.core.files import config_dir
from bench.training.plan import plan_training


def composed(results: Path, *overrides: str, with_hydra: bool = False) -> DictConfig:
    """The configuration; with Hydra's own part it tells what was given on the command line."""
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        given = [f"results={results}", *overrides]
        return compose("train", overrides=given, return_hydra_config=with_hydra)


def plan(results: Path, *overrides: str) -> Planned:
    """What the command would run."""
    (planned,) = plan_training(composed(results, *overrides, with_hydra=True))
    return planned
