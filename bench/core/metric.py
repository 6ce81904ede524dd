"""What is known of a measured quantity: its name, its unit, and which direction is better.

The quantities themselves are the rows of bench/core/metrics.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["min", "max"]
# exact: equal whenever the same work is done; measured: a difference needs evidence.
Kind = Literal["exact", "measured"]
# What a run spends until it reaches its target, or until it ends without reaching it.
Quantity = Literal["time_s", "energy_j", "cost_usd", "samples"]
Topic = Literal[
    "time",
    "energy",
    "factors",
    "cost",
    "quality",
    "utilization",
    "serving",
    "serving_cost",
    "maintenance",
    "program",
]

MONEY, CARBON = "USD", "g CO2e"
# How names end, longest ending first, and the unit that it stands for.
_UNITS = (
    ("_mbit_per_s", "Mbit/s"),
    ("_gco2e", CARBON),
    ("_per_s", "1/s"),
    ("_bytes", "bytes"),
    ("_frac", "fraction"),
    ("_usd", MONEY),
    ("_ms", "ms"),
    ("_mhz", "MHz"),
    ("_hz", "Hz"),
    ("_pct", "%"),
    ("_s", "s"),
    ("_j", "J"),
    ("_w", "W"),
    ("_c", "°C"),
)
# Least effect of a quantity that sums over many steps of a training.
SUM_EFFECT_FRAC = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Joules:
    """Where a record says how joules were obtained, and which components they cover.

    Both are names of facts in the gate (bench/gate/sides/facts.py) and of columns in analysis.
    """

    label: str
    components: str

    @property
    def facts(self) -> tuple[str, str]:
        """Both names."""
        return self.label, self.components


ON_THE_CLOCK = Joules(label="energy_label", components="energy_components")
PER_PREDICTION = Joules(
    label="serving.energy_per_prediction_label", components="serving.energy_components"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measured quantity.

    Attributes:
        path: Place in the record, dotted.
        name: Unique; `metrics=` and `min_effect.NAME=` of the gate take it.
        title: In words, without its unit.
        heading: The title above a column of a table, where a shorter one is clear.
        short: The title above a column in the terminal, where a still shorter one is clear.
        unit: Of the record; empty for a count.
        shown: Unit of tables, and how many of it are one unit of the record.
        better: Direction; None if neither more nor less is better.
        kind: How the gate compares it; None if it does not.
        least_effect_frac: The smallest difference that matters, as a share of the value; 0 if any
            does. The gate ignores smaller losses, and smaller differences decide no Pareto front.
        least_effect_abs: The same in the unit of the record, for the gate, where a loss must reach
            both to count.
        rounding_frac: Values that differ by no more than this share are equal.
        lower: Smallest possible value.
        censored_by: What a run that missed its target has spent instead; None if the quantity is
            not a cost of reaching the target.
        restarts: Title of the expected amount until the target with restarts; empty for none.
        topics: Tables of analysis.report that have it.
        joules: For joules and what is derived from them, where the record describes them.
        error: Path of the bound of the systematic error, as a share.
        part: For joules of one part of the machine, its name, such as `gpu`.
        part_of: For joules of one part, the name of the total that they belong to.
    """

    path: str
    name: str
    title: str
    heading: str
    short: str
    unit: str
    shown: tuple[str, float]
    better: Better | None
    kind: Kind | None = None
    least_effect_frac: float = SUM_EFFECT_FRAC
    least_effect_abs: float = 0.0
    rounding_frac: float = 0.0
    lower: float = 0.0
    censored_by: Quantity | None = None
    restarts: str = ""
    topics: tuple[Topic, ...] = ()
    joules: Joules | None = None
    error: str | None = None
    part: str | None = None
    part_of: str | None = None

    @property
    def direction(self) -> Better:
        """Which direction is better, for a quantity that is ranked.

        Raises:
            ValueError: Neither direction is better.
        """
        if self.better is None:
            raise ValueError(f"{self.path}: neither more nor less of it is better")
        return self.better

    def least_loss_frac(self, base: float) -> float:
        """The smallest loss that counts, as a share of the base."""
        of_base = self.least_effect_abs / abs(base) if base else 0.0
        return max(self.least_effect_frac, of_base)

    @property
    def axis_label(self) -> str:
        """Title and unit of the record, for an axis: `latency p90 (ms)`."""
        return with_unit(self.title, self.unit)

    @property
    def column_heading(self) -> str:
        """Heading and displayed unit, for a table: `p90 (ms)`."""
        return with_unit(self.heading, self.shown[0])


def with_unit(title: str, unit: str) -> str:
    """Add the unit in parentheses to a title, if there is a unit."""
    return f"{title} ({unit})" if unit else title


def words_and_unit(name: str) -> tuple[str, str]:
    """Split a name into words and the unit that it ends in: `init` and `s` for `init_s`."""
    for ending, unit in _UNITS:
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " "), unit
    return name.replace("_", " "), ""


def metric_of(path: str, better: Better | None, **facts: Any) -> Metric:
    """Make a metric; what is not given follows from the end of its path, such as `init_s`.

    Args:
        path: Dotted place in the record.
        better: Direction.
        facts: Other attributes of Metric.
    """
    leaf = path.rpartition(".")[2]
    words, unit = words_and_unit(leaf)
    title = facts.get("title", words)
    heading = facts.get("heading", title)
    unit = facts.get("unit", unit)
    defaults = {"name": leaf, "title": title, "heading": heading, "short": heading}
    defaults |= {"unit": unit, "shown": (unit, 1.0)}
    return Metric(path=path, better=better, **(defaults | facts))


def exact_row(path: str, **facts: Any) -> Metric:
    """A number that is equal whenever the same work is done; less is better by default."""
    better = facts.pop("better", "min")
    return metric_of(path, better, **({"kind": "exact", "least_effect_frac": 0.0} | facts))


def measured_row(path: str, least_effect_frac: float, **facts: Any) -> Metric:
    """A number of which a difference needs evidence; less is better by default."""
    better = facts.pop("better", "min")
    return metric_of(path, better, kind="measured", least_effect_frac=least_effect_frac, **facts)


def shown_rows(better: Better | None, prefix: str, *leaves: str, **facts: Any) -> list[Metric]:
    """Numbers that the gate does not judge; their name is the whole path."""
    paths = [f"{prefix}{leaf}" for leaf in leaves]
    return [metric_of(path, better, **({"name": path} | facts)) for path in paths]
