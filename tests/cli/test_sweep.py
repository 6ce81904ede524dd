"""How a command handles each way in which its runs can end, with runs that end at once."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli.gather import Gathered
from bench.cli.multirun import MULTIRUN
from bench.cli.sweep import _Report
from bench.cli.sweep_report import print_runs
from bench.core.ledger import Ledger
from bench.core.store import read_record
from bench.core.sweep_folder import SweepFolder
from bench.launch.stopping import COMMAND_GONE
from tests.cli import scripted, scripted_command
from tests.cli.command import LAUNCHER_VARIABLES, Answer, records, run_here, start
from tests.fork_server import LightServer, own_fork_server


@pytest.fixture(scope="module", autouse=True)
def _server_without_libraries() -> Iterator[None]:
    """The scripted runs need none, and one of them ends it."""
    with own_fork_server(LightServer):
        yield


COMMON = ("experiment=smoke", "codecarbon=none", "meter=none", "probe.batch_sizes=[1]")


def sweep(folder: Path, *arguments: str) -> Answer:
    return run_here(folder, scripted_command.main, *arguments, *COMMON)


def statuses(folder: Path) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for record in records(folder):
        found.setdefault(record.seed, []).append(record.status)
    return found


def ended(folder: Path) -> dict[int, str]:
    events = Ledger(folder / "results").events
    return {event["seed"]: event["status"] for event in events if event["event"] == "ended"}


def test_the_sweep_goes_on_and_reports_every_run_however_one_ends(tmp_path: Path) -> None:
    seeds = "seed=0,2,3,5,8,1"
    answer = sweep(tmp_path, "-m", seeds)
    assert answer.code == 5
    expected = {
        scripted.OK: ["ok"],
        scripted.FAILS: ["failed"],
        scripted.KILLED: ["killed"],
        scripted.REFUSED: ["refused"],
        scripted.KILLS_SERVER: ["ok"],
        scripted.INCOMPARABLE: ["ok"],
    }
    assert statuses(tmp_path) == expected
    assert ended(tmp_path) == {seed: status for seed, (status,) in expected.items()}
    # Foreign text is no markup and moves no cursor; a traceback is named where there is one.
    assert r"failed: cannot open [/data/x] [bold]\x1b[2J" in answer.out
    assert "traceback" not in answer.out
    assert "results: results/train" in answer.out


def test_a_run_that_is_killed_gets_what_its_command_recovers_from_its_folder(
    tmp_path: Path,
) -> None:
    sweep(tmp_path, "-m", f"seed={scripted.KILLED},{scripted.OK}")
    recovered = {record.status: record.host.get("log") for record in records(tmp_path)}
    assert recovered == {"killed": "a line in the log, and the names of all variables", "ok": None}


def test_a_job_inherits_no_variable_of_a_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command through its fork server: a rank in NODE_RANK makes two devices wait."""
    for name, value in LAUNCHER_VARIABLES.items():
        monkeypatch.setenv(name, value)
    with own_fork_server(LightServer):
        assert sweep(tmp_path, f"seed={scripted.OK}").code == 0
    (log,) = tmp_path.glob("results/train/*/log.txt")
    variables = log.read_text().split()
    assert "BENCH_LOCK" in variables
    assert LAUNCHER_VARIABLES.keys().isdisjoint(variables)


def test_a_refused_run_is_not_a_failure(tmp_path: Path) -> None:
    assert sweep(tmp_path, f"seed={scripted.REFUSED}").code == 0


def test_a_record_that_cannot_be_read_fails_its_run_only(tmp_path: Path) -> None:
    answer = sweep(tmp_path, "-m", f"seed={scripted.DAMAGED},{scripted.OK}")
    assert answer.code == 5
    assert "not a run record" in answer.out
    assert ended(tmp_path) == {scripted.DAMAGED: "failed", scripted.OK: "ok"}


