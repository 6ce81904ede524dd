"""Makes the model and the data of a training run again; bench/runs/find.py finds the run.

The files may be somebody else's. So a class that a configuration names is called only if it is
trusted (bench/config/trust.py), weights are read as plain data, and a structure can only set
numbers and texts that the layers have already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from hydra.utils import get_object, instantiate
from torch import nn

from bench.compression.prune import Structure, checked_structure, prune_network, restore
from bench.config.recipe import PruneConfig
from bench.config.train import MODULE, TrainConfig
from bench.config.trust import (
    list_targets,
    metric_nodes,
    require_allowed,
    require_defined,
    require_trusted,
)
from bench.core.arguments import takes_argument
from bench.core.errors import kind_and_line
from bench.core.files import StoreError, read_file, require_file
from bench.core.store import read_record
from bench.runs.find import with_root
from bench.tasks.rescaled import Rescaled

if TYPE_CHECKING:  # it imports Lightning, which a server that only needs a network can do without
    from bench.tasks.data import DataModule
    from bench.tasks.task import Task

# The file beside the checkpoint of a pruned network: how its layers differ from those of its class.
STRUCTURE = "structure.json"
_Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]


def load_data(folder: Path, trust: Sequence[str] = (), *, root: str | None = None) -> DataModule:
    """Make the data of a training run again, and set it up.

    Args:
        folder: The run folder.
        trust: Code that may be called besides this project's own; see require_trusted().
        root: The folder of the files on this machine, if the run had another one.

    Raises:
        ValueError: The data cannot be made, or names code that is not trusted.
        FileNotFoundError: Its files are not here.
    """
    config = read_record(folder).config
    node = with_root(trusted_part(config, "data", folder, trust), root)
    # A data module must be given both, but they only decide the order of training batches.
    arguments = {"batch_size": config.get("batch_size", 1), "seed": config.get("seed", 0)}
    if config.get("task") == MODULE and not takes_argument(get_object(node["_target_"]), "seed"):
        del arguments["seed"]
    data: DataModule = instantiate(node, **arguments)
    data.prepare_data()
    data.setup("fit")
    return data


def load_metrics(folder: Path, trust: Sequence[str] = ()) -> dict[str, Any]:
    """Make the metrics that the user of a training run had added to its task.

    Args:
        folder: The run folder.
        trust: Code that may be called besides this project's own; see require_trusted().

    Raises:
        ValueError: A metric names code that is not trusted, or cannot be made.
    """
    nodes = metric_nodes(read_record(folder).config)
    return {
        key.removeprefix("metrics."): instantiate(trusted_part(nodes, key, folder, trust))
        for key in nodes
    }


def load_network(
    folder: Path, arguments: Mapping[str, Any], trust: Sequence[str] = ()
) -> nn.Module:
    """Load the trained network of a run, on the CPU and in evaluation mode.

    Args:
        folder: The run folder.
        arguments: What the data decides of the model, by Task.model_arguments().
        trust: Code that may be called besides this project's own; see require_trusted().

    Raises:
        ValueError: The checkpoint is missing, corrupt, or not of this model; or it or the
            configuration names code that is not trusted.
    """
    config = read_record(folder).config
    path = folder / "checkpoint.pt"
    network = _full_network(config, arguments, folder, trust)
    recipe = config.get("recipe") or {}
    structure = _read_structure(folder) if recipe.get("name") == "prune" else {}
    weights = _read_weights(path, trust)
    try:
        restore(network, structure, weights)
    except MemoryError:
        raise
    except Exception as error:  # set_extra_state() of a user's class may raise anything
        raise _unusable(path, error) from error
    return network.eval()


def trusted_part(
    config: Mapping[str, Any], part: str, folder: Path, trust: Sequence[str]
) -> Mapping[str, Any]:
    """Take a group of a stored configuration after checking that all it calls is trusted.

    Raises:
        ValueError: It names code that is not trusted, or that cannot be imported.
    """
    require_trusted(config, folder, trust, parts=(part,))
    for target in list_targets(config, parts=(part,)):
        _imported(target, folder, trust)
    node: Mapping[str, Any] = config[part]
    return node


def _imported(name: str, folder: Path, trust: Sequence[str]) -> Callable[..., Any]:
    """Import a trusted name.

    Raises:
        ValueError: It cannot be imported, or is defined in a module that is not trusted.
    """
    try:
        imported: Callable[..., Any] = get_object(name)
    except Exception as error:  # importing runs a user's module
        reason = kind_and_line(error.__cause__ or error)
        raise ValueError(
            f"{folder}: its class {name} cannot be imported ({reason}); run the "
            "command where Python finds that module, or add its folder to PYTHONPATH"
        ) from error
    require_defined(name, imported, folder, trust)
    return imported


def _full_network(
    config: Mapping[str, Any],
    arguments: Mapping[str, Any],
    folder: Path,
    trust: Sequence[str],
) -> nn.Module:
    """Make the network as its class makes it: with random weights, and before any pruning."""
    network: nn.Module = instantiate(trusted_part(config, "model", folder, trust), **arguments)
    num_outputs = arguments.get("num_outputs")  # of a regression; its scale is in the checkpoint
    return network if num_outputs is None else Rescaled(network, num_outputs)


def _read_weights(path: Path, trust: Sequence[str]) -> dict[str, Any]:
    """Read the entries of a checkpoint: tensors, and extra states of a user's modules.

    An extra state (get_extra_state()) is plain data or an object of a trusted class.
    """
    try:
        require_file(path)
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # a damaged file may fail in any way
        raise _unusable(path, error) from error
    for name in named:
        require_allowed(name, "checkpoint.pt", path.parent, trust)
    allowed: list[_Allowed] = [(_imported(name, path.parent, trust), name) for name in named]
    try:
        with torch.serialization.safe_globals(allowed):
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise _unusable(path, error) from error
    if not isinstance(weights, dict):
        raise _unusable(path, TypeError(f"it holds a {type(weights).__name__}, no weights"))
    return weights


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: no usable checkpoint ({kind_and_line(error)}); train the run again")


def _read_structure(folder: Path) -> Structure:
    path = folder / STRUCTURE
    try:
        structure = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not readable ({error}); train the run again") from error
    if not isinstance(structure, dict) or not all(isinstance(v, dict) for v in structure.values()):
        raise StoreError(f"{path}: no structure of a pruned network; train the run again")
    return structure


def pruned_network(source: Path, config: TrainConfig, task: Task, folder: Path | None) -> nn.Module:
    """Load the network of a run and prune it, on the CPU and in training mode.

    Args:
        source: The folder of the run.
        config: The configuration of the new run; it has the same model, and recipe=prune.
        task: Gives the shape of inputs and what the data decides of the model.
        folder: Where the structure is written for load_network(); None writes nothing.

    Raises:
        ValueError: The network cannot be loaded or pruned.
        OSError: The structure cannot be written.
    """
    recipe: PruneConfig = config.recipe
    trust = config.trust  # with_source() has added the classes of this command
    arguments = task.model_arguments()
    network = load_network(source, arguments, trust)
    # Noise from a separate generator leaves the random state of the run as it is.
    example = torch.randn((1, *task.data.input_shape), generator=torch.Generator().manual_seed(0))
    prune_network(
        network,
        example,
        ratio=recipe.ratio,
        iterative_steps=recipe.iterative_steps,
        round_to=recipe.round_to,
    )
    full = _full_network({"model": config.model}, arguments, source, trust)
    frozen = {name for name, part in full.named_modules() if not part.training}
    structure = checked_structure(network, full, example)
    if folder is not None:
        (folder / STRUCTURE).write_text(json.dumps(structure, indent=1) + "\n")
    # Training mode, except for the parts that the model itself freezes.
    for name, part in network.named_modules():
        part.training = name not in frozen
    return network
