"""Imported last by the fork server of a command: does what all of its jobs would repeat.

Jobs find the parts that configurations name imported.
"""

from __future__ import annotations

import atexit
import os

import bench.measure.meters.cpu_model
import bench.measure.meters.nvml
import bench.measure.meters.rapl
import bench.tasks.data
import bench.tasks.models
import bench.tasks.schedules
import bench.tasks.tabular
import bench.tasks.text  # noqa: F401
from bench.runs.preload_processor import LOOKING_UP

_SERVER = os.getpid()


def _end_at_once() -> None:
    """End the server without taking its half a million objects apart; it holds nothing to save."""
    if os.getpid() == _SERVER:
        os._exit(0)


LOOKING_UP.join()  # a process with a single thread can be forked safely
atexit.register(_end_at_once)
