"""Structured pruning: cuts whole channels out of a trained network with torch-pruning.

The result is an ordinary network with smaller layers; nothing is masked. Its class still builds the
layers in full size, so the weights alone are not enough to rebuild it. Its structure is therefore
saved beside them: the attributes in which each layer differs from the full one. The structure is
plain data, which can be read without torch-pruning and without pickled code.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.errors import first_line, kind_and_line, needs_extra

# {path of a module: {attribute: value}}; JSON has lists in place of tuples.
Structure = dict[str, dict[str, Any]]

_PLAIN = (bool, int, float, str, type(None))
# Exceptions of torch-pruning if its tracer does not understand a network, and of a network whose
# code relies on the full size of its layers.
_UNSUPPORTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class PruningError(ValueError):
    """A network cannot be pruned in this way; one line with the reason and, if any, the remedy."""


def prune_network(
    network: nn.Module,
    example: Tensor,
    *,
    ratio: float,
    iterative_steps: int = 1,
    round_to: int | None = None,
) -> None:
    """Cut the channels with the smallest norm out of a network, in place.

    Every layer loses the same share of its outputs, except the last one, which makes the logits.
    Layers whose outputs are added lose the same channels.

    Args:
        network: In evaluation mode, on the CPU; maps images (n, c, h, w) to (n, num_classes).
        example: One input, shape (1, c, h, w).
        ratio: Share of the channels to cut out of each layer, in (0, 1).
        iterative_steps: Number of steps; norms are compared again before each.
        round_to: Make the remaining numbers of channels multiples of this; None for 1.

    Raises:
        PruningError: torch-pruning is not installed, does not understand the network or found
            nothing to cut; the network may be damaged.

    Source: Fang et al., arXiv 2301.12900, "DepGraph"; importance is the L2 norm over a group.
    """
    num_before, shape = _num_parameters(network), network(example).shape
    # Checked below, because torch-pruning may also cut the outputs of the network.
    pruned_shape = _cut_channels(network, example, ratio, iterative_steps, round_to or 1)
    if pruned_shape != shape:
        raise PruningError(
            f"recipe=prune: the outputs of this model would become {tuple(pruned_shape)} instead "
            f"of {tuple(shape)}; choose a model whose last layer makes the logits"
        )
    if _num_parameters(network) == num_before:
        raise PruningError(
            f"recipe.ratio={ratio}: torch-pruning found nothing to cut out of this model; use a "
            "larger ratio, or a model with hidden layers"
        )


def _cut_channels(
    network: nn.Module, example: Tensor, ratio: float, iterative_steps: int, round_to: int
) -> torch.Size:
    """Cut channels; returns the shape of the outputs afterwards."""
    try:
        pruner = _make_pruner(network, example, ratio, iterative_steps, round_to)
        _refuse_empty_layers(pruner, ratio, round_to)
        for _ in range(iterative_steps):
            pruner.step()
        shape: torch.Size = network(example).shape
    except PruningError:
        raise
    except _UNSUPPORTED as error:
        reason = kind_and_line(error)
        raise PruningError(
            f"recipe=prune: torch-pruning cannot prune this model ({reason}); choose another one"
        ) from error
    return shape


def _make_pruner(
    network: nn.Module, example: Tensor, ratio: float, iterative_steps: int, round_to: int
) -> Any:
    with needs_extra("serving", "recipe=prune: torch_pruning", PruningError):
        import torch_pruning  # only this recipe needs it
    # It follows torch's graph of gradients, so these must be on.
    with torch.enable_grad(), warnings.catch_warnings():
        # It warns about parameters outside layers; we check anyway that the network still works.
        warnings.simplefilter("ignore", UserWarning)
        return torch_pruning.pruner.BasePruner(
            network,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            iterative_steps=iterative_steps,
            round_to=round_to,
            ignored_layers=[_last_layer(network, example)],
            # The defaults are dicts, which all pruners of a process would share.
            in_channel_groups={},
            out_channel_groups={},
            num_heads={},
        )


def _last_layer(network: nn.Module, example: Tensor) -> nn.Module:
    """The layer with weights that is called last, because it makes the logits."""
    called: list[nn.Module] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [
        layer.register_forward_hook(lambda module, *_: called.append(module)) for layer in layers
    ]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        raise PruningError("recipe=prune: this model has no layer of channels; choose another one")
    return called[-1]


def _refuse_empty_layers(pruner: Any, ratio: float, round_to: int) -> None:
    """Refuse to cut a layer away entirely: torch-pruning would silently leave it whole."""
    graph = pruner.DG
    for group in graph.get_all_groups(
        ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
    ):
        layer = group[0].dep.target.module
        num_channels = graph.get_out_channels(layer) // pruner.out_channel_groups.get(layer, 1)
        # A layer of one channel cannot lose any, so it stays.
        if num_channels > 1 and int(num_channels * (1 - ratio)) < round_to:
            raise PruningError(
                f"recipe.ratio={ratio}: leaves nothing of a layer of {num_channels} channels, in "
                f"multiples of {round_to}; use a smaller recipe.ratio or recipe.round_to"
            )


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def find_structure(pruned: nn.Module, full: nn.Module) -> Structure:
    """The attributes in which the layers of a pruned network differ from those of the full one.

    Args:
        pruned: The pruned network.
        full: The same network in the size that its class builds.

    Raises:
        PruningError: They do not have the same layers.
    """
    full_types, pruned_types = (
        {name: type(module) for name, module in network.named_modules()}
        for network in (full, pruned)
    )
    if full_types != pruned_types:
        raise PruningError("recipe=prune: this model has other layers each time that it is built")
    differing = {
        name: {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in _attributes(module).items()
            if value != _attributes(full.get_submodule(name)).get(key)
        }
        for name, module in pruned.named_modules()
    }
    return {name: attributes for name, attributes in differing.items() if attributes}


def _attributes(module: nn.Module) -> dict[str, Any]:
    """The public attributes that are numbers, texts or tuples of them, except `training`."""
    return {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_") and key != "training" and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, _PLAIN) for item in value)
    return isinstance(value, _PLAIN)


def restore(network: nn.Module, structure: Structure, weights: Mapping[str, Tensor]) -> None:
    """Turn a network of full size into a pruned one.

    Args:
        network: In the size that its class builds; changed in place.
        structure: From find_structure.
        weights: The state of the pruned network.

    Raises:
        PruningError: The structure is that of another network, or sets anything but the numbers
            and texts that the layers have. It may come from somebody else, so it is not trusted.
        RuntimeError: The weights are those of another network.
    """
    for name, attributes in structure.items():
        try:
            module = network.get_submodule(name)
        except AttributeError as error:
            raise PruningError(f"structure of another model: it has no layer {name}") from error
        known = _attributes(module)
        for key, value in attributes.items():
            restored = tuple(value) if isinstance(value, list) else value
            # Only attributes that the layer has already: the file may come from somebody else.
            if key not in known or not _is_plain(restored):
                raise PruningError(f"structure of another model: {name} has no attribute {key}")
            setattr(module, key, restored)
    state = network.state_dict()
    for name, tensor in weights.items():
        pruned = name.rpartition(".")[0] in structure
        if pruned and isinstance(state.get(name), Tensor) and state[name].shape != tensor.shape:
            _resize(network, name, tensor)
    network.load_state_dict(weights)


def _resize(network: nn.Module, name: str, like: Tensor) -> None:
    """Replace a parameter or buffer by an empty one of the right shape."""
    path, _, key = name.rpartition(".")
    module = network.get_submodule(path)
    old = getattr(module, key)
    new = torch.empty_like(like, device=old.device)
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    setattr(module, key, new)


def checked_structure(pruned: nn.Module, full: nn.Module, example: Tensor) -> Structure:
    """The structure of a pruned network, after checking that it can be rebuilt from it.

    Args:
        pruned: In evaluation mode.
        full: The same network in the size that its class builds; becomes a copy of `pruned`.
        example: One input, shape (1, c, h, w).

    Raises:
        PruningError: Structure and weights do not give the same network.
    """
    structure = find_structure(pruned, full)
    try:
        restore(full, structure, pruned.state_dict())
        with torch.no_grad():
            # The rebuilt network runs other kernels for other shapes, so its sums may round
            # differently.
            same = torch.allclose(full.eval()(example), pruned(example))
    except RuntimeError as error:
        reason = first_line(error)
        raise PruningError(
            f"recipe=prune: this model cannot be rebuilt once it is pruned ({reason}); choose "
            "another one"
        ) from error
    if not same:
        raise PruningError(
            "recipe=prune: this model gives other outputs when it is rebuilt after pruning; choose "
            "another one"
        )
    return structure
