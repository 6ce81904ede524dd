from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

import psutil
import pytest

from bench.training.ranks import follow_in_other_ranks


def send_pid_and_wait(sender: Connection) -> None:
    sender.send(os.getpid())
    time.sleep(600)


def be_killed(sender: Connection) -> None:
    """As a job that the kernel ends when memory runs out."""
    with follow_in_other_ranks(3, partial(send_pid_and_wait, sender)):
        time.sleep(600)


def fail(sender: Connection) -> None:
    with follow_in_other_ranks(3, partial(send_pid_and_wait, sender)):
        time.sleep(0.5)
        raise ValueError


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("job", [be_killed, fail])
def test_ranks_end_with_their_job_and_not_by_sigterm(job: Callable[[Connection], None]) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=job, args=(sender,))
    process.start()
    ranks = [receiver.recv() for _ in range(2)]
    for rank in ranks:
        os.kill(rank, signal.SIGTERM)
    time.sleep(0.1)
    assert all(map(is_running, ranks))
    if job is be_killed:
        process.kill()
    process.join()
    deadline_s = time.monotonic() + 30
    while any(map(is_running, ranks)):
        assert time.monotonic() < deadline_s, "a rank still runs"
        time.sleep(0.01)
