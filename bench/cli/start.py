"""Starts a command, makes its output streams robust, and exits with its code.

The exit code must be right even if Ctrl-C comes while libraries are imported, a daemon starts the
command with closed streams, a terminal shows only ASCII, the reader of a pipe has gone
(`| head -1`), or the disk is full.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

USAGE_ERROR = 2
CRASHED = 5  # not Python's 1, which means a regression if the command is a gate
INTERRUPTED = 130  # 128 + SIGINT, as in shells

# The flags that make Hydra sweep.
MULTIRUN = frozenset(("-m", "--multirun"))


def start(main: Callable[[], int]) -> NoReturn:
    """Run the main function of a command and exit with its code.

    This handles Ctrl-C while the command imports its libraries, before it installs its own
    handlers.
    """
    try:
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def print_page(text: str) -> int:
    """Print the whole output of a command, and return its exit code."""
    try:
        print(text, flush=True)
    except OSError as error:
        # Otherwise Python would try to write the rest of the buffer at its end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # a reader such as `| head` has enough
            return 0
        print(f"error: standard output: {error.strerror}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def open_streams() -> None:
    """Open closed streams, and let the command go on if its output cannot be written."""
    for file in range(3):
        _open_if_closed(file)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 -- open as long as the process is
    # Leave the streams of a test or a notebook alone.
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _tolerant_stream(1, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _tolerant_stream(2, sys.stderr)


def output_was_lost() -> bool:
    """Whether some output could not be written, for example because the disk is full."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _TolerantFile):
        return False
    sys.stdout.flush()
    return raw.has_lost


def _open_if_closed(file: int) -> None:
    try:
        os.fstat(file)
    except OSError:
        # The system picks the lowest free number, which is this one: those below it are open.
        opened = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(opened, True)


class _TolerantFile(io.RawIOBase):
    """A file that accepts output even after a write has failed, and then drops it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._failed = False
        self.has_lost = False  # whether output was lost that somebody still wanted to read

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # anything with a buffer
        if self._failed:
            return len(view)
        try:
            select.select([], [self._file], [])  # wait, because the descriptor may be non-blocking
            return os.write(self._file, view)
        except BrokenPipeError:  # the reader has gone, so nobody misses the output
            self._failed = True
        except OSError as error:
            self._failed = self.has_lost = True
            if self._file != 2:
                reason = f"cannot write there ({error.strerror})"
                print(f"error: standard output: {reason}", file=sys.stderr)
        return len(view)


def _tolerant_stream(file: int, before: TextIO | None) -> TextIO:
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_TolerantFile(file)),
        encoding=before.encoding if before is not None else "utf-8",
        errors="replace",  # print a question mark for a character that the encoding does not have
        line_buffering=os.isatty(file) or file == 2,
        write_through=file == 2,
    )
