"""Settings of all tests."""

from __future__ import annotations

import os

# Two workers with a thread for each core wait for one another: one thread each is several times as
# quick. Before anything imports torch, and for the commands that tests run, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
