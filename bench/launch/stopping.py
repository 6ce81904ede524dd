"""How signals stop a command or a run, and how its record names them."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

# Signals by which a terminal, a person or a batch system ends a command. Batch systems send one of
# the last two as a warning that the time limit is near.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
COMMAND_GONE = "stopped: the command that had started the run was killed"
_AGAIN_S = 0.01  # by then, the destructor in which an exception was lost has ended
_NAMES = {int(each): each.name for each in signal.Signals}
_REASONS: dict[int, str] = {
    signal.SIGINT: "stopped by Ctrl-C (SIGINT)",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped by SIGHUP: the terminal was closed",
}


class Stopped(KeyboardInterrupt):
    """A signal asked the command to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(stop_reason(number))
        self.number = number


def signal_name(number: int) -> str:
    """The name of a signal; most real-time signals have none, and are numbered."""
    return _NAMES.get(number, f"signal {number}")


def stop_reason(number: int) -> str:
    """Say which signal stopped a run."""
    return _REASONS.get(number, f"stopped by {signal_name(number)}")


def signal_of(error: BaseException) -> signal.Signals:
    """The signal behind an interruption; SIGINT if it is not known."""
    return signal.Signals(error.number if isinstance(error, Stopped) else signal.SIGINT)


@contextmanager
def ignore_signals() -> Iterator[None]:
    """Ignore signals in the block; a process that is started in it ignores them from then on."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def delay_signals() -> Iterator[None]:
    """Delay signals until after the block, so that what is written in it is complete.

    This uses handlers and not a mask: a mask applies to one thread, and another would take the
    signal. Python runs handlers in its main thread, so a block in another one needs no delay.
    """
    if not _in_main_thread():
        yield
        return
    pending: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: pending.append(number))
        for number in STOP_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


class StopSignals:
    """Turns signals that would end the process at once into an exception, in a user's program.

    Signals for which the program has a handler of its own are left to it. Ctrl-C raises an
    exception already.

    Attributes:
        caught: The first signal that was caught; None if there was none.
    """

    def __init__(self) -> None:
        """Nothing is caught before catch()."""
        self.caught: int | None = None
        self._numbers: list[int] = []

    def catch(self) -> None:
        """Raise Stopped at the first signal; only the main thread can catch signals."""
        if not _in_main_thread():
            return
        have_forks_end_by_signals(lambda: self._numbers)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._stop)
                self._numbers.append(number)

    def release(self) -> None:
        """Catch no more; the signal that was caught now ends the process, as it would have."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)
        self._numbers.clear()
        if self.caught is not None:
            signal.raise_signal(self.caught)

    def _stop(self, number: int, frame: object) -> None:
        if self.caught is None:
            self.caught = number
            raise Stopped(number)


def have_forks_end_by_signals(numbers: Callable[[], Collection[int]]) -> None:
    """Let signals that this process handles end a process that it forks, such as a loader's worker.

    The signals are blocked during the fork, because Python would lose a signal that reaches the
    child before its handlers are reset. This cannot be undone.

    Args:
        numbers: Gives the signals at the time of a fork.
    """

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers())

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers())

    def without_handlers() -> None:
        for number in numbers():
            signal.signal(number, signal.SIG_DFL)
        let_through()

    os.register_at_fork(before=block, after_in_parent=let_through, after_in_child=without_handlers)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def interrupt_on_signals(on_first: Callable[[int], None] | None = None) -> None:
    """Make Ctrl-C, a batch system's SIGTERM and a closed terminal end the command alike.

    A signal that is ignored from the start, as with `nohup`, stays ignored.

    Args:
        on_first: Called with the first signal, before it interrupts what the command is doing.
    """
    numbers = [each for each in STOP_SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]

    def interrupt(number: int, frame: object) -> None:
        _take_no_more()
        if on_first is not None:
            on_first(number)
        raise Stopped(number)

    _raise_stopped(numbers, interrupt)


def _raise_stopped(
    numbers: Collection[int], handler: Callable[[int, Any], None]
) -> Callable[[], None]:
    """Have a handler, which raises Stopped, take signals; returns what send_again_if_lost does."""

    def take() -> None:
        for number in numbers:
            signal.signal(number, handler)

    take()
    return send_again_if_lost(Stopped, lambda _: take())


def send_again_if_lost(
    kind: type[BaseException], prepare: Callable[[BaseException], None]
) -> Callable[[], None]:
    """Send a signal once more if it was lost because it came while Python ran a destructor.

    What a handler raises there does not reach the program: Python prints it, and goes on.

    Args:
        kind: What the handlers raise.
        prepare: Gets what was lost, and has the handlers take a signal once more.

    Returns:
        Ends this.
    """
    show = sys.unraisablehook

    def look(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, kind):
            show(lost)
            return
        prepare(lost.exc_value)
        prepared = threading.Event()
        # Thread.start() would wait for the thread, and on a busy machine the signal would come
        # while this still runs, and be lost again.
        _thread.start_new_thread(_send_again, (signal_of(lost.exc_value), prepared))
        prepared.set()

    def end() -> None:
        sys.unraisablehook = show

    sys.unraisablehook = look
    return end


def _send_again(number: int, prepared: threading.Event) -> None:
    prepared.wait()
    time.sleep(_AGAIN_S)
    os.kill(os.getpid(), number)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Have a signal that would end the process raise Stopped in the block, once.

    Other handlers, such as those of a batch system's client, do their work again afterwards.
    Outside of the main thread this does nothing: only the main thread can catch signals.
    """
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGCONT)}
    # SLURM sends SIGCONT before SIGTERM. While the main thread handles the first one, the kernel
    # may give the second one to another thread, and a main thread that waits would not wake up.
    signal.signal(signal.SIGCONT, signal.SIG_DFL)
    end = _raise_stopped(STOP_SIGNALS, _interrupt_once)
    try:
        yield
    finally:
        end()
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for(objects: Sequence[Any]) -> list[Any]:
    """Wait as multiprocessing.connection.wait() does; the handler of a signal runs at once.

    A signal that comes just before a plain wait begins, or that the kernel gives to another thread,
    does not end the wait. Python runs handlers in its main thread, so it would run this one only
    when the wait has ended by itself: after hours, if a job says nothing for as long.

    Args:
        objects: Connections and descriptors; any number of them may be ready.
    """
    if not _in_main_thread():
        return wait(objects)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    before = -1
    try:
        before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        while True:
            ready = wait([*objects, woken])
            if woken not in ready:
                return ready
            os.read(woken, 64)  # handlers have run by now, and none has raised an exception
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wake)


def _interrupt_once(number: int, frame: object) -> None:
    _take_no_more()
    raise Stopped(number)


def _take_no_more() -> None:
    """Ignore further signals: a second one must not interrupt the writing of records.

    For example, `timeout` sends SIGTERM twice: to the command and to its group.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _do_nothing)


def _do_nothing(number: int, frame: object) -> None:
    """Use this instead of SIG_IGN, with which Python fails if two signals come at the same time."""
