"""Which joules of the runs may be used, and what the money of a run pays for."""

from __future__ import annotations

from collections import Counter

from pandas import DataFrame, Series

from analysis.load.records import ENERGY_ROW_FLAGS
from analysis.load.values import column, numbers
from bench.core.labels import ENERGY_FLAGS
from bench.core.metric import MONEY
from bench.core.metrics import METRICS
from bench.core.price import PRICES, known_basis
from bench.core.records.phases import MAINTENANCE_PHASES

COST_BASIS = "cost_basis"
GRID = "grid"
ELECTRICITY = "electricity"
_PREFIX = "phase_energy."  # all of its columns are joules, or derived from them
_OF_RUN = (
    "energy_total_j",
    "target.energy_to_target_j",
    "target.censored_at_j",
    "serving.energy_per_prediction_j",
)
_JOULES = (
    *(metric.path for metric in METRICS.values() if metric.joules and metric.unit != MONEY),
    "energy_total_j",
    "energy_label",
    "energy_error_frac",
    "energy_components",
    "idle.net_energy_j",
    "idle.net_error_frac",
    "target.energy_to_target_error_frac",
    "target.censored_at_j",
    "recipe.total_energy_to_target_j",
    "recipe.total_energy_label",
    "recipe.total_emissions_to_target_gco2e",
    "serving.energy_per_prediction_label",
    "serving.energy_per_prediction_error_frac",
    "serving.energy_components",
)
_MONEY = (
    *(metric.path for metric in METRICS.values() if metric.joules and metric.unit == MONEY),
    "recipe.total_cost_to_target_usd",
)
# Columns of the long frames: joules up to an evaluation, to a rung, of a window, of an event.
_LONG = ("energy_total_j", "energy_label", "energy_error_frac", "eval_energy_j")
_OF_WINDOWS = tuple(f"{phase}_j" for phase in MAINTENANCE_PHASES)
_LONG_COLUMNS = (*_LONG, "checkpoint_energy_j", "energy_j", *_OF_WINDOWS)


def doubtful(runs: DataFrame) -> Series:
    """Whether a health flag speaks against the joules of a run, so that none of them are used."""
    flags = runs["health.flags"].astype(object).fillna("").str.split(",")
    return flags.map(lambda names: bool(set(names) & set(ENERGY_FLAGS))).astype(bool)


def joules_in_doubt(runs: DataFrame) -> Series:
    """Whether the joules of a run are shown with their bound but decide no comparison."""
    if ENERGY_ROW_FLAGS not in runs:  # as in a frame that a caller made from other columns
        return Series(False, index=runs.index)
    return runs[ENERGY_ROW_FLAGS].fillna("").ne("").astype(bool)


def without_doubtful(runs: DataFrame) -> DataFrame:
    """Remove the joules that cannot be used, and what was derived from them.

    All joules of a run go if a health flag speaks against them: a run without those of its GPU
    would look like a saving. 0 J goes too: older versions recorded it for a counter that stood
    still. Money for rent alone stays.

    Args:
        runs: One row per run, with cost_basis.
    """
    flagged = doubtful(runs) | (runs[list(_OF_RUN)] == 0).any(axis=1)
    if not flagged.any():
        return runs
    joules = [str(name) for name in runs if name in _JOULES or str(name).startswith(_PREFIX)]
    runs = runs.copy()
    runs[joules] = runs[joules].mask(flagged)
    metered = flagged & runs[COST_BASIS].str.contains(ELECTRICITY).eq(True)
    runs[list(_MONEY)] = runs[list(_MONEY)].mask(metered)
    return runs


def long_without_doubtful(rows: DataFrame, runs: DataFrame) -> DataFrame:
    """Do the same for a long frame: rows with `run_id`, of some of the runs."""
    flagged = rows["run_id"].isin(runs["run_id"][doubtful(runs)])
    if not flagged.any():
        return rows
    joules = [name for name in rows if name in _LONG_COLUMNS]
    return rows.assign(**{str(name): rows[name].mask(flagged) for name in joules})


def cost_bases(runs: DataFrame) -> Series:
    """What the money of each run pays for, by the prices in its configuration; None without any.

    If runs of one basis have different prices, the texts include the price: their amounts differ
    for the same time, so they must not be mixed.

    Source: docs/metrics.md, "Cost and emissions".
    """
    prices = DataFrame({name: numbers(runs, f"config.price.{name}") for name in PRICES})
    pairs = list(
        prices.astype(object).where(prices.notna(), None).itertuples(index=False, name=None)
    )
    known = {pair: known_basis(dict(zip(PRICES, pair, strict=True))) for pair in set(pairs)}
    bases = Counter(basis for basis in known.values() if basis is not None)
    texts = {
        pair: f"{basis} at {_rates(pair)}" if basis and bases[basis] > 1 else basis
        for pair, basis in known.items()
    }
    return Series([texts[pair] for pair in pairs], index=runs.index, dtype=object)


def _rates(pair: tuple[float | None, ...]) -> str:
    rates = zip(pair, PRICES.values(), strict=True)
    return " and ".join(f"{rate:g} {unit}" for rate, unit in rates if rate is not None)


def grids(runs: DataFrame) -> Series:
    """The country of the grid behind each run's emissions; empty if there is only one country."""
    countries = column(runs, "config.grid.country_iso_code").astype(object)
    if countries.nunique() < 2:
        return Series("", index=runs.index, dtype=object)
    return countries.where(countries.notna(), "").astype(str)
