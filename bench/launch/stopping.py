"""How signals stop a command or a run, and how its record names them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# Signals by which a terminal, a person or a batch system ends a command.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND_GONE = "stopped: the command that had started the run was killed"
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
def delay_signals() -> Iterator[None]:
    """Delay signals until after the block, so that what is written in it is complete.

    This uses handlers and not a mask: a mask applies to one thread, and another would take the
    signal.
    """
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


def interrupt_on_signals() -> None:
    """Make Ctrl-C, a batch system's SIGTERM and a closed terminal end the command alike.

    A signal that is ignored from the start, as with `nohup`, stays ignored.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: object) -> None:
    """End the sweep at the first signal; a second one must not interrupt the writing of records.

    For example, `timeout` sends SIGTERM twice: to the command and to its group.
    """
    for each in STOP_SIGNALS:
        signal.signal(each, _do_nothing)
    raise Stopped(number)


def _do_nothing(number: int, frame: object) -> None:
    """Use this instead of SIG_IGN, with which Python fails if two signals come at the same time."""
