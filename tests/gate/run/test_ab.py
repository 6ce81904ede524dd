"""bench.ab as a user calls it, on a repository whose benchmark trains nothing (revisions.py).

The command itself is run for what only it does; what it carries out is called here for the rest.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.gate.run import trial
from bench.gate.run.ab import ab_command, compare_revisions
from bench.gate.run.trial import BenchmarkInput
from tests.cli.command import ROOT, Answer, run_here
from tests.cli.forked import ForkServer
from tests.cli.revisions import TIMES_S, MadeRepository, made_repository

SLOW_S = [1.15 * time_s for time_s in TIMES_S]
WIDE_S = [0.8, 1.1, 0.9, 1.2, 1.0, 0.85, 1.15, 0.95, 1.05, 1.0]
# Of the 70 ways to draw 4 of 8 runs one is the most extreme: p = 0.014 for one metric, below the
# 2.5% that the first of two looks, at 4 and 8 runs, may spend.
SHORT = ("module=fake_bench", "metrics=time_to_target_s", "min_runs=4", "max_runs=8")

Compared = Callable[..., Answer]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
OF_ALL = {"module": "fake_bench", "metrics": "time_to_target_s", "warmup": 0}


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a CI job that has a summary of its own."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> MadeRepository:
    return made_repository(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """For tests of what is refused before anything is run; none of them changes it."""
    return made_repository(tmp_path_factory.mktemp("untouched"))


@pytest.fixture
def compared(
    repository: MadeRepository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Compared:
    """Compares in this process; takes what the benchmark is given, and keys of the command line."""
    monkeypatch.chdir(repository.folder)

    def call(*overrides: str, **keys: Any) -> Answer:
        asked = BenchmarkInput(overrides=overrides, environment=ENVIRONMENT)
        code = compare_revisions({**OF_ALL, **keys}, asked)
        captured = capsys.readouterr()
        return Answer(code=code, out=captured.out, err=captured.err)

    return call


def ab_here(folder: Path, *arguments: str) -> Answer:
    """Run it in this process, which then gets the signals."""
    return run_here(folder, ab_command, *arguments)


def root_of(repository: MadeRepository) -> Path:
    """The only folder of results."""
    (root,) = (repository.folder / "results" / "ab").iterdir()
    return root


def order(calls: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Side and repeat of each call."""
    return [(Path(call["results"]).name, call["repeat"]) for call in calls]


# The command itself


def test_a_regression_ends_with_1_at_the_first_look_and_leaves_runs_only(
    repository: MadeRepository, commands: ForkServer
) -> None:
    repository.commit("slow", times_s=SLOW_S)
    asked = ("base=HEAD~1", *SHORT, "json=out.json", "--", "batch_size=64")
    answer = commands.run(repository.folder, "bench.ab", *asked, PYTHONDONTWRITEBYTECODE="1")
    assert answer.code == 1, answer.err
    assert answer.out.startswith("REGRESSION: 1 of 1 row, worst time_to_target_s +15%")
    assert "\nbase: HEAD~1 (" in answer.out
    assert "\ncandidate: HEAD (" in answer.out
    # 5% x 4 / 8.
    assert "note: looked at 4 runs per side at level 2.5%; of all looks together" in answer.out
    root = root_of(repository)
    last = answer.out.splitlines()[-1]
    assert last.startswith("measured: 4 runs per side, and 1 to warm up, in ")
    assert last.endswith(f" s: {root}")
    assert answer.err.startswith("4 runs per side: clear: REGRESSION: ")
    assert answer.err.count("\n") == 1  # a line per look, where there is no terminal
    assert json.loads((repository.folder / "out.json").read_text())["exit_code"] == 1
    assert sorted(path.name for path in root.iterdir()) == ["base", "head", "warmup"]
    assert len(list((root / "head" / "train").iterdir())) == 4
    assert repository.num_worktrees() == 1

    calls = repository.calls()
    rounds = [("base", 0), ("head", 0), ("head", 1), ("base", 1)]
    rounds += [("base", 2), ("head", 2), ("head", 3), ("base", 3)]
    assert order(calls) == [("base", 0), ("head", 0), *rounds]  # after those to warm up
    assert len({call["pid"] for call in calls}) == len(calls)
    for call in calls:
        side = Path(call["results"]).name
        assert call["name"] == {"base": "good", "head": "slow"}[side]
        assert call["argv"][0] == "batch_size=64"
        assert Path(call["cwd"]).name == side
        assert call["file"] == f"{call['cwd']}/fake_bench.py"
        variables = call["variables"]
        assert variables["PYTHONPATH"].split(os.pathsep)[0] == call["cwd"]
        assert variables["PYTHONHASHSEED"] == "0"
        assert "PYTHONDONTWRITEBYTECODE" not in variables
        assert variables["HYDRA_FULL_ERROR"] == "0"  # the user's, not what the command sets
        assert not Path(call["cwd"]).exists()


