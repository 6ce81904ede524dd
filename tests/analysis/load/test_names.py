from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.load.runs import load_runs
from tests.analysis.made import (
    SWEEP_START,
    Made,
    Served,
    make_run,
    make_served,
    make_sweep,
)


def labels(results: Path) -> list[str]:
    return list(dict.fromkeys(load_runs([results]).runs["configuration"]))


def edit(folder: Path, **config: Any) -> None:
    """Changes the configuration of a run, and its hash with it."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["config"] |= config
    record["config_hash"] = f"{abs(hash(json.dumps(config))):012x}"[:12]
    path.write_text(json.dumps(record))


def test_a_label_is_made_of_what_differs_and_equal_for_repeats(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32, 256), lrs=(0.01, 0.1), seeds=range(3))
    runs = load_runs([tmp_path]).runs
    assert runs.groupby("config_hash")["configuration"].nunique().max() == 1
    assert labels(tmp_path) == [
        "batch_size=32 lr=0.01",
        "batch_size=256 lr=0.01",
        "batch_size=32 lr=0.1",
        "batch_size=256 lr=0.1",
    ]


def test_seeds_and_their_copies_are_not_part_of_a_label(tmp_path: Path) -> None:
    """data.seed is a copy of the seed; here no two runs have the same configuration."""
    make_run(tmp_path, Made(batch_size=32, seed=0))
    make_run(tmp_path, Made(batch_size=64, seed=1))
    assert set(labels(tmp_path)) == {"batch_size=32", "batch_size=64"}


def test_one_configuration_is_named_by_its_model(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2))
    assert labels(tmp_path) == ["Mlp"]


def test_settings_that_follow_from_the_model_are_not_repeated(tmp_path: Path) -> None:
    mlp, cnn = (make_run(tmp_path, Made(model=model)) for model in ("Mlp", "Cnn"))
    edit(mlp, model={"_target_": "bench.tasks.models.Mlp", "width": 64, "depth": 2})
    edit(cnn, model={"_target_": "bench.tasks.models.Cnn", "width": 16})
    assert sorted(labels(tmp_path)) == ["model=Cnn", "model=Mlp"]
    wide = make_run(tmp_path, Made(model="Mlp", seed=5))
    edit(wide, model={"_target_": "bench.tasks.models.Mlp", "width": 256, "depth": 2})
    assert "model=Mlp model.width=256" in labels(tmp_path)


def test_the_results_folder_is_not_part_of_a_label(tmp_path: Path) -> None:
    first, second = make_sweep(tmp_path, batch_sizes=[32], seeds=range(2))
    edit(first, results="/here", data={"batch_size": 32, "root": "/here"})
    edit(second, results="/there", data={"batch_size": 32, "root": "/there"})
    # The two hashes differ, and nothing that may be told does: the hash tells them apart.
    assert [label.partition(" #")[0] for label in labels(tmp_path)] == ["Mlp", "Mlp"]
    assert len(set(labels(tmp_path))) == 2


def test_served_runs_are_named_by_how_they_were_served(tmp_path: Path) -> None:
    folders = make_sweep(tmp_path, batch_sizes=[32], seeds=range(2))
    for folder in folders:
        for day, compression in enumerate(("none", "int8_static"), start=1):
            start = SWEEP_START + timedelta(days=day)
            make_served(tmp_path, folder, Served(compression=compression, start=start))
    assert labels(tmp_path) == ["Mlp", "compression=none", "compression=int8_static"]


def test_of_several_models_the_one_that_is_served_is_named_as_in_its_training(
    tmp_path: Path,
) -> None:
    small, large = make_sweep(tmp_path, batch_sizes=(32, 256), seeds=[0])
    served = [make_served(tmp_path, of, Served(compression="bf16")) for of in (small, large)]
    for of in (small, large):
        make_served(tmp_path, of, Served())
    runs = load_runs([tmp_path]).runs.set_index("folder")["configuration"]
    assert runs[str(served[0])] == "batch_size=32 | compression=bf16"
    alone = load_runs([tmp_path / "serve"]).runs.set_index("folder")["configuration"]
    assert alone[str(served[1])].startswith("Mlp ")
    assert alone.nunique() == 4


@pytest.mark.parametrize("label", [None, "counter"])
def test_measured_values_are_not_part_of_a_label(tmp_path: Path, label: Any) -> None:
    base = Made(outcome="hit")
    make_run(tmp_path, base)
    make_run(tmp_path, replace(base, seed=1, label=label, flags=("steal",)))
    assert labels(tmp_path) == ["Mlp"]


def test_settings_that_follow_from_an_outer_part_are_not_repeated(tmp_path: Path) -> None:
    near, far, farther = (make_run(tmp_path, Made(seed=seed)) for seed in range(3))
    edit(near, backend={"name": "eager", "http": None})
    edit(far, backend={"name": "http", "http": {"runtime": "eager", "port": 0}})
    assert {"backend=eager", "backend=http"} <= set(labels(tmp_path))
    edit(farther, backend={"name": "http", "http": {"runtime": "onnxruntime", "port": 0}})
    assert "backend=http backend.http.runtime=onnxruntime" in labels(tmp_path)
    assert not any("port" in label for label in labels(tmp_path))


def choose(folder: Path, **choices: str) -> None:
    """Stores which options were chosen, which is no part of the hash."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["config"]["choices"] = choices
    path.write_text(json.dumps(record))


