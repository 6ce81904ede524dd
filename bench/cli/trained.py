"""The model and the data of a training run, made again; bench/cli/runs.py finds the run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate
from torch import nn

from bench.compression.prune import Structure, checked_structure, prune_network, restore
from bench.core.files import StoreError
from bench.core.recipe_nodes import PruneConfig
from bench.tasks.data import DataModule

# Beside the checkpoint of a pruned network: how its layers differ from those that its class makes.
STRUCTURE = "structure.json"


def load_data(config: Mapping[str, Any], *, root: str | None = None) -> DataModule:
    """The data of a training run, set up.

    Args:
        config: The configuration of the run.
        root: Where the files lie on this machine, in place of what the run was given.

    Raises:
        ValueError: It cannot be made.
        FileNotFoundError: Its files are not here.
    """
    node = dict(config["data"])
    if root is not None and "root" in node:
        node["root"] = root
    data: DataModule = instantiate(node)
    data.prepare_data()
    data.setup("fit")
    return data


def load_network(folder: Path, data: DataModule) -> nn.Module:
    """The trained network of a run, on the CPU, in evaluation mode; a pruned one in its own size.

    Args:
        folder: The run's folder.
        data: Gives the shape of inputs and the number of classes.

    Raises:
        ValueError: The checkpoint is missing, corrupt, or not of this model.
    """
    config = yaml.safe_load((folder / "config.yaml").read_text())
    path = folder / "checkpoint.pt"
    network = _full_network(config, data)
    recipe = config.get("recipe") or {}
    structure = _read_structure(folder) if recipe.get("name") == "prune" else {}
    try:
        restore(network, structure, torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split()) or repr(error)
        raise StoreError(f"{path}: no usable checkpoint ({reason}); train the run again") from error
    return network.eval()


def _full_network(config: Mapping[str, Any], data: DataModule) -> nn.Module:
    network: nn.Module = instantiate(
        config["model"], input_shape=data.input_shape, num_classes=data.num_classes
    )
    return network


def _read_structure(folder: Path) -> Structure:
    path = folder / STRUCTURE
    try:
        structure: Structure = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not readable ({error}); train the run again") from error
    return structure


def pruned_network(
    source: Path,
    config: Mapping[str, Any],
    recipe: PruneConfig,
    data: DataModule,
    folder: Path | None,
) -> nn.Module:
    """What pruning leaves of a run's network, on the CPU, in training mode.

    Args:
        source: The folder of the run.
        config: Of the run that goes on with it, whose model is the same.
        recipe: How much is cut out.
        data: Gives the shape of inputs and the number of classes.
        folder: Where the structure is kept for load_network; None keeps it nowhere.

    Raises:
        ValueError: The run's network cannot be loaded, or not be pruned.
        OSError: The structure cannot be written.
    """
    network = load_network(source, data)
    # Noise from a generator of its own: the run's random state is not touched.
    example = torch.randn((1, *data.input_shape), generator=torch.Generator().manual_seed(0))
    prune_network(
        network,
        example,
        ratio=recipe.ratio,
        iterative_steps=recipe.iterative_steps,
        round_to=recipe.round_to,
    )
    full = _full_network(config, data)
    frozen = {name for name, part in full.named_modules() if not part.training}
    structure = checked_structure(network, full, example)
    if folder is not None:
        (folder / STRUCTURE).write_text(json.dumps(structure, indent=1) + "\n")
    # Training mode, except for parts that the model itself keeps out of it.
    for name, part in network.named_modules():
        part.training = name not in frozen
    return network
