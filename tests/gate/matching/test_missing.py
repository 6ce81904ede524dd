from __future__ import annotations

from typing import Any

import pytest

from bench.gate.sides.side import Side
from tests.gate.made import CONFIG, made_side, side_of
from tests.gate.made_matches import FIVE, OTHER, kinds, matched, times

WITH_A_KEY = {**CONFIG, "model": {**CONFIG["model"], "width": 64}}


def changed(config: dict[str, Any], config_hash: str = OTHER) -> Side:
    values = {"time_to_target_s": FIVE}
    return made_side(values, name="candidate", config_hash=config_hash, config=config)


def test_a_key_missing_on_one_side_is_reported_with_a_remedy() -> None:
    rows, problems, _ = matched(times(FIVE), changed(WITH_A_KEY))
    assert rows == {}
    assert kinds(problems) == [("incomparable", 4)]
    assert problems[0].message.endswith(
        "; base lacks model.width: force=[config] compares them anyway"
    )


@pytest.mark.parametrize(
    ("base", "candidate", "told"),
    [
        (CONFIG, WITH_A_KEY, "base lacks model.width"),
        (WITH_A_KEY, CONFIG, "candidate lacks model.width"),
        (WITH_A_KEY, {**CONFIG, "lr": 0.1}, "base lacks lr; candidate lacks model.width"),
    ],
)
def test_forced_they_are_one_configuration(
    base: dict[str, Any], candidate: dict[str, Any], told: str
) -> None:
    rows, problems, remarks = matched(changed(base), changed(candidate, "0" * 12), force=["config"])
    assert rows["time_to_target_s"].base.tolist() == FIVE
    assert rows["time_to_target_s"].candidate.tolist() == FIVE
    assert problems == []
    assert remarks == [f"{rows['time_to_target_s'].configuration}: {told} (forced)"]


@pytest.mark.parametrize(
    "candidate",
    [
        {**WITH_A_KEY, "batch_size": 64},  # a key of both has another value
        {**CONFIG, "model": None},  # chosen on one side only
        {**CONFIG, "batch_size": {"train": 32}},
    ],
)
def test_forced_what_differs_otherwise_is_still_incomparable(candidate: dict[str, Any]) -> None:
    _, problems, _ = matched(times(FIVE), changed(candidate), force=["config"])
    assert kinds(problems) == [("incomparable", 4)]
    assert problems[0].message.endswith("; run both with the same keys")


def test_no_partner_is_guessed_where_there_are_two() -> None:
    two = [
        *changed({**WITH_A_KEY, "lr": 0.1}).runs,
        *changed({**WITH_A_KEY, "lr": 0.2}, "0" * 12).runs,
    ]
    rows, problems, _ = matched(times(FIVE), side_of(two, name="candidate"), force=["config"])
    assert rows == {}
    assert kinds(problems) == [("incomparable", 4)]
