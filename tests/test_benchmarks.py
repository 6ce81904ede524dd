"""The parts of the benchmarks that can be checked without timing."""

from __future__ import annotations

import json
import math
import re
import subprocess
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from rich.table import Table

from bench.core.arrays import Floats
from bench.core.ledger import Ledger
from bench.gate.model import Comparison, GateRun, RowValues
from bench.gate.report.writers import as_json
from bench.gate.rule.rule import judge
from bench.gate.rule.sequential import is_open
from benchmarks import around, gate_power, gate_real, gate_rules, gate_servers, sweep_scale
from benchmarks.energy_accuracy import complaints
from benchmarks.gate_real import Calibration, Check, Clone
from benchmarks.sweep_scale import Cost
from tests.cli.command import run_here
from tests.conformance.cases import CASES
from tests.conformance.judge import Outcome


def test_a_worse_meter_is_complained_of() -> None:
    found = Outcome(case="", true_j=100.0, answer="within", conforms=True, error_frac=0.001)
    own = replace(found, answer="wrong", conforms=False, error_frac=-0.0021, bound_frac=0.001)
    case = next(one for one in CASES if one.exact)
    refusal = replace(found, answer="refused", error_frac=None, reason="no driver")
    assert complaints(case, own, [replace(found, error_frac=0.5), found, refusal]) == [
        "off by -0.21% of 100 J, with a bound of 0.10% and nothing marked as doubtful",
        "off by 0.210% where nothing but arithmetic can be wrong",
        "worse than the best of the others",
    ]
    assert complaints(case, refusal, [found]) == []
    assert complaints(case, replace(refusal, conforms=False), [found]) == [
        "refused although the hardware shows the energy: no driver"
    ]


def check_samples(base: Floats, candidate: Floats) -> list[RowValues]:
    """A check as the gate takes it, of arrays (runs, metrics)."""
    return [
        RowValues(
            metric=gate_rules.METRIC,
            kind="measured",
            configuration="c",
            command="train",
            config_hash="h",
            base=old,
            candidate=new,
            strata=np.zeros(len(old), np.int64),
        )
        for old, new in zip(base.T, candidate.T, strict=True)
    ]


@pytest.mark.parametrize("num_runs", [5, 6, 10])
def test_simulated_verdicts_are_those_of_the_gate(num_runs: int) -> None:
    rng = np.random.default_rng(num_runs)
    seen = set()
    for turn in range(60):
        spread_frac = (0.005, 0.03, 0.1)[turn % 3]
        base, candidate = rng.normal(1.0, spread_frac, (2, num_runs, 3))
        candidate[:, 0] *= 1 + rng.choice([0.0, 0.05, 0.1, 0.3])
        if turn % 2:  # ties
            base, candidate = base.round(2), candidate.round(2)
        alpha = (0.05, 0.05 * 6 / 16)[turn % 2]
        found = gate_rules.verdicts(base, candidate, alpha)
        rows = judge(check_samples(base, candidate), alpha=alpha)
        told = ["no change" if row.verdict == "improvement" else row.verdict for row in rows]
        assert found == told
        wants_more = gate_rules.wants_more(base, candidate, found)
        assert wants_more == is_open(rows)
        seen |= {*found, wants_more}
    assert seen == {"regression", "underpowered", "no change", True, False}


def test_too_few_runs_for_so_many_metrics_are_underpowered_in_simulation_too() -> None:
    # 5 against 5 reach 1/252 at best, and 13 metrics ask for 0.05/13 = 1/260.
    base = np.ones((5, 13))
    found = gate_rules.verdicts(base, 2 * base)
    rows = judge(check_samples(base, 2 * base))
    assert found == [row.verdict for row in rows] == ["underpowered"] * 13
    assert gate_rules.wants_more(base, 2 * base, found)


