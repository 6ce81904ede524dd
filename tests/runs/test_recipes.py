"""Trainings that build on another run: how it is found, what is refused, and the total cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench.config.recipe import DistillConfig, PruneConfig, recipe_config
from bench.config.train import TrainConfig
from bench.core.outcome import outcome_record
from bench.core.records.model import ModelFacts
from bench.core.records.recipe import Recipe
from bench.core.records.run import RunRecord, Status
from bench.core.store import create_run_folder, new_identity, write_record
from bench.runs import requirements
from bench.runs.recipes import source_folder, source_record, with_recipe
from bench.training.plan import hash_of
from bench.training.table import sweep_tables
from tests.cli.command import records, train
from tests.cli.planning import composed, plan
from tests.cli.shown import rows_under_rule, shown
from tests.rows import curve

DISTILL = {"name": "distill", "teacher": "x", "temperature": 4.0, "alpha": 0.9}
DISTILL |= {"allow_missed": False}


def store(
    results: Path, *overrides: str, status: Status = "ok", accuracies: tuple[float, ...] = (0.99,)
) -> str:
    """A run of bench.train in the store: by default it reaches its target in 2 s, with 10 J."""
    planned = plan(results, *overrides)
    identity = new_identity("train", planned.digest, 0, 0)
    folder = create_run_folder(results, identity, planned.config)
    (folder / "checkpoint.pt").touch()
    record = outcome_record(identity, planned.config, curve(list(accuracies)), status=status)
    write_record(folder, record)
    return identity.run_id


@dataclass(frozen=True, slots=True)
class Stored:
    """A run of bench.train, and the results folder that it alone lies in."""

    results: Path
    run_id: str


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """For tests that only look it up."""
    results = tmp_path_factory.mktemp("teacher")
    return Stored(results, store(results))


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Likewise, of another model than the default one."""
    results = tmp_path_factory.mktemp("cnn")
    return Stored(results, store(results, "model=cnn", "model.width=8"))


