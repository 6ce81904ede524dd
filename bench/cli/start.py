"""How a command is started and how it exits: Ctrl-C ends it in order from its first moment on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

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
