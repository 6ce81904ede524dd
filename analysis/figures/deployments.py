"""What figures of maintained deployments share: the runs, their groups, and their order."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.figures.prepare import (
    NothingToDraw,
    are_comparable,
    counted_copy,
    joule_kinds,
    with_host,
    with_label_names,
)
from analysis.figures.quantities import cost_bases
from analysis.load.deployments import OFF_TARGET
from analysis.load.once import once
from analysis.load.values import column, numbers
from analysis.stats.deployments import stream_words
from analysis.stats.peers import Group, peer_groups
from bench.core.regret import ORACLE

NEVER_ON_TARGET = "never on target"


def deployment_peers(runs: DataFrame) -> list[Group]:
    """Group the deployments on one stream, on one kind of host, with one price."""
    more = {"stream": stream_words(runs), "price": cost_bases(runs)}
    return peer_groups(runs, only=column(runs, "maintenance.policy").notna(), more=more)


@once
def deployment_runs(runs: DataFrame) -> DataFrame:
    """Select the deployments that count and served their whole stream.

    Returns:
        The runs with `comparable`, `is_oracle`, `never_on_target` and `label`, how their joules
        were obtained; `configuration` names the label if there are several.

    Raises:
        NothingToDraw: There are none.
    """
    kept = counted_copy(runs[column(runs, "maintenance.policy").notna()])
    kept = kept[column(kept, "status").eq("ok")].copy()
    if kept.empty:
        raise NothingToDraw("no run of bench.maintain served its whole stream")
    kept["comparable"] = are_comparable(kept)
    kept["is_oracle"] = column(kept, "maintenance.policy").eq(ORACLE)
    kept["never_on_target"] = numbers(kept, "maintenance.on_target_frac").eq(0)
    kept["label"] = joule_kinds(kept).fillna("no joules").astype(str)
    return with_host(with_label_names(kept, joule_kinds(kept)))


def ranked_policies(runs: DataFrame) -> list[str]:
    """Rank configurations from best to worst: by the median share below the target, then errors.

    Args:
        runs: Of deployment_runs.
    """
    table = DataFrame(
        {
            "configuration": runs["configuration"].astype(str),
            "below": numbers(runs, OFF_TARGET),
            "excess": numbers(runs, "maintenance.excess_errors"),
        }
    )
    medians = table.groupby("configuration").median()
    return [str(name) for name in medians.sort_values(["below", "excess"], kind="stable").index]


def label_words(runs: DataFrame) -> str:
    """How the joules of these runs were obtained, for an axis."""
    labels = sorted(set(runs["label"]))
    return labels[0] if len(labels) == 1 else "by label"


def by_configuration(runs: DataFrame, values: Series) -> Series:
    """Medians of some values by configuration."""
    return values.groupby(runs["configuration"].astype(str)).median()
