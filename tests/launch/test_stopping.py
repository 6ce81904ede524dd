"""A signal that arrives while Python runs a destructor, or before a wait, is not lost."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.launch.child import Interrupted, _InterruptOnce
from bench.launch.link import Link
from bench.launch.logged import run_logged
from bench.launch.stopping import (
    STOP_SIGNALS,
    Stopped,
    interrupt_on_signals,
    signals_interrupt,
    wait_for,
)


class SignalledAtItsEnd:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    handlers, show = {each: signal.getsignal(each) for each in STOP_SIGNALS}, sys.unraisablehook
    yield
    sys.unraisablehook = show
    for number, handler in handlers.items():
        signal.signal(number, handler)


def end_one_and_wait() -> None:
    """Python swallows what the handler raises in the destructor; the next one ends the sleep."""
    SignalledAtItsEnd()
    time.sleep(10)
    pytest.fail("the signal was lost")


def test_a_command_stops() -> None:
    seen: list[int] = []
    interrupt_on_signals(seen.append)
    with pytest.raises(Stopped, match="SIGHUP"):
        end_one_and_wait()
    assert set(seen) == {signal.SIGHUP}


def test_a_job_in_the_process_of_a_launcher_stops_and_leaves_nothing_behind() -> None:
    show = sys.unraisablehook
    with pytest.raises(Stopped, match="SIGHUP"), signals_interrupt():
        end_one_and_wait()
    assert sys.unraisablehook is show


def test_a_run_stops_with_the_reason_of_the_first_signal() -> None:
    interrupt = _InterruptOnce()
    interrupt.catch()
    with pytest.raises(Interrupted, match="stopped by SIGHUP"):
        end_one_and_wait()
    signal.raise_signal(signal.SIGTERM)  # while the record is written


def test_other_exceptions_in_destructors_are_shown_as_usual() -> None:
    shown: list[object] = []
    sys.unraisablehook = lambda lost: shown.append(lost.exc_type)
    interrupt_on_signals()

    class Fails:
        def __del__(self) -> None:
            raise LookupError

    Fails()
    assert shown == [LookupError]


@pytest.fixture
def _another_thread_takes_a_signal() -> Iterator[None]:
    """As the kernel may choose: the main thread is not woken."""

    def take() -> None:
        time.sleep(0.1)  # the main thread waits by now
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)

    thread = threading.Thread(target=take)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.usefixtures("_another_thread_takes_a_signal")
def test_a_signal_that_another_thread_takes_ends_a_wait(pipe: tuple[int, int]) -> None:
    interrupt_on_signals()
    before = signal.set_wakeup_fd(-1)
    with pytest.raises(Stopped, match="SIGHUP"):
        wait_for([pipe[0]])
    assert signal.set_wakeup_fd(before) == -1


@pytest.mark.usefixtures("_another_thread_takes_a_signal")
def test_a_signal_that_another_thread_takes_ends_a_command(tmp_path: Path) -> None:
    interrupt_on_signals()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(Stopped, match="SIGHUP"):
        run_logged(command, tmp_path, os.environ, tmp_path / "log")


@pytest.mark.usefixtures("_another_thread_takes_a_signal")
def test_a_signal_that_another_thread_takes_ends_the_wait_for_another_node() -> None:
    interrupt_on_signals()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link(socket.create_connection(listener.getsockname()))
        with pytest.raises(Stopped, match="SIGHUP"):
            link.receive()
        link.close()


def test_a_handler_that_raises_nothing_does_not_end_a_wait(pipe: tuple[int, int]) -> None:
    taken: list[int] = []

    def take(number: int, frame: object) -> None:
        taken.append(number)
        os.write(pipe[1], b"x")

    signal.signal(signal.SIGUSR1, take)
    thread = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    thread.start()
    assert wait_for([pipe[0]]) == [pipe[0]]
    thread.join()
    assert taken == [signal.SIGUSR1]
