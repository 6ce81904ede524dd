"""Traces the operators of PyTorch while the clock of a window runs, if that is asked for."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bench.core.operators import OperatorTime, trace_folder, write_trace
from bench.measure.window import Window

# A flag of the run's health: it is not to be compared.
TRACED = "traced"
_US = 1e-6


def operator_trace() -> AbstractContextManager[object] | None:
    """What traces a window while its clock runs; None if that is not asked for."""
    folder = trace_folder()
    return None if folder is None else _Trace(folder)


def own_window() -> Window:
    """The window of a training of a user's own, who gave none: traced if that is asked for."""
    around = operator_trace()
    window = Window(around=around)
    if around is not None:
        window.flag(TRACED)
    return window


class _Trace(AbstractContextManager[object]):
    """One traced window, whose operators are written to a file when it ends."""

    def __init__(self, folder: Path) -> None:
        import torch  # a training of one's own may do without
        from torch.profiler import ProfilerActivity, profile

        self._folder = folder
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(activities=activities)

    def __enter__(self) -> object:
        self._profile.start()
        self._started_s = time.perf_counter()
        return self

    def __exit__(self, *exception: Any) -> None:
        wall_s = time.perf_counter() - self._started_s
        self._profile.stop()
        operators = [
            OperatorTime(
                name=row.key,
                num_calls=row.count,
                cpu_s=row.self_cpu_time_total * _US,
                device_s=row.self_device_time_total * _US,
            )
            for row in self._profile.key_averages()
        ]
        write_trace(self._folder, wall_s, operators)
