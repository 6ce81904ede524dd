"""However bench.compare and bench.ab end, their files report it; a system error is one line."""

from __future__ import annotations

import errno
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from bench.gate.run import compare as comparing
from bench.gate.run.ab import ab_command
from bench.gate.run.compare import compare_command
from bench.gate.run.noise import noise_command
from bench.launch.interleave import Interleaved
from tests.cli.command import environment, run_here
from tests.cli.forked import ForkServer
from tests.cli.forked_server import CLOSED_PIPE
from tests.cli.revisions import TIMES_S, MadeRepository, made_repository
from tests.gate.made import write_runs

STALE = "PASS: of an earlier check"
SLOW_S = [1.5 * time_s for time_s in TIMES_S]


@dataclass(frozen=True, slots=True)
class Files:
    """The outputs of a command, in a folder; each holds what an earlier check has left."""

    folder: Path

    def arguments(self) -> list[str]:
        return [f"{key}={self.folder}/out.{key}" for key in ("markdown", "json", "junit")]

    def make_stale(self) -> None:
        for key in ("markdown", "json", "junit"):
            (self.folder / f"out.{key}").write_text(STALE)

    def require(self, code: int, headline: str) -> None:
        """All of them, and the summary, are of a check that ended with this code."""
        told = json.loads((self.folder / "out.json").read_text())
        assert told["exit_code"] == code
        assert told["verdict"].startswith(f"{headline}: ")
        markdown = (self.folder / "out.markdown").read_text()
        assert markdown.startswith(f"## {headline}: ")
        assert (self.folder / "summary.md").read_text() == markdown
        suites = JUnitXml.fromfile(str(self.folder / "out.junit"))
        open_ones = suites.skipped if code == 3 else 0
        assert bool(suites.errors or suites.failures or open_ones) == (code != 0)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    made = Files(tmp_path)
    made.make_stale()
    return made


@pytest.fixture
def repository(tmp_path: Path) -> MadeRepository:
    return made_repository(tmp_path)


def on_other_cpu(repository: MadeRepository) -> None:
    """Commit a revision whose runs say that they were made on another processor."""
    path = repository.folder / "record.json"
    record = json.loads(path.read_text())
    record["host"]["cpu_name"] = "Other CPU"
    path.write_text(json.dumps(record))
    repository.commit("other", times_s=TIMES_S)


SHORT = ("module=fake_bench", "warmup=0", "max_runs=2", "min_runs=2")
EXACT = (*SHORT, "metrics=num_parameters")
FOUR = ("module=fake_bench", "warmup=0", "max_runs=4", "min_runs=4", "metrics=time_to_target_s")

# Of bench.ab: what is committed, what is asked, the code and the headline.
Commit = Callable[[MadeRepository], object]
AB: dict[str, tuple[Commit, tuple[str, ...], int, str]] = {
    "pass": (lambda _: 0, ("base=HEAD", *EXACT), 0, "PASS"),
    "regression": (
        lambda made: made.commit("slow", times_s=SLOW_S),
        ("base=good", *FOUR),
        1,
        "REGRESSION",
    ),
    "no such revision": (lambda _: 0, ("base=nowhere", *SHORT), 2, "NOT STARTED"),
    "wrong key": (lambda _: 0, ("base=HEAD", "hed=main"), 2, "NOT STARTED"),
    "wrong side of --": (lambda _: 0, ("base=HEAD", "batch_size=64"), 2, "NOT STARTED"),
    "too few": (
        lambda _: 0,
        ("base=HEAD", *SHORT, "metrics=time_to_target_s"),
        3,
        "TOO LITTLE TO COMPARE",
    ),
    "other host": (on_other_cpu, ("base=good", *EXACT), 4, "INCOMPARABLE"),
    "a run fails": (
        lambda made: made.commit("broken", times_s=TIMES_S, fails_from=0),
        ("base=good", *SHORT),
        5,
        "A RUN FAILED",
    ),
    "not installed": (
        lambda _: 0,
        ("base=HEAD", *SHORT, "install='echo ::error::x; exit 3'"),
        6,
        "NOT INSTALLED",
    ),
}


