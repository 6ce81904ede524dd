"""What a run of a user's own training is charged by."""

from __future__ import annotations

from typing import Any

import pytest

from bench.runs.own_run import OwnRun

OPTIONS: dict[str, Any] = {
    "target": {"metric": "accuracy", "value": 0.9},
    "results": "results",
    "seed": None,
    "repeat": None,
}


def test_a_run_is_charged_by_the_default_price_and_grid_or_by_its_own() -> None:
    run = OwnRun("own", config={"lr": 0.1}, **OPTIONS)
    assert run.config["price"]["name"] == "this_machine"
    assert run.config["grid"] == {"country_iso_code": "USA"}
    german = OwnRun("own", config={"grid": {"country_iso_code": "DEU"}}, **OPTIONS)
    assert german.config["grid"] == {"country_iso_code": "DEU"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"price": 5}, r"config\['price'\]=5: must be a mapping, as in conf/price/.*rename"),
        ({"price": {"usd_per_hour": 1.0}}, r"config\['price'\]: .*missing .*'name'"),
        ({"grid": {"country_iso_code": "ZZZ"}}, "grid.country_iso_code=ZZZ: no such country"),
        ({"grid": {"rows": 3}}, "grid.rows: no such key"),
    ],
)
def test_what_cannot_be_charged_is_refused_in_one_line(config: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        OwnRun("own", config=config, **OPTIONS)
    assert "\n" not in str(refusal.value)
