"""The sentences at the head of the page."""

from __future__ import annotations

import re
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load.runs import Loaded, load_runs
from analysis.page.findings import finding_words
from analysis.page.losses import losses
from analysis.page.summary_parts import read_words
from analysis.stats.summary import summarise
from tests.analysis.made import SWEEP_START, Made, make_run, make_sweep

TIME, ACCURACY, LATENCY = (
    "target.time_to_target_s",
    "quality_test.accuracy",
    "serving.latency_p90_ms",
)


def words_of(loaded: Loaded) -> str:
    summary = summarise(loaded.runs)
    first = read_words(loaded.runs, loaded.unread, loaded.num_not_started)
    parts = [first, *finding_words(loaded.runs, summary)]
    lines = [" ".join([part.heading, *part.sentences]) for part in parts]
    rows = [" | ".join(astuple(row)) for part in parts for row in part.findings]
    return "\n".join([*lines, *rows])


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Two batch sizes with eight seeds that all hit."""
    results = tmp_path_factory.mktemp("eight")
    make_sweep(results, batch_sizes=(64, 512), seeds=range(8), base=Made(outcome="hit"))
    return load_runs([results])


@pytest.fixture(scope="module")
def words_of_eight(eight: Loaded) -> str:
    return words_of(eight)


def test_the_winner_is_shown_with_n_interval_and_evidence(
    eight: Loaded, words_of_eight: str
) -> None:
    time_s = eight.runs.groupby("config.batch_size")[TIME]
    best = time_s.median().idxmin()
    assert re.search(
        rf"time \| batch_size={best} \| [\d.]+ \[[\d.]+, [\d.]+\] s \| 8 of 8 \| batch_size=",
        words_of_eight,
    )
    # All eight of the one before all eight of the other.
    assert time_s.max().min() < time_s.min().max()
    assert re.search(r" \| significant, p = 0\.00\d+ \| ", words_of_eight)


def test_configurations_with_incomparable_runs_are_not_ranked(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(64,), seeds=range(6), base=Made(outcome="hit"))
    busy = Made(outcome="hit", flags=("other_load",), start=SWEEP_START + timedelta(hours=1))
    make_sweep(tmp_path, batch_sizes=(512,), seeds=range(6), base=busy)
    words = words_of(load_runs([tmp_path]))
    assert "Not ranked, since some of their runs are incomparable: batch_size=512." in words
    assert "time | batch_size=64 |" in words
    assert "| nothing to compare with |" in words


def test_modelled_joules_are_not_tested(eight: Loaded, words_of_eight: str) -> None:
    assert words_of_eight.count("not tested: joules that nothing measured cannot rank") == 2
    summary = summarise(eight.runs)
    assert not summary.loc[summary["label"].notna(), "best"].any()


def test_few_runs_have_a_range_and_are_not_tested(tmp_path: Path) -> None:
    """Two against two reach 1/6 at best, twice that for the choice of the best."""
    make_sweep(tmp_path, batch_sizes=(64, 256), seeds=range(2), base=Made(outcome="hit"))
    words = words_of(load_runs([tmp_path]))
    assert re.search(r"\| [\d.]+ \([\d.]+ to [\d.]+\) s \| 2 of 2 \|", words)
    assert "not tested: too few comparable runs" in words


def test_runs_that_count_nowhere_are_mentioned(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(64,), seeds=range(3), interrupted=[1])
    make_run(tmp_path, Made(batch_size=64, seed=0, start=Made().start.replace(hour=12)))
    waiting = make_run(tmp_path, Made(batch_size=64, seed=7, outcome="interrupted"))
    for name in ("log.txt", "curve.jsonl", "telemetry.parquet"):
        (waiting / name).unlink()
    words = words_of(load_runs([tmp_path]))
    assert "4 trainings of" in words
    assert "2 reached their target, 0 missed it, 0 failed" in words
    assert "measured again later, and only in the cost of the search: 2 runs." in words
    assert "Interrupted before the start, and counted nowhere: 1 run." in words


def test_each_target_has_its_own_part_and_the_sign_of_its_direction(tmp_path: Path) -> None:
    for target in (0.6, 0.93):
        make_sweep(tmp_path, batch_sizes=[32], seeds=range(3), base=Made(target=target))
    loaded = load_runs([tmp_path])
    words = words_of(loaded)
    assert "accuracy ≥ 0.6 (rule first) on Made CPU" in words
    assert "accuracy ≥ 0.93 (rule first) on Made CPU" in words
    assert words.count("nothing to compare with") >= 2
    runs = loaded.runs.assign(**{"target.metric": "loss", "target.mode": "min"})
    assert "loss ≤ 0.6" in words_of(Loaded(runs=runs, unread=loaded.unread))


def test_targets_that_differ_in_their_data_have_headings_of_their_own(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32, 64], seeds=range(2), base=Made(outcome="hit"))
    runs = load_runs([tmp_path]).runs
    runs["config.data._target_"] = np.where(
        runs["configuration"] == "batch_size=32", "bench.tasks.data.digits", "my.data.Mnist"
    )
    words = words_of(Loaded(runs=runs, unread=pd.DataFrame(columns=["folder", "reason"])))
    assert "on Made CPU: digits" in words
    assert "on Made CPU: Mnist" in words


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    results = tmp_path_factory.mktemp("three")
    make_sweep(results, batch_sizes=(16, 64), seeds=range(3), base=Made(outcome="hit"))
    return load_runs([results]).runs


def lost(runs: pd.DataFrame, name: str, mine: float, best: float) -> str:
    """What batch size 16 loses, where it has one value of a column and 64 has the other."""
    first = runs["configuration"] == "batch_size=16"
    changed = runs.assign(**{name: np.where(first, mine, best)})
    return "; ".join(losses(changed, "batch_size=16", []))


def test_two_images_less_are_no_less_accuracy(three: pd.DataFrame) -> None:
    """Of 10,000 images: the error of a difference of two accuracies of 97% is half a point."""
    runs = three.assign(**{"quality_test.num_samples": 10_000.0})
    assert lost(runs, ACCURACY, 0.9708, 0.9710).startswith("no less test accuracy than batch")
    assert "2.0 points less test accuracy than batch_size=64 (n = 3)" in lost(
        runs, ACCURACY, 0.95, 0.97
    )
    # On 360 images, the same two points are within the error.
    assert lost(three, ACCURACY, 0.95, 0.97).startswith("no less test accuracy")
    assert "accuracy" not in lost(three, ACCURACY, 0.97, 0.95)


def test_the_jitter_of_a_latency_is_no_difference(three: pd.DataFrame) -> None:
    assert "latency" not in lost(three, LATENCY, 1.09, 1.0)
    assert "1.50 times the latency p90 of batch_size=64 (n = 3)" in lost(three, LATENCY, 1.5, 1.0)
    overlapping = three.assign(**{LATENCY: [0.9, 1.5, 1.4, 1.0, 1.0, 1.0]})
    assert "latency" not in "; ".join(losses(overlapping, "batch_size=16", []))


def test_costs_are_compared_within_one_kind_only(three: pd.DataFrame) -> None:
    others = [("energy", "energy_j"), ("money", "cost_usd")]
    costly = three.copy()
    costly["target.energy_to_target_j"] = [2.0, 2, 2, 1, 1, 1]
    costly["target.cost_to_target_usd"] = [2.0, 2, 2, 1, 1, 1]
    assert list(losses(costly, "batch_size=16", others))[:2] == [  # type: ignore[arg-type]
        "2 times the energy of batch_size=64 (n = 3)",
        "2 times the money of batch_size=64 (n = 3)",
    ]
    rented = costly.assign(cost_basis=["electricity"] * 3 + ["rental"] * 3)
    words = "; ".join(losses(rented, "batch_size=16", others))  # type: ignore[arg-type]
    assert "energy" in words
    assert "money" not in words
    other_parts = costly.assign(energy_components=["cpu"] * 3 + ["cpu + gpu"] * 3)
    assert "energy" not in "; ".join(losses(other_parts, "batch_size=16", others))  # type: ignore[arg-type]
