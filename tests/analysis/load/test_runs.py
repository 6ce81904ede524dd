from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.load import records
from analysis.load.runs import (
    UnreadFile,
    load_curves,
    load_energy,
    load_ladder,
    load_rate_search,
    load_requests,
    load_runs,
    load_stages,
    load_telemetry,
)
from bench.core.labels import ENERGY_FLAGS
from bench.core.ledger import append_ledger
from bench.core.records.serving import WHOLE_STAGE
from bench.core.store import read_record
from tests.analysis.made import (
    SWEEP_START,
    Made,
    Served,
    identity,
    make_run,
    make_served,
    make_sweep,
    make_unreadable,
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 batch sizes x 2 seeds: one hit each, a miss, a failure, a run that was killed."""
    results = tmp_path_factory.mktemp("load") / "results"
    make_sweep(results, batch_sizes=(32, 64), seeds=range(3), missed=[1], failed=[2], unhealthy=[0])
    make_run(results, Made(batch_size=64, seed=9, outcome="interrupted"))
    return results


def test_every_run_is_a_row_with_the_names_of_its_record(sweep: Path) -> None:
    runs = load_runs([sweep]).runs
    assert len(runs) == 7
    assert runs["status"].value_counts().to_dict() == {"ok": 5, "failed": 1, "interrupted": 1}
    row = runs[runs["status"] == "ok"].iloc[0]
    record = read_record(Path(row["folder"]))
    assert record.target is not None
    assert row["run_id"] == record.run_id
    assert row["target.time_to_target_s"] == record.target.time_to_target_s
    assert row["config.batch_size"] == record.config["batch_size"]
    assert row["config.model._target_"] == record.config["model"]["_target_"]
    assert row["config.target.ladder"] == "0.5,0.8,0.9,0.93,0.95,0.97"
    assert row["host.cpu_name"] == "Made CPU"
    assert row["health.flags"] == "other_load"


def test_several_processes_read_the_same(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = load_runs([sweep])
    monkeypatch.setattr(records, "_LEAST_OF_A_PART", 1)
    together = load_runs([sweep], workers=2)
    pd.testing.assert_frame_equal(together.runs, alone.runs)
    assert together.lists == alone.lists


def test_lists_that_were_kept_are_those_of_the_records(sweep: Path) -> None:
    loaded = load_runs([sweep])
    for load in (load_ladder, load_energy, load_stages, load_rate_search):
        again = load(loaded.runs)
        pd.testing.assert_frame_equal(load(loaded.runs, loaded.lists), again)
    assert len(load_ladder(loaded.runs)) > len(load_energy(loaded.runs)) > 0


def test_missing_is_nan_or_none_never_a_number(sweep: Path) -> None:
    runs = load_runs([sweep]).runs
    missed = runs[runs["target.reached"].eq(False) & runs["status"].eq("ok")].iloc[0]
    assert np.isnan(missed["target.time_to_target_s"])
    assert missed["target.censored_at_s"] > 0
    failed = runs[runs["status"] == "failed"].iloc[0]
    assert failed["error.kind"] == "diverged"
    assert np.isnan(failed["target.censored_at_s"])
    assert pd.isna(runs["serving.scenario"]).all()


def test_runs_of_one_second_are_in_the_order_of_their_starts(tmp_path: Path) -> None:
    starts = [SWEEP_START + timedelta(milliseconds=ms) for ms in (900, 100, 500)]
    late, early, middle = [
        make_run(tmp_path, Made(seed=n, start=at)) for n, at in enumerate(starts)
    ]
    runs = load_runs([tmp_path]).runs
    assert runs["started_utc"].nunique() == 1
    assert runs["run_id"].tolist() == [early.name, middle.name, late.name]


def edited(folder: Path, **changes: Any) -> None:
    """Changes leaves of a record, by their dotted names with __ for the dots."""
    record = json.loads((folder / "run.json").read_text())
    for name, value in changes.items():
        *above, leaf = name.split("__")
        place = record
        for key in above:
            place = place[key]
        place[leaf] = value
    (folder / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("flag", ENERGY_FLAGS)
def test_joules_that_a_flag_speaks_against_are_no_joules_at_all(tmp_path: Path, flag: str) -> None:
    """Without those of its GPU, a run on a GPU looks like a saving."""
    trained = make_run(tmp_path, Made(outcome="hit", label="counter"))
    served = make_served(tmp_path, trained, Served())
    fine = make_run(tmp_path, Made(seed=1, outcome="hit", label="counter"))
    for folder in (trained, served):
        edited(folder, health__flags=["other_load", flag])
    runs = load_runs([tmp_path]).runs.set_index("run_id", drop=False)
    for name in (
        "energy_total_j",
        "energy_label",
        "energy_components",
        "phase_energy.train_j",
        "target.energy_to_target_j",
        "target.energy_per_sample_j",
        "target.cost_to_target_usd",
        "target.emissions_to_target_gco2e",
        "serving.energy_per_prediction_j",
    ):
        assert runs[name].isna()[[trained.name, fine.name]].tolist() == [True, False], name
    for name in ("energy_per_prediction_label", "cost_per_million_usd"):
        assert runs[f"serving.{name}"].isna()[served.name]
    # Time and quality stay.
    assert runs["target.time_to_target_s"].notna()[trained.name]
    assert runs["quality_test.accuracy"].notna()[trained.name]
    assert set(load_energy(runs)["run_id"]) == {fine.name}
    for frame, name in ((load_ladder(runs), "energy_j"), (load_curves(runs), "energy_total_j")):
        has = frame[frame[name].notna()]
        assert set(has["run_id"]) == {fine.name}
        assert set(frame["run_id"]) == {fine.name, trained.name}


def test_no_joules_are_no_measurement(tmp_path: Path) -> None:
    """Older versions wrote 0 J for a counter that stood still."""
    still = make_run(tmp_path, Made(outcome="hit", label="counter"))
    fine = make_run(tmp_path, Made(seed=1, outcome="hit", label="counter"))
    edited(still, target__energy_to_target_j=0.0)
    runs = load_runs([tmp_path]).runs.set_index("run_id", drop=False)
    for name in ("energy_total_j", "target.energy_to_target_j", "target.cost_to_target_usd"):
        assert runs[name].isna()[[still.name, fine.name]].tolist() == [True, False], name


def test_rent_is_known_without_joules(tmp_path: Path) -> None:
    rented = make_run(tmp_path, Made(outcome="hit"))
    edited(rented, health__flags=["meter_failed"])
    edited(rented, config__price={"usd_per_hour": 1.0, "usd_per_kwh": None})
    both = make_run(tmp_path, Made(seed=1, outcome="hit"))
    edited(both, config__price={"usd_per_hour": 1.0, "usd_per_kwh": 0.1})
    unpriced = make_run(tmp_path, Made(seed=2, outcome="hit"))
    edited(unpriced, config__price={})
    own = make_run(tmp_path, Made(seed=3, outcome="hit"))
    runs = load_runs([tmp_path]).runs.set_index("run_id")
    assert runs["cost_basis"].astype(object).where(runs["cost_basis"].notna(), None).to_dict() == {
        rented.name: "rental",
        both.name: "rental and electricity",
        unpriced.name: None,
        own.name: "electricity",
    }
    assert runs["target.cost_to_target_usd"].notna()[rented.name]
    assert runs["target.emissions_to_target_gco2e"].isna()[rented.name]


def test_the_parts_of_a_total_are_named_without_their_numbers(tmp_path: Path) -> None:
    made = [make_run(tmp_path, Made(seed=n, outcome="hit", label="counter")) for n in range(4)]
    cpu = {"energy_j": 1.0, "source": "s", "label": "counter"}
    rows = {
        1: [cpu | {"component": "cpu0"}, cpu | {"component": "gpu3"}],
        2: [cpu | {"component": name} for name in ("cpu0", "cpu1", "gpu0", "gpu1")],
        # A constant is in no total.
        3: [cpu | {"component": "cpu0"}, cpu | {"component": "memory", "label": "constant"}],
    }
    for place, energy in rows.items():
        edited(made[place], energy=energy)
    served = make_served(tmp_path, made[0], Served())
    parts = [{"component": name, "energy_j": 0.1, "label": "counter"} for name in ("gpu0", "cpu0")]
    edited(served, serving__energy_per_prediction_components=parts)
    runs = load_runs([tmp_path]).runs.set_index("run_id")
    assert runs.loc[[folder.name for folder in made], "energy_components"].tolist() == [
        "cpu + dram + gpu",
        "cpu + gpu",
        "2 cpu + 2 gpu",
        "cpu",
    ]
    assert runs.loc[served.name, "serving.energy_components"] == "cpu + gpu"
    assert runs["serving.energy_components"].isna()[made[0].name]


def test_rows_are_in_the_order_of_start(sweep: Path) -> None:
    started = load_runs([sweep]).runs["started_utc"].tolist()
    assert started == sorted(started)


def test_a_run_can_be_named_at_any_level_and_counts_once(sweep: Path) -> None:
    folder = next((sweep / "train").iterdir())
    assert load_runs([folder]).runs["folder"].tolist() == [str(folder)]
    assert len(load_runs([sweep / "train"]).runs) == 7
    assert len(load_runs([f"{sweep}/train/2026*"]).runs) == 7
    assert len(load_runs([f"{sweep.parent}/resul*"]).runs) == 7
    assert len(load_runs([sweep, folder, sweep / "train"]).runs) == 7


def test_several_roots_are_one_frame(sweep: Path, tmp_path: Path) -> None:
    make_run(tmp_path, Made(batch_size=128))
    assert len(load_runs([sweep, tmp_path]).runs) == 8


@pytest.mark.parametrize("name", ["nowhere", "nowhere/*"])
def test_a_root_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"results={tmp_path}/nowhere.*no such folder"):
        load_runs([f"{tmp_path}/{name}"])


def test_a_root_without_runs_and_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no runs there"):
        load_runs([tmp_path])
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="not a folder"):
        load_runs([tmp_path / "file"])


def test_what_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    folders = make_unreadable(tmp_path)
    empty = tmp_path / "train" / "20260105T080009Z-0123456789ab-00000009"
    empty.mkdir()
    no_seed = tmp_path / "train" / "20260105T080009Z-0123456789ab-00000010"
    no_seed.mkdir()
    (no_seed / "config.yaml").write_text("batch_size: 3\n")
    make_run(tmp_path, Made())
    loaded = load_runs([tmp_path])
    assert len(loaded.runs) == 1
    reasons = dict(zip(loaded.unread["folder"], loaded.unread["reason"], strict=True))
    assert set(reasons) == {str(f) for f in folders.values()} | {str(empty), str(no_seed)}
    assert "not a run record" in reasons[str(folders["damaged"])]
    assert "newer than this version" in reasons[str(folders["newer"])]
    assert "Field required" in reasons[str(folders["incomplete"])]
    assert "schema_version" in reasons[str(folders["no_schema"])]
    assert "neither run.json nor config.yaml" in reasons[str(empty)]
    assert "no run here (its config.yaml has no seed or repeat)" in reasons[str(no_seed)]


def test_only_unreadable_runs_are_no_error(tmp_path: Path) -> None:
    make_unreadable(tmp_path)
    loaded = load_runs([tmp_path])
    assert loaded.runs.empty
    assert "target.time_to_target_s" in loaded.runs
    assert len(loaded.unread) == 4


def test_a_copied_run_is_counted_once_and_reported(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep / "train", tmp_path / "train")
    loaded = load_runs([sweep, tmp_path])
    assert len(loaded.runs) == 7
    assert len(loaded.unread) == 7
    assert loaded.unread["reason"].str.startswith("a copy of ").all()


def test_a_run_whose_folder_was_deleted_is_reported_from_the_ledger(tmp_path: Path) -> None:
    kept, deleted = make_sweep(tmp_path, batch_sizes=[32], seeds=[0, 1])
    shutil.rmtree(deleted)
    ledger = tmp_path / "ledger.jsonl"
    ends = [line for line in ledger.read_text().splitlines() if '"ended"' in line]
    ledger.write_text("\n".join(ends) + "\n")  # one of its two lines is enough
    append_ledger(tmp_path, "launched", identity("serve", Made().config, SWEEP_START))
    loaded = load_runs([tmp_path])
    assert loaded.runs["folder"].tolist() == [str(kept)]
    # Of another command, of which nothing was asked for, nothing is told.
    assert loaded.unread["folder"].tolist() == [str(deleted)]
    assert "its folder is gone" in loaded.unread["reason"][0]


def test_a_record_that_did_not_fit_into_its_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "results", Made())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    os.replace(folder / "run.json", tmp_path / f"{folder.name}.run.json")
    assert load_runs([tmp_path / "results"]).runs["status"].tolist() == ["ok"]


def test_curves_have_a_row_for_each_evaluation(sweep: Path) -> None:
    runs = load_runs([sweep]).runs
    curves = load_curves(runs)
    assert set(curves["run_id"]) == set(runs["run_id"])
    hit = runs[runs["target.reached"].eq(True)].iloc[0]
    last = curves[curves["run_id"] == hit["run_id"]].iloc[-1]
    assert last["time_s"] == hit["target.time_to_target_s"]
    assert last["quality.accuracy"] >= hit["target.value"]


def test_ladder_and_energy_have_a_row_for_each_part(sweep: Path) -> None:
    runs = load_runs([sweep]).runs
    ladder = load_ladder(runs)
    assert len(ladder) == 6 * len(runs)
    assert ladder["time_s"].notna().tolist() == ladder["reached"].tolist()
    energy = load_energy(runs)
    totals = energy.groupby("run_id")["energy_j"].sum()
    of_runs = runs.set_index("run_id")["energy_total_j"]
    assert totals.to_dict() == pytest.approx(of_runs[totals.index].to_dict())
    # What was cut off has no record, and hence no components.
    assert set(runs["run_id"]) - set(totals.index) == set(
        runs["run_id"][runs["status"] == "interrupted"]
    )


def test_telemetry_and_requests_are_of_the_runs_that_have_them(tmp_path: Path) -> None:
    trained = make_run(tmp_path, Made(outcome="hit"))
    bare = make_run(tmp_path, Made(seed=1, telemetry=False))
    served = make_served(tmp_path, trained, Served(scenario="server", backend="http", place="edge"))
    runs = load_runs([tmp_path]).runs
    telemetry = load_telemetry(runs)
    assert set(telemetry["run_id"]) == {trained.name}
    assert list(telemetry) == ["run_id", "t_s", "device", "metric", "value"]
    assert telemetry["t_s"].min() < 0
    requests = load_requests(runs)
    assert set(requests["run_id"]) == {served.name}
    assert len(requests) == runs.set_index("run_id").loc[served.name, "serving.num_requests"]
    stages = load_stages(runs)
    latency_ms = runs.set_index("run_id").loc[served.name, "serving.latency_mean_ms"]
    means = stages.set_index("stage")["mean_ms"]
    assert means.pop(WHOLE_STAGE) == pytest.approx(latency_ms)
    assert means.sum() == pytest.approx(latency_ms)
    rates = load_rate_search(runs)
    assert rates["invalid_reasons"].tolist() == ["", "", "", "", "p99 above the bound"]
    assert load_telemetry(runs[runs["run_id"] == bare.name]).empty


def test_long_frames_of_no_runs_have_their_columns(sweep: Path) -> None:
    none = load_runs([sweep]).runs.iloc[:0]
    assert "time_s" in load_curves(none)
    assert list(load_ladder(none)) == [
        "run_id",
        "value",
        "reached",
        "time_s",
        "energy_j",
        "samples",
    ]
    assert "latency_ms" in load_requests(none)


def test_a_damaged_curve_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    broken, fine = make_sweep(tmp_path, batch_sizes=[32], seeds=[0, 1])
    (broken / "curve.jsonl").write_text('{"time_s": "soon"}\n')
    (broken / "telemetry.parquet").write_bytes(b"PAR1 but not really")
    runs = load_runs([tmp_path]).runs
    with pytest.warns(UnreadFile, match=broken.name):
        curves = load_curves(runs)
    assert set(curves["run_id"]) == {fine.name}
    with pytest.warns(UnreadFile, match=broken.name):
        telemetry = load_telemetry(runs)
    assert set(telemetry["run_id"]) == {fine.name}


def test_a_key_that_is_a_text_in_one_run_and_a_number_in_another_is_kept(tmp_path: Path) -> None:
    folders = make_sweep(tmp_path, batch_sizes=[32], seeds=[0, 1])
    record = json.loads((folders[0] / "run.json").read_text())
    record["config"]["trainer"]["accelerator"] = 7
    (folders[0] / "run.json").write_text(json.dumps(record))
    assert load_runs([tmp_path]).runs["config.trainer.accelerator"].tolist() == [7, "cpu"]
