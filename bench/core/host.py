"""Facts about the machine and the software for a record; none of them change during a run."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.core.environment import deciding_variables
from bench.core.scheduler import scheduler_facts

PROJECT = "operational-metrics-bench"
LIBRARIES = (
    PROJECT,
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "scikit-learn",
    "codecarbon",
    "nvidia-ml-py",
    "numpy",
)


def cpu_name() -> str:
    """The processor's name according to the kernel, or the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """The output of git in the working directory; None outside a repository or without git."""
    try:
        answer = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


@cache
def host_facts() -> dict[str, Any]:
    """Machine, batch job, versions, and the revision of the repository the command started in."""
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "name": platform.node(),
        "os": platform.platform(),
        "cpu_name": cpu_name(),
        "num_cpus": os.cpu_count(),
        "num_cpus_allowed": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "environment": deciding_variables(),
        "scheduler": scheduler_facts(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }
