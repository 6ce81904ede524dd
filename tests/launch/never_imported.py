"""A module whose import does not end: a fork server that imports it is killed."""

from __future__ import annotations

import signal

while True:
    signal.pause()
