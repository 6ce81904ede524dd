"""Tasks in forked processes: results, a process that is killed, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from analysis.load.forked import Forked, Lost, num_processes
from tests.analysis.made import make_sweep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")


def outcomes(tasks: Sequence[Callable[[], int]], num: int) -> dict[int, int | Lost]:
    with Forked(tasks, num) as forked:
        return dict(forked.outcomes())


@pytest.mark.parametrize("num", [1, 2, 5])
def test_each_task_gives_its_result_whatever_the_number_of_processes(num: int) -> None:
    assert outcomes([partial(abs, -n) for n in range(4)], num) == {n: n for n in range(4)}


def test_tasks_run_in_other_processes() -> None:
    assert os.getpid() not in outcomes([partial(os.getpid), partial(os.getpid)], 2).values()


def test_a_killed_process_costs_its_own_task_only() -> None:
    def end(number: signal.Signals) -> int:
        os.kill(os.getpid(), number)
        return 0

    killed = partial(end, signal.SIGKILL)
    # Both processes are killed while tasks are left, for which others are started.
    found = outcomes([killed, killed, *(partial(abs, n) for n in range(3))], 2)
    lost = Lost("its process was killed (SIGKILL)")
    assert found == {0: lost, 1: lost, 2: 0, 3: 1, 4: 2}


def test_a_process_that_ends_by_itself_is_reported() -> None:
    found = outcomes([lambda: os._exit(7), partial(abs, 1)], 2)
    assert found == {0: Lost("its process ended with exit code 7"), 1: 1}


def test_ctrl_c_ends_the_processes() -> None:
    read, write = os.pipe()

    def wait() -> int:
        signal.raise_signal(signal.SIGINT)  # the terminal sends it to every process
        os.write(write, b"x")
        signal.pause()
        return 0

    with pytest.raises(KeyboardInterrupt), Forked([wait, wait], 2):  # noqa: PT012 -- as a user
        assert os.read(read, 1) == b"x"
        os.close(write)
        raise KeyboardInterrupt
    while os.read(read, 1):
        pass  # until its end, which comes when no process holds the other side
    os.close(read)


def test_the_number_of_processes() -> None:
    assert num_processes(3) == 3
    assert num_processes(None) == len(os.sched_getaffinity(0))


def test_the_report_does_not_depend_on_the_number_of_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis.load.runs import load_runs
    from analysis.page.produce import report
    from bench.config.report import ReportConfig

    make_sweep(tmp_path / "results", batch_sizes=(32, 256), seeds=range(2), missed=(3,))
    loaded = load_runs([tmp_path / "results"])
    files, texts = [], []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        asked = {"figures": ["tta_eta", "latency", "hits"], "formats": ["svg", "pdf"]}
        config = ReportConfig.from_dict(
            {"results": "results", "out": str(out), "workers": workers, "widths": ["one"], **asked}
        )
        assert report(loaded, config) == 0
        found = sorted(path for path in out.rglob("*") if path.is_file())
        files.append({path.relative_to(out): path.read_bytes() for path in found})
        texts.append(capsys.readouterr().out.replace(str(out), "out"))
    assert files[0] == files[1]
    assert texts[0] == texts[1]
    assert "not drawn: latency: no run of bench.serve" in texts[0]