def test_a_revision_that_cannot_be_installed_ends_with_6(repository: MadeRepository) -> None:
    repository.commit("slow", times_s=SLOW_S)
    install = 'echo "${HOME:+at} home" && grep -q good revision.json'
    answer = ab_here(repository.folder, "base=HEAD~1", *SHORT, f"install={install}")
    assert (answer.code, answer.out) == (6, "")
    assert answer.err.startswith("error: head, HEAD (")
    assert f": could not be installed: ended with exit code 1: {install}\n" in answer.err
    assert "\n    at home\n" in answer.err  # the end of what it printed
    assert "no verdict; whole runs per side: 0" in answer.err
    assert repository.calls() == []
    assert repository.num_worktrees() == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_an_interrupted_comparison_has_no_verdict_and_leaves_no_worktree(
    name: str, repository: MadeRepository, commands: ForkServer
) -> None:
    if name == "SIGHUP" and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        pytest.skip("started with nohup, which bench.ab inherits and respects")
    asked = ("base=HEAD", *SHORT, "warmup=0", "--", f"signal={name}", "stops_at=1")
    if name == "SIGINT":
        answer = commands.run(repository.folder, "bench.ab", *asked)
    else:
        answer = ab_here(repository.folder, *asked)
    assert (answer.code, answer.out) == (130, "")
    root = root_of(repository)
    told = f"interrupted: no verdict; whole runs per side: 1; they and their logs lie in {root}\n"
    assert answer.err == told
    assert (root / "head" / "log-1.txt").read_text() == "told to stop\n"
    assert order(repository.calls()) == [("base", 0), ("head", 0), ("head", 1)]
    assert repository.num_worktrees() == 1
    assert not Path(repository.calls()[0]["cwd"]).parent.exists()


