"""A training of the served model in a process of its own, which can be paused.

bench.training.background trains; it is another flow, so only its process knows it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from bench.config.beside import BesideConfig
from bench.config.train import MODULE, TrainConfig
from bench.config.trust import PARTS, TRAINING_PARTS, metric_nodes, require_trusted
from bench.core.records.run import RunRecord
from bench.runs.find import with_root
from bench.serving.http.limits import thread_environment
from bench.serving.http.process import Child, log_tail

_MODULE = "bench.training.background"
_POLL_S = 0.05


def training_values(
    record: RunRecord, folder: Path, trust: Sequence[str], root: str | None
) -> dict[str, Any]:
    """The configuration of a training like that of a run, on one device and without a logger.

    Args:
        record: The record of the run.
        folder: Its folder, for messages.
        trust: Code that may be called besides this project's own.
        root: The folder of the files on this machine, if the run had another one.

    Raises:
        ValueError: The run builds on another one, or names code that is not trusted.
    """
    values = record.config
    if values.get("recipe"):
        raise ValueError(
            f"beside=retraining: run={record.run_id} was made with recipe="
            f"{values['recipe'].get('name')}; serve a run without a recipe, or use beside=none"
        )
    parts = PARTS if values.get("task") == MODULE else (*PARTS, *TRAINING_PARTS)
    require_trusted(values, folder, trust, parts=parts)
    metrics = metric_nodes(values)
    require_trusted(metrics, folder, trust, parts=list(metrics))
    trainer = {**values["trainer"], "devices": 1, "num_nodes": 1}
    data = with_root(values["data"], root)
    values = {**values, "trainer": trainer, "data": data, "logger": None}
    TrainConfig.from_dict(values)
    return values


class Retraining:
    """The process, from its first step to the end of a `with` block.

    Enter it in a thread that outlives the block, as the main thread does, because the kernel ends
    the process with the thread that started it.
    """

    def __init__(
        self,
        config: BesideConfig,
        values: dict[str, Any],
        *,
        work: Path,
        log: Path,
        module: str = _MODULE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing yet.

        Args:
            config: The group `beside`.
            values: The configuration of the training.
            work: A folder for files that both processes use.
            log: File for its output.
            module: The module that trains.
            clock: Monotonic seconds.
        """
        self._config = config
        trainer = dict(values["trainer"])
        if config.num_threads is not None:
            trainer["num_threads"] = config.num_threads
        self.num_threads: int | None = trainer.get("num_threads")
        self._spec = {"config": {**values, "trainer": trainer}, "nice": config.nice}
        self._work = work
        self._log = log
        self._module = module
        self._clock = clock
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start it and wait for its first step.

        Raises:
            ServerDied: It ended.
            ValueError: It made no step in time.
        """
        spec, count = self._work / "retraining.json", self._work / "retraining.steps"
        spec.write_text(json.dumps(self._spec))
        count.write_bytes(bytes(8))
        self._count = np.memmap(count, dtype=np.int64, mode="r", shape=(1,))
        self._child = Child(
            "the retraining",
            # -P: a folder bench/ in the working directory must not hide this package.
            [sys.executable, "-P", "-m", self._module, str(spec), str(count)],
            log=self._log,
            environment={
                **thread_environment(self.num_threads),
                # It must be able to import the user's own classes, too.
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
        )
        with ExitStack() as stack:
            stack.callback(self._child.stop)
            stack.callback(self.resume)  # before, because a paused process handles no SIGTERM
            self._await_step()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """End it."""
        self._stack.close()

    @property
    def num_steps(self) -> int:
        """Steps so far."""
        return int(self._count[0])

    def require_running(self) -> None:
        """Refuse to go on without it.

        Raises:
            ServerDied: It has ended.
        """
        if (died := self._child.gone()) is not None:
            raise died

    def pause(self) -> None:
        """Stop its threads until resume()."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child.gone() is None:
            os.kill(self._child.pid, number)

    def _await_step(self) -> None:
        timeout_s = self._config.start_timeout_s
        deadline_s = self._clock() + timeout_s
        while not self.num_steps:
            self.require_running()
            if self._clock() >= deadline_s:
                raise ValueError(
                    f"the retraining made no step within beside.start_timeout_s={timeout_s:g} "
                    f"seconds; last lines of {self._log}: {log_tail(self._log)}"
                )
            time.sleep(_POLL_S)
