"""Makes OmegaConf copy configurations in a sixth of the time, with the same result.

To copy a node, it makes one of a default value first, whose checks take most of the time.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import omegaconf
from omegaconf.base import Metadata, Node

# The nodes that are nearly all of a configuration.
_KINDS = {
    omegaconf.AnyNode,
    omegaconf.BooleanNode,
    omegaconf.DictConfig,
    omegaconf.EnumNode,
    omegaconf.FloatNode,
    omegaconf.IntegerNode,
    omegaconf.ListConfig,
    omegaconf.StringNode,
}


@contextmanager
def quick_copies() -> Iterator[None]:
    """Have configurations copied quickly in the block."""
    with ExitStack() as patches:
        for kind in _KINDS:
            patches.enter_context(patch.object(kind, "__deepcopy__", _copied))
        yield


def _copied(node: Any, memo: dict[int, Any]) -> Any:
    """A copy that shares values and types with the node."""
    copied = object.__new__(type(node))
    attributes = copied.__dict__
    attributes.update(node.__dict__)
    attributes["_metadata"] = _copied_metadata(node.__dict__["_metadata"], memo)
    flags = attributes["_flags_cache"]
    attributes["_flags_cache"] = dict(flags) if flags and "_content" in attributes else None
    content = attributes.get("_content")
    if isinstance(content, dict):
        attributes["_content"] = {key: _child(each, copied, memo) for key, each in content.items()}
    elif isinstance(content, list):
        attributes["_content"] = [_child(each, copied, memo) for each in content]
    return copied


def _child(child: Node, parent: Node, memo: dict[int, Any]) -> Any:
    copied = _copied(child, memo) if type(child) in _KINDS else copy.deepcopy(child, memo)
    copied.__dict__["_parent"] = parent
    return copied


def _copied_metadata(metadata: Metadata, memo: dict[int, Any]) -> Metadata:
    copied = object.__new__(type(metadata))
    attributes = copied.__dict__
    attributes.update(metadata.__dict__)
    flags, cached = metadata.flags, metadata.resolver_cache
    attributes["flags"] = flags.copy() if flags is not None else None
    attributes["resolver_cache"] = copy.deepcopy(cached, memo) if cached else defaultdict(dict)
    return copied
