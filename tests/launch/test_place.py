from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.launch.place import Place, find_place, require_place

# As srun sets them for the second of two nodes (SLURM 22.05).
SRUN = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "1",
    "SLURM_STEP_NODELIST": "node[3,7]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "MASTER_ADDR": "10.0.0.3",
}
# As torchrun sets them for the second of two nodes, each with one process.
TORCHRUN = {
    "RANK": "1",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "1",
    "GROUP_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.3",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


def test_srun_gives_the_place_and_the_port_follows_from_the_job() -> None:
    assert require_place(2, SRUN) == Place(
        launcher="srun",
        node=1,
        num_nodes=2,
        num_processes=2,
        address="10.0.0.3",
        port=15000 + 4567,  # as Lightning derives it
    )
    assert require_place(2, {**SRUN, "MASTER_PORT": "1234"}).port == 1234


def test_torchrun_gives_the_place_and_keeps_its_own_port() -> None:
    place = require_place(2, TORCHRUN)
    assert (place.launcher, place.node, place.address) == ("torchrun", 1, "10.0.0.3")
    assert place.port == 29501
    # Without its store, as with a launcher of one's own, the port itself is free.
    without_store = {k: v for k, v in TORCHRUN.items() if not k.startswith("TORCHELASTIC")}
    assert require_place(2, without_store).port == 29500
    # torchrun may be started by srun; then there is one process of torchrun on each node.
    assert require_place(2, {**SRUN, **TORCHRUN}).launcher == "torchrun"


def test_the_first_host_of_a_step_is_asked_of_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\ntest "$*" = "show hostnames node[3,7]" && echo node3; echo 7\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    without_address = {k: v for k, v in SRUN.items() if k != "MASTER_ADDR"}
    assert require_place(2, without_address).address == "node3"
    scontrol.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"hosts of node\[3,7\].*; set MASTER_ADDR to the address"):
        require_place(2, without_address)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        # The script of a batch job: only srun starts tasks.
        {"SLURM_JOB_ID": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_NNODES": "2"},
    ],
)
def test_without_a_launcher_there_is_no_place(variables: Mapping[str, str]) -> None:
    assert find_place(variables) is None
    with pytest.raises(ValueError, match=r"^trainer.num_nodes=2: must be started once on each no"):
        require_place(2, variables)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({**SRUN, "SLURM_STEP_NUM_NODES": "3"}, "srun started this command on 3 nodes; give train"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "4"}, "4 processes, .* give srun -N2 --ntasks-per-node"),
        (
            {**TORCHRUN, "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"},
            "torchrun started 4 processes, .* give torchrun --nnodes 2 --nproc-per-node 1",
        ),
        ({**TORCHRUN, "GROUP_WORLD_SIZE": "4", "WORLD_SIZE": "4"}, "trainer.num_nodes=4, or torch"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, "the variables of the launcher are not clear"),
        ({**TORCHRUN, "MASTER_PORT": "65535"}, "MASTER_PORT: 65536 is no port"),
        ({k: v for k, v in TORCHRUN.items() if k != "MASTER_ADDR"}, "'MASTER_ADDR' is not set"),
    ],
)
def test_another_number_of_nodes_or_processes_is_refused(
    variables: Mapping[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        require_place(2, variables)
