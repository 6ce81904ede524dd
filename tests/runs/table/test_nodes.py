"""The column of nodes in the tables of bench.train and bench.serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.core.records.node import NodeFacts
from bench.core.records.run import RunRecord
from bench.serving.table import serve_tables
from bench.training.table import sweep_tables
from tests.cli.shown import assert_fits, rows_under_rule, shown
from tests.serving.test_table import record as served
from tests.training.test_table import record as trained
from tests.training.test_table import sweep_of_24

NOTE = "only with force=[host.name]"


def on(host: str | None, record: RunRecord) -> RunRecord:
    """The record as if it had been measured there; None if nothing is known of its host."""
    return replace(record, host={} if host is None else {"name": host})


def printed(hosts: Sequence[str | None], width: int = 1000) -> str:
    """The table of a run on each host, each of a configuration of its own."""
    runs = [([f"lr={num}"], on(host, trained(str(num)))) for num, host in enumerate(hosts)]
    return shown(sweep_tables, runs, width)


def test_runs_of_two_nodes_name_their_node_and_say_what_is_not_compared() -> None:
    text = printed(["node1", "node2", "node1"])
    assert [line.split()[:3] for line in rows_under_rule(text)[:3]] == [
        ["lr=0", "reached", "node1"],
        ["lr=1", "reached", "node2"],
        ["lr=2", "reached", "node1"],
    ]
    assert NOTE in text


@pytest.mark.parametrize("hosts", [["node1", "node1"], ["node1", None], [None, None]])
def test_runs_of_one_node_do_not(hosts: Sequence[str | None]) -> None:
    text = printed(hosts)
    assert "node" not in text


def test_a_run_of_an_unknown_node_has_an_empty_cell() -> None:
    rows = rows_under_rule(printed(["node1", "node2", None]))[:3]
    assert [line.split()[2] for line in rows] == ["node1", "node2", "4"]  # 4 s to the target


def test_repeats_of_two_nodes_name_both_and_more_are_counted() -> None:
    runs = [([f"seed={n}"], on(f"node{n + 1}", trained(seed=n))) for n in range(3)]
    assert " node1 node2 " in shown(sweep_tables, runs[:2])
    assert "3 nodes" in shown(sweep_tables, runs)


def test_trainings_over_several_nodes_name_all_of_theirs() -> None:
    def over(*hosts: str) -> RunRecord:
        nodes = [NodeFacts(node=n, host={"name": host}) for n, host in enumerate(hosts)]
        return replace(on(hosts[0], trained(hosts[-1])), nodes=nodes)

    def text(*runs: RunRecord) -> str:
        return shown(sweep_tables, [([f"lr={n}"], run) for n, run in enumerate(runs)])

    assert " node1 node2 " in text(over("node1", "node2"), on("node1", trained()))
    assert NOTE in text(over("node1", "node2"), over("node1", "node3"))
    assert "node" not in text(over("node1", "node2"), over("node2", "node1"))


def test_a_domain_that_all_nodes_share_is_left_out() -> None:
    assert "example" not in printed(["node1.example.org", "node2.example.org"])
    text = printed(["node1.a.org", "node1.b.org"])
    assert "node1.a.org" in text
    assert "node1.b.org" in text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_24_runs_of_two_nodes_fit(width: int) -> None:
    runs = [
        (overrides, on(f"bench-sweep-7f9c-{num % 2}-xk2p9", run))
        for num, (overrides, run) in enumerate(sweep_of_24())
    ]
    text = shown(sweep_tables, runs, width)
    assert_fits(text, width, ["missed", "reached", "0.887", "> 4", "node", "force=[host.name]"])
    assert sum("bench-s...-xk2p9" in line for line in text.splitlines()) == 24


@pytest.mark.parametrize("width", [80, 200])
def test_servings_have_the_column_too(width: int) -> None:
    runs = [([f"backend={num}"], on(f"node{num}", served(name=str(num)))) for num in (1, 2)]
    text = shown(serve_tables, runs, width)
    assert_fits(text, width, ["node1", "node2", "12.5"])
    assert NOTE in " ".join(text.split())
