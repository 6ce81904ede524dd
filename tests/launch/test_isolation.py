from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.core.lock import measuring_lock
from bench.launch.child import report_parent
from bench.launch.isolation import Ending, ForkServer
from bench.launch.server import COMMAND_PID, NotStarted
from bench.launch.stopping import Stopped
from tests.fork_server import own_fork_server


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[ForkServer]:
    with own_fork_server():
        yield ForkServer(preload=["tests.launch.jobs"])


def run(server: ForkServer, job: str, argument: Any, log: Path) -> tuple[Ending, list[Any]]:
    messages: list[Any] = []
    ending = server.run(f"tests.launch.jobs:{job}", argument, log=log, on_message=messages.append)
    return ending, messages


def test_a_command_that_is_interrupted_while_its_server_imports_leaves_no_traceback() -> None:
    """By then, nobody waits for the process that the server forks once it has its imports."""
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report_parent, args=(sender,))
    receiver.close()
    process.start()
    process.join()
    assert process.exitcode == 0  # 1 after an exception


def test_each_job_runs_in_a_process_of_its_own_and_sends_messages(
    server: ForkServer, tmp_path: Path
) -> None:
    pids = set()
    for _ in range(2):
        ending, messages = run(server, "talk", {"a": 1}, tmp_path / "log.txt")
        heard = dict(messages)
        assert ending == Ending(exit_code=0, signal_name=None)
        assert heard["argument"] == {"a": 1}
        assert 0 < heard["launch_s"] < 60
        pids.add(heard["pid"])
    assert len(pids | {os.getpid()}) == 3


