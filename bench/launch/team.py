"""How the commands of several nodes make one run: node 0 makes it, and the others follow."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.core.host import host_facts
from bench.core.store import identity_of
from bench.launch.child import Inherited
from bench.launch.isolation import Ending, ForkServer
from bench.launch.job import Job, Team
from bench.launch.link import NodeFailed, call_first_node, listen
from bench.launch.place import Place, require_place
from bench.launch.server import NotStarted

# A run folder that node 0 has made may show up this much later on another node.
_SHARED_S = 60.0
_RETRY_S = 0.2
# If the command of a node is refused, node 0 may have been refused as well and be gone.
_REFUSED_S = 10.0


class Nodes:
    """The part of a command in trainings over several nodes.

    Attributes:
        place: The place of this command; None for a training on one node.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Open nothing yet.

        Args:
            variables: The environment as a launcher made it.
        """
        self.place: Place | None = None
        self._variables = dict(variables)
        self._port: socket.socket | None = None  # of node 0, at which the others call

    def prepare(self, num_nodes: int) -> None:
        """Find the place of this command for its next run, and open the port of node 0.

        Raises:
            ValueError: No launcher has started the command on so many nodes, or the port is taken.
        """
        self.close()
        self.place = None if num_nodes == 1 else require_place(num_nodes, self._variables)
        if self.place is not None and self.place.node == 0:
            self._port = listen(self.place)

    @property
    def follows(self) -> bool:
        """Whether another node makes the run, and this one only takes part."""
        return self.place is not None and self.place.node > 0

    @property
    def team(self) -> Team | None:
        """What the job of node 0 needs to meet the others; None for a run on one node."""
        if self.place is None or self._port is None:
            return None
        return Team(
            node=0,
            num_nodes=self.place.num_nodes,
            address=self.place.address,
            connection=Inherited(self._port.fileno()),
        )

    def refuse(self, reason: str) -> None:
        """Tell node 0, if it is there, why this node cannot take part."""
        if self.place is None or not self.follows:
            return
        with suppress(NodeFailed):
            link = call_first_node(self.place, _REFUSED_S)
            link.send(node=self.place.node, host=platform.node(), error=reason)
            link.receive()  # until node 0 has read it
            link.close()

    def follow(
        self, digest: str, config: Mapping[str, Any], *, server: ForkServer, target: str
    ) -> str | None:
        """Take part in the run that node 0 makes, in a fresh process.

        Args:
            digest: The hash of the configuration.
            config: The resolved configuration.
            server: Starts the process.
            target: The job, as ForkServer.run() takes it.

        Returns:
            Why the part of this node failed, in one line; None if it did not.

        Raises:
            KeyboardInterrupt: A signal came.
        """
        assert self.place is not None, "prepare() has been called"
        try:
            error = _follow(self.place, digest, config, server=server, target=target)
        except (NodeFailed, NotStarted, OSError, ValueError) as failure:
            error = str(failure)
        return None if error is None else f"{self.place.name}: {error}"

    def close(self) -> None:
        """Close the port. Nodes that wait there are told by that."""
        if self._port is not None:
            self._port.close()
            self._port = None


def run_key(digest: str, config: Mapping[str, Any]) -> list[Any]:
    """What must be the same on all nodes: the configuration, the seed and the repeat."""
    return [digest, config["seed"], config["repeat"]]


def _follow(
    place: Place, digest: str, config: Mapping[str, Any], *, server: ForkServer, target: str
) -> str | None:
    link = call_first_node(place)
    try:
        link.send(node=place.node, host=platform.node(), run=run_key(digest, config))
        answer = link.receive()
        if answer is None:
            raise NodeFailed("node 0 ended before the training began; it says why")
        if "error" in answer:
            raise NodeFailed(str(answer["error"]))
        folder = _run_folder(Path(config["results"]).absolute() / "train", str(answer["run_id"]))
        team = Team(
            node=place.node,
            num_nodes=place.num_nodes,
            address=place.address,
            port=int(answer["port"]),
            connection=Inherited(link.fileno()),
        )
        job = Job(
            identity=identity_of(folder, config),
            folder=folder,
            title=place.name,
            config=dict(config),
            host=host_facts(),
            team=team,
        )
        return _run(job, server, target)
    finally:
        link.close()


def _run(job: Job, server: ForkServer, target: str) -> str | None:
    errors: list[str] = []
    assert job.team is not None
    log = job.folder / f"log.node{job.team.node}.txt"
    ending = server.run(target, job, log=log, on_message=errors.append)
    return None if ending.exit_code == 0 else _why(ending, errors, log)


def _why(ending: Ending, errors: Sequence[str], log: Path) -> str:
    how = f"ended by {ending.signal_name}" if ending.signal_name else f"failed; see {log}"
    return errors[-1] if errors else how


def _run_folder(runs: Path, run_id: str) -> Path:
    """Wait until the folder of a run shows up.

    Raises:
        ValueError: It does not, or it is no folder of a run.
    """
    folder = runs / run_id
    if folder.parent != runs or run_id.startswith("."):
        raise ValueError(f"{run_id}: no name of a run")
    deadline_s = time.monotonic() + _SHARED_S
    while not folder.is_dir():
        if time.monotonic() > deadline_s:
            raise ValueError(
                f"results={runs.parent}: the run folder that node 0 has made is not there; give a "
                "folder that all nodes share"
            )
        time.sleep(_RETRY_S)
    return folder
