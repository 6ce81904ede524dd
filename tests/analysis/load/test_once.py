"""What is computed from a settled frame is kept with it, and nothing else is."""

from __future__ import annotations

import gc

from pandas import DataFrame

from analysis.load import once as module
from analysis.load.once import once, settle, settled


def test_a_settled_frame_is_computed_once_and_what_a_caller_changes_is_its_own() -> None:
    calls = []

    @once
    def doubled(frame: DataFrame) -> DataFrame:
        calls.append(len(frame))
        return frame * 2

    frame = settle(DataFrame({"a": [1, 2]}))
    first = doubled(frame)
    first["b"] = 0
    first.loc[0, "a"] = 100
    assert doubled(frame).equals(DataFrame({"a": [2, 4]}))
    assert calls == [2]


def test_a_frame_that_may_change_is_computed_each_time() -> None:
    num_rows = once(lambda frame: frame["a"] + 1)
    frame = DataFrame({"a": [1]})
    assert list(num_rows(frame)) == [2]
    frame["a"] = 5
    assert list(num_rows(frame)) == [6]
    assert list(num_rows(settle(frame).iloc[:1])) == [6]  # a part of a settled frame is not settled


def test_a_settled_view_keeps_the_values_that_its_frame_had() -> None:
    num_rows = once(lambda frame: frame["a"] + 1)
    frame = DataFrame({"a": [1]})
    view = settled(frame)
    frame.loc[0, "a"] = 5
    assert (list(num_rows(view)), list(num_rows(frame))) == ([2], [6])
    assert settled(view) is view
    assert settled(frame) is not view


def test_results_go_with_their_frame() -> None:
    frame = settle(DataFrame({"a": [1]}))
    key = id(frame)
    assert key in module._SETTLED
    del frame
    gc.collect()
    assert key not in module._SETTLED
