"""A traced window: what torch.profiler sees between start and stop, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.core.operators import VARIABLE, read_traces
from bench.measure.window import Window
from bench.runs.operator_trace import TRACED, operator_trace, own_window


def multiply(times: int) -> None:
    matrix = torch.ones(8, 8)
    for _ in range(times):
        matrix = torch.mm(matrix, matrix)


def test_the_operators_between_start_and_stop_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "operators"))
    with Window({}, period_s=None, shared=True, gpus=[], around=operator_trace()) as window:
        multiply(3)
    multiply(2)
    trace = read_traces(tmp_path / "operators")
    assert trace is not None
    calls = {each.name: each.num_calls for each in trace.operators}
    assert calls["aten::mm"] == 3
    mm = next(each for each in trace.operators if each.name == "aten::mm")
    assert 0 < mm.cpu_s < trace.wall_s
    assert window.time_s <= trace.wall_s  # it is entered before the clock starts


def test_a_traced_window_is_not_to_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert operator_trace() is None
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    window = own_window()
    assert TRACED in window._flags
