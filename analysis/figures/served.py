"""The runs behind figures of quality, latency, throughput and energy of a prediction.

These are runs of bench.serve if there are any: latency with one query at a time, throughput with
all queries at once. Otherwise they are trainings, whose serving probe measures both in one run.
"""

from __future__ import annotations

from collections.abc import Sequence

from pandas import DataFrame, Series

from analysis.figures.entries import MAIN
from analysis.figures.prepare import NothingToDraw, are_comparable, serving_runs
from analysis.figures.tradeoff import data_tradeoff
from analysis.load.values import column
from analysis.stats.peer_keys import peer_keys
from analysis.stats.peers import Group, peer_groups
from analysis.stats.qualities import direction_of, main_qualities, main_values
from bench.core.quality_rows import TEST

# What two passes over the same served model share.
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
# Keys of a training that leave its network as it is.
_OF_TRAINING = tuple(
    f"{key}{end}"
    for key in ("batch_size", "lr", "lr_scaling", "optimizer", "schedule", "target", "budget")
    for end in ("=", ".")
)
_NAME = f"{MAIN}: name"
_THROUGHPUT = "serving.throughput_per_s"


def served_peers(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> list[Group]:
    """Group the runs of `serving_source`.

    Raises:
        NothingToDraw: There are none.
    """
    keys, runs = peer_keys(runs), with_main(runs)
    chosen, _ = serving_source(runs, (x, y))
    scenario = column(runs, "serving.scenario")
    if column(chosen, "serving.scenario").notna().any():
        return peer_groups(runs, only=scenario.notna(), ignore=["scenario"], keys=keys)
    probed = scenario.isna() & column(runs, "serving.num_requests").notna()
    return peer_groups(runs, only=probed, keys=keys)


def with_main(runs: DataFrame) -> DataFrame:
    """Add the value of each run's main quality on the test split, and its name."""
    if MAIN in runs:
        return runs
    return runs.assign(**{MAIN: main_values(runs), _NAME: main_qualities(runs)})


def _column_of(axis: str, runs: DataFrame) -> str:
    """The column that an axis shows: for MAIN, the quality that stands for most of the runs."""
    if axis != MAIN:
        return axis
    return f"{TEST}.{runs.loc[runs[MAIN].notna(), _NAME].mode().iloc[0]}"


def serving_source(runs: DataFrame, needed: Sequence[str]) -> tuple[DataFrame, str]:
    """Select the runs to draw, and describe them in a sentence.

    Args:
        runs: As loaded.
        needed: Columns that a run must have.

    Returns:
        Single-stream runs of bench.serve, with the throughput of the offline pass over the same
        model, backend and placement (missing if there is none); otherwise trainings with a probe.

    Raises:
        NothingToDraw: There is neither.
    """
    scenario = column(runs, "serving.scenario").astype(object)
    single = runs[scenario == "single_stream"].copy()
    if len(single):
        served = serving_runs(runs)
        offline = served[served["serving.scenario"] == "offline"]
        single[_THROUGHPUT] = _keys(single).map(_throughputs(offline)).astype("float64")
    if _has_all(single, needed):
        return single, "bench.serve: latency of single stream, throughput of offline."
    probed = runs[scenario.isna() & column(runs, "serving.num_requests").notna()]
    if not _has_all(probed, needed):
        raise NothingToDraw(f"no run has both {' and '.join(needed)} of serving")
    return probed, "From the probe at the end of the training: in the process, without a network."


def _has_all(runs: DataFrame, needed: Sequence[str]) -> bool:
    return bool(runs.reindex(columns=list(needed)).notna().all(axis=1).any())


def _keys(runs: DataFrame) -> Series:
    """One text per run that is equal for passes over the same served model."""
    parts = runs.reindex(columns=list(_SAME)).astype(object).fillna("").astype(str)
    return parts.agg("\n".join, axis=1) if len(parts) else Series("", index=runs.index)


def _throughputs(offline: DataFrame) -> dict[str, float]:
    values = column(offline, _THROUGHPUT).astype("float64")
    return {
        str(key): float(value) for key, value in values.groupby(_keys(offline)).median().items()
    }


def data_served_tradeoff(runs: DataFrame, *, x: str, y: str, area: str | None = None) -> DataFrame:
    """As tradeoff.data_tradeoff, for the runs of `serving_source`; an axis may be MAIN.

    Raises:
        NothingToDraw: There are none, or none has both metrics.
    """
    chosen, remark = serving_source(with_main(runs), (x, y))
    x, y = _column_of(x, chosen), _column_of(y, chosen)
    known = chosen[chosen.reindex(columns=[x, y]).notna().all(axis=1)]
    _, others, words = of_best_trainings(known)
    chosen = chosen[~chosen["configuration"].isin(others)]
    return data_tradeoff(chosen, x=x, y=y, area=area).assign(remark=f"{remark} {words}".strip())


def of_best_trainings(runs: DataFrame) -> tuple[DataFrame, set[str], str]:
    """Leave one training of each model, because to a latency they are the same.

    Args:
        runs: Of with_main, each with what the figure shows.

    Returns:
        The runs that are left, the configurations that are not, and a sentence about them.
    """
    others = set(runs["configuration"]) - set(best_trainings(runs))
    words = (
        "Configurations that differ only in their training are one model to a latency: the one"
        f" of the best quality that reached its target stands for them ({len(others)} others)."
    )
    return runs[~runs["configuration"].isin(others)], others, words if others else ""


def best_trainings(runs: DataFrame) -> list[str]:
    """Choose one configuration of each model: comparable, then on target, then the best in quality.

    Args:
        runs: Of with_main, each with what the figure shows.
    """
    reached = column(runs, "target.reached").where(
        column(runs, "serving.scenario").isna(), column(runs, "trained.reached")
    )
    signs = runs[_NAME].map(
        {
            name: -1.0 if direction_of(runs, f"{TEST}.{name}") == "min" else 1.0
            for name in runs.loc[runs[MAIN].notna(), _NAME].unique()
        }
    )
    table = DataFrame(
        {
            "configuration": runs["configuration"],
            "comparable": are_comparable(runs),
            "reached": reached.eq(True).astype(float),
            "quality": runs[MAIN] * signs,
        }
    )
    groups = table.groupby("configuration")
    ranks = DataFrame(
        {
            "comparable": groups["comparable"].any(),
            "reached": groups["reached"].mean() > 0.5,
            "quality": groups["quality"].median(),
        }
    ).sort_values(["comparable", "reached", "quality"], ascending=False, kind="stable")
    return [str(name) for name in ranks.index[~ranks.index.map(_model_of).duplicated()]]


def _model_of(configuration: str) -> str:
    """A configuration without the keys that only its training has."""
    parts = configuration.split(" ")
    return " ".join(part for part in parts if not part.startswith(_OF_TRAINING))
