"""Which deployments met the same stream, and what tells their streams apart."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.load.records import STREAM
from analysis.load.values import column, numbers
from analysis.stats.outcomes import money_usd
from bench.core.differing import differing_keys, texts_of
from bench.core.identity import UNHASHED
from bench.core.regret import OF_POLICY

_NEVER = (*OF_POLICY, *UNHASHED)
_SHORT_HASH = 6
# Parts of the cost of a deployment, from the phases that it needs besides serving.
_PHASES = {"retrain": "retraining", "detect": "detection", "decide": "decisions"}
_PHASES |= {"promote": "promotion"}
SET_UP, LABELS, PEOPLE = "set-up of retraining", "labels", "people"


def stream_words(runs: DataFrame) -> Series:
    """What tells the stream of each deployment from those of the others; empty without others.

    Args:
        runs: Of load_runs.
    """
    words = Series("", index=runs.index, dtype=object)
    hashes = column(runs, STREAM).astype(object)
    deployed = runs[hashes.notna()]
    if hashes.nunique() < 2:
        return words
    texts = texts_of(deployed, differing_keys(deployed, _NEVER))
    several = hashes[deployed.index].groupby(texts).transform("nunique") > 1
    # Streams of equal words differ in something that has none, such as a price.
    marks = (" #" + hashes[deployed.index].str[:_SHORT_HASH]).where(several, "")
    words[deployed.index] = (texts + marks).str.strip()
    return words


def cost_parts(runs: DataFrame) -> DataFrame:
    """Divide the cost of each deployment: a column in dollars for each part, by the runs' index.

    Nobody meters the set-up of a retraining: it has the share of the retraining's cost that it has
    of its time.

    Args:
        runs: Of load_runs, deployments only. A part is missing if its joules are charged and
            unknown.
    """
    parts: dict[str, Series] = {}
    for phase, name in _PHASES.items():
        time_s = numbers(runs, f"phases.{phase}_s").fillna(0.0)
        parts[name] = money_usd(runs, time_s, numbers(runs, f"phase_energy.{phase}_j"))
    retrain_s = numbers(runs, "phases.retrain_s")
    share = (numbers(runs, "maintenance.retrain_init_s") / retrain_s.where(retrain_s > 0)).fillna(0)
    set_up = parts["retraining"] * share
    labels = numbers(runs, "maintenance.labels_cost_usd").fillna(0.0)
    per_hour = numbers(runs, "config.retrain.usd_per_person_hour").fillna(0.0)
    people = numbers(runs, "maintenance.manual_hours").fillna(0.0) * per_hour
    return DataFrame(
        {SET_UP: set_up, **parts, "retraining": parts["retraining"] - set_up}
        | {LABELS: labels, PEOPLE: people},
        index=runs.index,
    )


def total_usd(runs: DataFrame) -> Series:
    """Upkeep and errors of each deployment, at the price of an error in its configuration."""
    errors = numbers(runs, "maintenance.num_errors")
    price_usd = numbers(runs, "config.error_price_usd").fillna(0.0)
    return numbers(runs, "maintenance.cost_usd") + errors * price_usd
