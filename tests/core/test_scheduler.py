"""The facts of a batch job, with a stand-in for `scontrol` that prints what SLURM 22.05 does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core import scheduler
from bench.core.environment import settle_environment
from bench.core.scheduler import scheduler_facts

JOB = {
    "SLURM_JOB_ID": "12",
    "SLURM_JOB_PARTITION": "bench",
    "SLURMD_NODENAME": "node1",
    # The places of a rank; a command removes them before it looks.
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "1",
}
TASK = JOB | {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}


def answer(sharing: str, job_id: str = "12") -> str:
    """What `scontrol show job` prints, as far as it may be mistaken for the answer."""
    return (
        f"JobId={job_id} JobName=OverSubscribe=NO\n"
        "   JobState=RUNNING Reason=None Dependency=(null)\n"
        f"   OverSubscribe={sharing} Contiguous=0 Licenses=(null) Network=(null)\n"
        "   Command=./OverSubscribe=NO.sh\n"
    )


def with_scontrol(folder: Path, script: str) -> dict[str, str]:
    """The PATH of a machine whose `scontrol` is this script."""
    command = folder / "scontrol"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def printing(folder: Path, text: str) -> dict[str, str]:
    (folder / "answer").write_text(text)
    return with_scontrol(folder, f'echo "$@" > {folder}/arguments; cat {folder}/answer')


def exclusive(folder: Path, text: str) -> Any:
    facts = scheduler_facts(JOB | printing(folder, text))
    assert facts is not None
    return facts["exclusive"]


def test_a_process_outside_of_any_batch_system_has_no_facts() -> None:
    assert scheduler_facts({"PATH": "/usr/bin:/bin"}) is None


def test_a_job_of_slurm_has_its_node_and_its_partition(tmp_path: Path) -> None:
    assert scheduler_facts(JOB | printing(tmp_path, answer("NO"))) == {
        "kind": "slurm",
        "job_id": "12",
        "node": "node1",
        "partition": "bench",
        "exclusive": True,
        "restarts": 0,
    }
    assert (tmp_path / "arguments").read_text() == "show job 12\n"


def test_a_task_of_an_array_asks_about_itself_alone(tmp_path: Path) -> None:
    """The last task has the number of the array, for which SLURM answers with all tasks."""
    facts = scheduler_facts(TASK | printing(tmp_path, answer("NO")))
    assert facts is not None
    assert facts["job_id"] == "12_3"
    assert (tmp_path / "arguments").read_text() == "show job 12_3\n"


@pytest.mark.parametrize(
    ("sharing", "alone"),
    # As SLURM printed them for: --exclusive, or a partition with OverSubscribe=EXCLUSIVE; neither,
    # also with all CPUs of the node; --oversubscribe; --exclusive=user; --exclusive=mcs.
    [("NO", True), ("OK", False), ("YES", False), ("USER", False), ("MCS", False)],
)
def test_a_job_is_exclusive_if_slurm_lets_no_other_one_in(
    tmp_path: Path, sharing: str, alone: bool
) -> None:
    assert exclusive(tmp_path, answer(sharing)) is alone


def test_each_part_of_a_heterogeneous_job_must_be_exclusive(tmp_path: Path) -> None:
    assert exclusive(tmp_path, answer("NO") + answer("NO", "13")) is True
    assert exclusive(tmp_path, answer("NO") + answer("OK", "13")) is False


def test_an_answer_without_the_word_leaves_it_unknown(tmp_path: Path) -> None:
    assert exclusive(tmp_path, "JobId=12 JobName=OverSubscribe=NO\n") is None


@pytest.mark.parametrize("script", ["exit 1", "exec sleep 60"])
def test_a_controller_that_fails_or_is_silent_leaves_it_unknown(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_PATIENCE_S", 0.05)
    facts = scheduler_facts(JOB | with_scontrol(tmp_path, script))
    assert facts is not None
    assert (facts["kind"], facts["exclusive"]) == ("slurm", None)


def test_without_scontrol_it_is_unknown(tmp_path: Path) -> None:
    facts = scheduler_facts(JOB | {"PATH": str(tmp_path)})
    assert facts is not None
    assert (facts["node"], facts["exclusive"]) == ("node1", None)


def test_a_shell_of_salloc_is_on_no_node_of_its_job(tmp_path: Path) -> None:
    shell = {name: value for name, value in JOB.items() if name != "SLURMD_NODENAME"}
    assert scheduler_facts(shell | printing(tmp_path, answer("NO"))) is None


def test_a_requeued_job_counts_its_restarts(tmp_path: Path) -> None:
    facts = scheduler_facts(JOB | {"SLURM_RESTART_COUNT": "2"} | printing(tmp_path, answer("NO")))
    assert facts is not None
    assert facts["restarts"] == 2


def test_the_facts_are_there_after_a_command_has_settled_its_environment(tmp_path: Path) -> None:
    environment = TASK | printing(tmp_path, answer("NO"))
    before = scheduler_facts(environment)
    settle_environment(environment)
    assert "SLURM_PROCID" not in environment
    assert scheduler_facts(environment) == before


@pytest.mark.parametrize(
    ("environment", "kind", "job_id", "partition"),
    [
        ({"PBS_JOBID": "7.head", "PBS_QUEUE": "short"}, "pbs", "7.head", "short"),
        ({"LSB_JOBID": "8", "LSB_QUEUE": "normal"}, "lsf", "8", "normal"),
        ({"FLUX_JOB_ID": "f9"}, "flux", "f9", None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "pod"}, "kubernetes", "pod", None),
    ],
)
def test_of_other_batch_systems_only_the_job_is_known(
    environment: dict[str, str], kind: str, job_id: str, partition: str | None
) -> None:
    assert scheduler_facts(environment) == {
        "kind": kind,
        "job_id": job_id,
        "node": None,
        "partition": partition,
        "exclusive": None,
        "restarts": None,
    }
