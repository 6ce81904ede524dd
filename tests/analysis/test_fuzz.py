"""Readers get mutated records: each run is either refused in one line or read.

By default few mutations are tried; FUZZ_EXAMPLES=800 tries more.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.figures.entries import FIGURES
from analysis.load.runs import load_runs
from tests.analysis.hostile import (
    DROPPED,
    Mutation,
    analyse,
    damage,
    judge,
    make_base,
    random_mutation,
    read_all,
    run_folders_of,
    set_leaf,
)
from tests.analysis.made import make_sweep

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "results"
    make_base(folder)
    return folder


@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(rng=st.randoms(use_true_random=False))
def test_any_mutation_is_refused_or_read(rng: random.Random, base: Path) -> None:
    results = base.parent / "mutated"
    shutil.rmtree(results, ignore_errors=True)
    shutil.copytree(base, results, symlinks=True)
    for _ in range(rng.choice((1, 2, 4))):
        folder = rng.choice(run_folders_of(results))
        mutation = random_mutation(rng, _record(folder))
        mutation.apply(folder)
    read_all(results)
    judge(results)
    # A few figures each time: all of them take seconds.
    figures = rng.sample(sorted(FIGURES), 5)
    analyse(results, base.parent / "out", figures=figures, has_page=rng.random() < 0.3)


def _record(folder: Path) -> dict[str, Any]:
    """What a run's record holds; of one that is damaged, that of any other."""
    for each in (folder, *run_folders_of(folder.parents[1])):
        try:
            record = json.loads((each / "run.json").read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            return record
    raise AssertionError("no record is left")


# Each made a report, a page, an export or the gate fail once. A run each, beside whole ones.
FOUND: tuple[Mutation, ...] = (
    set_leaf(("config", "batch_size"), "auto"),
    set_leaf(("config", "lr"), "cosine from 0.1"),
    set_leaf(("config", "optimizer"), "sgd"),
    set_leaf(("config", "price"), "cheap"),
    set_leaf(("config", "price", "usd_per_kwh"), "x"),
    set_leaf(("config", "batch_size"), 10**400),
    set_leaf(("config", "model"), "$x_$ and $\\frac{1}$"),
    set_leaf(("config", "data"), DROPPED),
    set_leaf(("host", "memory_bytes"), "lots"),
    set_leaf(("host", "cpu_name"), "\ud800\x00\n<b>"),
    set_leaf(("seed",), 2**70),
    set_leaf(("target", "time_to_target_s"), 1e307),
    set_leaf(("target", "time_to_target_s"), 1e-320),
    set_leaf(("target", "time_per_sample_s"), 0.0),
    set_leaf(("energy_total_j",), 1e307),
    set_leaf(("quality_test", "loss"), 1e300),
    set_leaf(("model", "name"), "\ud800"),
    set_leaf(("schema_version",), "2"),
    damage("run.json", b"[" * 3000),
    damage("run.json", b'"x"'),
    damage("curve.jsonl", b'{"time_s": "soon"}\n'),
    damage("telemetry.parquet", b"PAR1 but not really"),
)


def test_what_was_found_keeps_no_other_run_from_being_shown(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folders = make_sweep(results, batch_sizes=(32,), seeds=range(len(FOUND) + 2))
    for mutation, folder in zip(FOUND, folders, strict=False):
        mutation.apply(folder)
    read_all(results)
    drawn = ("tta_eta", "factors_time")
    figures = (*drawn, "batch_size_time", "heatmap_energy", "life_cycle_cost", "phases", "timeline")
    analyse(results, tmp_path / "out", figures=figures, drawn=drawn)
    loaded = load_runs([results])
    assert {folder.name for folder in folders[-2:]} <= set(loaded.runs["run_id"])
    assert len(loaded.runs) + len(loaded.unread) == len(folders)
