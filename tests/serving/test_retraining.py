"""The process that trains beside a server: it starts, pauses, ends, and dies with a reason."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.config.beside import BesideConfig
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.serving.http.process import ServerDied
from bench.serving.retraining import Retraining, training_values
from tests.serving.made_runs import made_run

WAIT_S = 30.0


def retraining(folder: Path, behaviour: str = "steps", **keys: Any) -> Retraining:
    config = BesideConfig(name="retraining", **keys)
    values = {"trainer": {"num_threads": 4}, "behaviour": behaviour}
    log = folder / "retraining.log"
    return Retraining(config, values, work=folder, log=log, module="tests.serving.fake_training")


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def state(pid: int) -> str:
    """T for a stopped process; proc_pid_stat(5): the third field, after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_has_made_a_step_and_goes_on_until_the_end_of_the_block(tmp_path: Path) -> None:
    with retraining(tmp_path) as training:
        pid, first = training._child.pid, training.num_steps
        assert first >= 1
        wait_until(lambda: training.num_steps > first)
        training.require_running()
    assert not Path(f"/proc/{pid}").exists()


def test_it_can_be_paused_and_also_ended_while_it_is_paused(tmp_path: Path) -> None:
    with retraining(tmp_path) as training:
        pid = training._child.pid
        training.pause()
        wait_until(lambda: state(pid) == "T")
        before = training.num_steps
        training.require_running()
        training.resume()
        wait_until(lambda: training.num_steps > before)
        training.pause()
    assert not Path(f"/proc/{pid}").exists()


def test_its_threads_and_niceness_are_those_that_were_asked_for(tmp_path: Path) -> None:
    with retraining(tmp_path, num_threads=1, nice=5) as training:
        assert training.num_threads == 1
        variables = Path(f"/proc/{training._child.pid}/environ").read_bytes().split(b"\0")
        assert b"OMP_NUM_THREADS=1" in variables
        assert os.getpriority(os.PRIO_PROCESS, training._child.pid) == 5
    assert retraining(tmp_path).num_threads == 4


def test_a_training_that_ends_at_its_start_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerDied, match=r"^the retraining ended with 2; .*batch_size=7: too odd$"),
        retraining(tmp_path, "refuses"),
    ):
        pass


def test_a_training_that_is_killed_is_noticed(tmp_path: Path) -> None:
    with retraining(tmp_path) as training:
        os.kill(training._child.pid, signal.SIGKILL)
        training._child.wait(WAIT_S)
        with pytest.raises(ServerDied, match=r"^the retraining was ended by SIGKILL; last lines"):
            training.require_running()
        training.pause()  # signals to nobody


def test_a_training_without_a_step_is_given_up(tmp_path: Path) -> None:
    wanted = r"^the retraining made no step within beside.start_timeout_s=0.3 seconds; last lines"
    with (
        pytest.raises(ValueError, match=wanted),
        retraining(tmp_path, "silent", start_timeout_s=0.3),
    ):
        pass


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    results = tmp_path_factory.mktemp("made") / "results"
    return read_record(made_run(results, "trainer.num_threads=3", "logger=csv"))


def test_it_trains_as_the_run_did_without_its_logger(record: RunRecord, tmp_path: Path) -> None:
    values = training_values(record, tmp_path, [], "/data")
    assert values["logger"] is None
    assert (values["trainer"]["devices"], values["trainer"]["num_nodes"]) == (1, 1)
    assert values["trainer"]["num_threads"] == 3
    for key in ("model", "optimizer", "schedule", "batch_size", "lr", "target"):
        assert values[key] == record.config[key]


def test_code_that_is_not_trusted_is_refused(record: RunRecord, tmp_path: Path) -> None:
    config = {**record.config, "optimizer": {"_target_": "os.system", "command": "true"}}
    record = _with_config(record, config)
    with pytest.raises(ValueError, match=r"optimizer._target_=os.system is neither code of this"):
        training_values(record, tmp_path, [], None)


def test_a_run_that_builds_on_another_one_is_refused(record: RunRecord, tmp_path: Path) -> None:
    record = _with_config(record, {**record.config, "recipe": {"name": "distill"}})
    with pytest.raises(ValueError, match=r"^beside=retraining: run=.* with recipe=distill; serve"):
        training_values(record, tmp_path, [], None)


def _with_config(record: RunRecord, config: dict[str, Any]) -> RunRecord:
    return replace(record, config=config)
