"""The second node of trainings: a process that runs bench.train, one training after another.

It is a fork of the fork server of the tests, and its jobs come from a fork of its own: neither has
to import the libraries again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from bench.launch.stopping import STOP_SIGNALS
from tests.cli.command import own_modules, train
from tests.fork_server import ForkedServer, forked_by


def make_parts(orders: Connection, of_jobs: Mapping[str, str]) -> None:
    """Make the parts of this node until there are no more orders.

    Args:
        orders: Sends the folder, the variables and the arguments of a command, and gets its answer.
        of_jobs: The variables that all of its jobs find.
    """
    os.environ.update(of_jobs)
    for number in STOP_SIGNALS:  # a fork server ignores them
        signal.signal(number, signal.SIG_DFL)
    with forked_by(ForkedServer()):
        while True:
            try:
                folder, variables, arguments = orders.recv()
            except EOFError:
                return
            with own_modules(Path(folder)), mock.patch.dict(os.environ, variables):
                orders.send(train(Path(folder), *arguments))
