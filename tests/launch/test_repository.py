from __future__ import annotations

from pathlib import Path

import pytest

from bench.launch.repository import find_repository, git
from tests.cli.revisions import TIMES_S, MadeRepository, made_repository


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """A repository with two commits; tests only read it."""
    made = made_repository(tmp_path_factory.mktemp("made"))
    made.commit("other", times_s=TIMES_S)
    return made


def test_the_folder_inside_a_repository_is_found(made: MadeRepository) -> None:
    (made.folder / "a" / "b").mkdir(parents=True)
    for inside in (Path(), Path("a/b")):
        found = find_repository(made.folder / inside)
        assert (found.root, found.inside) == (made.folder.resolve(), inside)


@pytest.mark.parametrize("ref", ["HEAD", "main", "other", "HEAD~0", "@", ":/other"])
def test_a_revision_may_be_named_in_any_way(ref: str, made: MadeRepository) -> None:
    repository = find_repository(made.folder)
    assert repository.commit_of(ref, key="head") == made.git("rev-parse", "HEAD")
    assert repository.is_checked_out(ref) == (ref in ("HEAD", "main", "@"))


@pytest.mark.parametrize("ref", ["nowhere", "HEAD~9", "--all", "HEAD:fake_bench.py"])
def test_an_unknown_revision_names_its_key(ref: str, made: MadeRepository) -> None:
    with pytest.raises(ValueError, match=rf"^base={ref}: no such revision in .*; git fetch it"):
        find_repository(made.folder).commit_of(ref, key="base")


def test_a_detached_head_has_no_name(tmp_path: Path) -> None:
    made = made_repository(tmp_path)
    made.git("checkout", "--quiet", "--detach")
    repository = find_repository(made.folder)
    assert [repository.is_checked_out(ref) for ref in ("HEAD", "main")] == [True, False]


def test_untracked_files_do_not_make_a_repository_dirty(tmp_path: Path) -> None:
    made = made_repository(tmp_path)
    repository = find_repository(made.folder)
    (made.folder / "new").touch()
    assert not repository.is_dirty()
    made.git("add", "new")
    assert repository.is_dirty()


def test_variables_of_a_git_hook_are_ignored(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = made_repository(tmp_path)
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert find_repository(made.folder).root == made.folder.resolve()
    assert git(made.folder, "rev-parse", "--absolute-git-dir") == str(made.folder / ".git")
    assert not find_repository(made.folder).is_dirty()
