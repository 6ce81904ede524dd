"""A signal that arrives while Python runs a destructor is not lost."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from bench.launch.child import Interrupted, _InterruptOnce
from bench.launch.stopping import STOP_SIGNALS, Stopped, interrupt_on_signals, signals_interrupt


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
