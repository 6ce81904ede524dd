from __future__ import annotations

import numpy as np
import pytest
from pandas import DataFrame, Series

from analysis.figures.marks import medians
from analysis.figures.prepare import (
    NothingToDraw,
    architectures,
    counts,
    energy_labels,
    evenly,
    ranked,
    serving_runs,
    spent_quantity,
    trained_for,
    training_runs,
    with_label_names,
)
from analysis.figures.style import short_names
from tests.analysis.figures.literal import by, failed, frame, missed, reached, served


def test_every_ending_of_a_run_stays_inside_with_what_it_spent() -> None:
    runs = frame(reached("a", 2.0), missed("a", 9.0), failed("a", 4.0))
    trained = training_runs(runs)
    assert list(trained["outcome"]) == ["reached", "missed", "failed"]
    cost = spent_quantity(trained, "time_s")
    assert list(cost["value"]) == [2.0, 9.0, 4.0]
    assert list(cost["bound"]) == [False, True, True]


def test_runs_of_bench_serve_are_no_trainings() -> None:
    with pytest.raises(NothingToDraw, match="no run of a training"):
        training_runs(frame(served("s")))
    with pytest.raises(NothingToDraw, match=r"no run of bench\.serve"):
        serving_runs(frame(reached("a", 1.0)))


def test_a_run_that_says_nothing_of_its_health_is_not_called_incomparable() -> None:
    runs = frame(
        reached("a", 1.0, health__comparable=None),
        reached("a", 1.0, health__comparable=False),
        reached("a", 1.0),
    )
    assert list(training_runs(runs)["comparable"]) == [True, False, True]


def test_two_processors_make_two_configurations() -> None:
    runs = frame(reached("a", 1.0), reached("b", 2.0, host__cpu_name="other"))
    assert list(training_runs(runs)["configuration"]) == ["a @ cpu", "b @ other"]


def test_a_run_cut_off_before_it_named_its_host_belongs_to_the_only_one() -> None:
    runs = frame(reached("a", 1.0), missed("a", 1.0, host__cpu_name=None))
    assert set(training_runs(runs)["configuration"]) == {"a"}


def test_architectures_of_one_name_are_told_apart_by_what_differs() -> None:
    runs = DataFrame(
        {
            "model.name": ["Mlp", "Mlp", "resnet18", None],
            "config.model._target_": ["m.Mlp", "m.Mlp", "m.torchvision_model", "m.Cnn"],
            "config.model.name": [None, None, "resnet18", None],
            "config.model.width": [64, 128, np.nan, np.nan],
            "config.model.depth": [2, 2, np.nan, np.nan],
        }
    )
    assert list(architectures(runs)) == ["Mlp width=64", "Mlp width=128", "resnet18", "Cnn"]


def test_an_architecture_has_the_name_that_the_user_gave_it_in_old_records_too() -> None:
    runs = DataFrame(
        {
            "model.name": ["Cnn", "cnn", None],
            "config.model._target_": ["m.Cnn"] * 3,
            "config.choices.model": [None, "cnn", None],
        }
    )
    assert list(architectures(runs)) == ["cnn"] * 3


def test_a_model_that_nobody_names_is_called_that() -> None:
    assert list(architectures(DataFrame({"run_id": ["a"]}))) == ["model not recorded"]


def test_joules_of_several_labels_are_never_one_configuration() -> None:
    runs = frame(
        reached("a", 1.0, 5.0), reached("a", 1.0, 7.0, energy_label="modelled"), missed("b", 1.0)
    )
    assert list(trained_for(runs, "energy_j")["configuration"]) == [
        "a [counter]",
        "a [modelled]",
        "b [no label]",
    ]
    assert list(trained_for(runs, "time_s")["configuration"]) == ["a", "a", "b"]
    assert energy_labels(runs) == "by label"
    one = with_label_names(runs, Series(["counter", "counter", None]))
    assert list(one["configuration"]) == ["a", "a", "b"]


def test_the_best_configuration_hits_most_often_and_then_soonest() -> None:
    runs = training_runs(
        frame(
            reached("quick but lucky", 1.0),
            missed("quick but lucky", 9.0),
            reached("slow", 5.0),
            reached("slow", 6.0),
            reached("sure", 3.0),
        )
    )
    assert ranked(runs) == ["sure", "slow", "quick but lucky"]
    table = counts(runs)
    assert list(table.loc["quick but lucky"]) == [2, 1, 0]


def test_medians_count_a_miss_as_infinite() -> None:
    table = DataFrame(
        {
            "configuration": ["a"] * 3 + ["b"] * 2 + ["c"],
            "value": [1.0, 2.0, 9.0, 1.0, 9.0, 4.0],
            "bound": [False, False, True, False, True, False],
            "comparable": [True, False, True, True, True, True],
        }
    )
    found = by(medians(table, ["configuration"], "value"), "configuration")
    # a: the middle of 1, 2, inf; resamples of three of them reach 1 and inf with more than 2.5%.
    assert found["a"]["value"] == 2.0
    assert found["a"]["low"] == 1.0
    assert np.isnan(found["a"]["high"])
    # b: the mean of 1 and inf.
    assert np.isnan(found["b"]["value"])
    # c: a single run has a value and no interval.
    assert found["c"]["value"] == 4.0
    assert np.isnan([found["c"]["low"], found["c"]["high"]]).all()
    assert [row["num_runs"] for row in found.values()] == [3, 2, 1]
    assert [row["num_reached"] for row in found.values()] == [2, 1, 1]
    assert [row["num_incomparable"] for row in found.values()] == [1, 0, 0]


@pytest.mark.parametrize(("num", "most"), [(3, 5), (5, 5), (100, 7), (2, 1)])
def test_an_even_choice_is_no_longer_than_asked_for_and_keeps_the_first(
    num: int, most: int
) -> None:
    chosen = evenly(list(range(num)), most)
    assert len(chosen) == min(num, most)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    if most > 1:
        assert chosen[-1] == num - 1


def test_names_lose_their_common_part_and_the_note_shows_it() -> None:
    names = ["model=Mlp lr=0.1 | backend=http", "model=Cnn lr=0.1 | backend=http"]
    short, common = short_names(names)
    assert short == {names[0]: "Mlp", names[1]: "Cnn"}
    assert common == "All: lr=0.1 http."


def test_a_part_of_the_model_and_the_same_part_of_the_serving_are_two() -> None:
    names = ["batch_size=1 | lr=2", "lr=2 | batch_size=1"]
    short, common = short_names(names)
    assert common == ""
    assert short == {names[0]: "batch_size=1 lr=2", names[1]: "lr=2 batch_size=1"}


def test_an_empty_side_of_a_name_is_not_counted_as_a_part() -> None:
    """As of a name whose scenario stands above its panel."""
    short, common = short_names(["model=mlp |", "model=cnn |"])
    assert (list(short.values()), common) == (["mlp", "cnn"], "")


def test_names_that_would_become_equal_or_empty_stay_whole() -> None:
    # The second is the first without one part: nothing would be left of it.
    names = ["model=Mlp lr=0.1", "model=Mlp"]
    short, common = short_names(names)
    assert short == {names[0]: "Mlp lr=0.1", names[1]: "Mlp"}
    assert common == ""


def test_a_single_name_is_never_shortened_to_an_empty_text() -> None:
    assert short_names(["model=Mlp lr=0.1"]) == ({"model=Mlp lr=0.1": "Mlp lr=0.1"}, "")