@pytest.mark.parametrize(("commit", "arguments", "code", "headline"), AB.values(), ids=AB)
def test_every_exit_code_of_ab_writes_its_files(
    commit: Commit,
    arguments: tuple[str, ...],
    code: int,
    headline: str,
    repository: MadeRepository,
    files: Files,
) -> None:
    commit(repository)
    answer = run_here(repository.folder, ab_command, *arguments, *files.arguments())
    assert answer.code == code, answer.err
    files.require(code, headline)
    assert "Traceback" not in answer.err
    assert "::error::" not in answer.err
    assert repository.num_worktrees() == 1


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*arguments: object) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "headline", "told"),
    [
        (KeyboardInterrupt(), 130, "INTERRUPTED", "interrupted: no verdict; whole runs per side: "),
        (OSError(errno.ENOSPC, "No space left on device", "log-0.txt"), 5, "THE COMMAND BROKE",
         "error: No space left on device: log-0.txt; no verdict; whole runs per side: 0; "),
    ],
)  # fmt: skip
def test_ab_that_is_ended_from_outside_says_so_in_a_line(
    error: BaseException,
    code: int,
    headline: str,
    told: str,
    repository: MadeRepository,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Interleaved, "prepared", raising(error))
    answer = run_here(repository.folder, ab_command, "base=HEAD", *SHORT, *files.arguments())
    assert answer.code == code
    files.require(code, headline)
    assert answer.err.startswith(told)
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", [ab_command, noise_command])
def test_a_failed_checkout_is_not_reported_as_a_wrong_key(
    command: Callable[[], int], repository: MadeRepository, tmp_path: Path
) -> None:
    """As with a filter of git that fails: of large files, say."""
    (repository.folder / ".gitattributes").write_text("* filter=broken\n")
    repository.git("config", "filter.broken.clean", "cat")
    repository.git("config", "filter.broken.smudge", "false")
    repository.git("config", "filter.broken.required", "true")
    repository.commit("filtered", times_s=TIMES_S)
    key = "base=HEAD" if command is ab_command else "ref=HEAD"
    answer = run_here(repository.folder, command, key, "module=fake_bench")
    assert answer.code == 5
    assert ": cannot be checked out in " in answer.err
    assert "smudge filter" in answer.err
    assert answer.err.count("\n") == 1
    assert repository.num_worktrees() == 1


@pytest.mark.parametrize("command", [ab_command, noise_command])
def test_a_temporary_folder_that_is_not_there_is_a_line(
    command: Callable[[], int], repository: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/null/temporary")
    key = "base=HEAD" if command is ab_command else "ref=HEAD"
    answer = run_here(repository.folder, command, key, "module=fake_bench")
    assert answer.code == 5
    assert answer.err.startswith("error: Not a directory: /dev/null/temporary")
    assert answer.err.count("\n") == 1


def test_a_pull_of_ctrl_c_ends_an_installation_that_hangs(
    repository: MadeRepository, files: Files
) -> None:
    install = "install='kill -INT $PPID; sleep 60'"
    answer = run_here(repository.folder, ab_command, "base=HEAD", install, *files.arguments())
    assert answer.code == 130
    files.require(130, "INTERRUPTED")
    assert repository.num_worktrees() == 1


def test_if_all_pairs_are_incomparable_it_stops_and_prints_the_command_that_judges_them(
    repository: MadeRepository, tmp_path: Path
) -> None:
    repository.commit("busy", times_s=SLOW_S, incomparable_below=99)
    looks = ("min_runs=4", "max_runs=8")
    asked = ("base=good", "module=fake_bench", "warmup=0", "metrics=time_to_target_s", *looks)
    answer = run_here(repository.folder, ab_command, *asked)
    assert answer.code == 3
    assert len(repository.calls()) == 8  # of 16: the first look is at 4 runs per side
    assert "incomparable: candidate " in answer.out.splitlines()[0]
    assert "(other_load)" in answer.out.splitlines()[0]
    (line,) = (each for each in answer.out.splitlines() if "without running again: " in each)
    assert line.startswith("note: no pair is comparable, so bench.ab stopped after 4 runs")
    _, _, command = line.partition("without running again: ")
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "bench.compare"]
    assert words[-3:] == ["force=[health]", "min_runs=4", "metrics=[time_to_target_s]"]
    judged = run_here(tmp_path, compare_command, *words[3:])
    assert judged.code == 1, judged.err
    assert judged.out.startswith("REGRESSION: 1 of 1 row, worst time_to_target_s +50%")