def test_looking_ends_at_a_loss_or_when_none_is_possible_and_else_takes_all_runs() -> None:
    steady = np.ones((16, 2))
    # Metric 0 of the last check varies by a half about a loss of 4%: neither shown nor excluded.
    varying = np.column_stack([np.tile([0.5, 1.5], 8), np.ones(16)])
    base = np.stack([steady, steady, varying])
    candidate = np.stack([steady, 1.5 * steady, 1.04 * varying])
    outcome = gate_rules.ours_looking(base, candidate)
    assert outcome.num_runs.tolist() == [6, 6, 16]
    assert outcome.flagged.tolist() == [[False, False], [True, True], [False, False]]
    assert not outcome.undecided.any()


def test_simulated_servers_share_a_factor_and_their_median_is_one_measurement() -> None:
    runs = np.array([1.0, 2.0, 9.0, 4.0, 6.0, 5.0]).reshape(1, 6, 1)
    assert gate_servers.medians_of_servers(runs, 3).ravel().tolist() == [2.0, 5.0]
    rng = np.random.default_rng(0)
    runs = gate_servers.drawn(rng, gate_servers.by_servers(2), 3, 0.0, 0.1)
    assert runs.shape == (3, 32, 12)
    assert (runs[:, 0::2] == runs[:, 1::2]).all()  # the runs of a server do not differ
    assert len(np.unique(runs[0, :, 0])) == 16


def test_exchanging_the_runs_of_two_servers_finds_losses_that_are_not_there() -> None:
    """Two servers of 8 runs a side: one side has the two slowest of four in 1 of 6 cases."""
    way = gate_servers.by_runs("runs", 8)
    rng = np.random.default_rng(0)
    sides = [gate_servers.drawn(rng, way, 30, 0.001, 0.3) for _ in range(2)]
    assert way.decide(*sides).flagged.any(axis=1).mean() > 0.5
    way = gate_servers.by_servers(1)
    sides = [gate_servers.drawn(rng, way, 30, 0.001, 0.3) for _ in range(2)]
    # 5% of 30 checks are 1.5; five and more would have a chance of 2%.
    assert way.decide(*sides).flagged.any(axis=1).sum() < 5


def one_check(base: list[float], candidate: list[float]) -> tuple[Floats, Floats]:
    return np.array(base)[None, :, None], np.array(candidate)[None, :, None]


def ascending(num: int, start: float = 1.0) -> list[float]:
    """Runs of one side, each a permille slower than the one before."""
    return [start + 0.001 * place for place in range(num)]


def test_a_threshold_looks_at_medians_only() -> None:
    base = [1.0, 1.0, 1.0]
    assert gate_rules.of_medians(*one_check(base, [1.11, 9.0, 1.0])).flagged.item()
    assert not gate_rules.of_medians(*one_check(base, [1.09, 9.0, 1.0])).flagged.item()


def test_welch_needs_a_significantly_larger_mean() -> None:
    # Means 1.001 and 1.006, variances 1e-6, n = 3: t = 0.005 / sqrt(2e-6 / 3) = 6.12, 4 degrees.
    slower = one_check(ascending(3), ascending(3, 1.005))
    assert gate_rules.welch(*slower).flagged.item()
    assert not gate_rules.welch(*slower[::-1]).flagged.item()
    # 0.001 / sqrt(2e-6 / 3) = 1.22: two-sided p is 0.29.
    assert not gate_rules.welch(*one_check(ascending(3), ascending(3, 1.001))).flagged.item()
    assert not gate_rules.welch(*one_check([1.0] * 3, [1.0] * 3)).flagged.item()


def test_benchstat_needs_four_runs_to_say_anything() -> None:
    # Completely apart, two-sided: 2 of 20 arrangements with 3 runs each, 2 of 70 with 4.
    assert not gate_rules.benchstat(*one_check(ascending(3), ascending(3, 2.0))).flagged.item()
    apart = one_check(ascending(4), ascending(4, 2.0))
    assert gate_rules.benchstat(*apart).flagged.item()
    assert not gate_rules.benchstat(*apart[::-1]).flagged.item()
    assert not gate_rules.benchstat(*one_check([1.0] * 4, [1.0] * 4)).flagged.item()
    # All tied within a side: by the normal approximation with ties, z = 7.5 / sqrt(64 / 7) = 2.48.
    assert gate_rules.benchstat(*one_check([1.0] * 4, [2.0] * 4)).flagged.item()


