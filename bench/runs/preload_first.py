"""Imported first by the fork server of a command: looks the processor up while it imports the rest.

CodeCarbon runs another program for that, which takes a second.
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