# bench.compare


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    for name, times_s in (("base", TIMES_S), ("slow", SLOW_S), ("few", TIMES_S[:2])):
        write_runs(root / name, times_s)
    write_runs(root / "other", TIMES_S, host={"cpu_name": "Other CPU"})
    write_runs(root / "failed", TIMES_S, outcome="failed")
    return root


COMPARE: dict[str, tuple[tuple[str, ...], int, str]] = {
    "pass": (("baseline=base", "candidate=base"), 0, "PASS"),
    "regression": (("baseline=base", "candidate=slow"), 1, "REGRESSION"),
    "no such folder": (("baseline=base", "candidate=nowhere"), 2, "NOT STARTED"),
    "no side": (("baseline=base",), 2, "NOT STARTED"),
    "wrong key": (("baseline=base", "candidate=base", "x=1"), 2, "NOT STARTED"),
    "wrong value": (("baseline=base", "candidate=base", "alpha=7"), 2, "NOT STARTED"),
    "too few": (("baseline=base", "candidate=few"), 3, "TOO LITTLE TO COMPARE"),
    "other host": (("baseline=base", "candidate=other"), 4, "INCOMPARABLE"),
    "failed": (("baseline=base", "candidate=failed"), 5, "A RUN FAILED"),
    "none to accept": (
        ("baseline=new.json", "candidate=failed", "accept=true"),
        5,
        "A RUN FAILED",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "headline"), COMPARE.values(), ids=COMPARE)
def test_every_exit_code_of_compare_writes_its_files(
    arguments: tuple[str, ...], code: int, headline: str, made: Path, files: Files
) -> None:
    answer = run_here(made, compare_command, *arguments, *files.arguments())
    assert answer.code == code, answer.err
    files.require(code, headline)


@pytest.mark.parametrize(
    ("error", "code", "headline"),
    [
        (KeyboardInterrupt(), 130, "INTERRUPTED"),
        (OSError(errno.EIO, "Input/output error", "run.json"), 5, "THE COMMAND BROKE"),
        (RuntimeError("a mistake of ours"), 5, "THE COMMAND BROKE"),
    ],
)
def test_compare_that_breaks_says_so_in_its_files(
    error: BaseException,
    code: int,
    headline: str,
    made: Path,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparing, "compare", raising(error))
    sides = ("baseline=base", "candidate=slow")
    answer = run_here(made, compare_command, *sides, *files.arguments())
    assert answer.code == code
    files.require(code, headline)
    if isinstance(error, OSError):
        assert answer.err == "error: Input/output error: run.json\n"


def test_an_error_report_never_overwrites_compared_files(made: Path, tmp_path: Path) -> None:
    (tmp_path / "perf.json").write_text("precious")
    sides = ("baseline=perf.json", f"candidate={made / 'base'}")
    for wrong in (("json=./perf.json",), ("junit=perf.json", "x=1"), (f"markdown={tmp_path}",)):
        assert run_here(tmp_path, compare_command, *sides, *wrong).code == 2
        assert (tmp_path / "perf.json").read_text() == "precious"


def test_a_first_baseline_leaves_no_file_of_an_earlier_check(made: Path, files: Files) -> None:
    accept = (f"baseline={files.folder}/new.json", "candidate=base", "accept=true")
    answer = run_here(made, compare_command, *accept, *files.arguments())
    assert answer.code == 0
    assert answer.out.count("is not written: there is nothing to compare with yet; that of an") == 3
    assert not list(files.folder.glob("out.*"))


