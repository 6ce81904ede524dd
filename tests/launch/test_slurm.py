"""What SLURM's commands answer, with stand-ins that print what SLURM 22.05 prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.launch.slurm import (
    SlurmError,
    SlurmJob,
    SlurmStates,
    cancel,
    last_line,
    max_array_size,
    require_commands,
)
from tests.launch.slurm_commands import SlurmCommands, no_slurm, queued

GONE = "slurm_load_jobs error: Invalid job id specified"
DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
NO_ACCOUNTS = "Slurm accounting storage is disabled"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmCommands:
    return SlurmCommands(tmp_path / "bin", monkeypatch)


def test_one_call_gives_the_state_of_all_jobs(slurm: SlurmCommands) -> None:
    slurm.add(
        "squeue",
        queued("14_0", "FAILED", "9", "node1", "JobLaunchFailure"),  # killed by signal 9
        queued("14_1", "FAILED", "768", "node2", "NonZeroExitCode"),  # 768 = 3 * 256: exit code 3
        queued("14_2", "RUNNING", "0", "node1", "None"),
        queued("14_3", "PENDING", "0", "", "Nodes required for job are DOWN"),
        queued("15", "COMPLETED", "0", "node2", "None"),
    )
    jobs = SlurmStates().ask(["14_0", "14_1", "14_2", "14_3", "15"])
    assert jobs == {
        "14_0": SlurmJob(
            state="FAILED", node="node1", reason="JobLaunchFailure", exit_code=0, signal=9
        ),
        "14_1": SlurmJob(state="FAILED", node="node2", reason="NonZeroExitCode", exit_code=3),
        "14_2": SlurmJob(state="RUNNING", node="node1", exit_code=0),
        "14_3": SlurmJob(state="PENDING", reason="Nodes required for job are DOWN", exit_code=0),
        "15": SlurmJob(state="COMPLETED", node="node2", exit_code=0),
    }
    assert [job.is_over for job in jobs.values()] == [True, True, False, False, True]
    (call,) = slurm.calls("squeue")
    assert "--states=all -j 14,15 " in call


def test_accounts_know_what_the_queue_has_forgotten(slurm: SlurmCommands) -> None:
    slurm.add("squeue", error=GONE, code=1)
    slurm.add(
        "sacct",
        "14_0|CANCELLED by 1000|0:15|node1",
        "14_1|TIMEOUT|0:0|None assigned",
        "14_2|RUNNING|0:0|node1",
    )
    jobs = SlurmStates().ask(["14_0", "14_1", "14_2", "14_3"])
    assert jobs["14_0"] == SlurmJob(state="CANCELLED", node="node1", exit_code=0, signal=15)
    assert jobs["14_1"] == SlurmJob(state="TIMEOUT", exit_code=0)
    # The controller does not know 14_2, so that it is not running, whatever the accounts say.
    assert jobs["14_2"] == jobs["14_3"] == SlurmJob(state="UNKNOWN")
    assert jobs["14_3"].is_over


def test_a_cluster_without_accounts_is_asked_for_them_once(slurm: SlurmCommands) -> None:
    slurm.add("squeue", error=GONE, code=1)
    slurm.add("sacct", error=NO_ACCOUNTS, code=1)
    states = SlurmStates()
    for _ in range(3):
        assert states.ask(["14"])["14"].state == "UNKNOWN"
    assert len(slurm.calls("sacct")) == 1
    (slurm.folder / "sacct").unlink()
    assert SlurmStates().ask(["14"])["14"].state == "UNKNOWN"


def test_a_controller_that_is_down_is_an_error_and_no_answer(slurm: SlurmCommands) -> None:
    slurm.add("squeue", error=DOWN, code=1)
    with pytest.raises(SlurmError, match=r"^squeue: slurm_load_jobs error: Unable to contact"):
        SlurmStates().ask(["14"])


def test_a_command_that_hangs_is_given_up(
    slurm: SlurmCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.launch.slurm._PATIENCE_S", 0.1)
    (slurm.folder / "squeue").write_text("#!/bin/sh\nexec sleep 60\n")
    (slurm.folder / "squeue").chmod(0o755)
    with pytest.raises(SlurmError, match="squeue: no answer within 0 s"):
        SlurmStates().ask(["14"])


def test_variables_of_the_user_hide_no_job(
    slurm: SlurmCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_USERS", "somebody")
    (slurm.folder / "squeue").write_text(
        f'#!/bin/sh\n[ -z "$SQUEUE_USERS" ] && echo "{queued("14", "RUNNING", "0", "", "None")}"\n'
    )
    (slurm.folder / "squeue").chmod(0o755)
    assert SlurmStates().ask(["14"])["14"].state == "RUNNING"


def test_a_job_that_an_administrator_must_release_will_not_start() -> None:
    held = SlurmJob(state="PENDING", reason="launch failed requeued held")
    assert held.is_held
    assert held.is_over
    assert not SlurmJob(state="PENDING", reason="Priority").is_over


def test_cancelling_names_each_array_once(slurm: SlurmCommands) -> None:
    slurm.add("scancel")
    cancel(["14_0", "14_1", "15"])
    assert slurm.calls("scancel") == ["--quiet 14 15"]
    slurm.add("scancel", error="scancel: error: Invalid job id 14", code=1)
    cancel(["14"])  # it has ended long ago
    slurm.add("scancel", error="scancel: error: Kill job error on job id 14: Access denied", code=1)
    with pytest.raises(SlurmError, match="Access denied"):
        cancel(["14"])


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (["MaxArraySize            = 1001"], 1001),  # numbers 0 to 1000
        (["MaxArraySize            = 5000", "SchedulerParameters = max_array_tasks=200,x=1"], 200),
        (["MaxArraySize            = 0"], 1),  # no arrays
        (["MaxJobCount             = 10"], 1001),
    ],
)
def test_the_largest_array(slurm: SlurmCommands, config: list[str], size: int) -> None:
    slurm.add("scontrol", *config)
    assert max_array_size() == size


def test_without_an_answer_the_usual_limit_holds(slurm: SlurmCommands) -> None:
    slurm.add("scontrol", error=DOWN, code=1)
    assert max_array_size() == 1001


def test_a_machine_without_slurm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: SlurmCommands
) -> None:
    for name in ("sbatch", "srun", "squeue", "scancel"):
        slurm.add(name)
    require_commands()
    no_slurm(monkeypatch, tmp_path / "empty")
    with pytest.raises(ValueError, match=r"no sbatch on PATH; start .* on a login node"):
        require_commands()


def test_the_last_words_of_a_command_are_its_error_and_not_its_hint() -> None:
    text = "sbatch: unrecognized option '--foo'\nTry \"sbatch --help\" for more information\n"
    assert last_line(text) == "sbatch: unrecognized option '--foo'"
    assert last_line(" \n") == ""
