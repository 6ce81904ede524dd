"""The place of a command among those that srun or torchrun started for one training.

It is read from the variables of the launcher before they are removed from the environment
(bench.core.environment), and only for a training over several nodes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

_SRUN = "srun -N{0} --ntasks-per-node=1 python -m bench.train"
_TORCHRUN = "torchrun --nnodes {0} --nproc-per-node 1 --rdzv-endpoint HOST:PORT -m bench.train"
# As Lightning derives a port from the number of a job of SLURM, which all nodes know.
# Source: lightning_fabric.plugins.environments.slurm.SLURMEnvironment.main_port.
_FIRST_PORT = 15000
_JOB_DIGITS = 4
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a command stands among the commands of all nodes.

    Attributes:
        launcher: `srun` or `torchrun`.
        node: Rank of this node, from 0.
        num_nodes: Nodes on which the launcher started commands.
        num_processes: Commands that it started on all of them.
        address: Name or address of node 0.
        port: Port of node 0 at which the commands meet.
    """

    launcher: str
    node: int
    num_nodes: int
    num_processes: int
    address: str
    port: int

    @property
    def name(self) -> str:
        """The node as messages and files call it."""
        return f"node{self.node}"


def require_place(num_nodes: int, variables: Mapping[str, str]) -> Place:
    """Find the place of this command, one for each node of a training.

    Args:
        num_nodes: The key trainer.num_nodes.
        variables: The environment as the launcher made it.

    Raises:
        ValueError: No launcher has started the command once on each of so many nodes.
    """
    key = f"trainer.num_nodes={num_nodes}"
    try:
        place = find_place(variables)
    except (KeyError, ValueError) as error:
        reason = f"{error} is not set" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{key}: the variables of the launcher are not clear ({reason})"
        ) from error
    if place is None:
        raise ValueError(
            f"{key}: must be started once on each node; type {_SRUN.format(num_nodes)} or "
            f"{_TORCHRUN.format(num_nodes)}"
        )
    if place.num_nodes != num_nodes:
        raise ValueError(
            f"{key}: {place.launcher} started this command on {place.num_nodes} nodes; give "
            f"trainer.num_nodes={place.num_nodes}, or {_option(place.launcher, num_nodes)}"
        )
    if place.num_processes != num_nodes:
        raise ValueError(
            f"{key}: {place.launcher} started {place.num_processes} processes, must start one on "
            "each node, which starts the others for trainer.devices itself; give "
            f"{_option(place.launcher, num_nodes)}"
        )
    return place


def _option(launcher: str, num_nodes: int) -> str:
    if launcher == "srun":
        return f"srun -N{num_nodes} --ntasks-per-node=1"
    return f"torchrun --nnodes {num_nodes} --nproc-per-node 1"


def find_place(variables: Mapping[str, str]) -> Place | None:
    """Read the place of a command from the variables of its launcher; None without one.

    Raises:
        KeyError: A variable is missing beside others of its launcher.
        ValueError: A variable is no number, or node 0 has no address.
    """
    # torchrun may itself be started by srun, so it comes first.
    if "RANK" in variables and "WORLD_SIZE" in variables:
        return _torchrun(variables)
    # The script of a batch job has variables of SLURM too, but only srun makes a step of tasks.
    if "SLURM_STEP_NUM_TASKS" in variables and "SLURM_NODEID" in variables:
        return _srun(variables)
    return None


def _torchrun(variables: Mapping[str, str]) -> Place:
    num_processes = int(variables["WORLD_SIZE"])
    on_node = int(variables.get("LOCAL_WORLD_SIZE", 1))
    # torchrun keeps a store of its own at MASTER_PORT, so the commands meet at the next port.
    is_taken = variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return Place(
        launcher="torchrun",
        node=int(variables["RANK"]) // on_node,
        num_nodes=int(variables.get("GROUP_WORLD_SIZE", num_processes // on_node)),
        num_processes=num_processes,
        address=variables["MASTER_ADDR"],
        port=_port(int(variables["MASTER_PORT"]) + is_taken),
    )


def _srun(variables: Mapping[str, str]) -> Place:
    port = variables.get("MASTER_PORT")
    derived = _FIRST_PORT + int(variables["SLURM_JOB_ID"][-_JOB_DIGITS:])
    return Place(
        launcher="srun",
        node=int(variables["SLURM_NODEID"]),
        num_nodes=int(variables["SLURM_STEP_NUM_NODES"]),
        num_processes=int(variables["SLURM_STEP_NUM_TASKS"]),
        address=variables.get("MASTER_ADDR") or _first_host(variables["SLURM_STEP_NODELIST"]),
        port=_port(derived if port is None else int(port)),
    )


def _port(port: int) -> int:
    if not 0 < port <= _LARGEST_PORT:
        raise ValueError(f"MASTER_PORT: {port} is no port")
    return port


def _first_host(nodes: str) -> str:
    """The first of the nodes of a step, which SLURM lists as `node[3-5,9]`."""
    command = ["scontrol", "show", "hostnames", nodes]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return answer.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise ValueError(
            f"scontrol does not list the hosts of {nodes}: {error}; set MASTER_ADDR to the address "
            "of the first"
        ) from error