def test_a_results_folder_that_vanishes_fails_its_run_and_the_sweep_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "rescue"))
    (tmp_path / "rescue").mkdir()
    answer = sweep(tmp_path, "-m", f"seed={scripted.RESULTS_GONE},{scripted.OK}")
    assert answer.code == 5
    assert "the record is" in answer.err
    assert statuses(tmp_path) == {scripted.OK: ["ok"]}
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null", "/dev/full/x"])
@pytest.mark.parametrize("many", [["-m", "seed=0,1"], ["seed=0"]])
def test_unwritable_results_are_reported_in_one_line(
    tmp_path: Path, place: str, many: list[str]
) -> None:
    answer = sweep(tmp_path, *many, f"results={place}")
    assert answer.code == 2
    (line,) = answer.lines()
    assert line.startswith("error: ")
    assert place in line


def test_a_server_that_cannot_start_a_run_fails_it_and_the_table_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(process: object) -> None:
        raise EOFError("unexpected EOF")

    monkeypatch.setattr("multiprocessing.context.ForkServerProcess.start", killed)
    answer = sweep(tmp_path, "-m", "seed=0,1")
    assert answer.code == 5
    assert statuses(tmp_path) == {0: ["failed"], 1: ["failed"]}
    assert " and 1 more: failed: its process could not be started: the fork server" in answer.out


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "stopped by Ctrl-C (SIGINT)"),
        (signal.SIGTERM, "stopped by SIGTERM"),
        (signal.SIGHUP, "stopped by SIGHUP: the terminal was closed"),
        (signal.SIGUSR1, "stopped by SIGUSR1"),
        (signal.SIGUSR2, "stopped by SIGUSR2"),
    ],
)
def test_a_signal_ends_the_sweep_and_names_the_command_to_continue(
    tmp_path: Path, number: signal.Signals, words: str
) -> None:
    waiting = f"seed={scripted.OK},{scripted.WAITS},2,3,5"
    thread = threading.Thread(target=press, args=(tmp_path, number))
    thread.start()
    answer = sweep(tmp_path, "-m", waiting)
    thread.join()
    assert answer.code == 130
    assert statuses(tmp_path) == {scripted.OK: ["ok"], scripted.WAITS: ["interrupted"]}
    assert ended(tmp_path) == {scripted.OK: "ok", scripted.WAITS: "interrupted"}
    assert f"interrupted: {words}" in answer.out
    assert "3 of 5 runs were not started; the same command with resume=true" in answer.err


def test_a_signal_that_another_thread_takes_ends_the_sweep_too(tmp_path: Path) -> None:
    """The kernel may give it to any thread; the main thread, which waits, is then not woken."""
    thread = threading.Thread(target=press, args=(tmp_path, signal.SIGHUP, to_this_thread))
    thread.start()
    answer = sweep(tmp_path, "-m", f"seed={scripted.OK},{scripted.WAITS}")
    thread.join()
    assert answer.code == 130
    assert ended(tmp_path) == {scripted.OK: "ok", scripted.WAITS: "interrupted"}


