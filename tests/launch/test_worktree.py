from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest

from bench.launch.repository import NotCheckedOut, find_repository, worktrees
from tests.cli.revisions import TIMES_S, MadeRepository, made_repository


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeRepository:
    """A repository with two revisions, and a temporary folder of its own for the worktrees."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    repository = made_repository(tmp_path)
    repository.commit("other", times_s=TIMES_S)
    return repository


def temporary() -> list[Path]:
    """What lies in the temporary folder."""
    return sorted(Path(tempfile.gettempdir()).iterdir())


def commits_of(made: MadeRepository) -> dict[str, str]:
    repository = find_repository(made.folder)
    return {
        "base": repository.commit_of("good", key="base"),
        "head": repository.commit_of("other", key="head"),
    }


def test_two_worktrees_exist_together_and_are_removed(made: MadeRepository) -> None:
    commits = commits_of(made)
    (made.folder / "fake_bench.py").write_text("not committed")
    with worktrees(find_repository(made.folder), commits, pytest.fail) as folders:
        assert list(folders) == ["base", "head"]
        assert '"name": "good"' in (folders["base"] / "revision.json").read_text()
        assert '"name": "other"' in (folders["head"] / "revision.json").read_text()
        assert "not committed" not in (folders["head"] / "fake_bench.py").read_text()
        (folders["head"] / "made by a run").touch()
        (folders["head"] / "fake_bench.py").write_text("changed by an installation")
    assert temporary() == []
    assert made.num_worktrees() == 1
    assert (made.folder / "fake_bench.py").read_text() == "not committed"


def test_worktrees_are_removed_after_an_error(made: MadeRepository) -> None:
    repository = find_repository(made.folder)
    with (
        pytest.raises(KeyboardInterrupt),
        worktrees(repository, commits_of(made), pytest.fail),
    ):
        raise KeyboardInterrupt
    wrong = {**commits_of(made), "head": "0" * 40}
    with (
        pytest.raises(NotCheckedOut, match=r"^0000000000: cannot be checked out in .* \(fatal: "),
        worktrees(repository, wrong, pytest.fail),
    ):
        pytest.fail("was made")
    assert temporary() == []
    assert made.num_worktrees() == 1


def test_a_signal_waits_until_the_worktrees_are_removed(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = os.unlink

    def interrupted(*arguments: object, **named: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        removed(*arguments, **named)  # type: ignore[arg-type]

    context = worktrees(find_repository(made.folder), commits_of(made), pytest.fail)
    context.__enter__()
    with monkeypatch.context() as patch:
        patch.setattr("os.unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            context.__exit__(None, None, None)
    assert temporary() == []
    assert made.num_worktrees() == 1


def killed_inside(made: MadeRepository, folder: str) -> None:
    tempfile.tempdir = folder
    with worktrees(find_repository(made.folder), commits_of(made), print):
        os.kill(os.getpid(), signal.SIGKILL)


def test_abandoned_worktrees_are_removed_and_used_ones_are_not(
    made: MadeRepository, tmp_path: Path
) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=killed_inside, args=(made, tempfile.gettempdir())
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert made.num_worktrees() == 3
    # As if git itself had been killed over it, too.
    noted = made.folder / ".git" / "worktrees" / "base"
    (noted / "locked").write_text("initializing")
    # A worktree of the user's whose disk is not there at the moment.
    made.git("worktree", "add", "--detach", str(tmp_path / "theirs"), "good")
    (tmp_path / "theirs").rename(tmp_path / "away")

    repository, commits = find_repository(made.folder), commits_of(made)
    with worktrees(repository, commits, pytest.fail) as first:
        assert made.num_worktrees() == 2 + 2
        with worktrees(repository, commits, pytest.fail):
            assert all(folder.is_dir() for folder in first.values())
            assert made.num_worktrees() == 2 + 4
    assert temporary() == []
    assert made.num_worktrees() == 2


def test_a_worktree_that_cannot_be_removed_is_reported(
    made: MadeRepository, tmp_path: Path
) -> None:
    told: list[str] = []
    with worktrees(find_repository(made.folder), commits_of(made), told.append) as folders:
        folder = folders["base"].parent
        folder.rename(tmp_path / "moved")
        folder.symlink_to(tmp_path / "moved")  # which is not followed
    assert told == [f"{folder} cannot be removed; remove it, and then: git worktree prune"]
    assert made.num_worktrees() == 1