def test_imports_are_paid_before_the_first_job_is_launched(tmp_path: Path) -> None:
    """Else the first job of a command would take longer to launch than the same job later."""
    script = (
        "from pathlib import Path; from bench.launch.isolation import ForkServer\n"
        "ForkServer(preload=['tests.launch.jobs']).run('tests.launch.jobs:compare_with_the_import',"
        "None, log=Path('log'), on_message=print)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    launched_s, imported_s = map(float, answer.stdout.strip("()\n").split(", "))
    assert imported_s < launched_s


def test_a_server_does_not_outlive_a_command_that_is_killed_during_the_imports(
    tmp_path: Path,
) -> None:
    """It notices by itself only after them, which may be seconds later."""
    script = (
        "import sys; from multiprocessing import forkserver\n"
        "from bench.launch.isolation import ForkServer\n"
        "ForkServer(preload=['tests.launch.never_imported']).begin_imports()\n"
        "print(forkserver._forkserver._forkserver_pid, flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    server = psutil.Process(int(command.stdout.readline()))
    assert server.is_running()
    command.kill()
    command.communicate()
    server.wait(timeout=60)


def test_a_job_collects_garbage_and_knows_nothing_of_the_servers_settings(
    server: ForkServer, tmp_path: Path
) -> None:
    [(enabled, num_frozen, variables)] = run(server, "tell_settings", None, tmp_path / "log")[1]
    assert enabled
    assert num_frozen > 1000  # the modules that the server has imported
    assert COMMAND_PID not in variables
    assert COMMAND_PID not in os.environ


class _LokyContext(ForkServerContext):
    """Known to this process only, as the one that joblib has in its workers."""

    _name = "known_here_only"


def test_a_job_learns_nothing_of_the_program_that_a_launcher_runs_in(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would import Ray's worker on its clock, or look for a start method of joblib's."""
    contexts = multiprocessing.context._concrete_contexts  # type: ignore[attr-defined]
    monkeypatch.setitem(contexts, _LokyContext._name, _LokyContext())
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(_LokyContext._name, force=True)
    try:
        ending, messages = run(server, "tell_main_module", None, tmp_path / "log.txt")
        assert multiprocessing.get_start_method() == _LokyContext._name
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert ending == Ending(exit_code=0, signal_name=None), (tmp_path / "log.txt").read_text()
    assert messages == [False]


def test_the_output_of_a_job_goes_to_its_log(
    server: ForkServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(server, "talk", None, tmp_path / "log.txt")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert sorted(lines) == ["said on stderr", "said on stdout"]
    assert capfd.readouterr() == ("", "")


def test_a_killed_job_is_reported_with_its_signal(server: ForkServer, tmp_path: Path) -> None:
    ending, _ = run(server, "kill_itself", None, tmp_path / "log.txt")
    assert ending == Ending(exit_code=None, signal_name="SIGKILL")


def test_processes_of_a_killed_job_are_ended(server: ForkServer, tmp_path: Path) -> None:
    _, messages = run(server, "start_another_and_be_killed", None, tmp_path / "log.txt")
    wait_for_end(messages[0])


def test_processes_of_a_failed_job_are_ended(server: ForkServer, tmp_path: Path) -> None:
    _, messages = run(server, "end_with_another", 3, tmp_path / "log.txt")
    wait_for_end(messages[0])


def wait_for_end(pid: int) -> None:
    deadline_s = time.monotonic() + 30
    while running(pid):  # its end takes the kernel a moment
        assert time.monotonic() < deadline_s, f"process {pid} still runs"
        time.sleep(0.01)


def running(pid: int) -> bool:
    """Whether there is such a process, one that has ended and is not waited for aside."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_crash_leaves_its_trace_in_the_log(server: ForkServer, tmp_path: Path) -> None:
    ending, _ = run(server, "crash", None, tmp_path / "log.txt")
    assert ending.signal_name == "SIGSEGV"
    assert "Segmentation fault" in (tmp_path / "log.txt").read_text()


def test_an_exit_code_is_kept(server: ForkServer, tmp_path: Path) -> None:
    ending, _ = run(server, "leave", 7, tmp_path / "log.txt")
    assert ending == Ending(exit_code=7, signal_name=None)


def test_ctrl_c_is_passed_to_the_job_and_waits_for_it(server: ForkServer, tmp_path: Path) -> None:
    def press_ctrl_c(message: Any) -> None:
        assert message == "ready"
        os.kill(os.getpid(), signal.SIGINT)

    answer = tmp_path / "answer"
    with pytest.raises(KeyboardInterrupt):
        server.run(
            "tests.launch.jobs:wait_to_be_stopped",
            str(answer),
            log=tmp_path / "log.txt",
            on_message=press_ctrl_c,
        )
    assert answer.read_text() == "told to stop: stopped by Ctrl-C (SIGINT)"


def test_sigterm_to_the_job_alone_interrupts_it_once(server: ForkServer, tmp_path: Path) -> None:
    ending, messages = run(server, "be_terminated_twice", None, tmp_path / "log.txt")
    assert messages == ["ended in order"]
    assert ending == Ending(exit_code=0, signal_name=None)


def test_a_job_starts_processes_as_a_plain_python_does(server: ForkServer, tmp_path: Path) -> None:
    """Workers of a loader would start as slowly as the server did, and take no lock."""
    _, messages = run(server, "tell_start_method", None, tmp_path / "log.txt")
    plain = [sys.executable, "-c", "import multiprocessing as m; print(m.get_start_method())"]
    assert messages == [subprocess.check_output(plain, text=True).strip()]


def test_sigterm_ends_forked_processes_of_a_job(server: ForkServer, tmp_path: Path) -> None:
    _, messages = run(server, "start_one_to_terminate", None, tmp_path / "log.txt")
    assert messages == [-signal.SIGTERM]


def in_a_command(
    job: str, folder: Path, start: str = "", **variables: str
) -> subprocess.Popen[str]:
    """A process of its own that runs a job and prints its messages."""
    script = (
        f"import sys; from pathlib import Path; from bench.launch.isolation import ForkServer\n"
        f"{start}\n"
        f"ForkServer(['tests.launch.jobs']).run('tests.launch.jobs:{job}', 'answer',"
        " log=Path('log'), on_message=lambda message: print(message, flush=True))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_job_that_hangs_does_not_outlive_its_command_for_long(tmp_path: Path) -> None:
    command = in_a_command("hang_with_another", tmp_path)
    assert command.stdout is not None
    pids = [int(pid) for pid in command.stdout.readline().strip("()\n").split(", ")]
    command.kill()
    command.communicate()
    for pid in pids:
        wait_for_end(pid)


def test_sigterm_to_all_processes_leaves_the_job_time_to_end(tmp_path: Path) -> None:
    command = in_a_command(
        "wait_to_be_stopped",
        tmp_path,
        "import signal; signal.signal(signal.SIGTERM, signal.default_int_handler)",
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "ready\n"
    tree = psutil.Process(command.pid).children(recursive=True)
    # The server first, which the job and what is known of its end hang from.
    for process in [*tree, psutil.Process(command.pid)]:
        process.terminate()
    command.communicate(timeout=60)
    assert (tmp_path / "answer").read_text().startswith("told to stop")


def test_the_parent_sleeps_while_a_job_runs(server: ForkServer, tmp_path: Path) -> None:
    # CPU time of this thread, not wall time: a polling parent would use all of the job's, 0.5 s.
    def cost_s() -> float:
        before_s = time.thread_time()
        run(server, "take_a_moment", 0.5, tmp_path / "log.txt")
        return time.thread_time() - before_s

    assert any(cost_s() < 0.1 for _ in range(3))  # one may meet a garbage collection


def test_a_job_outlives_its_fork_server(tmp_path: Path) -> None:
    """The job is waited for, how it ended is not known, and the next one has a new server."""
    server = ForkServer(preload=["tests.launch.jobs"])
    answer = tmp_path / "answer"
    ending, messages = run(server, "kill_the_server_and_go_on", str(answer), tmp_path / "log.txt")
    assert messages == ["last words"]
    assert answer.read_text() == "done"
    assert ending == Ending(exit_code=None, signal_name=None)
    ending, messages = run(server, "talk", "next", tmp_path / "log.txt")
    assert dict(messages)["argument"] == "next"
    assert ending == Ending(exit_code=0, signal_name=None)


def test_a_fork_server_that_dies_while_starting_a_job_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ForkServer(preload=["tests.launch.jobs"])
    run(server, "talk", None, tmp_path / "log.txt")

    def killed(process: Any) -> None:
        raise EOFError("unexpected EOF")

    with monkeypatch.context() as patch:
        patch.setattr("multiprocessing.context.ForkServerProcess.start", killed)
        with pytest.raises(NotStarted, match="could not be started: the fork server ended"):
            run(server, "talk", None, tmp_path / "log.txt")
    ending, _ = run(server, "talk", None, tmp_path / "log.txt")
    assert ending.exit_code == 0


def test_a_job_inherits_the_lock(server: ForkServer, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    files: list[list[str]] = []
    with measuring_lock(lock, "the command", pytest.fail) as file:
        target = "tests.launch.jobs:tell_open_files"
        log = tmp_path / "log.txt"
        server.run(target, None, log=log, on_message=files.append, lock=file)
        server.run(target, None, log=log, on_message=files.append)
    assert [str(lock) in opened for opened in files] == [True, False]


def test_remaining_processes_of_a_job_are_ended_after_a_while(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold the lock for ever, and be at work beside the next run."""
    monkeypatch.setattr("bench.launch.isolation.GRACE_S", 0.2)
    lock = tmp_path / "lock"
    with measuring_lock(lock, "the command", pytest.fail) as file:
        ending = server.run(
            "tests.launch.jobs:hold_on",
            None,
            log=tmp_path / "log.txt",
            on_message=print,
            lock=file,
        )
    assert ending.exit_code == 0
    with measuring_lock(lock, "next", on_wait=print):  # as soon as the kernel has ended it
        pass


def test_an_unwritable_log_does_not_end_the_job(
    server: ForkServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ending, messages = run(server, "talk", 1, tmp_path / "gone" / "log.txt")
    assert ending.exit_code == 0
    assert dict(messages)["argument"] == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("length", [94, 200])
def test_a_long_tmpdir_works(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("x" * (length - len(str(tmp_path))))
    folder.mkdir()
    command = in_a_command("talk", tmp_path, TMPDIR=str(folder))
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 0
    assert "('argument', 'answer')" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_job_learns_which_signal_stopped_its_command(
    server: ForkServer, tmp_path: Path, number: signal.Signals
) -> None:
    def stop(_: Any) -> None:
        raise Stopped(number)

    with pytest.raises(Stopped):
        server.run(
            "tests.launch.jobs:wait_to_be_stopped",
            str(tmp_path / "answer"),
            log=tmp_path / "log.txt",
            on_message=stop,
        )
    assert number.name in (tmp_path / "answer").read_text()
