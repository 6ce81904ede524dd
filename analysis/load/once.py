"""Keeps what is computed from runs, so that figures, tables and page compute it once together."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from pandas import DataFrame, Series

_T = TypeVar("_T", DataFrame, Series)
# By the id of a frame: a reference to it, and the results by function. They go with the frame.
_SETTLED: dict[int, tuple[weakref.ref[DataFrame], dict[Any, Any]]] = {}


def settle(frame: DataFrame) -> DataFrame:
    """Promise that nobody changes this frame any more, so that results of it may be kept.

    Returns:
        The frame.
    """
    key = id(frame)
    if key not in _SETTLED:
        _SETTLED[key] = weakref.ref(frame, lambda _: _SETTLED.pop(key, None)), {}
    return frame


def once(function: Callable[[DataFrame], _T]) -> Callable[[DataFrame], _T]:
    """Compute a function once for each settled frame, and each time for any other frame."""

    @wraps(function)
    def kept(frame: DataFrame) -> _T:
        known, results = _SETTLED.get(id(frame), (lambda: None, {}))
        if known() is not frame:
            return function(frame)
        if function not in results:
            results[function] = function(frame)
        result: _T = results[function]
        return result.copy(deep=False)  # whatever a caller changes in it, it changes for itself

    return kept
