"""Exporters and quantizers print and warn a good deal: it goes to the log, at level debug."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what is printed and warned of off the terminal; torch's own log goes the same way.

    What libraries in C++ write to the terminal's own file descriptor is not caught.
    """
    text = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(text))
        stack.enter_context(contextlib.redirect_stderr(text))
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        stack.callback(lambda: _write(text.getvalue(), caught))
        yield


def _write(text: str, caught: list[warnings.WarningMessage] | None) -> None:
    for line in text.splitlines():
        if line.strip():
            _log.debug("%s", line)
    for warning in caught or []:
        _log.debug("%s: %s", warning.category.__name__, warning.message)