def test_a_home_and_variables_are_replaced_in_every_path(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADE", str(made))
    home = Path(environment(tmp_path)["HOME"])
    first = run_here(
        tmp_path, compare_command, "baseline=~/b.json", "candidate=$MADE/base", "accept=true"
    )
    assert first.code == 0, first.err
    outputs = ("json=~/o.json", "junit=${oc.env:HOME}/o.xml", "markdown=$HOME/o.md")
    second = run_here(
        tmp_path, compare_command, "baseline=~/b.json", "candidate=$MADE/slow", *outputs
    )
    assert second.code == 1, second.err
    assert sorted(path.name for path in home.iterdir()) == ["b.json", "o.json", "o.md", "o.xml"]
    path = "~nobody-of-that-name/$NOT_SET"
    wrong = run_here(tmp_path, compare_command, f"baseline={path}", "candidate=$MADE/base")
    assert wrong.code == 2
    assert wrong.err.startswith(f"error: baseline={path}: no such folder or file; ")


@pytest.mark.parametrize("place", ["/proc/x/o.json", "/dev/null/o.json", "loop/o.json"])
def test_a_place_that_cannot_be_written_is_reported_before_anything_is_measured(
    place: str, repository: MadeRepository
) -> None:
    (repository.folder / "loop").symlink_to("loop")
    answer = run_here(repository.folder, ab_command, "base=HEAD", *SHORT, f"json={place}")
    assert answer.code == 2
    assert answer.err.startswith(f"error: json={place}: cannot write there (")
    assert repository.calls() == []


def test_a_full_disk_leaves_the_verdict_on_the_terminal_and_ends_with_5(
    made: Path, tmp_path: Path
) -> None:
    sides = (f"baseline={made / 'base'}", f"candidate={made / 'slow'}")
    answer = run_here(tmp_path, compare_command, *sides, "json=/dev/full", "junit=o.xml")
    assert answer.code == 5
    assert answer.out.startswith("REGRESSION: ")
    assert answer.err == "error: json=/dev/full: cannot write there (No space left on device)\n"
    assert Path("/dev/full").exists()
    assert (tmp_path / "o.xml").exists()


def test_a_reader_that_leaves_does_not_change_the_exit_code(
    made: Path, tmp_path: Path, commands: ForkServer
) -> None:
    """As `| head -1`: rich would end with 1, and Python with 120."""
    sides = (f"baseline={made / 'base'}", f"candidate={made / 'few'}")
    answer = commands.run(tmp_path, "bench.compare", *sides, "json=o.json", out=CLOSED_PIPE)
    assert (answer.code, answer.err) == (3, "")
    assert json.loads((tmp_path / "o.json").read_text())["exit_code"] == 3


def test_an_output_on_a_full_disk_is_reported_and_the_files_have_the_verdict(
    made: Path, files: Files, commands: ForkServer
) -> None:
    sides = ("baseline=base", "candidate=base")
    answer = commands.run(made, "bench.compare", *sides, *files.arguments(), out=Path("/dev/full"))
    told = "error: standard output: cannot write there (No space left on device)\n"
    assert (answer.code, answer.err) == (5, told)
    files.require(0, "PASS")


def test_closed_output_does_not_change_the_exit_code(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `>&-`
    plain = {"baseline": str(made / "base"), "candidate": str(made / "few")}
    assert comparing.compare_runs(plain) == 3


def test_text_from_elsewhere_gives_no_orders(made: Path, tmp_path: Path, files: Files) -> None:
    orders = "\x1b]0;title\x07 [/x] \n::error::x\n::set-output name=a::b ##[error]c <img src=x> @me"
    for folder in write_runs(tmp_path / "runs", TIMES_S):
        record = json.loads((folder / "run.json").read_text())
        record["error"] = {"kind": "Failed", "message": orders}
        record["status"] = "failed"
        record["host"]["git_commit"] = orders
        (folder / "run.json").write_text(json.dumps(record))
    candidate = f"candidate={tmp_path / 'runs'}"
    answer = run_here(made, compare_command, "baseline=base", candidate, *files.arguments())
    assert answer.code == 5
    shown = answer.out + answer.err
    assert "\x1b" not in shown
    for order in ("::error::", "::set-output", "##[error]"):
        assert order not in shown
    assert r"\x1b]0;title\x07 [/x]  \x3a:error" in shown
    markdown = (files.folder / "out.markdown").read_text()
    assert "<img" not in markdown.replace(r"\<img", "")
    assert "@me" not in markdown
    assert not any(line.startswith("::") for line in markdown.splitlines())
    files.require(5, "A RUN FAILED")
