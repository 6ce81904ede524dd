"""The batch system that started this process: SLURM in detail, others by name and job."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

# A controller that is busy answers within its MessageTimeout, 10 s by default, or not at all.
_PATIENCE_S = 15.0
# What `scontrol show job` prints of a job that has its nodes to itself, be it by --exclusive or
# because its partition gives only whole nodes. OK, YES, USER and MCS let certain other jobs in.
_ALONE = "NO"
_SHARING = re.compile(r"^\s*OverSubscribe=(\S+)", re.MULTILINE)


class _Variables(NamedTuple):
    """Environment variables that a batch system sets: one that only it sets, job, and queue."""

    mark: str
    job: str
    queue: str | None = None


_OTHERS = {
    "pbs": _Variables("PBS_JOBID", "PBS_JOBID", "PBS_QUEUE"),
    "lsf": _Variables("LSB_JOBID", "LSB_JOBID", "LSB_QUEUE"),
    "flux": _Variables("FLUX_JOB_ID", "FLUX_JOB_ID"),
    "kubernetes": _Variables("KUBERNETES_SERVICE_HOST", "HOSTNAME"),  # the name of the pod
}


def scheduler_facts(environment: Mapping[str, str] = os.environ) -> dict[str, Any] | None:
    """The facts of the job that this process belongs to, for `host.scheduler`.

    A shell of `salloc` has the variables of a job, but may run on the machine that the job was
    asked for, which is none of its nodes. So a process is part of a SLURM job only if a node of
    the job has started it, and given it SLURMD_NODENAME.

    Args:
        environment: The variables of the process.

    Returns:
        `kind` (`slurm`, `pbs`, `lsf`, `flux` or `kubernetes`), `job_id` (of an array task `12_3`),
        `node`, `partition` (or queue), `exclusive` (whether no other job could be on the node), and
        `restarts`; None for what is not known. None without a batch system.
    """
    if {"SLURM_JOB_ID", "SLURMD_NODENAME"} <= environment.keys():
        return _slurm_facts(environment)
    for kind, names in _OTHERS.items():
        if names.mark in environment:
            queue = environment.get(names.queue) if names.queue else None
            return _facts(kind, environment.get(names.job), partition=queue)
    return None


def _facts(
    kind: str,
    job_id: str | None,
    *,
    node: str | None = None,
    partition: str | None = None,
    exclusive: bool | None = None,
    restarts: int | None = None,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "job_id": job_id,
        "node": node,
        "partition": partition,
        "exclusive": exclusive,
        "restarts": restarts,
    }


def _slurm_facts(environment: Mapping[str, str]) -> dict[str, Any]:
    job_id = environment["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in environment:
        # The last task of an array has the number of the array, which stands for all its tasks.
        job_id = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return _facts(
        "slurm",
        job_id,
        node=environment["SLURMD_NODENAME"],
        partition=environment.get("SLURM_JOB_PARTITION"),
        exclusive=_is_alone(job_id, environment),
        restarts=int(environment.get("SLURM_RESTART_COUNT", "0")),
    )


def _is_alone(job_id: str, environment: Mapping[str, str]) -> bool | None:
    """Whether SLURM gave the nodes of a job to no other job; None if it does not answer."""
    try:
        answer = subprocess.run(
            ["scontrol", "show", "job", job_id],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # A heterogeneous job has several parts, each with its own nodes.
    sharing = _SHARING.findall(answer.stdout)
    return all(one == _ALONE for one in sharing) if sharing else None