class TestPlan:
    def test_latest_becomes_the_run_that_it_means_also_in_the_hash(self, tmp_path: Path) -> None:
        teacher = store(tmp_path)
        latest = plan(tmp_path, "recipe=distill", "recipe.teacher=latest")
        assert latest.config["recipe"]["teacher"] == teacher
        by_id = plan(tmp_path, "recipe=distill", f"recipe.teacher={teacher}")
        by_folder = plan(tmp_path, "recipe=distill", f"recipe.teacher={tmp_path}/train/{teacher}")
        by_glob = plan(tmp_path, "recipe=distill", f"recipe.teacher={teacher[:-4]}*")
        assert latest.config == by_id.config == by_folder.config == by_glob.config
        assert latest.digest == by_id.digest == by_folder.digest == by_glob.digest
        assert latest.digest != plan(tmp_path).digest
        assert source_folder(str(tmp_path), DistillConfig(**latest.config["recipe"])) == (
            tmp_path / "train" / teacher
        )
        record = source_record(latest.config)
        assert record is not None
        assert record.run_id == teacher

    def test_latest_is_what_was_latest_when_the_command_began(self, tmp_path: Path) -> None:
        teacher = store(tmp_path)
        first = plan(tmp_path, "recipe=distill", "recipe.teacher=latest", "seed=0")
        store(tmp_path, "lr=0.5")  # as the first job of a sweep leaves one behind
        second = plan(tmp_path, "recipe=distill", "recipe.teacher=latest", "seed=1")
        assert first.config["recipe"]["teacher"] == second.config["recipe"]["teacher"] == teacher
        assert first.digest == second.digest

    def test_a_run_that_lies_elsewhere_is_found_again_and_hashed_by_its_id(
        self, tmp_path: Path
    ) -> None:
        here, there = tmp_path / "here", tmp_path / "there"
        teacher = store(there)
        planned = plan(here, "recipe=distill", f"recipe.teacher={there}/train/{teacher}")
        recipe = recipe_config(planned.config["recipe"])
        assert recipe is not None
        assert source_folder(str(here), recipe) == there / "train" / teacher
        alike = plan(there, "recipe=distill", f"recipe.teacher={teacher}")
        assert planned.digest == alike.digest

    def test_a_pruned_model_is_that_of_its_run(self, cnn: Stored) -> None:
        prune = ("recipe=prune", f"recipe.run={cnn.run_id}")
        planned = plan(cnn.results, *prune)
        chosen = {"_target_": "bench.tasks.models.Cnn", "width": 8, "depth": 3}
        assert planned.config["model"].items() >= chosen.items()
        same = plan(cnn.results, *prune, "model=cnn", "model.width=8")
        assert same.digest == planned.digest

    @pytest.mark.parametrize("model", ["model=mlp", "model=cnn"])
    def test_another_model_than_that_of_the_run_is_refused(self, cnn: Stored, model: str) -> None:
        told = f"^{model}: recipe=prune takes the model of .*{cnn.run_id}"
        with pytest.raises(ValueError, match=told):
            plan(cnn.results, "recipe=prune", f"recipe.run={cnn.run_id}", model)

    def test_a_student_may_have_another_model(self, cnn: Stored) -> None:
        planned = plan(cnn.results, "recipe=distill", "recipe.teacher=latest", "model.width=7")
        assert planned.config["model"]["width"] == 7

    def test_an_unknown_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"^recipe\.teacher=nobody: no training run"):
            plan(tmp_path, "recipe=distill", "recipe.teacher=nobody")
        with pytest.raises(ValueError, match=r"^recipe\.run=latest: no training run"):
            plan(tmp_path, "recipe=prune", "recipe.run=latest")

    def test_more_than_one_run_is_refused(self, tmp_path: Path) -> None:
        store(tmp_path)
        store(tmp_path)
        with pytest.raises(ValueError, match=r"^recipe\.teacher=\*: 2 training runs"):
            plan(tmp_path, "recipe=distill", "recipe.teacher=*")

    def test_a_run_that_missed_is_taken_only_when_that_is_asked_for(self, tmp_path: Path) -> None:
        arguments = ("recipe=distill", f"recipe.teacher={store(tmp_path, accuracies=(0.5,))}")
        with pytest.raises(ValueError, match=r"recipe\.allow_missed=true takes it anyway"):
            plan(tmp_path, *arguments)
        assert plan(tmp_path, *arguments, "recipe.allow_missed=true").config["recipe"]

    def test_a_run_that_failed_is_refused_in_any_case(self, tmp_path: Path) -> None:
        failed = store(tmp_path, status="failed")
        with pytest.raises(ValueError, match="it ended as failed; choose another one"):
            plan(tmp_path, "recipe=prune", f"recipe.run={failed}", "recipe.allow_missed=true")

    @pytest.mark.parametrize(
        ("override", "words"),
        [
            ("data=mnist", r"data\._target_=bench\.tasks\.data\.digits and not .*mnist"),
            ("data.split_seed=1", r"data\.split_seed=0 and not 1"),
            ("data.num_validation_samples=300", r"data\.num_validation_samples=360 and not 300"),
        ],
    )
    def test_a_run_of_other_data_is_refused(
        self, teacher: Stored, override: str, words: str
    ) -> None:
        with pytest.raises(ValueError, match=f"{teacher.run_id}: trained on other data, {words}"):
            plan(teacher.results, "recipe=distill", f"recipe.teacher={teacher.run_id}", override)

    def test_how_the_data_is_loaded_may_differ(self, teacher: Stored) -> None:
        same = ("batch_size=64", "seed=3", "data.num_workers=1", "data.in_memory=false")
        distill = ("recipe=distill", f"recipe.teacher={teacher.run_id}")
        assert plan(teacher.results, *distill, *same).digest

    def test_a_missing_library_is_refused_with_the_extra_that_brings_it(
        self, teacher: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        requirements.require_module.cache_clear()
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ValueError, match=r"torch_pruning is not installed; .*'serving'"):
            plan(teacher.results, "recipe=prune", f"recipe.run={teacher.run_id}")

    def test_without_a_recipe_nothing_is_looked_up(self, tmp_path: Path) -> None:
        planned = plan(tmp_path)
        assert planned.config["recipe"] == {}
        assert planned.config["model"]["_target_"] == "bench.tasks.models.Mlp"
        assert planned.digest == hash_of(composed(tmp_path))
        assert TrainConfig.from_dict(planned.config).recipe is None
        assert source_record(planned.config) is None
        assert source_record({}) is None  # a record of before there were recipes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.0}, r"recipe\.temperature=0\.0: must be a positive number"),
        ({"alpha": 1.5}, r"recipe\.alpha=1\.5: must be at most 1"),
        ({"name": "ensemble"}, r"recipe\.name=ensemble: must be one of distill, prune"),
        ({"teachers": "x"}, r"recipe\.teachers: no such key"),
    ],
)
def test_a_value_out_of_range_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe_config({**DISTILL, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratio": 0.0}, r"recipe\.ratio=0\.0: must be a positive number"),
        ({"ratio": 1.0}, r"recipe\.ratio=1\.0"),
        ({"iterative_steps": 0}, r"recipe\.iterative_steps=0: must be at least 1"),
        ({"round_to": 0}, r"recipe\.round_to=0: must be at least 1"),
    ],
)
def test_a_share_out_of_range_is_refused(changes: dict[str, Any], words: str) -> None:
    values = {"run": "x", "ratio": 0.5, "iterative_steps": 1, "allow_missed": False}
    with pytest.raises(ValueError, match=words):
        PruneConfig.from_dict({**values, **changes}, "recipe.")


