"""Reasons for which two sides, or some of their runs, cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.records.run import SCHEMA_VERSION
from bench.gate.model import GateRun
from bench.gate.sides.configurations import configuration_names, nearest_differences
from bench.gate.sides.side import Side
from tests.gate.made import CONFIG, made_run, made_runs, made_side, side_of
from tests.gate.made_matches import FIVE, OTHER, kinds, matched, times


def test_without_a_common_configuration_the_report_names_what_differs() -> None:
    """Of two on the base, the one that differs in one key is nearer than that with three."""
    far = made_runs(
        {"init_s": FIVE},
        config_hash="f" * 12,
        config={"batch_size": 1, "model": {"_target_": "x.Cnn"}, "data": {"_target_": "x.y"}},
    )
    candidate = times(FIVE, config_hash=OTHER, config={**CONFIG, "batch_size": 256})
    rows, problems, _ = matched(side_of([*far, *times(FIVE).runs]), candidate)
    assert rows == {}
    assert kinds(problems) == [("incomparable", 4)]
    assert problems[0].message == (
        "no configuration in common (the nearest two differ in batch_size 32 / 256); run both "
        "with the same keys"
    )


def test_at_most_five_keys_that_differ_are_reported() -> None:
    config = {f"key{number}": number for number in range(9)}
    candidate = times(FIVE, config_hash=OTHER, config={key: -1 for key in config})
    _, problems, _ = matched(times(FIVE, config=config), candidate)
    assert problems[0].message.count(" / ") == 5


def test_different_commands_have_nothing_in_common() -> None:
    serving = made_side({"latency_p50_ms": FIVE}, command="serve", config_hash=OTHER)
    _, problems, _ = matched(times(FIVE), serving)
    assert kinds(problems) == [("incomparable", 4)]
    assert "base has runs of train, candidate of serve" in problems[0].message


def test_a_hash_that_differs_without_a_key_is_reported() -> None:
    _, problems, _ = matched(times(FIVE), times(FIVE, config_hash=OTHER))
    assert "no key differs, but the hash" in problems[0].message


def test_an_empty_side_without_a_problem_is_reported() -> None:
    rows, problems, _ = matched(times(FIVE), Side(name="there", runs=[]))
    assert rows == {}
    assert kinds(problems) == [("empty", 3)]
    assert "candidate: there has no runs" in problems[0].message


@pytest.mark.parametrize(
    ("fact", "other", "told"),
    [
        ("host.name", "elsewhere", "host.name differs: made / elsewhere"),
        ("host.gpus", ["Made GPU"], r"host.gpus differs: [] / ['Made GPU']"),
        ("host.memory_gib", 16, "host.memory_gib differs: 8 / 16"),
        ("schema_version", 99, f"schema_version differs: {SCHEMA_VERSION} / 99"),
        ("target.value", 0.9, "target.value differs: 0.95 / 0.9"),
        ("host.num_threads", 2, "host.num_threads differs: 1 / 2"),
        ("host.num_interop_threads", 4, "host.num_interop_threads differs: 1 / 4"),
        (
            "host.environment",
            {"MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
            "host.environment differs: MKL_NUM_THREADS unset / 2, OMP_NUM_THREADS 1 / 2",
        ),
        ("host.scheduler", "slurm bench", "host.scheduler differs: none / slurm bench"),
    ],
)
def test_facts_that_differ_make_sides_incomparable_unless_forced(
    fact: str, other: Any, told: str
) -> None:
    candidate = times(FIVE, facts={fact: other})
    rows, problems, _ = matched(times(FIVE), candidate)
    assert rows == {}
    assert kinds(problems) == [("incomparable", 4)]
    assert problems[0].message == f"{told}; measure both alike, or force=[{fact}]"
    for force in (fact, fact.partition(".")[0]):
        rows, problems, remarks = matched(times(FIVE), candidate, force=[force])
        assert set(rows) == {"time_to_target_s"}
        assert problems == []
        assert remarks == [f"{told} (forced)"]


def test_another_machine_is_reported_once_for_all_configurations() -> None:
    def side(**facts: Any) -> Side:
        fields = {"facts": facts}
        other = made_runs({"init_s": FIVE}, config_hash=OTHER, config={"lr": 1}, **fields)
        return side_of([*made_runs({"init_s": FIVE}, **fields), *other])

    _, problems, _ = matched(side(), side(**{"host.name": "b", "host.cpu_name": "B"}))
    assert [problem.message.partition(" ")[0] for problem in problems] == [
        "host.name",
        "host.cpu_name",
    ]


def test_a_side_that_mixes_machines_is_reported() -> None:
    runs = made_runs({"init_s": FIVE})
    runs[2] = replace(runs[2], facts={**runs[2].facts, "host.name": "other"})
    _, problems, _ = matched(made_side({"init_s": FIVE}), side_of(runs))
    assert problems[0].message.startswith("host.name differs: made / made and other;")


def test_a_label_of_joules_matters_only_where_joules_are_compared() -> None:
    values = {"time_to_target_s": FIVE, "energy_to_target_j": FIVE, "energy_per_sample_j": FIVE}
    base = made_side(values)
    candidate = made_side(values, facts={"energy_label": "integrated"})
    rows, problems, _ = matched(base, candidate)
    assert set(rows) == {"time_to_target_s"}
    assert kinds(problems) == [("incomparable", 4)]  # once for both metrics
    assert "energy_label differs: counter / integrated; " in problems[0].message
    rows, problems, _ = matched(base, candidate, metrics=["time_to_target_s"])
    assert (set(rows), problems) == ({"time_to_target_s"}, [])
    rows, problems, _ = matched(base, candidate, force=["energy_label"])
    assert {row.kind for row in rows.values()} == {"measured"}
    assert problems == []


def test_a_row_with_a_modelled_run_is_modelled() -> None:
    values = {"energy_to_target_j": FIVE}
    modelled: dict[str, Any] = {
        "modelled": ["energy_to_target_j"],
        "facts": {"energy_label": "modelled"},
    }
    base = made_side(values)
    rows, problems, _ = matched(made_side(values, **modelled), made_side(values, **modelled))
    assert (rows["energy_to_target_j"].kind, problems) == ("modelled", [])
    rows, _, _ = matched(base, made_side(values, **modelled), force=["energy_label"])
    assert rows["energy_to_target_j"].kind == "modelled"


def incomparable_side(num_incomparable: int, num: int = 6) -> Side:
    runs = made_runs({"init_s": [1.0] * num})
    runs = [
        replace(
            run,
            comparable=run.repeat >= num_incomparable,
            flags=["other_load"] * (run.repeat < num_incomparable),
        )
        for run in runs
    ]
    return side_of(runs)


def test_incomparable_runs_are_left_out_with_their_partners_and_reported() -> None:
    base = made_side({"init_s": [1.0] * 6})
    rows, problems, remarks = matched(base, incomparable_side(1))
    assert len(rows["init_s"].base) == len(rows["init_s"].candidate) == 5
    assert problems == []
    (remark,) = remarks
    assert "1 of 6 pairs left out, incomparable: " in remark
    assert f"candidate {base.runs[0].run_id} (other_load)" in remark


def test_too_few_fit_runs_are_a_problem() -> None:
    base = made_side({"init_s": [1.0] * 6})
    rows, problems, _ = matched(base, incomparable_side(2))
    assert len(rows["init_s"].base) == 4
    assert kinds(problems) == [("health", 3)]
    assert problems[0].message.endswith("measure these again, or force=[health] keeps them")
    rows, problems, _ = matched(base, incomparable_side(2), min_runs=4)
    assert problems == []
    rows, problems, _ = matched(base, incomparable_side(6))
    assert (rows, kinds(problems)) == ({}, [("health", 3)])


def test_facts_that_differ_are_reported_even_if_no_run_is_fit() -> None:
    """Else they would show only after all runs were measured again."""
    base = made_side({"init_s": [1.0] * 6}, facts={"host.name": "node1"})
    rows, problems, _ = matched(base, incomparable_side(6))
    assert (rows, kinds(problems)) == ({}, [("health", 3), ("incomparable", 4)])
    assert problems[1].message.startswith("host.name differs: node1 / made; ")


def test_an_unfit_run_of_another_machine_is_only_left_out() -> None:
    unfit, *others = incomparable_side(1).runs
    elsewhere = replace(unfit, facts={**unfit.facts, "host.name": "node2"})
    _, problems, _ = matched(made_side({"init_s": [1.0] * 6}), side_of([elsewhere, *others]))
    assert problems == []


def test_incomparable_runs_may_be_kept() -> None:
    rows, problems, remarks = matched(
        made_side({"init_s": [1.0] * 6}), incomparable_side(2), force=["health"]
    )
    assert len(rows["init_s"].base) == 6
    assert problems == []
    assert remarks[0].endswith("(forced)")
    assert "(other_load)" in remarks[0]


def test_servings_that_do_not_count_are_compared_and_never_pass() -> None:
    """Without the slow ones a candidate that is too slow for its bound would look fine."""
    runs = made_runs({"latency_p50_ms": [1.0, 1.0, 1.0, 1.0, 1.0, 9.0]}, command="serve")
    runs = [
        replace(run, invalid=["p99 over the bound"] * (run.values["latency_p50_ms"] > 2))
        for run in runs
    ]
    base = made_side({"latency_p50_ms": [1.0] * 6}, command="serve")
    rows, problems, _ = matched(base, side_of(runs))
    assert rows["latency_p50_ms"].candidate.tolist() == [1.0] * 5 + [9.0]
    assert kinds(problems) == [("health", 3)]
    assert f"not validly: candidate {runs[5].run_id} (p99 over the bound)" in problems[0].message
    _, problems, remarks = matched(base, side_of(runs), force=["health"])
    assert problems == []
    assert "p99 over the bound" in remarks[0]


def test_a_run_of_unknown_health_counts_as_comparable() -> None:
    side = made_side({"init_s": FIVE}, comparable=None)
    rows, problems, remarks = matched(side, side)
    assert len(rows["init_s"].base) == 5
    assert (problems, remarks) == ([], [])


def test_configurations_are_named_by_what_differs() -> None:
    def run(config_hash: str, **config: Any) -> Any:
        return made_run(config_hash=config_hash, config={**CONFIG, **config})

    runs = [run("a" * 12, lr=0.1), run("b" * 12, lr=0.01), run("c" * 12, lr=0.01, batch_size=8)]
    assert set(configuration_names(runs).values()) == {
        "train batch_size=32 lr=0.1",
        "train batch_size=32 lr=0.01",
        "train batch_size=8 lr=0.01",
    }
    same = [run("a" * 12), run("b" * 12)]
    assert set(configuration_names(same).values()) == {"train #aaaaaa", "train #bbbbbb"}
    serve = made_run(
        command="serve",
        config={
            "run": "Mlp 0123ab",
            "scenario": {"name": "single_stream"},
            "backend": {"name": "eager", "runtime": "eager"},
            "compression": {"method": "none"},
        },
    )
    assert set(configuration_names([serve, runs[0]]).values()) == {
        "serve Mlp 0123ab single_stream eager none",
        "train Mlp digits batch_size=32",
    }


def test_parts_are_named_as_they_were_chosen() -> None:
    """`cnn`, not its class; a class of the user's own goes by its name."""

    def run(config_hash: str, model: str, choice: str | None) -> GateRun:
        config = {**CONFIG, "model": {"_target_": f"bench.tasks.models.{model}"}}
        choices = {} if choice is None else {"model": choice, "data": "digits"}
        return made_run(config_hash=config_hash, config=config, choices=choices)

    cnn, mlp = run("a" * 12, "Cnn", "cnn"), run("b" * 12, "Mlp", "mlp")
    assert set(configuration_names([cnn]).values()) == {"train cnn digits batch_size=32"}
    assert set(configuration_names([cnn, mlp]).values()) == {"train model=cnn", "train model=mlp"}
    own = run("c" * 12, "MyNet", "custom")
    assert set(configuration_names([own]).values()) == {"train MyNet digits batch_size=32"}
    # An older record does not tell: then all of them go by their classes.
    older = run("b" * 12, "Mlp", None)
    assert set(configuration_names([cnn, older]).values()) == {"train model=Cnn", "train model=Mlp"}
    assert nearest_differences([cnn], [mlp]) == ["model cnn / mlp"]
    assert nearest_differences([run("a" * 12, "Mlp", "mlp")], [older]) == []
