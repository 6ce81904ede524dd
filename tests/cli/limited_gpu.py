"""Jobs on a simulated GPU whose state is a file, as that of a real card outlives each process."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pynvml

from bench.launch.job import Job
from bench.measure.gpu_control import GpuControls, applied
from tests.fake_nvml import FakeGpu, FakeNvml

STATE = "TEST_GPU_STATE"
BEFORE = {"limit_w": 300.0, "locked_mhz": None}
SET = {"limit_w": 200.0, "locked_mhz": [1410, 1410]}
SETTINGS = GpuControls(power_limit_w=200.0, clock_mhz=1410)


class _KeptGpu(FakeGpu):
    """Its limit and its clock are in the file that the environment variable names."""

    def __getattribute__(self, name: str) -> Any:
        if name in BEFORE and STATE in os.environ:
            return json.loads(Path(os.environ[STATE]).read_text())[name]
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in BEFORE and STATE in os.environ:
            path = Path(os.environ[STATE])
            path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
        else:
            super().__setattr__(name, value)


def end_in_some_way(job: Job, send: Any, launched_s: float) -> None:
    """Set the card, and end as the configuration says."""
    with applied(SETTINGS, ["GPU-a"]):
        assert json.loads(Path(os.environ[STATE]).read_text()) == SET
        if job.config["ends"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.config["ends"] == "failed":
            raise ValueError("from the run")


if STATE in os.environ:  # in the server of the test, and so in its jobs
    before = os.environ.pop(STATE)
    card = _KeptGpu("GPU-a", limit_range_w=(100.0, 450.0), clocks_mhz=[1410])
    os.environ[STATE] = before
    pynvml.nvmlLib = FakeNvml([card])
    os.geteuid = lambda: 0
