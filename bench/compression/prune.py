"""Structured pruning: whole channels are cut out of a trained network, by torch-pruning.

What is left is an ordinary network with smaller layers: nothing is masked. Its class still makes
the layers in their full size, so that the weights alone do not say how to build it again: its
structure is kept beside them, as the attributes in which each layer differs from the full one. It
is plain data, and neither torch-pruning nor pickled code is needed to read it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.errors import first_line, kind_and_line, needs_extra

# {path of a module: {attribute: value}}; lists stand for tuples.
Structure = dict[str, dict[str, Any]]

_PLAIN = (bool, int, float, str, type(None))
# How torch-pruning fails at a network that its tracer does not understand, and how a network does
# whose code relies on the full size of its layers.
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
    """A network cannot be pruned as asked; one line with the reason and, if any, the remedy."""


def prune_network(
    network: nn.Module,
    example: Tensor,
    *,
    ratio: float,
    iterative_steps: int = 1,
    round_to: int | None = None,
) -> None:
    """Cut channels out of a network, in place; those of the smallest norm go first.

    Every layer loses the same share of its outputs, but for the last one, which makes the logits.
    Layers whose outputs are added up lose the same channels.

    Args:
        network: In evaluation mode, on the CPU; maps images (n, c, h, w) to (n, num_classes).
        example: One input, shape (1, c, h, w).
        ratio: Share of the channels of each layer that goes, in (0, 1).
        iterative_steps: Steps in which they go; norms are compared again before each.
        round_to: What the numbers of channels left are multiples of; None for 1.

    Raises:
        PruningError: torch-pruning is not installed, does not understand the network or found
            nothing to cut; the network may be left in pieces.

    Source: Fang et al., arXiv 2301.12900, "DepGraph"; importance is the L2 norm over a group.
    """
    before = _num_parameters(network)
    shape = network(example).shape
    try:
        pruner = _pruner(
            network, example, ratio=ratio, iterative_steps=iterative_steps, round_to=round_to
        )
        _refuse_empty_layers(pruner, ratio, round_to or 1)
        for _ in range(iterative_steps):
            pruner.step()
        pruned_shape = network(example).shape
    except PruningError:
        raise
    except _UNSUPPORTED as error:
        reason = kind_and_line(error)
        raise PruningError(
            f"recipe=prune: torch-pruning cannot prune this model ({reason}); choose another one"
        ) from error
    _require_pruned(network, ratio, before, (shape, pruned_shape))


def _require_pruned(
    network: nn.Module, ratio: float, num_before: int, shapes: tuple[torch.Size, torch.Size]
) -> None:
    """Refuse a network that lost nothing, or that gives outputs of another shape."""
    shape, pruned_shape = shapes
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


def _pruner(
    network: nn.Module, example: Tensor, *, ratio: float, iterative_steps: int, round_to: int | None
) -> Any:
    with needs_extra("serving", "recipe=prune: torch_pruning", PruningError):
        import torch_pruning  # only this recipe needs it
    with torch.enable_grad(), warnings.catch_warnings():
        # It warns of parameters of no layer; whether the network still works is checked anyway.
        warnings.simplefilter("ignore", UserWarning)
        return torch_pruning.pruner.BasePruner(
            network,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            iterative_steps=iterative_steps,
            round_to=round_to,
            ignored_layers=[_last_layer(network, example)],
            # Their defaults are dicts that all pruners of a process would share.
            in_channel_groups={},
            out_channel_groups={},
            num_heads={},
        )


def _last_layer(network: nn.Module, example: Tensor) -> nn.Module:
    """The layer with weights that is called last: the one that makes the logits."""
    called: list[nn.Module] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(lambda one, *_: called.append(one)) for layer in layers]
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
    """Refuse what leaves nothing of a layer: torch-pruning would leave that layer whole."""
    graph = pruner.DG
    for group in graph.get_all_groups(
        ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
    ):
        layer = group[0].dep.target.module
        num_channels = graph.get_out_channels(layer) // pruner.out_channel_groups.get(layer, 1)
        if num_channels > 1 and int(num_channels * (1 - ratio)) < round_to:
            raise PruningError(
                f"recipe.ratio={ratio}: leaves nothing of a layer of {num_channels} channels, in "
                f"multiples of {round_to}; use a smaller recipe.ratio or recipe.round_to"
            )


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def structure_of(pruned: nn.Module, full: nn.Module) -> Structure:
    """The attributes in which the layers of a pruned network differ from those of the full one.

    Args:
        pruned: The network as it is.
        full: The same network as its class makes it.

    Raises:
        PruningError: Their layers are not the same ones.
    """
    wanted, found = (
        {name: type(module) for name, module in network.named_modules()}
        for network in (full, pruned)
    )
    if wanted != found:
        raise PruningError("recipe=prune: this model has other layers each time that it is made")
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
    """Its public attributes that are numbers, texts or tuples of them; not whether it trains."""
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
    """Turn a network in its full size into a pruned one.

    Args:
        network: As its class makes it; changed in place.
        structure: As structure_of gives it.
        weights: The state of the pruned network.

    Raises:
        PruningError: The structure is not of this network, or sets anything else than the numbers
            and texts that its layers have: it may be a stranger's.
        RuntimeError: The weights are not.
    """
    for name, attributes in structure.items():
        try:
            module = network.get_submodule(name)
        except AttributeError as error:
            raise PruningError(f"structure of another model: it has no layer {name}") from error
        known = _attributes(module)
        for key, value in attributes.items():
            restored = tuple(value) if isinstance(value, list) else value
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
    """Put an empty parameter or buffer of the right shape where one of another shape is."""
    path, _, key = name.rpartition(".")
    module = network.get_submodule(path)
    old = getattr(module, key)
    new = torch.empty_like(like, device=old.device)
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    setattr(module, key, new)


def checked_structure(pruned: nn.Module, full: nn.Module, example: Tensor) -> Structure:
    """The structure of a pruned network, once it is sure that the network can be made from it.

    Args:
        pruned: In evaluation mode.
        full: The same network as its class makes it; becomes a copy of `pruned`.
        example: One input, shape (1, c, h, w).

    Raises:
        PruningError: What is made from the structure and the weights is not the same network.
    """
    structure = structure_of(pruned, full)
    try:
        restore(full, structure, pruned.state_dict())
        with torch.no_grad():
            same = torch.allclose(full.eval()(example), pruned(example))
    except RuntimeError as error:
        reason = first_line(error)
        raise PruningError(
            f"recipe=prune: this model cannot be made again once it is pruned ({reason}); choose "
            "another one"
        ) from error
    if not same:
        raise PruningError(
            "recipe=prune: this model is not the same when it is made again once it is pruned; "
            "choose another one"
        )
    return structure
