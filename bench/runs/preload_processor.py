"""Imported by the fork server of a command: has CodeCarbon look the processor up meanwhile.

CodeCarbon runs another program for that, which takes a second of CPU time. It begins only after the
first large imports, when the command has composed its configuration and no longer needs its CPU.
"""

from __future__ import annotations

import logging
from threading import Thread


def _look_up_processor() -> None:
    try:
        from bench.measure.carbon import look_up_processor

        look_up_processor()
    except Exception:  # each job looks it up by itself then, and its record has the reason
        logging.getLogger(__name__).debug("the processor was not looked up", exc_info=True)


LOOKING_UP = Thread(target=_look_up_processor, name="look up processor")
LOOKING_UP.start()