def test_asv_decides_by_significance_and_a_factor() -> None:
    pytest.importorskip("asv")
    is_worse = gate_rules.asv_is_worse()
    # 8 against 8, apart: p = 2/12870, below its 0.002.
    assert is_worse(ascending(8), ascending(8, 1.2))
    assert not is_worse(ascending(8), ascending(8, 1.09))
    # 4 against 4 cannot reach 0.002: intervals of 99% are compared, which far outlie the samples.
    assert not is_worse([1.0, 1.1, 1.2, 1.3], [1.4, 1.5, 1.6, 1.7])


def test_pyperf_decides_by_a_t_test() -> None:
    pytest.importorskip("pyperf")
    is_worse = gate_rules.pyperf_is_worse()
    assert is_worse(ascending(3), ascending(3, 1.005))
    assert not is_worse(ascending(3, 1.005), ascending(3))
    assert not is_worse(ascending(3), ascending(3, 1.001))
    # Its test divides by a spread of zero, and it takes that error for significant.
    assert is_worse([1.0] * 3, [1.0001] * 3)


def cells_of(table: Table, column: int) -> list[str]:
    return [str(cell) for cell in table.columns[column].cells]


def test_a_rule_whose_package_is_missing_has_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(gate_rules, "import_module", nothing)
    rules = gate_rules.all_rules()
    assert [rule.name for rule in rules if rule.decide is None] == ["asv", "pyperf"]
    table = gate_power.table(gate_power.log_normal(0.05), rules[-3:-1], [])
    assert cells_of(table, 0) == ["asv"] * 3 + ["pyperf"] * 3
    assert cells_of(table, 2) == ["not installed"] * 6


def steady_noise(num_metrics: int) -> gate_power.Noise:
    def draw(rng: np.random.Generator, checks: int, runs: int) -> Floats:
        return np.ones((checks, runs, num_metrics))

    return gate_power.Noise(name="none", num_metrics=num_metrics, draw=draw)


@pytest.mark.parametrize("joint", [False, True])
def test_a_loss_is_planted_in_one_metric_and_looked_for_there(joint: bool) -> None:
    def decide(base: Floats, candidate: Floats) -> gate_rules.Outcome:
        outcome = gate_rules.of_medians(base, candidate)
        if joint:  # sees all metrics: one of them is worse
            planted = base.shape[1] if (candidate > base).any() else 0
            assert (candidate > base).any(axis=2).sum() == 6 * planted
            assert base.shape[2] == 4
        return outcome

    rule = gate_rules.Rule(name="rule", decide=decide, num_runs=(2,), joint=joint)
    found = list(gate_power.cells(steady_noise(4), [rule], num_checks=6))
    # A threshold of 10% on numbers without noise; 1.1 / 1 is not above 1.1.
    assert {one.loss_frac: one.found.value for one in found} == {
        0.0: 0.0,
        0.05: 0.0,
        0.1: 0.0,
        0.2: 1.0,
        0.5: 1.0,
    }
    row = [*(["0.0 (0.0-39.0)"] * 3), *(["100.0 (61.0-100.0)"] * 2)]  # Wilson: z2/(n + z2) = 39.0%
    table = gate_power.table(steady_noise(4), [rule], found)
    assert [cells_of(table, column)[0] for column in range(2, 7)] == row


def test_a_metric_called_worse_in_any_check_is_a_false_alarm() -> None:
    def decide(base: Floats, candidate: Floats) -> gate_rules.Outcome:
        flagged = np.zeros((len(base), base.shape[2]), np.bool_)
        flagged[:2, -1] = True
        nothing = np.zeros(len(base), np.bool_)
        runs = np.full(len(base), base.shape[1])
        return gate_rules.Outcome(flagged=flagged, undecided=nothing, num_runs=runs)

    rule = gate_rules.Rule(name="rule", decide=decide, num_runs=(1,), joint=True)
    found = list(gate_power.cells(steady_noise(4), [rule], num_checks=8))
    # Of 8 checks, the first two are flagged in metric 3, which the loss of neither is in.
    assert [one.found.value for one in found] == [0.25, 0, 0, 0, 0]


