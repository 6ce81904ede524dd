"""Settings of all tests."""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import settings

# Two workers with a thread for each core wait for one another: one thread each is several times as
# quick. Before anything imports torch, and for the commands that tests run, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A repository that tests make is their own, also where they are started from a hook of git, and
# whatever the user's git is set to.
for _name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[_name]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

# Started in the background by a script, Python takes no notice of Ctrl-C, and tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time; a busy machine may take long over one.
settings.register_profile("bench", deadline=None, derandomize=True, database=None)
settings.load_profile("bench")


@pytest.fixture(scope="session", autouse=True)
def _lock_of_this_worker(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Windows of several workers, and of whatever else is measured here, do not meet."""
    os.environ["BENCH_LOCK"] = str(tmp_path_factory.mktemp("lock") / "lock")


@pytest.fixture(scope="module", autouse=True)
def _imports_are_out_of_garbage_collections() -> None:
    """A Window collects garbage: what was there before a module is not looked through again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Libraries look at the end for what was not collected."""
    gc.unfreeze()
