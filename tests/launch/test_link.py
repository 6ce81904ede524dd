from __future__ import annotations

import socket
import threading

import pytest

from bench.launch.link import Link, NodeFailed, call_first_node, listen
from bench.launch.place import Place
from bench.launch.team import Nodes
from tests.launch.test_place import TORCHRUN


def place(port: int, node: int = 0) -> Place:
    return Place(
        launcher="srun", node=node, num_nodes=2, num_processes=2, address="127.0.0.1", port=port
    )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        calling = socket.create_connection(listener.getsockname())
        return calling, listener.accept()[0]


def test_messages_arrive_one_by_one_and_an_end_that_is_gone_is_told() -> None:
    here, there = map(Link, connected())
    there.send(a=1)
    there.send(b=[2, None])
    assert here.receive() == {"a": 1}
    assert here.receive() == {"b": [2, None]}
    with pytest.raises(TimeoutError):
        here.receive(0.0)
    there.close()
    assert here.receive() is None
    here.send(c=3)  # nobody reads it, and nothing breaks
    here.close()


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\n", b"[1]\n"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    one, other = connected()
    with one, other:
        other.sendall(line)
        with pytest.raises(ValueError, match=r"."):
            Link(one).receive()


def test_a_node_calls_node_0_which_may_come_later() -> None:
    port = free_port()
    links: list[Link] = []
    caller = threading.Thread(target=lambda: links.append(call_first_node(place(port, 1), 20.0)))
    caller.start()
    with listen(place(port)) as listener:
        accepted = Link(listener.accept()[0])
        caller.join()
        links[0].send(node=1)
        assert accepted.receive() == {"node": 1}
        accepted.close()
        links[0].close()


def test_a_port_in_use_and_a_silent_node_0_are_named() -> None:
    port = free_port()
    with (
        listen(place(port)),
        pytest.raises(ValueError, match=rf"^port {port} of node 0: .*; set another MASTER_PORT$"),
    ):
        listen(place(port))
    with pytest.raises(NodeFailed, match=rf"does not answer at 127.0.0.1:{port} .* MASTER_ADDR"):
        call_first_node(place(port, 1), 0.0)


def test_a_node_that_is_refused_tells_node_0() -> None:
    port = free_port()
    variables = {
        **{name: value for name, value in TORCHRUN.items() if not name.startswith("TORCHEL")},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    nodes = Nodes(variables)
    nodes.prepare(2)
    assert nodes.follows
    assert nodes.team is None
    with listen(place(port)) as listener:
        refusal = threading.Thread(target=nodes.refuse, args=("meter=rapl: none here",))
        refusal.start()
        link = Link(listener.accept()[0])
        hello = link.receive()
        link.close()
        refusal.join()
    assert hello is not None
    assert (hello["node"], hello["error"]) == (1, "meter=rapl: none here")


def test_a_run_on_one_node_needs_no_launcher_and_opens_no_port() -> None:
    nodes = Nodes({})
    nodes.prepare(1)
    assert (nodes.place, nodes.team, nodes.follows) == (None, None, False)
    nodes.refuse("nobody hears this")
    first = Nodes({**TORCHRUN, "RANK": "0", "MASTER_PORT": str(free_port() - 1)})
    first.prepare(2)
    assert first.team is not None
    assert first.team.node == 0
    first.close()
    assert first.team is None
