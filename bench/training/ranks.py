"""Several devices: one process each, started before anything heavy runs in the first.

Lightning's own launchers run the command again or hand nothing back; here the other ranks are
children of the job's process, so that the process tree that is measured holds all of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

_JOIN_S = 30.0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def follow_in_other_ranks(num_devices: int, follow: Callable[[], None]) -> Iterator[None]:
    """Run `follow` in a process for each rank but the first, while the body runs as rank 0.

    Must be entered before this process has used threads or a GPU: the ranks are forked.

    Args:
        num_devices: How many ranks there are in all; with 1 nothing happens.
        follow: What the other ranks do; Lightning finds their rank in the environment.

    Raises:
        RuntimeError: Another rank failed, and the body did not.
    """
    if num_devices == 1:
        yield
        return
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ["MASTER_PORT"] = str(_free_port())
    os.environ["LOCAL_RANK"] = "0"  # tells Lightning that it need not start processes itself
    others = [_start(rank, follow) for rank in range(1, num_devices)]
    try:
        yield
    except BaseException:
        for process in others:
            process.kill()
        raise
    finally:
        for process in others:
            process.join(_JOIN_S)
            process.kill()
    failed = [rank for rank, process in enumerate(others, 1) if process.exitcode != 0]
    if failed:
        raise RuntimeError(f"rank {failed[0]} of {num_devices} failed; see log.txt")


def _start(rank: int, follow: Callable[[], None]) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_follow, args=(rank, follow))
    process.start()
    return process


def _follow(rank: int, follow: Callable[[], None]) -> None:
    # The job ends its ranks: one that ended before it would look like a rank that failed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_job, daemon=True).start()
    os.environ["LOCAL_RANK"] = str(rank)
    follow()


def _end_with_the_job() -> None:
    """Block until the job is gone, however it ended: a rank without one would wait for it."""
    job = multiprocessing.parent_process()
    if job is not None:
        job.join()
        os.kill(os.getpid(), signal.SIGKILL)
