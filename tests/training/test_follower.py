"""How the job of another node ends, whatever node 0 does; the connection is real."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.core.store import new_identity
from bench.launch.child import Inherited
from bench.launch.job import Job, Team
from bench.launch.link import Link
from bench.training.follower import Follower, run_follower
from tests.launch.test_link import connected

MODULE = "bench.training.follower"
CONFIG = {"target": {"value": 0.9, "eval_every_samples": 100}, "budget": {"max_epochs": 1}}


class Ends(NamedTuple):
    """Both ends of a connection with node 0, and what the other node did."""

    node_0: Link
    node_1: Follower
    errors: list[str]
    exits: list[int]
    interrupts: list[str]


def team_and_job(connection: socket.socket, config: dict[str, Any] = CONFIG) -> tuple[Team, Job]:
    team = Team(
        node=1,
        num_nodes=2,
        address="127.0.0.1",
        connection=Inherited(connection.detach()),
        port=1,
    )
    job = Job(
        identity=new_identity("train", "0123456789ab", 0, 0),
        folder=Path("unused"),
        title="",
        config=config,
        host={"name": "h1"},
        team=team,
    )
    return team, job


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    here, there = connected()
    team, job = team_and_job(there)
    errors: list[str] = []
    exits: list[int] = []
    interrupts: list[str] = []
    monkeypatch.setattr(f"{MODULE}._END_S", 0.0)
    monkeypatch.setattr(f"{MODULE}.LAST_WORDS_S", 0.0)
    monkeypatch.setattr(f"{MODULE}.interrupt_main", interrupts.append)
    monkeypatch.setattr(f"{MODULE}.os._exit", exits.append)
    return Ends(Link(here), Follower(job, team, errors.append), errors, exits, interrupts)


def test_a_node_whose_main_thread_is_stuck_reports_when_node_0_stops_the_training(
    ends: Ends,
) -> None:
    ends.node_0.send(stop="stopped by SIGTERM")
    ends.node_1._obey()
    message = ends.node_0.receive(5.0)
    assert message is not None
    reason = "node 0 ended the training: stopped by SIGTERM"
    assert (message["end"], message["error"]) == ("stopped", reason)
    assert message["facts"]["host"]["name"] == "h1"
    assert (ends.errors, ends.exits, ends.interrupts) == ([reason], [1], [reason])


def test_the_reason_of_node_0_stands_above_what_it_does_to_the_main_thread(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main_ends(reason: str) -> None:
        ends.node_1.end("interrupted", "Connection closed by peer")

    monkeypatch.setattr(f"{MODULE}.interrupt_main", main_ends)
    ends.node_0.close()
    ends.node_1._obey()
    assert (ends.errors, ends.exits) == (["node 0 was lost"], [])


def test_a_node_that_has_reported_takes_no_notice_of_the_end_of_node_0(ends: Ends) -> None:
    ends.node_1.end("ok", None)
    ends.node_1.end("failed", "only the first call counts")
    message = ends.node_0.receive(5.0)
    assert message is not None
    assert (message["end"], message["error"]) == ("ok", None)
    ends.node_0.close()
    ends.node_1._obey()
    assert (ends.errors, ends.exits, ends.interrupts) == ([], [], [])


def test_a_part_that_fails_is_reported_to_node_0_and_to_the_command() -> None:
    here, there = connected()
    # No GPU here, or not so many.
    config = {**CONFIG, "trainer": {"accelerator": "gpu", "devices": 1024}, "batch_size": 1024}
    team, job = team_and_job(there, config)
    errors: list[str] = []
    with pytest.raises(SystemExit):
        run_follower(job, team, errors.append)
    message = Link(here).receive(5.0)
    assert message is not None
    assert message["end"] == "failed"
    assert errors == [message["error"]]
    assert message["error"].startswith("trainer.")
