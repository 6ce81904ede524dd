"""Looks at the arguments of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def takes_argument(function: Callable[..., Any], name: str) -> bool:
    """Whether a class or function takes an argument of this name."""
    try:
        inspect.signature(function).bind_partial(**{name: None})
    except (TypeError, ValueError):  # C code may have no signature
        return False
    return True
