"""The runs that accuracy, latency, throughput and energy of a prediction are compared over.

Of bench.serve where it was run: latency with one query at a time, throughput with all at once.
Else of the probe at the end of a training, which measures both in one run.
"""

from __future__ import annotations

from collections.abc import Sequence

from pandas import DataFrame, Series

from analysis.figures.prepare import NothingToDraw, serving_runs
from analysis.figures.tradeoff import data_tradeoff
from analysis.load.values import column
from analysis.stats.peers import Group, peer_groups

# What two passes over the same served model have in common.
_SAME = (
    "trained.run_id",
    "serving.backend",
    "serving.runtime",
    "serving.device",
    "serving.num_threads",
    "compression.method",
    "placement.name",
    "host.cpu_name",
)
_THROUGHPUT = "serving.throughput_per_s"


def served_peers(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> list[Group]:
    """The runs of `comparable_runs` in groups that may be compared.

    Raises:
        NothingToDraw: There are none.
    """
    chosen, _ = comparable_runs(runs, (x, y))
    scenario = column(runs, "serving.scenario")
    if column(chosen, "serving.scenario").notna().any():
        return peer_groups(runs, only=scenario.notna(), ignore=["scenario"])
    return peer_groups(runs, only=scenario.isna() & column(runs, "serving.num_requests").notna())


def comparable_runs(runs: DataFrame, needed: Sequence[str]) -> tuple[DataFrame, str]:
    """The runs to compare, and what to say about them.

    Args:
        runs: As loaded.
        needed: Columns that a run must have.

    Returns:
        Runs of bench.serve, single stream, with the throughput of the offline pass over the same
        model, backend and place (missing where there was none); else the trainings with a probe.

    Raises:
        NothingToDraw: There is neither.
    """
    scenario = column(runs, "serving.scenario").astype(object)
    alone = runs[scenario == "single_stream"].copy()
    if len(alone):
        served = serving_runs(runs)
        offline = served[served["serving.scenario"] == "offline"]
        alone[_THROUGHPUT] = _key(alone).map(_throughputs(offline)).astype("float64")
    if _has(alone, needed):
        return alone, "bench.serve: latency of single stream, throughput of offline."
    probed = runs[scenario.isna() & column(runs, "serving.num_requests").notna()]
    if not _has(probed, needed):
        raise NothingToDraw(f"no run served its model with both of {' and '.join(needed)}")
    return probed, "Probe at the end of the training: in the process, no network."


def _has(runs: DataFrame, needed: Sequence[str]) -> bool:
    whole = Series(True, index=runs.index)
    for name in needed:
        whole &= column(runs, name).notna()
    return bool(whole.any())


def _key(runs: DataFrame) -> Series:
    parts = [column(runs, name).astype(object).fillna("").astype(str) for name in _SAME]
    key = parts[0]
    for part in parts[1:]:
        key = key + "\n" + part
    return key


def _throughputs(offline: DataFrame) -> dict[str, float]:
    values = column(offline, _THROUGHPUT).astype("float64")
    return {str(key): float(value) for key, value in values.groupby(_key(offline)).median().items()}


def data_served_tradeoff(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> DataFrame:
    """As tradeoff.data_tradeoff, of the runs that can be compared in serving.

    Raises:
        NothingToDraw: There are none, or none has both metrics.
    """
    chosen, remark = comparable_runs(runs, (x, y))
    return data_tradeoff(chosen, x=x, y=y, area=area).assign(remark=remark)
