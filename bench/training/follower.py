"""The job of a node other than node 0: it trains with the others, and reads its own meters.

It writes its telemetry and its log into the run folder, and tells node 0 how its part ended and
what its meters read. Node 0 decides when the training ends, and writes the record.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.config.train import TrainConfig
from bench.core.records.node import NodeFacts
from bench.launch.child import Interrupted, interrupt_main
from bench.launch.job import Job, Team
from bench.launch.link import Link
from bench.measure.raw_files import raw_names, write_raw
from bench.measure.window import Window
from bench.runs.exit_handling import explain
from bench.runs.instruments import build_window
from bench.runs.measured import node_facts
from bench.training.gpus import gpus_set
from bench.training.loop import gpu_uuids, require_devices
from bench.training.other_nodes import FACTS, LAST_WORDS_S
from bench.training.parts import build_task_parts
from bench.training.profiler import TargetProfiler, nothing
from bench.training.rank import build_profiler, follow, prepare_process, require_meter
from bench.training.ranks import Group, follow_in_other_ranks

# How long the main thread may take to end by itself before another one reports in its place.
_END_S = 2.0


class Follower:
    """The part of one node in a run."""

    def __init__(self, job: Job, team: Team, send: Callable[[Any], None]) -> None:
        """Open nothing yet; for the arguments see run_follower()."""
        self._job = job
        self._team = team
        self._send = send
        self._config = TrainConfig.from_dict(job.config)
        self._link = Link(socket.socket(fileno=team.connection.file))
        self._window: Window | None = None
        self._profiler: TargetProfiler | None = None
        self._lock = threading.Lock()
        self._is_ending = threading.Event()
        self._has_ended = threading.Event()
        self._stopped: str | None = None  # why node 0 ended the training early

    def make(self) -> None:
        """Set up as node 0 does, and train with it."""
        config, team = self._config, self._team
        assert team.port is not None, "node 0 chooses the port"
        prepare_process(config.trainer, config.seed)
        options = config.trainer
        gpus = gpu_uuids(require_devices(options.accelerator, options.devices, config.precision))
        group = Group(node=team.node, address=team.address, port=team.port)
        with (
            gpus_set(options, gpus),
            follow_in_other_ranks(options.devices, partial(follow, config, team.node), group),
        ):
            self._window = window = build_window(config, lambda: None, gpus=gpus)
            window.open()
            require_meter(config, window)
            parts = build_task_parts(config, None)
            window.synchronize = parts.synchronize
            parts.compile_and_warm_up()
            self._wait_for_go()
            self._profiler = build_profiler(
                parts, window, on_row=nothing, on_end=nothing, node=team.node
            )
            parts.train(self._profiler)

    def _wait_for_go(self) -> None:
        self._link.send(ready=True)
        message = self._link.receive()
        if message is None or "go" not in message:
            raise Interrupted(_reason(message))
        threading.Thread(target=self._obey, daemon=True).start()

    def _obey(self) -> None:
        """End this job when node 0 ends the training early, or is lost.

        The main thread may wait for a rank of node 0 in native code, where nothing interrupts it.
        """
        reason = _reason(self._link.receive())
        # Node 0 also closes the connection once this node has reported.
        if not self._is_ending.is_set():
            self._stopped = reason
            interrupt_main(reason)
            self._is_ending.wait(_END_S)
        if not self._is_ending.is_set():
            if self._window is not None:
                self._window.synchronize = lambda: None  # the device may be waiting as well
            self.end("stopped", reason)
            os._exit(1)
        if not self._has_ended.wait(LAST_WORDS_S):
            os._exit(1)

    def end(self, how: str, error: str | None) -> None:
        """Stop the meters, and tell node 0 how this part ended; only the first call does.

        Args:
            how: `ok`, `stopped` by node 0, `interrupted`, or another status of a run.
            error: One line, which the command prints; None if there is none.
        """
        with self._lock:
            self._is_ending.set()
            if not self._has_ended.is_set():
                if self._stopped is not None:
                    how, error = "stopped", self._stopped
                facts = FACTS.dump_python(self._facts(), mode="json")
                self._link.send(end=how, error=error, facts=facts)
                self._has_ended.set()
                if error is not None:
                    self._send(error)
                if self._window is not None:
                    self._window.close()

    def _facts(self) -> NodeFacts:
        job, window, profiler, name = self._job, self._window, self._profiler, None
        if profiler is not None:
            profiler.stop()
        if window is not None and profiler is not None and profiler.started:
            write_raw(job.folder, window, self._team.node)
            name, _ = raw_names(self._team.node)
        return node_facts(
            self._team.node,
            job.host,
            window,
            telemetry=name,
            phase_energy=profiler.phase_energy if profiler else None,
        )


def run_follower(job: Job, team: Team, send: Callable[[Any], None]) -> None:
    """Make the part of this node, and report to node 0 and to the command how it ended.

    Args:
        job: The run.
        team: Its nodes.
        send: Sends the command why the part failed.

    Raises:
        SystemExit: It failed.
    """
    node = Follower(job, team, send)
    try:
        node.make()
    except BaseException as exception:
        status, error = explain(exception)
        logging.exception("the part of node%d ended as %s", team.node, status)
        node.end(status, error.message)
        raise SystemExit(1) from exception
    node.end("ok", None)


def _reason(message: dict[str, Any] | None) -> str:
    """Why node 0 has ended the training, from its last message."""
    if message is None:
        return "node 0 was lost"
    return f"node 0 ended the training: {message.get('stop', message)}"
