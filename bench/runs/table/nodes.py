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
    """Make the column of the nodes of each configuration; none if there is only one node."""
    hosts = _hosts([run for group in groups for run in group.runs])
    if len(hosts) < 2:
        return []
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
    return [_NOTE] if len(_hosts(records)) > 1 else []


def _hosts(records: Sequence[RunRecord]) -> list[str]:
    """The names of the hosts, in alphabetical order, as far as records hold them."""
    return sorted({str(run.host["name"]) for run in records if run.host.get("name")})
