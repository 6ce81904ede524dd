"""Where the page's numbers come from: hosts, systems and revisions."""

from __future__ import annotations

from typing import Any

from pandas import DataFrame

from analysis.load.values import column
from analysis.page.rows import plain
from analysis.stats.outcomes import hosts

# Facts about the origin of the numbers, for each host and revision among the runs.
_PROVENANCE = {
    "host.cpu_name": "processor",
    "host.num_cpus": "CPUs",
    "host.memory_bytes": "memory (bytes)",
    "host.os": "system",
    "host.python": "Python",
    "host.libraries.torch": "torch",
    "host.git_commit": "revision",
    "host.git_dirty": "changed since",
    "schema_version": "schema",
}


def provenance(runs: DataFrame) -> list[dict[str, Any]]:
    """Each combination of host and revision, and the number of its runs."""
    facts = DataFrame({title: column(runs, name) for name, title in _PROVENANCE.items()})
    # Texts, because groupby leaves out rows with a missing key.
    texts = facts.astype(object).where(facts.notna(), "not recorded").map(_text)
    texts["host"] = hosts(runs)
    texts = texts.drop(columns="processor")
    names = ["host", *texts.columns.drop("host")]
    grouped = texts.groupby(names, sort=True).size().reset_index(name="num_runs")
    return [
        {
            "facts": [(str(name), str(row[name])) for name in names],
            "num_runs": int(row["num_runs"]),
        }
        for row in grouped.to_dict("records")
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(plain(value))
