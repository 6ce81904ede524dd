from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.gate.model import Problem
from bench.gate.run.noise import add_noise
from bench.gate.sides.noise import floor_of, read_noise, spread_of
from bench.gate.sides.side import Side
from tests.gate.made import HASH, made_run, made_side, side_of


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def times(values: list[float], name: str = "a", **fields: Any) -> Side:
    return made_side({"time_to_target_s": values}, name=name, **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "noise.json"


def test_equal_values_have_no_floor_and_no_spread() -> None:
    assert floor_of([2.0] * 10) == 0.0
    assert spread_of([2.0] * 10) == 0.0


def test_a_single_value_has_no_floor() -> None:
    assert floor_of([]) == 0.0
    assert floor_of([1.0]) == 0.0


def test_the_floor_of_two_values_is_their_larger_ratio() -> None:
    """Groups of one: the draws are 1.1 / 1 (off by 0.1) and 1 / 1.1 (off by 0.0909)."""
    assert floor_of([1.0, 1.1]) == pytest.approx(0.1)


def test_the_floor_of_normal_noise_is_what_theory_says() -> None:
    """Medians of 5 of a normal distribution have a standard deviation of 0.536 sigma (its exact
    value, David and Nagaraja, Order Statistics: variance 0.2868), two of them differ by sqrt(2)
    times that, and 95% of differences lie within 1.96 of these: 1.96 * 1.414 * 0.536 = 1.484 sigma.
    """
    sigma = 0.01
    floor = floor_of((1 + sigma * rng().normal(size=400)).tolist())
    assert floor == pytest.approx(1.484 * sigma, rel=0.1)


def test_the_spread_of_normal_noise_is_its_standard_deviation() -> None:
    values = 5 * (1 + 0.02 * rng().normal(size=4000))
    assert spread_of(values.tolist()) == pytest.approx(0.02, rel=0.05)


def test_an_outlier_hardly_moves_the_spread() -> None:
    """Median 1.0 of 0.98 0.99 1.0 1.01 9; deviations 0.02 0.01 0 0.01 8, of which the median is
    0.01."""
    assert spread_of([0.98, 0.99, 1.0, 1.01, 9.0]) == pytest.approx(1.4826 * 0.01)


def test_a_floor_is_the_same_each_time() -> None:
    values = rng().lognormal(0, 0.1, 12).tolist()
    assert floor_of(values) == floor_of(values)


def test_zeros_among_other_values_have_an_infinite_floor() -> None:
    assert floor_of([0.0, 0.0, 1.0, 1.0]) == math.inf
    assert spread_of([0.0, 0.0, 0.0, 1.0]) == 0.0
    assert spread_of([-1.0, 0.0, 1.0]) == math.inf


def test_a_session_is_added_and_read(path: Path) -> None:
    (row,) = add_noise(path, times([1.0, 1.1]), times([1.0, 1.1], "b"))
    assert (row.configuration, row.metric) == ("train Mlp digits batch_size=32", "time_to_target_s")
    assert (row.kind, row.num_runs, row.demoted) == ("measured", 4, False)
    # The median is 1.05, and each value is 0.05 away from it.
    assert row.spread_frac == pytest.approx(1.4826 * 0.05 / 1.05)
    # Groups of two of 1, 1, 1.1, 1.1: both medians are 1.05 in 2/3 of the draws, and in 1/6 each
    # 1 and 1.1 or the other way round: the 95th percentile is 1.1 / 1 - 1.
    assert row.floor_frac == pytest.approx(0.1)
    known = read_noise(path).find(made_run())
    assert known is not None
    assert known.floor_frac("time_to_target_s") == pytest.approx(0.1)
    assert known.floor_frac("init_s") == 0.0
    assert not known.is_demoted("time_to_target_s")


def test_the_noisiest_session_counts(path: Path) -> None:
    for apart in (1.02, 1.3, 1.01):
        (row,) = add_noise(path, times([1.0]), times([apart]))
    assert row.floor_frac == pytest.approx(0.3)
    assert row.num_runs == 2
    assert row.spread_frac == pytest.approx(1.4826 * 0.005 / 1.005)  # of the last one alone
    (host,) = json.loads(path.read_text())["hosts"]
    (configuration,) = host["configurations"]
    assert [s["metrics"]["time_to_target_s"]["second"] for s in configuration["sessions"]] == [
        [1.02],
        [1.3],
        [1.01],
    ]


def test_floors_are_of_a_kind_of_host_and_a_configuration(path: Path) -> None:
    add_noise(path, times([1.0]), times([1.5]))
    add_noise(path, *(times([v], facts={"host.num_cpus_allowed": 64}) for v in (1.0, 1.1)))
    noise = read_noise(path)

    def floor(facts: dict[str, Any], config_hash: str = HASH) -> float | None:
        known = noise.find(made_run(facts=facts, config_hash=config_hash))
        return None if known is None else known.floor_frac("time_to_target_s")

    assert floor({}) == pytest.approx(0.5)
    assert floor({"host.name": "a twin"}) == pytest.approx(0.5)
    assert floor({"host.num_cpus_allowed": 64}) == pytest.approx(0.1)
    assert floor({"host.gpus": ["Made GPU"]}) is None
    assert floor({}, "f" * 12) is None


def test_what_differs_between_seeds_is_no_noise(path: Path) -> None:
    def side(apart: float) -> Side:
        return side_of(
            [
                made_run(seed=seed, values={"samples_to_target": 1000.0 * (1 + seed) + apart})
                for seed in range(3)
            ]
        )

    (row,) = add_noise(path, side(0), side(0))
    assert (row.floor_frac, row.demoted, row.num_runs) == (0.0, False, 6)
    (row,) = add_noise(path, side(0), side(100))
    assert row.demoted
    assert row.floor_frac == pytest.approx(0.1)  # of seed 0: 1000 and 1100


def test_a_measured_metric_is_not_demoted(path: Path) -> None:
    (row,) = add_noise(path, times([1.0]), times([1.5]))
    assert not row.demoted


def test_misses_modelled_joules_and_incomparable_runs_are_left_out(path: Path) -> None:
    values = {"time_to_target_s": [1.0, math.inf], "energy_per_sample_j": [1.0, 2.0]}
    side = made_side(values, modelled=["energy_per_sample_j"])
    (row,) = add_noise(path, side, side)
    assert (row.metric, row.num_runs) == ("time_to_target_s", 2)
    with pytest.raises(
        ValueError, match="a and b: no comparable runs of one configuration on both sides"
    ):
        add_noise(path, times([1.0]), times([1.0], "b", comparable=False))
    with pytest.raises(ValueError, match="no comparable runs of one configuration on both sides"):
        add_noise(path, times([1.0]), times([1.0], "b", invalid=["p99 over the bound"]))


def test_runs_of_different_kinds_of_host_are_refused(path: Path) -> None:
    other = times([1.0], facts={"host.cpu_name": "Other"})
    with pytest.raises(ValueError, match=r"are of different kinds of host .*measure noise on one"):
        add_noise(path, times([1.0]), other)
    assert not path.exists()


def test_a_failed_run_is_no_noise(path: Path) -> None:
    failed = Problem(kind="failed", message="x ended as killed", exit_code=5)
    side = Side(name="a", runs=times([1.0]).runs, problems=[failed])
    with pytest.raises(ValueError, match="a: x ended as killed"):
        add_noise(path, side, times([1.0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a file of noise floors, or cut"),
        (
            '{"kind": "perf baseline", "format": 1}',
            "not a file of noise floors; python -m bench.noise",
        ),
        ('{"kind": "noise floors", "format": 9}', "format 9 is newer"),
        ('{"kind": "noise floors", "format": 1, "hosts": [{}]}', "hosts.0.host: Field required"),
    ],
)
def test_a_file_of_another_kind_is_reported_and_kept(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"noise\.json: {message}"):
        read_noise(path)
    with pytest.raises(ValueError, match=message):
        add_noise(path, times([1.0]), times([1.0]))
    assert path.read_text() == text


def test_a_missing_file_is_reported(path: Path) -> None:
    with pytest.raises(ValueError, match=r"noise\.json: cannot be read .*bench.noise writes"):
        read_noise(path)


def test_floors_are_of_servers_and_not_of_their_runs(path: Path) -> None:
    """Two servers a side with the medians 1, 2 and 1, 3: the runs of each hardly differ."""
    first = times([1.0, 1.01, 0.99, 2.0, 2.01, 1.99])
    second = times([1.0, 1.01, 0.99, 3.0, 3.01, 2.99])
    (row,) = add_noise(path, first, second, runs_per_server=3)
    assert row.num_runs == 4
    (session,) = json.loads(path.read_text())["hosts"][0]["configurations"][0]["sessions"]
    assert session["metrics"]["time_to_target_s"] == {"first": [1.0, 2.0], "second": [1.0, 3.0]}
