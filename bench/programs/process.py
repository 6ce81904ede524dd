"""Runs a program as a child of this process, and passes signals on to it.

The program inherits standard input, output and error. It stays in this process's group, so what a
terminal sends to the group (Ctrl-C) reaches it without our help.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

PASSED_ON = (
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
# The keys of a terminal send these to its whole foreground group.
_OF_KEYS = (signal.SIGINT, signal.SIGQUIT)
# Python ignores these, and a program would inherit that.
_DEFAULT_AGAIN = (signal.SIGPIPE, signal.SIGXFSZ)
_SIGNALLED = 128  # what shells add to the number of the signal that ended a program


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended.

    Attributes:
        exit_code: As in shells: 128 and the number of the signal that ended it.
        ended_by: That signal; None if the program ended by itself.
        stopped_by: The first signal that reached us meanwhile; None for none.
    """

    exit_code: int
    ended_by: int | None
    stopped_by: int | None


class SignalRelay:
    """Takes signals from when it is made until close(), and passes them on to one program.

    Signals are taken by handlers and not by a mask, because a mask applies to one thread and
    libraries have others. Whichever thread takes one, its number arrives in a pipe.

    Attributes:
        first: The first signal that was taken; None for none.
    """

    def __init__(self) -> None:
        """Take signals from now on."""
        self.first: int | None = None
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        # One that is ignored, as by nohup, stays ignored; the program inherits that.
        taken = [each for each in PASSED_ON if signal.getsignal(each) is not signal.SIG_IGN]
        self._before = {each: signal.signal(each, _take) for each in taken}

    def close(self) -> None:
        """Leave signals to the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        os.close(self._read)
        os.close(self._write)

    def wait(self, pid: int) -> None:
        """Pass signals on until the process has ended; it is still to be reaped.

        Raises:
            OSError: There is no such process, or the system has no pidfd_open (Linux 5.3).
        """
        process = os.pidfd_open(pid)
        try:
            while True:
                ready, _, _ = select.select([process, self._read], [], [])
                if self._read in ready:
                    for number in os.read(self._read, 64):
                        self._pass_on(number, pid)
                if process in ready:
                    return
        finally:
            os.close(process)

    def _pass_on(self, number: int, pid: int) -> None:
        if number not in self._before:
            return
        if self.first is None:
            self.first = number
        if not (number in _OF_KEYS and _has_terminal()):
            os.kill(pid, number)


def _take(number: int, frame: object) -> None:
    """Do nothing: the number is in the pipe."""


def _has_terminal() -> bool:
    """Whether this process's group is the one that the keys of its terminal send signals to."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextmanager
def relaying_signals() -> Iterator[SignalRelay]:
    """Take signals for a program in the block; one that came before it is passed on at once."""
    relay = SignalRelay()
    try:
        yield relay
    finally:
        relay.close()


def run_program(
    arguments: Sequence[str], environment: Mapping[str, str], relay: SignalRelay
) -> Ended:
    """Run a program to its end.

    Args:
        arguments: The program, which is searched for in PATH, and its arguments.
        environment: Its environment variables.
        relay: Passes signals on to it.

    Raises:
        OSError: It cannot be started.
    """
    pid = os.posix_spawnp(arguments[0], list(arguments), environment, setsigdef=_DEFAULT_AGAIN)
    relay.wait(pid)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        exit_code=code if code >= 0 else _SIGNALLED - code,
        ended_by=-code if code < 0 else None,
        stopped_by=relay.first,
    )