def gate_run(repeat: int, values: dict[str, float]) -> GateRun:
    return GateRun(
        run_id=str(repeat),
        command="train",
        config_hash="h",
        seed=0,
        repeat=repeat,
        started_utc="",
        status="ok",
        values=values,
        modelled=["energy_to_target_j"],
    )


def test_residuals_are_of_measured_metrics_that_all_runs_have_smaller_better() -> None:
    runs = [
        gate_run(0, {"init_s": 2.0, "throughput_per_s": 50.0, "energy_to_target_j": 1.0}),
        gate_run(1, {"init_s": 4.0, "throughput_per_s": 100.0, "energy_to_target_j": 1.0}),
        gate_run(
            2,
            {
                "init_s": 8.0,
                "throughput_per_s": 200.0,
                "energy_to_target_j": 1.0,
                "load_s": 1.0,
                "num_parameters": 3.0,
            },
        ),
    ]
    names, values = gate_power.residuals(runs)
    assert names == ["init_s", "throughput_per_s"]
    assert values.tolist() == [[0.5, 2.0], [1.0, 1.0], [2.0, 0.5]]
    with pytest.raises(ValueError, match="no measured metric"):
        gate_power.residuals([gate_run(0, {"num_parameters": 3.0})])


def test_a_folder_with_too_few_runs_is_no_noise(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"--noise .*0 comparable runs of 0 configurations; give a folder"
    ):
        gate_power.measured(tmp_path)


def test_a_busy_neighbour_slows_all_metrics_of_a_run() -> None:
    runs = gate_power.neighbour(spread_frac=0.0, slowed_frac=0.5).draw(
        np.random.default_rng(0), 5, 20
    )
    assert (runs == runs[:, :, :1]).all()
    slowed = (runs[:, :, 0] > 1).mean()
    assert 0.3 < slowed < 0.7  # 100 runs: 4 standard deviations of 5%


CALIBRATION = Calibration(step_s=0.001, pass_s=0.0001)


def stepped(code: str, steps: int, names: dict[str, object]) -> object:
    """An object on which planted lines of a training step were run so many times."""
    lines = "\n".join(line.removeprefix("    ") for line in code.splitlines())
    exec(f"def step(self, inputs):\n{lines}\n", names)

    class Module:
        passes = 0

        def __call__(self, inputs: object) -> None:
            self.passes += 1

    module = Module()
    for _ in range(steps):
        names["step"](module, None)  # type: ignore[operator]
    return module


def test_planted_work_repeats_the_forward_pass_as_often_as_takes_its_share() -> None:
    code = gate_real.work_code(0.4 * CALIBRATION.step_s / CALIBRATION.pass_s)
    # 4 passes of 0.1 ms in each step of 1 ms.
    assert vars(stepped(code, 10, {}))["passes"] == 40
    assert vars(stepped(gate_real.work_code(0.25), 10, {}))["passes"] == 2


def test_planted_sleep_is_precise_over_many_steps_though_each_oversleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, slept_s = 0.0, []

    def sleep(duration_s: float) -> None:
        nonlocal now_s
        now_s += duration_s + 6e-5
        slept_s.append(duration_s)

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.perf_counter", lambda: now_s)
    stepped(gate_real.sleep_code(1e-4), 1000, {})
    # 1000 steps of 0.1 ms; what is owed at the end is less than one sleep.
    assert 0.098 < now_s <= 0.1 + 6e-5
    assert min(slept_s) >= gate_real.LEAST_SLEEP_S


