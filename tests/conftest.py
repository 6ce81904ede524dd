"""Settings of all tests."""

from __future__ import annotations

import atexit
import gc
import os
import signal
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings

# Fixtures of all tests, in a module of their own.
from tests.commands import (  # noqa: F401
    _hydra_is_quick,
    _jobs_come_from_one_server,
    _no_command_outlives_its_test,
)
from tests.opened import OPENED
from tests.scheduling import schedule_by_file, sort_slow_first

# Two workers with a thread for each core wait for one another: one thread each is several times as
# quick. Before anything imports torch, and for the commands that tests run, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A worker imports nearly everything. Leaving out what jobs leave out of torchmetrics saves a sixth.
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if _IS_WORKER:
    import bench.runs.preload_metrics  # noqa: F401

# A repository that tests make is their own, also where they are started from a hook of git, and
# whatever the user's git is set to.
for _name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[_name]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

# Started in the background by a script, Python takes no notice of Ctrl-C, and by nohup of a closed
# terminal; tests send both signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples each time; a busy machine may take long over one.
settings.register_profile("bench", deadline=None, derandomize=True, database=None)
settings.load_profile("bench")


@pytest.fixture(scope="session", autouse=True)
def _lock_of_this_worker(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Windows of several workers, and of whatever else is measured here, do not meet."""
    os.environ["BENCH_LOCK"] = str(tmp_path_factory.mktemp("lock") / "lock")


@pytest.fixture(scope="session", autouse=True)
def _no_file_waits_for_the_disk() -> Iterator[None]:
    """Thousands of small files are written, and no test needs them after a loss of power."""
    with mock.patch.object(os, "fsync", return_value=None):
        yield


@pytest.fixture(autouse=True)
def _windows_are_closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture(scope="module", autouse=True)
def _imports_are_out_of_garbage_collections() -> None:
    """A Window collects garbage: what was there before a module is not looked through again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def one_instruction_set() -> None:
    """torch.compile compiles a program for each set that the processor may have: one will do.

    What it finds out stays with the process, so that nothing has to be put back.
    """
    from torch._inductor import cpu_vec_isa

    usable = filter(bool, cpu_vec_isa.supported_vec_isa_list)
    cpu_vec_isa.supported_vec_isa_list = list(islice(usable, 1))


@pytest.fixture(scope="session")
def one_onnx_registry() -> Iterator[None]:
    """torch.onnx collects all that it can translate anew for each export, which takes a second."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    collect = staticmethod(cache(ONNXRegistry.from_torchlib))
    with mock.patch.object(ONNXRegistry, "from_torchlib", collect):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_slow_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing that is imported while tests are collected is garbage, and looking for it is slow."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Any:
    return schedule_by_file(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_sessionfinish() -> None:
    """What is left at the end is looked through once, by the interpreter, and not by pytest, too.

    nanobind, which onnx uses, complains of what was not collected. A worker ends without that.
    """
    if _IS_WORKER:
        gc.freeze()
        gc.disable()
        atexit.register(_end_at_once)
        return
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)
    gc.disable()


def _end_at_once() -> None:
    """Do all else that is to be done at exit, and end without taking a million objects apart."""
    atexit.unregister(_end_at_once)
    atexit._run_exitfuncs()
    os._exit(0)
