"""Where the runs of a table were measured, as soon as that is more than one machine."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.printable import printable
from bench.core.records.run import RunRecord
from bench.runs.table.columns import Column, shortened
from bench.runs.table.groups import Group

_LONGEST = 16  # characters of a cell: names of pods and of cloud machines would fill a line
_NOTE = (
    "The runs are from several nodes, and even nodes of one kind differ: bench.compare compares "
    "times of different nodes only with force=[host.name]."
)


def node_columns(groups: Sequence[Group]) -> list[Column]:
    """Make the column of the nodes of each configuration; none if all runs were on the same."""
    runs = [run for group in groups for run in group.runs]
    if not _differ(runs):
        return []
    hosts = _hosts(runs)
    short = {name: name.partition(".")[0] for name in hosts}
    if len(set(short.values())) < len(hosts):  # only the domain tells them apart
        short = {name: name for name in hosts}
    cells = [_cell([short[name] for name in _hosts(group.runs)]) for group in groups]
    return [Column(heading="node", cells=cells, rank=1, is_text=True)]


def _cell(names: Sequence[str]) -> str:
    """The names if they are short, else their number; of a single long one its ends."""
    text = " ".join(shortened(printable(name), _LONGEST) for name in names)
    return text if len(text) <= _LONGEST else f"{len(names)} nodes"


def node_notes(records: Sequence[RunRecord]) -> list[str]:
    """Say that times of several nodes are not compared as they are; nothing if there is one."""
    return [_NOTE] if _differ(records) else []


def _differ(records: Sequence[RunRecord]) -> bool:
    """Whether runs were measured on different nodes, or on different sets of nodes."""
    return len({tuple(names) for run in records if (names := _hosts([run]))}) > 1


def _hosts(records: Sequence[RunRecord]) -> list[str]:
    """The names of the hosts, in alphabetical order, as far as records hold them."""
    hosts = [host for run in records for host in (run.host, *(node.host for node in run.nodes))]
    return sorted({str(host["name"]) for host in hosts if host.get("name")})