def test_slowdowns_are_planted_in_the_training_step_there_is() -> None:
    source = (Path(__file__).parents[1] / gate_real.MODULE).read_text()
    planned = gate_real.all_planted([0.0, 0.1])
    assert [one.branch for one in planned] == [
        "planted-none-0",
        "planted-sleep-0.1",
        "planted-work-0.1",
    ]
    none, sleep, work = (gate_real.planted_source(source, one, CALIBRATION) for one in planned)
    assert none == source
    for planted, word in ((sleep, "time.sleep(self.owed_s)"), (work, "            self(inputs)")):
        compile(planted, "task_module.py", "exec")
        before, _, _ = planted.partition("return self.task.loss(self.forward(inputs), targets)")
        assert before.endswith("        ")
        assert word in before
    with pytest.raises(ValueError, match="not one line 'return self"):
        gate_real.planted_source("", planned[0], CALIBRATION)


def told_by_the_gate() -> dict[str, object]:
    """What bench.ab writes: one row, half as slow again, 6 runs of each side."""
    base = np.linspace(1.0, 1.01, 6)[:, None]
    rows = judge(check_samples(base, 1.5 * base))
    told: dict[str, object] = json.loads(
        as_json(Comparison(base_name="a", candidate_name="b", rows=rows, alpha=0.05))
    )
    return told


def test_what_bench_ab_writes_is_read_as_runs_verdicts_and_ratios() -> None:
    parsed = gate_real.parsed(told_by_the_gate())
    assert parsed["num_runs"] == 6
    assert parsed["rows"]["cost"]["verdict"] == "regression"
    assert parsed["rows"]["cost"]["ratio"] == pytest.approx(1.5)
    assert gate_real.parsed({}) == {"num_runs": None, "rows": {}}


def test_a_check_without_servers_is_refused() -> None:
    reason = "base cannot be served (No module named fake_server)"
    remark = f"{reason}: each run is a whole command, which takes longer"
    with pytest.raises(ValueError, match=re.escape(f"bench.ab: {remark}")):
        gate_real.require_served({"remarks": [remark]})
    gate_real.require_served({"remarks": ["looked at 6 runs per side at level 5%"]})


def checked(exit_code: int, verdict: str = "no change", ratio: float = 1.0) -> Check:
    return Check(
        turn=0,
        kind="sleep",
        slowdown_frac=0.1,
        exit_code=exit_code,
        duration_s=60.0,
        num_runs=6,
        rows={"time_per_sample_s": {"verdict": verdict, "ratio": ratio}},
        said="",
        started_utc="",
    )


def test_shares_are_of_the_checks_that_came_to_a_verdict() -> None:
    checks = [checked(1, "regression", 1.1), checked(1), checked(0), checked(3), checked(5)]
    table = gate_real.table(checks)
    row = [cells_of(table, column)[0] for column in range(9)]
    assert row[:2] == ["sleep 10%", "5"]
    # Medians of 1.1, 1, 1, 1. Wilson for 2 and for 1 of 4: 15.0 to 85.0 and 4.56 to 69.9%.
    assert row[2].startswith("1 (1-1.")
    assert row[3:6] == ["50 (15-85)", "25 (4.56-69.9)", "25 (4.56-69.9)"]
    assert row[6:] == ["1", "6.0", "60 (60-60)"]


def test_checks_without_a_verdict_leave_their_shares_empty() -> None:
    table = gate_real.table([checked(4)])
    row = [cells_of(table, column)[0] for column in range(9)]
    assert row == ["sleep 10%", "1", "", "", "", "", "1", "", ""]


