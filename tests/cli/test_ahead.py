from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.cli import ahead
from bench.cli.ahead import has_keys, import_ahead, makes_runs_here, preloaded_modules
from bench.core.lock import measuring_lock
from bench.launch.isolation import ForkServer


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["-m", "batch_size=32,256"], True),
        (["lr=0.1", "~codecarbon", "--multirun"], True),
        (["--cfg", "job"], False),  # prints the configuration
        (["--hydra-help"], False),
        (["-m", "hydra/launcher=slurm"], False),  # other processes make the runs
        (["-m", "+hydra/launcher=joblib"], False),
    ],
)
def test_only_a_command_that_makes_runs_here_imports_for_them(
    arguments: list[str], expected: bool
) -> None:
    assert makes_runs_here(arguments) is expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "batch_size=32,256", "model=cnn", "model.width=8"], True),
        (["batch=3"], False),
        (["model=no_such_model"], False),
        (["+model.mine=1"], False),  # may be right, but the help does not know it
    ],
)
def test_keys_that_may_be_wrong_import_nothing(arguments: list[str], expected: bool) -> None:
    assert has_keys("train", arguments) is expected


def test_torchmetrics_is_imported_as_a_whole_for_metrics_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = {}
    for key in ("lr=0.1", "+metrics.f1._target_=torchmetrics.F1Score"):
        monkeypatch.setattr(sys, "argv", ["bench/train.py", key])
        modules[key] = preloaded_modules("tests.launch.jobs:talk")
    partly, whole = modules.values()
    assert partly[0] == "bench.runs.preload_metrics"
    assert whole == ["torchmetrics", *partly[1:]]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, str]]:
    """The environment of each server that is started; none is."""
    found: list[dict[str, str]] = []
    monkeypatch.setattr(ForkServer, "begin_imports", lambda _: found.append(dict(os.environ)))
    monkeypatch.setattr(ahead, "open_streams", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bench/train.py", "lr=0.1"])
    monkeypatch.setenv("BENCH_LOCK", str(tmp_path / "lock"))
    return found


def test_the_server_does_not_see_what_a_launcher_has_set(
    begun: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself still does: it may be one of several nodes."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    before = dict(os.environ)
    import_ahead("train", "tests.launch.jobs:talk")
    [variables] = begun
    assert "WORLD_SIZE" not in variables
    assert variables["PYTHONHASHSEED"] == "0"
    assert dict(os.environ) == before


def test_nothing_is_imported_beside_a_run_that_is_being_measured(
    begun: list[dict[str, str]], tmp_path: Path
) -> None:
    with measuring_lock(tmp_path / "lock", "another run", lambda _: None):
        import_ahead("train", "tests.launch.jobs:talk")
    assert begun == []
