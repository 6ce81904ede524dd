"""Prepares the process in which a launcher of Hydra makes a job, as a command prepares its own."""

from __future__ import annotations

import os
import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from bench.cli.multirun import Multirun
from bench.core.environment import restore_variables, settle_environment
from bench.core.scheduler import scheduler_facts
from bench.launch.stopping import signals_interrupt


@contextmanager
def as_command(multirun: Multirun) -> Iterator[None]:
    """Prepare this process for the block; afterwards the launcher finds it as it was.

    Args:
        multirun: What the command told its workers.
    """
    before = dict(os.environ)
    settle_environment()
    # On the command's own host, a job of joblib or Ray would get fewer threads than without them,
    # although runs take turns. Elsewhere the user decides, for example in the set-up of a node.
    if multirun.host == platform.node() and scheduler_facts() is None:
        restore_variables(multirun.variables)
    try:
        with signals_interrupt():
            yield
    except Exception:  # a defect of this program, of which some launchers return only the text
        traceback.print_exc()
        raise
    finally:
        os.environ.clear()
        os.environ.update(before)