FAKE_AB = """
import json, sys
words = dict(word.split("=", 1) for word in sys.argv[1:sys.argv.index("--")])
assert sys.argv[sys.argv.index("--") + 1 :] == ["experiment=smoke"], sys.argv
code = {"planted-none-0": 0, "planted-sleep-0.1": 1, "planted-work-0.1": 2}[words["head"]]
if code < 2:
    with open(words["json"], "w") as file:
        json.dump({"rows": []}, file)
else:
    print("max_runs=0: must be at least 6", file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository with a training step to plant in and a fake bench.ab; its commit."""
    folder = tmp_path / "repository"
    (folder / "bench/tasks").mkdir(parents=True)
    (folder / "bench/ab.py").write_text(FAKE_AB)
    (folder / "bench/__init__.py").write_text("")
    (folder / gate_real.MODULE).write_text(f"def step(self):\n{gate_real.STEP}")
    monkeypatch.chdir(folder)
    author = ["-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return head.stdout.strip()


def test_a_series_runs_bench_ab_on_each_commit_in_turns_and_keeps_each_check(
    repository: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate_real, "OVERRIDES", ["experiment=smoke"])
    monkeypatch.setattr(Clone, "calibrate", lambda clone, overrides: CALIBRATION)
    out = tmp_path / "series.jsonl"
    gate_real.real(series(out, null_checks=1, slowdowns=[]))
    gate_real.real(series(out, null_checks=2, slowdowns=[]))  # makes the one that is missing
    shared, *checks = map(json.loads, out.read_text().splitlines())
    assert (shared["base"], shared["calibration"]) == (repository, CALIBRATION._asdict())
    assert [(one["turn"], one["kind"], one["exit_code"]) for one in checks] == [
        (0, "none", 0),
        (1, "none", 0),
    ]
    other = tmp_path / "other.jsonl"
    with pytest.raises(ValueError, match=r"exit code 2: max_runs=0: must be at least 6"):
        gate_real.real(series(other, null_checks=2, slowdowns=[0.1]))
    ends = [json.loads(line)["exit_code"] for line in other.read_text().splitlines()[1:]]
    assert ends == [0, 1]
    printed = capsys.readouterr().out
    assert "check 1 of planted-sleep-0.1: exit code 1" in printed
    assert "6 checks left, about 6 min" in printed  # two of three commits, a minute each
    with pytest.raises(ValueError, match=r"other\.jsonl: has checks with experiment=smoke; name"):
        gate_real.real(series(other, null_checks=2, slowdowns=[0.1], keys=["max_runs=6"]))


def test_a_resumed_series_checks_the_commit_of_its_file(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_real, "OVERRIDES", ["experiment=smoke"])
    monkeypatch.setattr(Clone, "calibrate", lambda clone, overrides: CALIBRATION)
    bases: list[str] = []

    def note(folder: Path, base: str, *others: object) -> Check:
        head = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        bases.extend([base, subprocess.check_output(head, text=True).strip()])
        return checked(0)

    monkeypatch.setattr(gate_real, "check", note)
    out = tmp_path / "series.jsonl"
    gate_real.real(series(out, null_checks=1, slowdowns=[]))
    author = ["-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]
    commit = ["git", *author, "commit", "-q", "--allow-empty", "-m", "later"]
    subprocess.run(commit, check=True)
    gate_real.real(series(out, null_checks=3, slowdowns=[]))
    assert len(bases) > 2
    assert set(bases) == {repository}


def test_at_any_point_of_a_series_each_commit_has_had_its_share() -> None:
    chosen = Namespace(checks=2, null_checks=4, slowdowns=[0.1])
    planned = gate_real.missing_checks(chosen, [])
    names = [(planted.kind, turn) for planted, turn in planned]
    # By (turn + 1/2) / number of checks: 1/8; 1/4, 1/4; 3/8; 5/8; 3/4, 3/4; 7/8.
    assert names == [
        *(("none", 0), ("sleep", 0), ("work", 0), ("none", 1)),
        *(("none", 2), ("sleep", 1), ("work", 1), ("none", 3)),
    ]
    done = [checked(0)]  # the first of its kind
    kept = [each for each in planned if (*each[0], each[1]) != key_of(done[0])]
    assert gate_real.missing_checks(chosen, done) == kept


def key_of(check: Check) -> tuple[str, float, int]:
    return check.kind, check.slowdown_frac, check.turn


def series(out: Path, **chosen: object) -> Namespace:
    defaults = {"checks": 2, "keys": [], "most": None, "minutes": math.inf, "read": None}
    return Namespace(out=out, **{**defaults, **chosen})


def test_the_smallest_slowdown_is_the_one_from_which_on_all_are_found() -> None:
    def checks(slowdown_frac: float, num_found: int) -> list[Check]:
        ends = [checked(1, "regression")] * num_found + [checked(0)] * (10 - num_found)
        return [replace(one, slowdown_frac=slowdown_frac) for one in ends]

    found = gate_real.smallest_found
    assert found([*checks(0.05, 9), *checks(0.08, 8), *checks(0.1, 9), *checks(0.2, 10)]) == 0.1
    assert found(checks(0.2, 8)) is None
    assert found([]) is None


def test_the_published_checks_give_the_table_of_the_docs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    top = Path(__file__).parents[1]
    published = top / "results/published/gate_real.jsonl"
    gate_real.real(Namespace(read=published))
    out = capsys.readouterr().out
    printed = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    _, checks = gate_real.read_series(published)
    expected = ""
    for planted in dict.fromkeys((one.kind, one.slowdown_frac) for one in checks):
        row = [one for one in checks if (one.kind, one.slowdown_frac) == planted]
        cells = gate_real.cells(row)
        assert [f"{planted[0]} {planted[1]:.0%}", str(len(row)), *cells] in printed
        name = f"{planted[0]} {planted[1]:.0%}" if planted[1] else "nothing"
        ratio, found, named, too_little, nothing, runs, seconds = cells
        assert too_little.startswith("0 ("), "the docs say that no check asked for more runs"
        assert nothing == "0"
        expected += f"| {name} | {len(row)} | {ratio} | {found} | {named} | {runs} | {seconds} |\n"
    assert expected in (top / "docs/gate.md").read_text()


def test_a_made_sweep_is_gathered_and_then_found_finished(tmp_path: Path) -> None:
    """Its runs come from other processes, so the command itself writes both lines of the ledger."""
    costs: list[Cost] = []

    def command() -> int:
        costs.append(sweep_scale.measure("seeds", "resume" if costs else "first", 6))
        return 0

    for num_launched in (6, 0):
        run_here(tmp_path, command)
        assert costs[-1].num_launched == num_launched
        assert costs[-1].cpu_s.keys() >= {sweep_scale.GATHERING, sweep_scale.WHOLE}
    events = [line["event"] for line in Ledger(tmp_path / "results").events]
    assert events == ["launched", "ended"] * 6
    files = sorted((tmp_path / "results" / "sweeps").glob("*/sweep.csv"))
    assert [len(path.read_text().splitlines()) for path in files] == [7, 7]
    assert sweep_scale.verdicts(costs) == ["the goals are for 2000 jobs"]


@pytest.mark.parametrize(
    ("cpu_s", "peak_mb", "words"), [(4.9, 499, "met"), (5.1, 9, "MISSED"), (1, 501, "MISSED")]
)
def test_goals_of_a_large_sweep_are_of_time_and_memory(
    cpu_s: float, peak_mb: float, words: str
) -> None:
    cost = Cost(shape="seeds", command="first", num_jobs=2000, peak_mb=peak_mb)
    cost.cpu_s[sweep_scale.GATHERING] = cpu_s
    (line,) = sweep_scale.verdicts([cost])
    assert line.startswith(f"seeds, first: {words}: ")


def test_a_run_is_divided_into_stages_without_its_window() -> None:
    """Two runs, of which the second begins where the first ended, at 10 s."""
    nested = [
        ("plan, folder, ledger", 1, 2.0, 10.0),
        ("compose the configuration", 1, 10.5, 11.0),
        ("plan, folder, ledger", 1, 11.0, 20.0),
        ("launch and end of the process", 1, 12.0, 19.0),
        ("Lightning around the window", 2, 13.0, 18.0),
        ("end of the window", 2, 17.0, 17.5),
    ]
    calls = [
        around.Call(stage=stage, pid=pid, began_s=began_s, ended_s=ended_s)
        for stage, pid, began_s, ended_s in nested
    ]
    (run,) = around.runs_of(calls, [1.0, 4.0])
    assert run.around_s == 10.0 - 4.0
    assert run.stages_s == {
        "compose the configuration": 0.5,
        "plan, folder, ledger": 9.0 - 7.0,
        "launch and end of the process": 7.0 - 5.0,
        "Lightning around the window": 5.0 - 0.5 - 4.0,
        "end of the window": 0.5,
        "other work of the command": 0.5,  # before the configuration was composed
    }
