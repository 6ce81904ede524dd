"""How a command is started, where it may write, and how it exits.

Ctrl-C ends it in order from its first moment on. A daemon may start it with streams closed, a
terminal may take ASCII only, a pipe may be closed by its reader (`| head -1`) and a file's disk be
full: none of these changes what the exit code says.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

USAGE_ERROR = 2
CRASHED = 5  # not the 1 that Python would end with: of a gate, that is a regression
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def start(main: Callable[[], int]) -> NoReturn:
    """Run the main function of a command and exit with its code.

    Later on its own handlers take the signal; while it imports what it needs, Python does.
    """
    try:
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def print_page(text: str) -> int:
    """Print a text that is all a command has to say; its exit code."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # `| head` has read enough
            return 0
        print(f"error: standard output: {error.strerror}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def settle_streams() -> None:
    """Open closed streams, and have output go on where it cannot be written any more."""
    for file in range(3):
        _open_if_closed(file)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 -- open as long as the process is
    # Only those of the process: a test or a notebook may have put its own in their place.
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _lasting(1, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _lasting(2, sys.stderr)


def output_was_lost() -> bool:
    """Whether something printed did not reach standard output, because a disk is full, say."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _LastingFile):
        return False
    sys.stdout.flush()
    return raw.has_lost


def _open_if_closed(file: int) -> None:
    try:
        os.fstat(file)
    except OSError:
        # The lowest that is free is this one: those below it are open.
        opened = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(opened, True)


class _LastingFile(io.RawIOBase):
    """A descriptor that takes all that is written, even where it goes nowhere."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._failed = False
        self.has_lost = False  # what somebody wanted: not because its reader has seen enough

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # whatever has a buffer
        if self._failed:
            return len(view)
        try:
            select.select([], [self._file], [])  # a descriptor may be set not to wait by itself
            return os.write(self._file, view)
        except BrokenPipeError:  # its reader has seen enough
            self._failed = True
        except OSError as error:
            self._failed = self.has_lost = True
            if self._file != 2:
                reason = f"cannot write there ({error.strerror})"
                print(f"error: standard output: {reason}", file=sys.stderr)
        return len(view)


def _lasting(file: int, before: TextIO | None) -> TextIO:
    if before is not None:
        before.flush()
    encoding = before.encoding if before is not None else "utf-8"
    terminal = os.isatty(file)
    return io.TextIOWrapper(
        io.BufferedWriter(_LastingFile(file)),
        encoding=encoding,
        errors="replace",  # a question mark in place of a letter that it cannot show
        line_buffering=terminal or file == 2,
        write_through=file == 2,
    )