def test_parts_are_named_as_the_user_wrote_them(tmp_path: Path) -> None:
    mlp, cnn = (make_run(tmp_path, Made(model=model)) for model in ("Mlp", "Cnn"))
    choose(mlp, model="mlp", optimizer="sgd")
    choose(cnn, model="cnn", optimizer="sgd")
    assert sorted(labels(tmp_path)) == ["model=cnn", "model=mlp"]
    adam = make_run(tmp_path, Made(model="Cnn", seed=5))
    edit(adam, optimizer={"_target_": "torch.optim.AdamW"}, choices={"optimizer": "adamw"})
    assert sorted(labels(tmp_path)) == [
        "model=cnn optimizer=adamw",
        "model=cnn optimizer=sgd",
        "model=mlp optimizer=sgd",
    ]


def test_a_repeat_from_before_options_were_stored_has_the_name_of_the_others(
    tmp_path: Path,
) -> None:
    for folder in make_sweep(tmp_path, models=("Mlp", "Cnn"), batch_sizes=[32], seeds=[1]):
        choose(folder, model="mlp" if "Mlp" in (folder / "run.json").read_text() else "cnn")
    make_sweep(tmp_path, models=("Mlp", "Cnn"), batch_sizes=[32], seeds=[2, 3])
    assert labels(tmp_path) == ["model=mlp", "model=cnn"]


def test_a_users_own_parts_are_named_by_their_class(tmp_path: Path) -> None:
    mine, theirs, cnn = (make_run(tmp_path, Made(model="Cnn", seed=seed)) for seed in range(3))
    edit(mine, model={"_target_": "mine.Net"}, choices={"model": "custom"})
    edit(theirs, model={"_target_": "theirs.Other"}, choices={"model": "custom"})
    choose(cnn, model="cnn")
    assert sorted(labels(tmp_path)) == ["model=Net", "model=Other", "model=cnn"]


def test_an_option_that_stood_for_two_classes_names_neither(tmp_path: Path) -> None:
    old, new = (make_run(tmp_path, Made(model="Cnn", seed=seed)) for seed in range(2))
    edit(old, model={"_target_": "mine.First"}, choices={"model": "net"})
    edit(new, model={"_target_": "mine.Second"}, choices={"model": "net"})
    assert sorted(labels(tmp_path)) == ["model=First", "model=Second"]


def test_models_of_torchvision_keep_their_names(tmp_path: Path) -> None:
    folders = [make_run(tmp_path, Made(model="Cnn", seed=seed)) for seed in range(3)]
    target = "bench.tasks.models.torchvision_model"
    for folder, name in zip(folders, ("resnet18", "squeezenet1_1"), strict=False):
        edit(folder, model={"_target_": target, "name": name}, choices={"model": name})
    choose(folders[2], model="cnn")
    assert sorted(labels(tmp_path)) == ["model=cnn", "model=resnet18", "model=squeezenet1_1"]


def test_a_single_configuration_has_the_name_that_the_user_gave_its_model(tmp_path: Path) -> None:
    choose(make_run(tmp_path, Made(seed=0)), model="mlp")
    make_run(tmp_path, Made(seed=1))
    killed = make_run(tmp_path, Made(seed=2, outcome="interrupted"))
    assert not (killed / "run.json").exists()
    assert labels(tmp_path) == ["mlp"]


def on_host(folder: Path, **facts: Any) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["host"] |= facts
    path.write_text(json.dumps(record))


def test_runs_with_other_threads_are_no_repeats(tmp_path: Path) -> None:
    one, two, three, unknown = make_sweep(tmp_path, batch_sizes=[32], seeds=range(4))
    on_host(one, num_threads=1, num_interop_threads=2)
    on_host(two, num_threads=2, num_interop_threads=2)
    on_host(three, num_threads=2, num_interop_threads=2)
    found = load_runs([tmp_path]).runs.set_index("folder")["configuration"]
    assert [found[str(folder)] for folder in (one, two, three, unknown)] == [
        "Mlp num_threads=1",
        "Mlp num_threads=2",
        "Mlp num_threads=2",
        "Mlp",
    ]


def test_threads_that_all_repeats_share_are_not_in_the_label(tmp_path: Path) -> None:
    small, large = make_sweep(tmp_path, batch_sizes=(32, 64), seeds=[0])
    on_host(small, num_threads=1)
    on_host(large, num_threads=2)
    assert labels(tmp_path) == ["batch_size=32", "batch_size=64"]


def test_variables_of_the_environment_that_decide_are_in_the_label(tmp_path: Path) -> None:
    one, two, bare = make_sweep(tmp_path, batch_sizes=[32], seeds=range(3))
    on_host(one, num_threads=1, environment={"OMP_NUM_THREADS": "1", "MKL_DYNAMIC": "0"})
    on_host(two, num_threads=1, environment={"OMP_NUM_THREADS": "4", "MKL_DYNAMIC": "0"})
    on_host(bare, num_threads=1, environment={"MKL_DYNAMIC": "0"})
    assert labels(tmp_path) == ["Mlp OMP_NUM_THREADS=1", "Mlp OMP_NUM_THREADS=4", "Mlp"]