def run_of(num_evaluations: int, **changes: Any) -> RunRecord:
    """A run that crosses at its last evaluation: 2 s and 10 J for each, at 3 USD and 5 g."""
    accuracies = [0.5] * (num_evaluations - 1) + [0.95]
    identity = new_identity("train", "0123456789ab", 0, 0)
    config = {
        "seed": 0,
        "recipe": DISTILL,
        "target": {"metric": "accuracy", "value": 0.9, "eval_every_samples": 100, "ladder": []},
    }
    record = outcome_record(identity, config, curve(accuracies), status="ok")
    assert record.target is not None
    target = replace(record.target, cost_to_target_usd=3.0, emissions_to_target_gco2e=5.0)
    return replace(record, target=target, **changes)


def plain_run(num_evaluations: int, **changes: Any) -> RunRecord:
    """The same without a recipe, as the run that others build on."""
    record = run_of(num_evaluations, **changes)
    return replace(record, config={**record.config, "recipe": {}})


def recipe_of(record: RunRecord, source: RunRecord) -> Recipe:
    recipe = with_recipe(record, source).recipe
    assert recipe is not None
    return recipe


class TestTotals:
    def test_the_run_before_and_this_one_add_up(self) -> None:
        model = ModelFacts(name="Cnn", num_parameters=100, flops_per_sample=700)
        source = plain_run(3, model=model, energy_label="counter")
        recipe = recipe_of(run_of(2), source)
        assert (recipe.name, recipe.source_run_id) == ("distill", source.run_id)
        assert (recipe.source_time_s, recipe.source_energy_j) == (6.0, 30.0)
        assert (recipe.source_cost_usd, recipe.source_emissions_gco2e) == (3.0, 5.0)
        assert (recipe.source_num_parameters, recipe.source_flops_per_sample) == (100, 700)
        assert recipe.total_time_to_target_s == 6.0 + 4.0
        assert recipe.total_energy_to_target_j == 30.0 + 20.0
        assert recipe.total_cost_to_target_usd == 6.0
        assert recipe.total_emissions_to_target_gco2e == 10.0
        # A sum of counted and modelled joules is modelled.
        assert (recipe.source_energy_label, recipe.total_energy_label) == ("counter", "modelled")

    def test_a_run_that_was_built_on_another_brings_that_along(self) -> None:
        teacher = plain_run(3)
        student = with_recipe(run_of(2), teacher)
        pruned = recipe_of(run_of(1), student)
        assert pruned.source_run_id == student.run_id
        assert pruned.source_time_s == 6.0 + 4.0
        assert pruned.total_time_to_target_s == 6.0 + 4.0 + 2.0
        assert pruned.total_energy_to_target_j == 60.0
        assert pruned.total_cost_to_target_usd == 9.0

    def test_a_target_that_was_missed_leaves_the_total_unknown(self) -> None:
        source, record = plain_run(3), run_of(2)
        assert record.target is not None
        missed = replace(
            record.target,
            reached=False,
            time_to_target_s=None,
            energy_to_target_j=None,
            cost_to_target_usd=None,
            emissions_to_target_gco2e=None,
            censored_at_s=4.0,
        )
        for recipe in (
            recipe_of(replace(record, target=missed), source),
            recipe_of(record, replace(source, target=missed)),
            recipe_of(replace(record, target=None), source),
        ):
            assert recipe.total_time_to_target_s is None
            assert recipe.total_energy_to_target_j is None
            assert recipe.total_energy_label is None
            assert recipe.total_cost_to_target_usd is None
            assert recipe.total_emissions_to_target_gco2e is None

    def test_joules_that_one_run_does_not_know_leave_the_time_known(self) -> None:
        source = plain_run(3)
        assert source.target is not None
        unknown = replace(
            source, target=replace(source.target, energy_to_target_j=None), energy_label=None
        )
        recipe = recipe_of(run_of(2), unknown)
        assert recipe.total_time_to_target_s == 10.0
        assert recipe.source_energy_j is None
        assert recipe.total_energy_to_target_j is None
        assert recipe.total_energy_label is None

    def test_a_source_without_a_total_leaves_the_total_unknown(self) -> None:
        recipe = recipe_of(run_of(2), run_of(3))  # the source has a recipe and no total
        assert recipe.source_time_s is None
        assert recipe.total_time_to_target_s is None

    def test_without_a_recipe_the_record_is_unchanged(self) -> None:
        record = plain_run(2)
        assert with_recipe(record, None) is record


