"""A history of checks: what is stored, in which order it is read, and the changes it shows."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config.gate import CompareConfig
from bench.gate.history.keep import keep_history
from bench.gate.history.model import History
from bench.gate.history.sentences import history_lines
from bench.gate.history.store import SERIES_FILE, add_check, read_checks
from bench.gate.run.compare import compare_runs
from bench.gate.sides.baseline import write_baseline
from bench.gate.sides.side import Side, provenance_of
from tests.gate.made import made_side

START = datetime(2026, 1, 1, tzinfo=UTC)
TIME, STEPS, ACCURACY = "time_to_target_s", "steps_to_target", "quality_test.accuracy"


def a_check(
    day: int, time_s: float, commit: str | None = "c0ffee" + "0" * 34, **fields: Any
) -> Side:
    """Five runs of a day around a time, each one percent slower than the one before."""
    values = {TIME: [time_s * (1 + 0.01 * place) for place in range(5)], STEPS: [100.0] * 5}
    side = made_side(values, name=f"day {day}", git_commit=commit, **fields)
    at = START + timedelta(days=day)
    runs = [
        replace(
            run,
            started_utc=f"{at + timedelta(minutes=run.repeat):%Y-%m-%dT%H:%M:%SZ}",
            run_id=f"{at:%Y%m%d}-{run.run_id}",
        )
        for run in side.runs
    ]
    return replace(side, runs=runs, provenance=provenance_of(runs))


def config(folder: Path, **keys: Any) -> CompareConfig:
    given = {"baseline": "perf.json", "candidate": "now", "history": str(folder), **keys}
    return CompareConfig.from_dict(given)


def kept(folder: Path, checks: list[Side], **keys: Any) -> History:
    """The history after the last of these checks."""
    for side in checks[:-1]:
        add_check(folder, side, accepted=False)
    history = keep_history(config(folder, **keys), None, checks[-1])
    assert history is not None
    return history


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 20 commits on `main` and one on `branch`; tests only read it."""
    folder = tmp_path_factory.mktemp("repository")
    # All commits at one second, as by a rebase: only their parents tell the order.
    dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00Z"}
    author = ["-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]

    def git(*words: str) -> None:
        command = ["git", *author, *words]
        subprocess.run(command, cwd=folder, env={**os.environ, **dates}, check=True)

    git("init", "-q", "-b", "main")
    for num in range(20):
        git("commit", "-q", "--allow-empty", "-m", str(num))
    git("checkout", "-q", "-b", "branch", "HEAD~5")
    git("commit", "-q", "--allow-empty", "-m", "of a branch")
    return folder


@pytest.fixture
def commits(repository: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits of a repository, which is the working directory; the last is of a branch."""
    monkeypatch.chdir(repository)

    def hashes(*which: str) -> list[str]:
        return subprocess.check_output(["git", "rev-list", *which], text=True).split()

    return [*reversed(hashes("main")), *hashes("main..branch")]


def test_a_slow_drift_is_found_though_every_step_is_below_the_least_effect(
    tmp_path: Path, commits: list[str]
) -> None:
    """0.5% a commit, ten times less than what the gate calls a loss, and noise of 0.5%."""
    noise = np.random.default_rng(0).normal(1, 0.005, 20)
    checks = [
        a_check(day, 10 * 1.005**day * noise[day], commit)
        for day, commit in enumerate(commits[:20])
    ]
    history = kept(tmp_path / "history", checks)
    (time, steps) = history.series
    assert (time.metric.name, steps.metric.name) == (TIME, STEPS)
    assert history.num_tested == 1  # steps are always the same
    assert not steps.changes
    assert time.changes
    first = time.changes[0]
    # In the middle of a line, and between two commits that follow one another.
    assert 5 <= first.index <= 14
    assert (first.last_before, first.first_after) == tuple(commits[first.index - 1 :][:2])
    assert time.changes[-1].candidate > 1.05 * first.base
    assert first.p <= 0.05
    lines = history_lines(history)
    assert "20 checks in order of commits; " in lines[0]
    assert "series that vary, each tested at 5%" in lines[0]
    good, bad = (commits[first.index + offset][:10] for offset in (-1, 0))
    assert f"python -m bench.bisect good={good} bad={bad} finds the commit" in "\n".join(lines)
    assert "got worse: +" in lines[1]


def test_without_a_drift_nothing_is_found(tmp_path: Path, commits: list[str]) -> None:
    noise = np.random.default_rng(1).normal(1, 0.005, 20)
    checks = [a_check(day, 10 * noise[day], commit) for day, commit in enumerate(commits[:20])]
    history = kept(tmp_path / "history", checks)
    assert not any(series.changes for series in history.series)
    assert "0 change points in 1 series" in history_lines(history)[0]


def test_the_order_is_that_of_commits_whenever_they_were_measured(
    tmp_path: Path, commits: list[str]
) -> None:
    """Measured backwards, and one commit of another branch, which leads to none of these."""
    days = {commit: 40 - day for day, commit in enumerate(commits)}
    checks = [a_check(days[commit], 1.0, commit) for commit in (*commits[10:], *commits[:10])]
    latest = a_check(99, 1.0, commits[19])
    history = kept(tmp_path / "history", [*checks, latest])
    points = history.series[0].points
    assert [point.commit for point in points] == [*commits[:20], commits[19]]
    assert [point.utc[:10] for point in points[-2:]] == ["2026-01-22", "2026-04-10"]
    assert "; 1 of commits that are not in its past are left out" in history.order


def test_without_a_known_commit_the_order_is_that_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    days = [3, 1, 2, 5, 4]
    history = kept(tmp_path / "history", [a_check(day, 1.0 + day) for day in days])
    assert [point.value for point in history.series[0].points] == pytest.approx(
        [(1.0 + day) * 1.02 for day in sorted(days)]
    )
    assert history.order.startswith("in order of time")


def test_checks_that_do_not_compare_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other_host = a_check(1, 5.0, facts={"host.name": "elsewhere"})
    other_seed = a_check(2, 5.0, seed=1)
    other_joules = a_check(3, 5.0, facts={"energy_label": "measured"})
    other_configuration = a_check(4, 5.0, config_hash="f" * 12)
    checks = [other_host, other_seed, other_joules, other_configuration, a_check(5, 1.0)]
    history = kept(tmp_path / "history", checks)
    # How joules were obtained does not matter to times.
    assert [point.utc[:10] for point in history.series[0].points] == ["2026-01-04", "2026-01-06"]
    assert history.left_out == ["1 with another host.name", "1 with other seeds"]
    forced = kept(tmp_path / "history", [a_check(5, 1.0)], force=["host.name"])
    assert len(forced.series[0].points) == 3


def test_a_median_that_missed_is_no_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    missed = a_check(1, 1.0)
    missed = replace(missed, runs=[replace(run, missed=True) for run in missed.runs])
    history = kept(tmp_path / "history", [missed, a_check(2, 1.0)])
    assert [len(series.points) for series in history.series] == [1, 1]


def test_a_check_is_stored_once_and_becomes_an_accepted_one(tmp_path: Path) -> None:
    side = a_check(1, 1.0)
    for accepted in (False, False, True, False):
        add_check(tmp_path, side, accepted=accepted)
    (check,) = read_checks(tmp_path)
    assert check.accepted
    assert check.side.runs == side.runs
    add_check(tmp_path, made_side({}), accepted=False)  # no runs, nothing to store
    assert len(read_checks(tmp_path)) == 1


def test_uncommitted_code_is_of_no_commit(tmp_path: Path) -> None:
    add_check(tmp_path, a_check(1, 1.0, "abc-dirty"), accepted=False)
    add_check(tmp_path, a_check(2, 1.0, None), accepted=False)
    assert [check.commit for check in read_checks(tmp_path)] == [None, None]


def test_bench_compare_adds_both_sides_and_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "history"
    for day in range(16):
        slow = 1.04 if day >= 9 else 1.0  # below the least effect of 5%
        add_check(folder, a_check(day, slow * (1 + 0.0005 * (day % 3))), accepted=False)
    write_baseline(Path("perf.json"), a_check(20, 1.04))
    write_baseline(Path("now.json"), a_check(21, 1.04))
    keys = {"baseline": "perf.json", "candidate": "now.json", "history": str(folder)}
    assert compare_runs({**keys, "json": "out.json"}) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"note: history {folder}: 18 checks in order of time" in told
    assert "got worse: +3.9% [+3.9%, +4.1%] (1.02 s -> 1.06 s)" in told
    checks = read_checks(folder)
    assert [check.accepted for check in checks] == [False] * 16 + [True, False]
    series = json.loads((folder / SERIES_FILE).read_text())
    assert series == {
        **{"kind": "perf history", "format": 1},
        **json.loads(Path("out.json").read_text())["history"],
    }
    assert series["series"][0]["changes"][0]["index"] == 9


def test_a_first_accepted_baseline_begins_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_baseline(Path("now.json"), a_check(1, 1.0))
    keys = {"baseline": "perf.json", "candidate": "now.json", "history": "history"}
    assert compare_runs({**keys, "accept": True}) == 0
    assert [check.accepted for check in read_checks(Path("history"))] == [True]


@pytest.mark.parametrize("content", ["{", '{"kind": "something"}', "[]"])
def test_a_file_that_is_no_check_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(ValueError, match=rf"^history={tmp_path}/odd\.json: not a file of perf"):
        keep_history(config(tmp_path), None, a_check(1, 1.0))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=rf"^history={tmp_path}/file"):
        keep_history(config(tmp_path / "file"), None, a_check(1, 1.0))
