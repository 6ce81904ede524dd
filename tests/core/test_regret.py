"""Regret and the price of an error from which on a policy pays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.records.maintenance import Maintenance
from bench.core.records.run import RunRecord
from bench.core.regret import (
    NO_ORACLE,
    Deployment,
    Regret,
    counterparts,
    deployment_of,
    paying_error_price_usd,
    paying_prices_usd,
    regrets,
    stream_hash,
    total_usd,
)
from bench.core.store import new_identity

CONFIG: dict[str, Any] = {
    "error_price_usd": 0.5,
    "stream": {"window": 100},
    "detector": None,
    "alpha": 0.05,
    "price": {"usd_per_hour": 1.0, "usd_per_kwh": None},
    "grid": {"country_iso_code": "DEU"},
}


def kept(policy: str, cost_usd: float | None, num_errors: int, **facts: Any) -> Maintenance:
    return Maintenance(
        policy=policy,
        num_windows=4,
        num_predictions=400,
        target_value=0.9,
        cost_usd=cost_usd,
        num_errors=num_errors,
        **facts,
    )


def run(
    policy: str, cost_usd: float | None, num_errors: int, seed: int = 0, **more: Any
) -> Deployment:
    """A run; `config` and `status` replace what it has by default, the rest is of Maintenance."""
    config = {**CONFIG, "policy": {"_target_": policy}, **more.pop("config", {})}
    identity = new_identity("maintain", "0123456789ab", seed, 0)
    record = RunRecord(
        **{name: getattr(identity, name) for name in identity.__dataclass_fields__},
        status=more.pop("status", "ok"),
        config={**config, "seed": seed, "repeat": 0},
        host={},
        maintenance=kept(policy, cost_usd, num_errors, **more),
    )
    made = deployment_of(record)
    assert made is not None
    return made


def test_the_total_is_upkeep_and_errors() -> None:
    assert total_usd(kept("every", 3.0, 10), 0.5) == 8.0
    assert total_usd(kept("every", None, 10), 0.5) is None


def test_with_a_fixed_price_of_a_retraining_regret_is_in_that_price() -> None:
    """The oracle weighed 2 dollars for each retraining against errors at 0.5. Three retrainings and
    4 errors are 6 + 2 = 8, one and 6 errors 2 + 3 = 5; with what was measured, almost nothing,
    the policy would look cheaper than the oracle. Labels at 0.25 are paid by both."""
    fixed = {"retrain": {"usd": 2.0}}
    runs = [
        run("every", 0.001, 4, num_retrains=3, labels_cost_usd=0.25, config=fixed),
        run("oracle", 0.001, 6, num_retrains=1, labels_cost_usd=0.25, config=fixed),
    ]
    assert [each.usd for each in regrets(runs)] == [3.0, 0.0]
    # Known without a measured cost, too: meter=none.
    unmeasured = [replace(each, cost_usd=None) for each in runs]
    assert [each.usd for each in regrets(unmeasured)] == [3.0, 0.0]


def test_regret_is_the_total_above_that_of_the_oracle_of_the_same_seed() -> None:
    # Totals: every 3 + 10/2 = 8 and 4 + 6 = 10, oracle 1 + 8 = 9 and 2 + 2 = 4.
    runs = [
        run("every", 3.0, 10),
        run("every", 4.0, 12, seed=1),
        run("oracle", 1.0, 16),
        run("oracle", 2.0, 4, seed=1),
    ]
    assert [each.usd for each in regrets(runs)] == [-1.0, 6.0, 0.0, 0.0]


def test_seeds_and_their_copies_in_groups_are_of_one_stream() -> None:
    seeds = [{**CONFIG, "seed": n, "stream": {"window": 100, "seed": n}} for n in (0, 1)]
    assert len({stream_hash(each) for each in seeds}) == 1


def test_policy_detector_and_alpha_may_differ_and_nothing_else() -> None:
    one = {**CONFIG, "policy": {"k": 4}}
    assert stream_hash(one) == stream_hash(
        {**CONFIG, "policy": {"matrix": "x"}, "detector": {"name": "ks"}, "alpha": 0.1}
    )
    for other in (
        {"stream": {"window": 200}},
        {"error_price_usd": 1.0},
        {"price": {"usd_per_hour": 2.0, "usd_per_kwh": None}},
    ):
        assert stream_hash(one) != stream_hash({**one, **other})
        oracle = run("oracle", 1.0, 1, config=other)
        assert regrets([run("every", 3.0, 10), oracle])[0] == Regret(reason=NO_ORACLE)


@pytest.mark.parametrize(
    ("policy", "oracle", "reason"),
    [
        (run("every", None, 9), run("oracle", 1.0, 9), "its cost is unknown"),
        (run("every", 1.0, 9), run("oracle", None, 9), "the cost of the oracle is unknown"),
        (
            run("every", 1.0, 9, regret_reason="warm starts"),
            run("oracle", 1.0, 9),
            "warm starts",
        ),
        (
            run("every", 1.0, 9, status="failed"),
            run("oracle", 1.0, 9),
            "the run did not serve its whole stream",
        ),
        (run("every", 1.0, 9), run("oracle", 1.0, 9, status="interrupted"), NO_ORACLE),
        (run("every", 1.0, 9), run("oracle", 1.0, 9, seed=1), NO_ORACLE),
    ],
)
def test_what_is_unknown_has_a_reason(policy: Deployment, oracle: Deployment, reason: str) -> None:
    assert regrets([policy, oracle])[0] == Regret(reason=reason)


def test_an_oracle_that_saves_joules_is_no_measure_of_regret() -> None:
    saving = run("oracle", 0.0, 0, config={"policy": {"objective": "energy"}})
    assert regrets([run("every", 1.0, 9), saving])[0].reason == NO_ORACLE
    cheapest = run("oracle", 0.5, 9, config={"policy": {"objective": "cost"}})
    assert regrets([run("every", 1.0, 9), saving, cheapest])[0].usd == 0.5


def test_of_two_oracles_the_latest_counts() -> None:
    early, late = run("oracle", 5.0, 0), run("oracle", 1.0, 0)
    for runs in ([early, late], [late, early]):
        # Run ids begin with the time, and the later one was made later.
        assert counterparts(runs, "oracle") == [late] * 2


def test_a_run_is_compared_with_never_retraining_on_its_seed() -> None:
    # Seed 0: 2 USD more for 4 errors less. Seed 1: 3 USD more for 2 errors less.
    runs = [
        run("never", 0.0, 10),
        run("never", 0.0, 8, seed=1),
        run("every", 2.0, 6),
        run("every", 3.0, 6, seed=1),
        run("every", 1.0, 6, seed=2),
    ]
    assert paying_prices_usd(runs) == [None, None, 0.5, 1.5, None]


def test_a_policy_pays_from_the_price_that_covers_its_cost() -> None:
    # It costs 6 USD more and saves 12 errors, so it pays from 0.5 USD per error on.
    never = kept("never", 0.0, 20)
    assert paying_error_price_usd(kept("every", 6.0, 8), never) == 0.5
    price = 0.5
    assert total_usd(kept("every", 6.0, 8), price) == total_usd(never, price)


@pytest.mark.parametrize(
    ("cost_usd", "num_errors", "expected"),
    [(6.0, 20, None), (6.0, 25, None), (None, 8, None), (0.0, 8, 0.0)],
)
def test_a_policy_that_saves_nothing_never_pays_and_a_free_one_always(
    cost_usd: float | None, num_errors: int, expected: float | None
) -> None:
    never = kept("never", 1.0, 20)
    assert paying_error_price_usd(kept("every", cost_usd, num_errors), never) == expected