def test_a_signal_that_comes_while_the_table_is_printed_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = print_runs

    def interrupted(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        printed(*arguments)

    monkeypatch.setattr("bench.cli.sweep.print_runs", interrupted)
    answer = sweep(tmp_path, "-m", f"seed={scripted.OK},{scripted.FAILS}")
    assert answer.code == 130
    assert "failed: cannot open" in answer.out
    assert len(list((tmp_path / "results" / "sweeps").glob("*/sweep.csv"))) == 1


def test_a_flag_may_stand_between_the_overrides(tmp_path: Path) -> None:
    answer = sweep(tmp_path, "lr=0.1", "-m", "seed=0,5")
    assert answer.code == 0, answer.err
    assert sorted(statuses(tmp_path)) == [0, 5]


def test_resume_looks_at_the_folders_and_not_at_the_ledger(tmp_path: Path) -> None:
    """A run on another host, or of a command that was killed, may have no line there."""
    assert sweep(tmp_path, "seed=0").code == 0
    (tmp_path / "results" / "ledger.jsonl").unlink()
    answer = sweep(tmp_path, "seed=0", "resume=true")
    assert answer.code == 0, answer.err
    assert "1 of 1 runs were finished before" in answer.err


def to_this_process(number: int) -> None:
    os.kill(os.getpid(), number)


def to_this_thread(number: int) -> None:
    time.sleep(0.1)  # the main thread waits by now
    signal.pthread_kill(threading.get_ident(), number)


def press(
    folder: Path, number: signal.Signals, send: Callable[[int], None] = to_this_process
) -> None:
    """Once the second run is at work; without a command, the signal would end the tests."""
    await_runs(folder, 2)
    if signal.getsignal(number) is not signal.SIG_DFL:
        send(number)


def await_runs(folder: Path, num: int) -> None:
    """Wait until this many runs have been evaluated."""
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s:
        curves = list((folder / "results" / "train").glob("*/curve.jsonl"))
        if len(curves) == num and all(path.stat().st_size for path in curves):
            break
        time.sleep(0.01)


def test_ctrl_c_stops_a_command_in_a_subprocess(tmp_path: Path) -> None:
    seeds = f"seed={scripted.WAITS},{scripted.OK}"
    process = start(tmp_path, "-m", seeds, *COMMON, module="tests.cli.scripted_command")
    await_runs(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: stopped by Ctrl-C (SIGINT)" in out
    assert statuses(tmp_path) == {scripted.WAITS: ["interrupted"]}  # the second was not started


def test_a_job_does_not_outlive_its_command(tmp_path: Path) -> None:
    """One whose command is killed ends and writes its record."""
    process = start(
        tmp_path, f"seed={scripted.WAITS}", *COMMON, module="tests.cli.scripted_command"
    )
    await_runs(tmp_path, 1)
    process.kill()
    process.communicate()
    (folder,) = (tmp_path / "results" / "train").iterdir()
    deadline_s = time.monotonic() + 30
    while not (folder / "run.json").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    record = read_record(folder)
    assert record.status == "interrupted"
    assert record.error is not None
    assert record.error.message == COMMAND_GONE


def test_resume_takes_finished_runs_or_only_comparable_ones(tmp_path: Path) -> None:
    def num_runs() -> int:
        return len(list((tmp_path / "results" / "train").iterdir()))

    seeds = f"seed={scripted.OK},{scripted.INCOMPARABLE}"
    assert sweep(tmp_path, "-m", seeds).code == 0
    answer = sweep(tmp_path, "-m", seeds, "resume=true")
    assert (answer.code, num_runs()) == (0, 2)
    assert "2 of 2 runs were finished before: resume=true does not repeat them" in answer.err
    assert sweep(tmp_path, "-m", seeds, "resume=comparable").code == 0
    assert num_runs() == 3
    answer = sweep(tmp_path, "-m", seeds, "resume=never")
    assert (answer.code, num_runs()) == (2, 3)
    assert "resume=never: must be one of false, true, comparable" in answer.err


def test_resume_repeats_a_run_with_another_price(tmp_path: Path) -> None:
    def num_runs() -> int:
        return len(list((tmp_path / "results" / "train").iterdir()))

    prices = "price=aws_m7g_large,azure_d2s_v5"
    assert sweep(tmp_path, "-m", prices).code == 0
    first, second = records(tmp_path)
    assert first.config_hash == second.config_hash  # repeats in all but money
    answer = sweep(tmp_path, "-m", prices, "resume=true")
    assert (answer.code, num_runs()) == (0, 2)
    assert sweep(tmp_path, "price=aws_g5_xlarge", "resume=true").code == 0
    assert num_runs() == 3


def test_resume_repeats_unreadable_runs(tmp_path: Path) -> None:
    assert sweep(tmp_path, "seed=0").code == 0
    (first,) = (tmp_path / "results" / "train").iterdir()
    (first / "run.json").write_text("{")
    answer = sweep(tmp_path, "seed=0", "resume=true")
    assert answer.code == 0
    assert "made again: " in answer.err
    assert len(list((tmp_path / "results" / "train").iterdir())) == 2
    assert sweep(tmp_path, "seed=0", "resume=true").code == 0
    assert len(list((tmp_path / "results" / "train").iterdir())) == 2


def test_all_results_folders_are_named(tmp_path: Path) -> None:
    answer = sweep(tmp_path, "-m", "results=a,b")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "results: a/train, b/train"


def test_brackets_in_a_path_are_not_markup(tmp_path: Path) -> None:
    answer = sweep(tmp_path, "results='a[/x] [bold]'")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "results: a[/x] [bold]/train"


def test_an_unusable_lock_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.worker.lock_path", lambda: tmp_path)
    answer = sweep(tmp_path, "seed=0")
    assert answer.code == 2
    assert "set BENCH_LOCK" in answer.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("part", ["hydra/launcher=slurm", "hydra/sweeper=race"])
def test_a_launcher_or_a_sweeper_of_a_single_run_is_refused(tmp_path: Path, part: str) -> None:
    """Hydra would ignore it, and measure one run on the host where the command was typed."""
    answer = sweep(tmp_path, part)
    assert answer.code == 2
    assert answer.err == f"error: {part}: is for sweeps only; add -m\n"
    assert not (tmp_path / "results" / "train").exists()


def test_the_plan_names_the_runs_before_they_are_made(tmp_path: Path) -> None:
    """Resume= finds a run by its hash, seed and repeat, also one that waits in a queue."""
    # An interpolation to the seed must not make each seed a configuration of its own.
    swept = ["-m", "seed=0,5", "lr=0.1,0.2", "+data.extra=${seed}", "repeat=1"]
    assert sweep(tmp_path, *swept).code == 0
    (path,) = tmp_path.glob("results/sweeps/*")
    plan = SweepFolder(path).read_plan()
    assert plan is not None
    planned = [(key.config_hash, key.seed, key.repeat) for job in plan.jobs for key in job.keys]
    assert planned == [(r.config_hash, r.seed, r.repeat) for r in records(tmp_path)]
    assert plan.process.is_alive()


def test_the_messages_of_jobs_that_failed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / ".submitit" / "7_0" / "7_0_0_log.err"
    log.parent.mkdir(parents=True)
    log.touch()
    monkeypatch.setattr(MULTIRUN, "folder", tmp_path)
    report = _Report(SimpleNamespace())  # type: ignore[arg-type]
    report._report()
    assert ".submitit" not in capsys.readouterr().err
    report._gathered = Gathered(errors=["job 1, lr=1 (node1): RuntimeError: boom"], failed=True)
    report._report()
    assert capsys.readouterr().err.endswith(f"what the jobs printed: {tmp_path}/.submitit\n")


class TestResume:
    """What another sweep has finished, or is still making."""

    def test_finished_jobs_are_shown_and_not_launched(self, tmp_path: Path) -> None:
        assert sweep(tmp_path, "-m", "seed=0", "repeat=2,0").code == 0
        answer = sweep(tmp_path, "-m", "seed=0", "repeat=0,1,2", "resume=true")
        assert "2 of 3 runs were finished before" in answer.err
        assert "run 3 of 3, repeat=1" in answer.err
        assert len(records(tmp_path)) == 3
        newest = max(tmp_path.glob("results/sweeps/*"), key=lambda path: path.stat().st_mtime_ns)
        with (newest / "sweep.csv").open() as file:
            assert [row["repeat"] for row in csv.DictReader(file)] == ["0", "1", "2"]

    @pytest.mark.parametrize("alive", [True, False])
    def test_a_job_that_another_sweep_still_makes_is_named_and_not_started(
        self, tmp_path: Path, alive: bool
    ) -> None:
        assert sweep(tmp_path, "-m", "seed=0", "repeat=0,1").code == 0
        (path,) = tmp_path.glob("results/sweeps/*")
        plan = SweepFolder(path).read_plan()
        assert plan is not None
        # As if its command was still waiting for the second job, or had been killed before it.
        (path / "sweep.csv").unlink()
        shutil.rmtree(tmp_path / "results" / "train" / records(tmp_path)[1].run_id)
        if not alive:
            gone = replace(plan.process, pid=2**22 + 1)
            SweepFolder(path).write_plan(replace(plan, process=gone))
        answer = sweep(tmp_path, "-m", "seed=0", "repeat=0,1", "resume=true")
        assert ("not started again: repeat=1: still being made by process" in answer.err) == alive
        assert len(records(tmp_path)) == (1 if alive else 2)
