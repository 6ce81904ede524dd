"""Node 0 meets the other nodes, which are threads here, and learns how they ended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import DivergedError
from bench.core.records.node import NodeFacts
from bench.core.store import new_identity
from bench.launch.child import Inherited, Interrupted
from bench.launch.job import Job, Team
from bench.launch.link import Link, NodeFailed
from bench.training.other_nodes import FACTS, OtherNodes

CONFIG = {"seed": 3, "repeat": 1}
DIGEST = "0123456789ab"
KEY = [DIGEST, 3, 1]
RESET = RuntimeError("Connection closed by peer")


@contextmanager
def met(*nodes: Callable[[Link, int], None], key: Any = KEY) -> Iterator[OtherNodes]:
    """Node 0, which has met a thread for each function; they get their link and rank."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def join(node: int, act: Callable[[Link, int], None]) -> None:
        link = Link(socket.create_connection(("127.0.0.1", port)))
        link.send(node=node, host=f"h{node}", run=key)
        answer = link.receive(10.0)
        if answer is not None and "run_id" in answer:
            act(link, node)
        link.close()

    threads = [threading.Thread(target=join, args=(node, act)) for node, act in enumerate(nodes, 1)]
    # Something that looks for open ports is no node.
    socket.create_connection(("127.0.0.1", port)).close()
    for thread in threads:
        thread.start()
    team = Team(
        node=0,
        num_nodes=len(nodes) + 1,
        address="127.0.0.1",
        connection=Inherited(listener.detach()),
    )
    job = Job(
        identity=new_identity("train", DIGEST, 3, 1),
        folder=Path("unused"),
        title="",
        config=CONFIG,
        host={},
        team=team,
    )
    try:
        yield OtherNodes.meet(job, lambda stage: None)
    finally:
        for thread in threads:
            thread.join(10.0)


def ends(how: str, error: str | None = None, *, after_go: bool = True) -> Callable[..., None]:
    def act(link: Link, node: int) -> None:
        if after_go:
            link.send(ready=True)
            assert link.receive(10.0) == {"go": True}
        facts = FACTS.dump_python(NodeFacts(node=node, host={"name": f"h{node}"}), mode="json")
        link.send(end=how, error=error, facts=facts)

    return act


def vanishes(link: Link, node: int) -> None:
    link.send(ready=True)
    link.receive(10.0)


def train(*nodes: Callable[[Link, int], None], error: BaseException | None = None) -> OtherNodes:
    """What the job of node 0 does; an error ends its training."""
    with met(*nodes) as others, others.informed():
        others.wait_until_ready()
        if error is not None:
            raise error
    return others


def test_without_other_nodes_nothing_happens() -> None:
    others = OtherNodes()
    with others.informed():
        others.wait_until_ready()
    assert (others.group, others.facts) == (None, {})
    with pytest.raises(KeyError), others.informed():
        raise KeyError


def test_all_nodes_begin_together_and_report_at_the_end() -> None:
    others = train(ends("ok"), ends("ok"))
    assert others.group is not None
    assert (others.group.node, others.group.address) == (0, "127.0.0.1")
    assert sorted(others.facts) == [1, 2]
    assert others.facts[2].host == {"name": "h2"}


def test_a_node_that_fails_before_the_clock_ends_the_run_and_stops_the_others() -> None:
    told: list[Any] = []

    def waits(link: Link, node: int) -> None:
        link.send(ready=True)
        told.append(link.receive(10.0))
        ends("stopped", "node 0 ended the training", after_go=False)(link, node)

    fails = ends("failed", "no data here", after_go=False)
    with pytest.raises(NodeFailed, match=r"^node1 \(h1\): no data here$"):
        train(fails, waits)
    assert told == [{"stop": "node1 (h1): no data here"}]


@pytest.mark.parametrize(
    ("node", "kind", "message"),
    [
        (vanishes, NodeFailed, r"node1 \(h1\) was lost"),
        (ends("failed", "no memory"), NodeFailed, r"node1 \(h1\): no memory"),
        (ends("interrupted", "SIGTERM"), Interrupted, r"node1 \(h1\): SIGTERM"),
    ],
)
@pytest.mark.parametrize("own_error", [RESET, None])
def test_the_node_that_ended_the_training_is_named(
    node: Callable[..., None],
    kind: type[BaseException],
    message: str,
    own_error: Exception | None,  # RESET is all that a rank of node 0 sees
) -> None:
    with pytest.raises(kind, match=message):
        train(node, error=own_error)


@pytest.mark.parametrize("error", [DivergedError("nan"), Interrupted("Ctrl-C")])
def test_an_error_of_node_0_itself_stays_the_reason(error: BaseException) -> None:
    with pytest.raises(type(error), match=str(error)):
        train(vanishes, error=error)


def test_a_node_with_other_keys_or_a_refusal_is_turned_away() -> None:
    with (
        pytest.raises(NodeFailed, match=r"node1 \(h1\) was started with another configuration, se"),
        met(vanishes, key=[DIGEST, 3, 2]),
    ):
        pass


def test_a_node_that_does_not_call_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.other_nodes.MEET_S", 0.0)
    listener = socket.create_server(("127.0.0.1", 0))
    team = Team(node=0, num_nodes=3, address="", connection=Inherited(listener.detach()))
    job = Job(
        identity=new_identity("train", DIGEST, 3, 1),
        folder=Path("unused"), title="", config=CONFIG, host={}, team=team,
    )  # fmt: skip
    with pytest.raises(NodeFailed, match="node1 has not called within 0 s"):
        OtherNodes.meet(job, lambda stage: None)


def test_node_0_does_not_wait_for_ever_for_a_lost_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with GPUs, on which nothing tells a rank that another one is gone."""
    exited = threading.Event()
    monkeypatch.setattr("bench.training.other_nodes.GRACE_S", 0.0)
    monkeypatch.setattr("bench.training.other_nodes.os._exit", lambda code: exited.set())
    with met(vanishes) as others:
        others.wait_until_ready()
        assert exited.wait(10.0)
    assert "node1 (h1) was lost, and the training waited for it" in caplog.text