REFUSED: dict[tuple[str, ...], str] = {
    (): "base: must be given: the revision to compare with, as in base=origin/main",
    ("base=HEAD^", "head=12e4567"): "base=HEAD^: no such revision in ",  # no syntax error
    ("base=main", "head=12e4567"): "head=12e4567: no such revision in ",  # not infinite
    ("base=main", "batch_size=64"): "batch_size=64: is for the benchmark; what it is given goes",
    ("base=main", "hed=main"): "hed: no such key; did you mean head?",
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.items())
def test_wrong_input_is_one_line_and_leaves_nothing_behind(
    untouched: MadeRepository, arguments: tuple[str, ...], message: str
) -> None:
    answer = run_here(untouched.folder, ab_command, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {message}")
    assert answer.err.count("\n") == 1
    assert not (untouched.folder / "results").exists()
    assert untouched.calls() == []
    assert untouched.num_worktrees() == 1


# How long it is measured


def test_no_change_stops_at_the_first_look_and_one_commit_is_remarked_on(
    repository: MadeRepository, compared: Compared
) -> None:
    answer = compared(base="HEAD", metrics="all")
    assert answer.code == 0, answer.out
    assert answer.out.startswith("PASS: no regression in ")
    assert "note: base and head are the same commit: what differs is chance" in answer.out
    # 5% x 6 / 16.
    assert "looked at 6 runs per side at level 1.9%; of all" in answer.out
    assert len(repository.calls()) == 12
    assert repository.calls()[0]["argv"][0].startswith("results=")  # the benchmark's defaults


def test_unclear_metrics_are_measured_up_to_the_most_runs(
    repository: MadeRepository, compared: Compared
) -> None:
    # The same times on both sides, so far apart that so few do not exclude a loss of 5%.
    repository.commit("wide", times_s=WIDE_S)
    answer = compared(base="HEAD", min_runs=3, max_runs=9)
    assert answer.code == 0, answer.err
    # 3 and 9 are rounded up to whole rounds; two rounds lie between two looks.
    told = [line.split(": ")[:2] for line in answer.err.splitlines()]
    assert told == [[f"{num} runs per side", "not clear yet"] for num in (4, 8, 10)]
    # 5% x 4 / 10, 5% x 4 / 10, 5% x 2 / 10.
    levels = (
        "4 runs per side at level 2%, 8 runs per side at level 2%, 10 runs per side at level 1%"
    )
    assert f"note: looked at {levels}; of all looks together at most 5%" in answer.out
    assert len(repository.calls()) == 20


def test_a_regression_that_few_runs_do_not_show_is_found_at_a_later_look(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("wide", times_s=WIDE_S)
    repository.commit("wide_and_slow", times_s=[1.4 * time_s for time_s in WIDE_S])
    answer = compared(base="wide", min_runs=4, max_runs=12)
    # The first four of each side overlap (0.8 x 1.4 < 1.2): p is above 1 / 70, and that below 1.7%.
    told = [line.split(": ")[:3] for line in answer.err.splitlines()]
    assert told[0][:2] == ["4 runs per side", "not clear yet"]
    assert told[-1] == ["8 runs per side", "clear", "REGRESSION"]
    assert answer.code == 1
    assert len(repository.calls()) == 16


def test_no_round_starts_after_the_budget_and_too_few_runs_are_no_pass(
    repository: MadeRepository, compared: Compared
) -> None:
    answer = compared(base="HEAD", max_runs=8, budget_s=0.001)
    assert answer.code == 3
    assert answer.out.startswith("TOO LITTLE TO COMPARE: 1 of 1 row underpowered")
    assert "budget_s=0.001 was over after 2 runs per side; 8 were allowed" in answer.out
    assert len(repository.calls()) == 4


def test_runs_of_a_sweep_are_paired_by_seed_and_compared_within_it(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("slow", times_s=SLOW_S)
    answer = compared("-m", "seed=0,1,2", base="good", min_runs=4, max_runs=8)
    # A command makes the runs of all seeds, and commands are what is exchanged: 4 of 8, 1 / 70.
    assert answer.code == 1, answer.out
    assert "  12/12  0.014  regression" in answer.out
    assert [call["argv"][:2] for call in repository.calls()] == [["-m", "seed=0,1,2"]] * 8


def test_incomparable_runs_are_left_out_and_others_measured_in_their_place(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("incomparable", times_s=TIMES_S, incomparable_below=2)
    answer = compared(base="good", min_runs=2, max_runs=4, metrics="num_parameters")
    assert answer.code == 0, answer.out
    told = [line.split(": ")[:2] for line in answer.err.splitlines()]
    assert told == [["2 runs per side", "not clear yet"], ["4 runs per side", "clear"]]
    assert "2 of 4 pairs left out, incomparable" in answer.out


# Runs from servers


@pytest.fixture
def served(repository: MadeRepository, monkeypatch: pytest.MonkeyPatch) -> MadeRepository:
    """Its revision `good` has no server; those that are committed after it have one."""
    server = ModuleType("fake_server")
    server.JOBS = {"fake_bench": "no module of jobs"}  # type: ignore[attr-defined]
    monkeypatch.setattr(trial, "command_server", server)
    repository.add_server()
    return repository


def short_order(calls: list[dict[str, Any]]) -> list[str]:
    """Runs by side and repeat, and `new` for each renewal."""
    return [
        f"new {call['renewed']}"
        if "renewed" in call
        else f"{Path(call['results']).name} {call['repeat']}"
        for call in calls
    ]


def test_both_sides_get_new_fork_servers_before_each_run_that_is_compared(
    served: MadeRepository, compared: Compared
) -> None:
    served.commit("same", times_s=TIMES_S)
    answer = compared(base="HEAD", warmup=1, budget_s=0.001)
    told = short_order(served.calls())
    assert sorted(told[4:6]) == ["new base", "new head"]  # at the same time
    # The first runs come from the fork servers of the warm-up.
    assert told[:4] == ["base 0", "head 0", "base 0", "head 0"]
    assert told[6:] == ["head 1", "base 1"]
    assert "whole command" not in answer.out
    assert (root_of(served) / "base" / "log-server.txt").read_text() == ""
    assert served.num_worktrees() == 1


def test_runs_of_a_server_are_one_measurement(served: MadeRepository, compared: Compared) -> None:
    """Four servers a side, one of 70 arrangements; each has two runs, and so has each look."""
    served.commit("same", times_s=TIMES_S)
    served.commit("slow", times_s=SLOW_S)
    answer = compared(base="same", runs_per_server=2, min_runs=4, max_runs=8)
    assert answer.code == 1, answer.out
    assert "  4/4  0.014  regression" in answer.out
    assert answer.err.startswith("8 runs per side: clear: REGRESSION: ")
    # 5% x 8 / 16.
    assert "note: looked at 8 runs per side at level 2.5%; of all looks together" in answer.out
    told = short_order(served.calls())
    assert [each for each in told if not each.startswith("new")][:4] == [
        *("base 0", "head 0", "head 1", "base 1")
    ]
    assert told.count("new base") == told.count("new head") == 3


def test_all_seeds_of_a_server_are_exchanged_together(
    served: MadeRepository, compared: Compared
) -> None:
    """Two servers a side can be chosen in 6 ways, however many seeds each of them trains."""
    served.commit("same", times_s=TIMES_S)
    served.commit("slow", times_s=SLOW_S)
    answer = compared("-m", "seed=0,1,2", base="same", min_runs=2, max_runs=2)
    assert answer.code == 3
    assert "underpowered" in answer.out


def test_a_revision_without_a_server_makes_both_sides_run_whole_commands(
    served: MadeRepository, compared: Compared
) -> None:
    served.commit("new", times_s=SLOW_S)
    answer = compared(base="good", min_runs=4, max_runs=8, runs_per_server=2)
    assert answer.code == 1, answer.out
    reason = "base cannot be served ("
    assert answer.err.startswith(reason)
    assert "No module named fake_server): each run is a whole command" in answer.err
    assert f"note: {reason}" in answer.out
    # Each whole command is a measurement of its own.
    assert "note: looked at 4 runs per side" in answer.out
    assert len(served.calls()) == 8


@pytest.mark.parametrize("overrides", [(), ("hydra.job.env_set.X=1",)])
def test_whole_commands_can_be_asked_for(
    overrides: tuple[str, ...], served: MadeRepository, compared: Compared
) -> None:
    """A fork server would not get the variables that Hydra sets for a job."""
    served.commit("same", times_s=TIMES_S)
    per_server = 1 if overrides else 0
    answer = compared(*overrides, base="HEAD", runs_per_server=per_server, budget_s=0.001)
    assert short_order(served.calls()) == ["base 0", "head 0", "head 1", "base 1"]
    assert "whole command" not in answer.out


def test_a_run_of_a_server_that_fails_is_reported_as_that_of_a_command(
    served: MadeRepository, compared: Compared
) -> None:
    served.commit("same", times_s=TIMES_S)
    served.commit("broken", times_s=TIMES_S, fails_from=1)
    answer = compared(base="same")
    assert answer.code == 5
    log = root_of(served) / "head" / "log-1.txt"
    first, *others = answer.err.splitlines()
    assert ": run 2 failed: ended with exit code 1: " in first
    assert f" -m fake_bench results={log.parent} repeat=1" in first
    assert others[:2] == [f"  the end of {log}:", "    some output before it"]
    assert served.num_worktrees() == 1


# What goes wrong


def test_a_regression_is_explained_by_one_more_run_of_each_side(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("slow", times_s=SLOW_S)
    answer = compared(base="good", min_runs=4, max_runs=8, explain=True, json="perf.json")
    assert answer.code == 1
    # Half of 1 s and of 1.15 s; the other half is outside of operators.
    assert answer.out.count("500 -> 575") == 2
    assert "outside of operators" in answer.out
    calls = [Path(call["results"]) for call in repository.calls()][-2:]
    assert [path.parts[-2:] for path in calls] == [("traced", "base"), ("traced", "head")]
    told = json.loads((repository.folder / "perf.json").read_text())["explanation"]
    assert told["operators"][0]["candidate_calls"] == 7
    assert told["reason"] == ""


def test_without_a_regression_nothing_is_traced(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("same", times_s=TIMES_S)
    answer = compared(base="good", min_runs=6, max_runs=6, explain=True)
    assert answer.code == 0
    assert not any("traced" in call["results"] for call in repository.calls())


def test_a_side_that_fails_while_it_is_traced_leaves_the_verdict(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("slow", times_s=SLOW_S)
    answer = compared("untraceable", base="good", min_runs=4, max_runs=8, explain=True)
    assert answer.code == 1
    assert "base was not traced: base, good (" in answer.out


def test_a_revision_that_fails_ends_with_5_and_nothing_is_measured_after_it(
    repository: MadeRepository, compared: Compared
) -> None:
    repository.commit("broken", times_s=TIMES_S, fails_from=1)
    answer = compared("lr=0.1", base="good", warmup=1, json="out.json", markdown="out.md")
    assert (answer.code, answer.out) == (5, "written: out.md\nwritten: out.json\n")
    log = root_of(repository) / "head" / "log-1.txt"
    first, *others = answer.err.splitlines()
    assert first.startswith("error: head, HEAD (")
    assert ": run 2 failed: ended with exit code 1: " in first
    assert first.endswith(f" -m fake_bench lr=0.1 results={log.parent} repeat=1")
    assert others[:3] == [
        f"  the end of {log}:",
        "    some output before it",
        "    it is broken here",
    ]
    assert order(repository.calls())[-1] == ("head", 1)
    assert repository.num_worktrees() == 1
    told = json.loads(Path("out.json").read_text())
    assert (told["exit_code"], told["rows"]) == (5, [])
    assert "it is broken here" in Path("out.md").read_text()


def test_a_revision_that_cannot_be_installed_ends_with_6_in_every_file(
    repository: MadeRepository, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")  # as GitHub sets it for each job
    files = {"json": "out.json", "markdown": "out.md", "junit": "out.xml"}
    answer = compared(base="HEAD", install="false", **files)
    assert answer.code == 6
    assert "could not be installed: ended with exit code 1: false" in answer.err
    told = json.loads(Path("out.json").read_text())
    assert (told["exit_code"], told["rows"]) == (6, [])
    assert told["verdict"].startswith("NOT INSTALLED: base, HEAD (")
    for name in ("out.md", "summary.md"):
        assert Path(name).read_text().startswith("## NOT INSTALLED: base, HEAD (")
    assert b"could not be installed" in Path("out.xml").read_bytes()
    assert repository.calls() == []


def test_a_users_own_training_is_judged_by_its_repeats_at_one_seed(
    repository: MadeRepository, compared: Compared
) -> None:
    """As with ProfilerCallback: another command, one seed, the repeat that bench.ab gives."""
    repository.commit("slow", times_s=SLOW_S)
    answer = compared("command=lightning", base="good", min_runs=4, max_runs=8)
    assert answer.code == 1, answer.out
    assert "all rows: lightning " in answer.out
    assert "  4/4  " in answer.out
    runs = sorted(root_of(repository).glob("head/lightning/*/run.json"))
    assert [json.loads(run.read_text())["repeat"] for run in runs] == [0, 1, 2, 3]


def test_runs_that_all_have_one_repeat_stop_it_after_a_round(
    repository: MadeRepository, compared: Compared
) -> None:
    """More of them would not count either, whatever the budget."""
    answer = compared("one_repeat", base="HEAD", budget_s=3600.0)
    assert answer.code == 3
    assert len(repository.calls()) == 4
    headline = answer.out.splitlines()[0]
    assert ": base: 2 runs have the same seed and repeat (seed 0 repeat 0): only one c" in headline
    assert "repeat=0, repeat=1, ..." in headline
    assert "more run" not in answer.out
    assert (
        "note: module=fake_bench is given results=DIR repeat=K, a K of its own for each run of a "
        "side, and has to write its record there with that repeat"
    ) in answer.out
    assert answer.err.startswith("2 runs per side: stopped: TOO LITTLE TO COMPARE: ")


def test_base_that_is_ahead_is_remarked_on(repository: MadeRepository, compared: Compared) -> None:
    repository.commit("ahead", times_s=TIMES_S)
    answer = compared(base="ahead", head="good", budget_s=0.001)
    assert "note: base has commits that head lacks (1), and what these gained counts" in answer.out


def test_a_module_that_writes_no_run_is_reported_at_once(
    repository: MadeRepository, compared: Compared
) -> None:
    answer = compared("nothing", base="HEAD")
    assert (answer.code, answer.out) == (5, "")
    results = root_of(repository) / "base"
    assert f": run 1 left no run folder in {results}: ended with exit code 0: " in answer.err
    assert len(repository.calls()) == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_runs": 4}, "max_runs=4: must be at least min_runs=6"),
        (
            {"module": "bench train"},
            "module=bench train: must be a module that `python -m` can run",
        ),
        ({"noise": "fake_bench.py"}, r"noise=fake_bench\.py: not a file of noise floors"),
        ({"python": "no/such"}, r"python=/.*/base/no/such: cannot be run \(No such file"),
        ({"results": "fake_bench.py"}, r"results=fake_bench\.py: cannot write there \(Not a dir"),
        ({"head": "main:fake_bench.py"}, "head=main:fake_bench.py: no such revision in "),
    ],
)
def test_a_wrong_value_names_its_key(
    keys: dict[str, Any],
    message: str,
    untouched: MadeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(untouched.folder)
    plain = {**OF_ALL, "base": "good", "results": str(tmp_path), **keys}
    with pytest.raises(ValueError, match=f"^{message}"):
        compare_revisions(plain, BenchmarkInput(overrides=(), environment=ENVIRONMENT))
    assert untouched.calls() == []
    assert untouched.num_worktrees() == 1


@pytest.mark.parametrize("head", ["HEAD", "main"])
def test_changes_that_are_not_committed_are_not_left_out_unnoticed(
    head: str, repository: MadeRepository, compared: Compared
) -> None:
    (repository.folder / "fake_bench.py").write_text("raise SystemExit('changed')")
    told = f"^head={head}: the working tree has changes .* stash them, or allow_dirty=true$"
    with pytest.raises(ValueError, match=told):
        compared(base="good", head=head)


def test_changes_do_not_matter_to_a_tag_and_may_be_left_out(
    repository: MadeRepository, compared: Compared
) -> None:
    (repository.folder / "fake_bench.py").write_text("raise SystemExit('changed')")
    by_tag = compared(base="HEAD", head="good", budget_s=0.001)
    assert by_tag.code == 3  # two runs are too few for a verdict
    assert "not committed" not in by_tag.out
    allowed = compared(base="good", allow_dirty=True, budget_s=0.001)
    assert allowed.code == 3
    told = "note: head=HEAD: the working tree has changes that are not committed; they were not "
    assert told in allowed.out


def test_it_is_run_in_the_folder_that_corresponds_and_both_must_have_it(
    repository: MadeRepository, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.folder / "new").mkdir()
    (repository.folder / "new" / "file").touch()
    repository.commit("larger", times_s=TIMES_S)
    monkeypatch.chdir(repository.folder / "new")
    assert compared(base="HEAD", budget_s=0.001).code == 3
    assert [Path(call["cwd"]).name for call in repository.calls()] == ["new"] * 4
    with pytest.raises(
        ValueError, match=r"^base: good \(\w+\) has no folder new; start the command"
    ):
        compared(base="good")


def test_a_folder_without_a_repository_and_a_missing_git_are_reported(
    tmp_path: Path, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match=rf"^{tmp_path}: not in the working tree of a git repo"):
        compared(base="good")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"^git: not found; install it"):
        compared(base="good")
