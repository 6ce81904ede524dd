"""bench.bisect on a repository whose benchmark trains nothing (revisions.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.gate.run.bisect import bisect_command, find_commit
from bench.gate.run.trial import BenchmarkInput
from tests.cli.command import ROOT, Answer, run_here
from tests.cli.revisions import TIMES_S, MadeRepository, made_repository

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Of the 70 ways to draw 4 of 8 runs one is the most extreme: p = 0.014, below the 3.3% of the first
# of two looks.
SHORT = {"module": "fake_bench", "min_runs": 4, "max_runs": 6, "warmup": 0}

Bisected = Callable[..., Answer]


def slower(by: float) -> list[float]:
    return [by * time_s for time_s in TIMES_S]


@pytest.fixture
def repository(tmp_path: Path) -> MadeRepository:
    return made_repository(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """For tests of what is refused before anything is run; none of them changes it."""
    repository = made_repository(tmp_path_factory.mktemp("untouched"))
    repository.commit("later", times_s=TIMES_S)
    return repository


@pytest.fixture
def bisected(
    repository: MadeRepository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Bisected:
    """Bisects in this process."""
    monkeypatch.chdir(repository.folder)

    def call(*overrides: str, **keys: Any) -> Answer:
        asked = BenchmarkInput(overrides=overrides, environment=ENVIRONMENT)
        code = find_commit({**SHORT, "metrics": "time_to_target_s", **keys}, asked)
        captured = capsys.readouterr()
        return Answer(code=code, out=captured.out, err=captured.err)

    return call


def content(repository: MadeRepository) -> dict[str, Any]:
    (path,) = repository.folder.glob("results/bisect/*/bisect.json")
    tree: dict[str, Any] = json.loads(path.read_text())
    return tree


def answers(repository: MadeRepository) -> dict[str, str]:
    """What each commit counts as, by its subject."""
    return {step["subject"]: step["answer"] for step in content(repository)["steps"]}


def test_the_commit_is_found_with_the_evidence_of_each_step(
    repository: MadeRepository, bisected: Bisected
) -> None:
    """A loss of 12% in one of four commits, and noise of 2% in each."""
    for num, name in enumerate(["a", "b", "culprit", "d"]):
        repository.commit(name, times_s=slower(1.12 if num >= 2 else 1.0))
    short = repository.git("rev-parse", "culprit")[:10]
    repository.git("bisect", "start")  # the user's own, which goes on
    answer = bisected(good="good", bad="main")
    assert answer.code == 0, answer.err
    assert f"FOUND: {short} (culprit) made time_to_target_s of " in answer.out
    assert "worse by 12%" in answer.out
    found = answers(repository)
    assert found["d"] == found["culprit"] == "bad"
    assert found["b"] == "good"
    # bad itself, then log2 of 4.
    assert len(found) == 3
    for step in content(repository)["steps"]:
        assert step["row"]["metric"]["name"] == "time_to_target_s"
        # A loss is found at the first look; to exclude one takes an interval, and so 6 runs.
        assert step["row"]["num_base"] == (4 if step["answer"] == "bad" else 6)
        assert Path(step["results"]).is_dir()
    assert f"python -m bench.ab 'base={short}~1' head={short}" in answer.out
    assert repository.num_worktrees() == 1
    assert "bisect" in repository.git("status")


def test_a_commit_that_cannot_be_run_is_skipped(
    repository: MadeRepository, bisected: Bisected
) -> None:
    """Git asks for the one in the middle first."""
    repository.commit("a", times_s=TIMES_S)
    repository.commit("broken", times_s=TIMES_S, fails_from=0)
    repository.commit("c", times_s=TIMES_S)
    repository.commit("culprit", times_s=slower(1.3))
    answer = bisected(good="good", bad="main")
    assert answer.code == 0, answer.out
    assert "(culprit) made time_to_target_s" in answer.out
    assert answers(repository)["broken"] == "skip"


def test_where_only_commits_are_left_that_cannot_be_judged_all_are_named(
    repository: MadeRepository, bisected: Bisected
) -> None:
    repository.commit("broken", times_s=TIMES_S, fails_from=0)
    repository.commit("unstable", times_s=[0.5, 2.5, 0.6, 3.0])  # neither like good nor like bad
    repository.commit("bad", times_s=slower(1.3))
    answer = bisected(good="good", bad="bad")
    assert answer.code == 3
    assert answers(repository) == {"bad": "bad", "broken": "skip", "unstable": "skip"}
    assert "NOT FOUND: one of 3 commits made time_to_target_s of " in answer.out
    for name in ("broken", "bad"):
        assert repository.git("rev-parse", name)[:10] in answer.out
    assert len(content(repository)["suspects"]) == 3


def test_without_a_loss_there_is_nothing_to_look_for(
    repository: MadeRepository, bisected: Bisected
) -> None:
    repository.commit("same", times_s=TIMES_S)
    answer = bisected(good="good", bad="same")
    assert answer.code == 3
    assert "NOT FOUND: bad is not measurably worse than good: PASS: no regression" in answer.out
    assert answers(repository) == {"same": "good"}


def test_bad_that_cannot_be_run_ends_with_its_code(
    repository: MadeRepository, bisected: Bisected
) -> None:
    repository.commit("broken", times_s=TIMES_S, fails_from=0)
    assert bisected(good="good", bad="broken").code == 5


def test_the_worst_metric_is_followed_alone(repository: MadeRepository, bisected: Bisected) -> None:
    repository.commit("a", times_s=TIMES_S)
    repository.commit("b", times_s=slower(1.2))
    answer = bisected(good="good", bad="b", metrics="all", min_runs=6)
    assert answer.code == 0, answer.out
    first, second = content(repository)["steps"]
    assert first["row"]["metric"]["name"] == second["row"]["metric"]["name"]
    # Half of the loss of bad is what counts between them.
    assert second["row"]["threshold_frac"] == pytest.approx(0.5 * first["row"]["loss_frac"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"good": "nowhere"}, "good=nowhere: no such revision"),
        ({"good": "later", "bad": "good"}, "good=later: is not in the past of bad=good"),
        ({"good": "good", "bad": "good"}, "is not in the past"),
        ({"good": "good", "max_runs": 2}, "max_runs=2: must be at least min_runs=4"),
        ({}, "good: must be given: a revision before the loss, as in good=v1"),
    ],
)
def test_wrong_input_names_its_key(
    untouched: MadeRepository, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(untouched.folder)
    with pytest.raises(ValueError, match=message):
        find_commit({**SHORT, **keys}, BenchmarkInput(overrides=(), environment=ENVIRONMENT))
    assert untouched.calls() == []


def test_ctrl_c_ends_it_and_leaves_no_worktree(repository: MadeRepository) -> None:
    repository.commit("a", times_s=TIMES_S)
    repository.commit("b", times_s=slower(1.2))
    words = ("good=good", "bad=b", "module=fake_bench", "warmup=0")
    answer = run_here(
        repository.folder, bisect_command, *words, "--", "stops_at=1", "signal=SIGINT"
    )
    assert answer.code == 130, answer.err
    assert repository.num_worktrees() == 1
    assert content(repository)["exit_code"] == 130


def test_revisions_are_taken_word_for_word_and_keys_of_the_benchmark_come_after_the_dashes(
    repository: MadeRepository,
) -> None:
    answer = run_here(repository.folder, bisect_command, "good=HEAD~7", "module=fake_bench")
    assert (answer.code, answer.err.splitlines()[0]) == (
        2,
        f"error: good=HEAD~7: no such revision in {repository.folder}; git fetch it first (a "
        "shallow clone has the latest commit only)",
    )
    answer = run_here(repository.folder, bisect_command, "good=HEAD", "lr=0.1")
    assert answer.code == 2
    assert "python -m bench.bisect good=v1 -- lr=0.1" in answer.err
