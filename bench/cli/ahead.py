"""Has the libraries of the jobs imported while the command reads its configuration.

The imports take several seconds, in another process. Begun at once, they are done soon after the
configuration has been composed and checked, and the first run need not wait for them as long.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.cli.help import command_docs
from bench.cli.start import MULTIRUN, open_streams
from bench.core.environment import settle_environment
from bench.core.lock import is_free, lock_path
from bench.launch.isolation import ForkServer

_LAUNCHER = "hydra/launcher="
# With these keys, jobs need all of torchmetrics.
_USER_METRICS = "+metrics."
# By name, because it is built upon this package, as all that is imported for jobs.
PROCESSOR_MODULE = "bench.runs.preload_processor"


def import_ahead(command: str, job: str) -> None:
    """Begin the imports of the jobs, unless this command will probably make none or has to wait.

    What is measured on this host now would be disturbed. The imports then begin when the first run
    has the lock. A command that is refused ends the imports, too.

    Args:
        command: The name of its primary file.
        job: The `module:function` that makes one run.
    """
    server = ForkServer(preload=preloaded_modules(job))
    arguments = sys.argv[1:]
    if makes_runs_here(arguments) and has_keys(command, arguments) and is_free(lock_path()):
        open_streams()  # else a descriptor of the server could take the place of a closed stream
        with _as_jobs_find_it():
            server.begin_imports()


def preloaded_modules(job: str) -> list[str]:
    """The modules that the fork server imports for a job, in this order."""
    wants_all = any(argument.startswith(_USER_METRICS) for argument in sys.argv[1:])
    return [
        "torchmetrics" if wants_all else "bench.runs.preload_metrics",
        PROCESSOR_MODULE,
        job.partition(":")[0],
        "bench.runs.preload_last",
    ]


def makes_runs_here(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for runs, and for no launcher of Hydra.

    Flags such as --cfg print something instead. A launcher that a file of conf/ chooses is not
    found here: the imports are then in vain.
    """
    flags = {argument for argument in arguments if argument.startswith("-")}
    launchers = [argument for argument in arguments if argument.lstrip("+").startswith(_LAUNCHER)]
    return flags <= MULTIRUN and not launchers


def has_keys(command: str, arguments: Sequence[str]) -> bool:
    """Whether a command has all keys of a command line, as far as its help lists them.

    With others, which Hydra may or may not refuse, nothing is imported ahead.
    """
    try:
        docs = command_docs(command, arguments)
    except ValueError:  # an option that does not exist
        return False
    keys = {argument.partition("=")[0] for argument in arguments if argument not in MULTIRUN}
    return keys <= {*docs.names(), *docs.options}


@contextmanager
def _as_jobs_find_it() -> Iterator[None]:
    """Prepare the environment for a process that is started in the block."""
    before = dict(os.environ)
    settle_environment()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
