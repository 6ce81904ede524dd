"""Signals that end a command: the first interrupts it in order, and a second changes nothing."""

from __future__ import annotations

import signal

from bench.core.stopping import STOP_SIGNALS, Stopped


def interrupt_on_signals() -> None:
    """Have Ctrl-C, a batch system's SIGTERM and a closed terminal end the command alike.

    A signal that the command was started to ignore, as `nohup` does, stays ignored.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: object) -> None:
    """The first signal ends the sweep; a second one must not break the writing of its records.

    `timeout` sends SIGTERM twice, to the command and to its group.
    """
    for each in STOP_SIGNALS:
        signal.signal(each, _take_no_notice)
    raise Stopped(number)


def _take_no_notice(number: int, frame: object) -> None:
    """In place of SIG_IGN, of which Python complains when two signals came at the same time."""
