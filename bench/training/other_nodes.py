"""The other nodes of a training, as the job of node 0 sees them.

They are met before anything is built. Each says when it is ready for the clock, and how its part
ended, with what its own meters read. A node that fails or is lost ends the run, and the record
names it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import torch
from pydantic import TypeAdapter

from bench.core.records.node import NodeFacts
from bench.launch.child import GRACE_S, Interrupted
from bench.launch.job import Job
from bench.launch.link import MEET_S, Link, NodeFailed
from bench.launch.team import run_key
from bench.runs.exit_handling import explain
from bench.training.ranks import Group, free_port

FACTS: TypeAdapter[NodeFacts] = TypeAdapter(NodeFacts)
# How long a node may take to report after the training, with its telemetry, and after a failure.
_REPORT_S = 60.0
LAST_WORDS_S = 10.0
_HELLO_S = 10.0

_log = logging.getLogger(__name__)


class OtherNodes:
    """The connections with the other nodes; none in a training on one node.

    Attributes:
        group: Where the ranks of all nodes meet; None in a training on one node.
        facts: What the nodes have reported, by their ranks.
        hosts: The names of their hosts, by their ranks.
    """

    def __init__(self, group: Group | None = None) -> None:
        """Know no other node."""
        self.group = group
        self.facts: dict[int, NodeFacts] = {}
        self.hosts: dict[int, str] = {}
        self._links: dict[int, Link] = {}  # of the nodes that have not reported yet
        self._failure: BaseException | None = None  # the first of NodeFailed and Interrupted
        self._is_over = threading.Event()

    @classmethod
    def meet(cls, job: Job, say: Callable[[str], None]) -> OtherNodes:
        """Wait until all other nodes have called.

        Args:
            job: The run.
            say: Reports progress.

        Raises:
            NodeFailed: One does not call, was refused, or was started with other keys.
        """
        team = job.team
        if team is None:
            return cls()
        say("waiting for the other nodes")
        others = cls(Group(node=0, address=team.address, port=free_port()))
        with socket.socket(fileno=team.connection.file) as listener:
            deadline_s = time.monotonic() + MEET_S
            while len(others.hosts) < team.num_nodes - 1:
                if not wait([listener], max(0.0, deadline_s - time.monotonic())):
                    missing = sorted(set(range(1, team.num_nodes)) - set(others.hosts))
                    raise NodeFailed(f"node{missing[0]} has not called within {MEET_S:g} s")
                others._greet(Link(listener.accept()[0]), job)
        for link in others._links.values():
            link.send(run_id=job.identity.run_id, port=others.group and others.group.port)
        return others

    def _greet(self, link: Link, job: Job) -> None:
        try:
            hello = link.receive(_HELLO_S) or {}
            node = int(hello["node"])
        except (KeyError, TypeError, ValueError, TimeoutError):
            link.close()  # something else that looks for open ports
            return
        self.hosts[node] = str(hello.get("host"))
        if "error" in hello:
            link.close()
            raise NodeFailed(f"{self._name(node)}: {hello['error']}")
        if hello.get("run") != run_key(job.identity.config_hash, job.config):
            text = "was started with another configuration, seed or repeat than node 0"
            link.send(error=f"node{node} {text}")
            link.close()
            raise NodeFailed(f"{self._name(node)} {text}; start all nodes with the same command")
        self._links[node] = link

    def _name(self, node: int) -> str:
        return f"node{node} ({self.hosts[node]})"

    def wait_until_ready(self) -> None:
        """Wait until every node is ready for the clock, and let them begin.

        Raises:
            Interrupted: One was interrupted.
            NodeFailed: One failed, or was lost.
        """
        for node, link in list(self._links.items()):
            message = link.receive()
            if message is None or "end" in message:
                self._take(node, message)
        if self._failure is not None:
            raise self._failure
        for link in self._links.values():
            link.send(go=True)
        if self._links:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """End this process if a node has ended and the main thread does not notice.

        A rank on a GPU may wait for the lost one for ever, in native code.
        """
        nodes = self._nodes_by_connection()
        ended = wait(list(nodes))
        if not self._is_over.wait(GRACE_S):
            name = self._name(nodes[ended[0]])
            _log.error("%s was lost, and the training waited for it", name)
            os._exit(1)

    @contextmanager
    def informed(self) -> Iterator[None]:
        """Collect what the nodes report at the end of the block; tell them if it fails.

        Raises:
            Interrupted: A node was interrupted, and that ended the block.
            NodeFailed: A node failed or was lost, and that ended the block.
        """
        try:
            yield
        except BaseException as error:
            for link in self._links.values():
                link.send(stop=explain(error)[1].message)
            self._collect(LAST_WORDS_S)
            if self._failure is not None and _is_consequence(error):
                raise self._failure from error
            raise
        self._collect(_REPORT_S)
        if self._failure is not None:
            raise self._failure

    def _collect(self, within_s: float) -> None:
        """Take what the nodes report, in the order in which they do."""
        self._is_over.set()
        deadline_s = time.monotonic() + within_s
        while self._links:
            nodes = self._nodes_by_connection()
            ready = wait(list(nodes), max(0.0, deadline_s - time.monotonic()))
            # Those that do not report in time count as lost.
            for node in [nodes[each] for each in ready] or list(self._links):
                try:
                    message = self._links[node].receive(_HELLO_S) if ready else None
                except (TimeoutError, ValueError):
                    message = None
                if message is None or "end" in message:
                    self._take(node, message)

    def _nodes_by_connection(self) -> dict[Any, int]:
        return {link.fileno(): node for node, link in self._links.items()}

    def _take(self, node: int, message: dict[str, Any] | None) -> None:
        """Take the last message of a node; None if it was lost without one."""
        self._links.pop(node).close()
        name = self._name(node)
        failure: BaseException | None = None
        if message is None:
            self.facts[node] = NodeFacts(node=node, host={"name": self.hosts[node]})
            failure = NodeFailed(f"{name} was lost")
        else:
            self.facts[node] = FACTS.validate_python(message["facts"])
            if message["end"] == "interrupted":
                failure = Interrupted(f"{name}: {message['error']}")
            elif message["end"] != "ok":
                failure = NodeFailed(f"{name}: {message['error']}")
        self._failure = self._failure or failure


def _is_consequence(error: BaseException) -> bool:
    """Whether an error may only say that the connection with another rank was closed."""
    return type(error) is RuntimeError or isinstance(error, torch.distributed.DistError)