def cells(record: RunRecord) -> list[str]:
    return rows_under_rule(shown(sweep_tables, [(["seed=0"], record)]))[0].split()


def test_the_table_shows_the_teacher_apart_and_in_the_total() -> None:
    run = with_recipe(run_of(2), plain_run(3))
    text = shown(sweep_tables, [(["seed=0"], run)])
    for words in ("teacher's", "TTA with", "ETA with", "(modelled)"):
        assert words in text
    # Its own 4 s and 20 J lie between (2, 4]; the teacher's 6 s and 30 J, and both together.
    times, joules = ["6", "10"], ["30", "50"]
    assert cells(run)[:9] == ["reached", "4", "(2,", "4]", "20", *times, *joules]
    assert "teacher" not in shown(sweep_tables, [(["seed=0"], plain_run(2))])


def test_the_table_has_no_total_of_a_run_that_missed() -> None:
    record = run_of(2)
    assert record.target is not None
    missed = replace(
        record.target,
        reached=False,
        time_to_target_s=None,
        energy_to_target_j=None,
        censored_at_s=4.0,
    )
    run = with_recipe(replace(record, target=missed), plain_run(3))
    text = shown(sweep_tables, [(["seed=0"], run)])
    assert "> 4" in text
    assert "teacher's" in text
    assert "TTA with" not in text


