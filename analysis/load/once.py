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
        # Bound, because the name is gone when the interpreter ends.
        forget = _SETTLED.pop
        _SETTLED[key] = weakref.ref(frame, lambda _: forget(key, None)), {}
    return frame


def settled(frame: DataFrame) -> DataFrame:
    """A frame with these values that nobody changes: itself if it is settled, else a view of it.

    Copy on write keeps what is changed in the frame later out of the view.
    """
    return frame if _is_settled(frame) else settle(frame.copy(deep=False))


def _is_settled(frame: DataFrame) -> bool:
    return id(frame) in _SETTLED and _SETTLED[id(frame)][0]() is frame


def once(function: Callable[[DataFrame], _T]) -> Callable[[DataFrame], _T]:
    """Compute a function once for each settled frame, and each time for any other frame."""

    @wraps(function)
    def kept(frame: DataFrame) -> _T:
        if not _is_settled(frame):
            return function(frame)
        _, results = _SETTLED[id(frame)]
        if function not in results:
            results[function] = function(frame)
        result: _T = results[function]
        return result.copy(deep=False)  # whatever a caller changes in it, it changes for itself

    return kept