# The real command from here on. Quick: the model is small, the probe too short to count joules.
QUICK = (
    "experiment=smoke",
    "trainer.num_warmup_steps=1",
    "codecarbon=none",
    "lr=0.1",
    "probe.num_requests=10",
    "probe.batch_sizes=[1]",
    "probe.max_s=0.1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base run, a student of it, and what pruning leaves of it."""
    folder = tmp_path_factory.mktemp("recipes")

    def succeed(*arguments: str) -> None:
        answer = train(folder, *QUICK, *arguments)
        assert answer.code == 0, answer.out + answer.err

    succeed("model=cnn", "model.depth=2")
    (base,) = records(folder)
    succeed("recipe=distill", "recipe.teacher=latest", "model.width=32")
    succeed("recipe=prune", f"recipe.run={base.run_id}")
    return folder


@pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them
class TestCommand:
    def test_records_hold_what_the_runs_build_on(self, folder: Path) -> None:
        base, *built = records(folder)
        assert base.recipe is None
        assert base.target is not None
        assert base.target.time_to_target_s is not None
        assert base.target.energy_to_target_j is not None
        for name, record in zip(("distill", "prune"), built, strict=True):
            recipe, target = record.recipe, record.target
            assert recipe is not None
            assert target is not None
            assert target.reached
            assert target.time_to_target_s is not None
            assert target.energy_to_target_j is not None
            assert (recipe.name, recipe.source_run_id) == (name, base.run_id)
            assert recipe.source_time_s == base.target.time_to_target_s
            assert recipe.total_time_to_target_s == pytest.approx(
                base.target.time_to_target_s + target.time_to_target_s
            )
            assert recipe.total_energy_to_target_j == pytest.approx(
                base.target.energy_to_target_j + target.energy_to_target_j
            )
            assert recipe.total_energy_label is not None
            assert recipe.total_cost_to_target_usd is not None
            assert recipe.total_emissions_to_target_gco2e is not None

    def test_only_the_student_is_counted_and_saved(self, folder: Path) -> None:
        _, student, _ = records(folder)
        assert student.model is not None
        # An mlp of 64 - 32 - 32 - 10: 2080 + 1056 + 330 parameters, of four bytes.
        assert student.model.num_parameters == 3466
        assert student.model.size_bytes is not None
        assert 4 * 3466 < student.model.size_bytes < 4 * 3466 + 8000

    def test_a_pruned_run_has_fewer_parameters_and_flops(self, folder: Path) -> None:
        base, _, pruned = records(folder)
        assert pruned.recipe is not None
        assert pruned.model is not None
        assert base.model is not None
        assert pruned.recipe.source_num_parameters == base.model.num_parameters
        assert pruned.recipe.source_flops_per_sample == base.model.flops_per_sample
        # Filters of 3x3 from 1 to 8 to 16 channels, batch norm, a layer of 16 * 10 + 10.
        assert pruned.model.num_parameters == 9 * (8 + 8 * 16) + 2 * (8 + 16) + 170
        places = 9 * (64 * 1 * 8 + 16 * 8 * 16)
        assert pruned.model.flops_per_sample == 2 * (places + 16 * 10)
        assert base.model.size_bytes is not None
        assert pruned.model.size_bytes is not None
        assert pruned.model.size_bytes < base.model.size_bytes
        assert pruned.phases.init_s is not None
        assert pruned.phases.init_s > 0

    def test_every_network_is_loaded_as_it_was_measured(self, folder: Path) -> None:
        import torch

        from bench.runs.trained import load_data, load_network
        from bench.tasks.find_task import make_task
        from bench.training.evaluate import evaluate

        for record in records(folder):
            path = folder / "results" / "train" / record.run_id
            data = load_data(path)
            task = make_task("classification", data)
            network = load_network(path, task.model_arguments())
            measured = evaluate(
                network,
                task.evaluation("test"),
                data.test_dataloader(),
                device=torch.device("cpu"),
                at="crossing",
            )
            assert record.quality_test is not None
            assert measured["accuracy"] == record.quality_test["accuracy"]
            assert measured["loss"] == pytest.approx(record.quality_test["loss"], rel=1e-5)

    def test_a_lost_structure_is_reported(self, folder: Path, tmp_path: Path) -> None:
        from bench.runs.trained import load_data, load_network
        from bench.tasks.find_task import make_task

        pruned = records(folder)[-1]
        source = folder / "results" / "train" / pruned.run_id
        for name in ("config.yaml", "run.json", "checkpoint.pt"):
            (tmp_path / name).write_bytes((source / name).read_bytes())
        arguments = make_task("classification", load_data(source)).model_arguments()
        with pytest.raises(ValueError, match=r"structure\.json: .*; train the run again") as caught:
            load_network(tmp_path, arguments)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("recipe=distill", "recipe.teacher=nobody"), "recipe.teacher=nobody: no training run"),
        (("-m", "recipe=prune", "recipe.run=nobody", "seed=0,1"), "recipe.run=nobody: no training"),
        (("recipe=distill", "recipe.techer=x"), "recipe.techer: no such key"),
        (("recipe=distill",), "recipe.teacher"),
        (
            ("recipe=distill", "recipe.teacher=x", "recipe.alpha=2"),
            "recipe.alpha=2.0: must be at most",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_launched(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    answer = train(tmp_path, *arguments)
    assert answer.code == 2, (answer.out, answer.err)
    (line,) = answer.lines()
    assert words in line
    assert not (tmp_path / "results" / "train").exists()
