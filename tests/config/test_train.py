from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from bench.config.run import SamplerConfig
from bench.config.train import BudgetConfig, TrainConfig
from bench.config.trainer import TrainerConfig
from bench.core.files import config_dir
from bench.core.identity import ADDED_LATER, config_hash
from bench.core.target import TargetConfig

TARGET: dict[str, Any] = {"value": 0.9, "eval_every_samples": 100}
DISTILL = {
    "name": "distill",
    "teacher": "latest",
    "temperature": 1,
    "alpha": 0.5,
    "allow_missed": False,
}


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.from_dict({"target": TARGET, "budget": {"max_epochs": 1}, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"lr": -1.0}, "lr=-1.0: must be a positive number"),
        ({"lr": float("inf")}, "lr=inf: must be a finite number"),
        ({"lr": float("nan")}, "lr=nan: must be a finite number"),
        ({"lr_scaling": "cubic"}, "lr_scaling=cubic: must be one of none, linear, sqrt"),
        ({"lr_reference_batch_size": 0}, "lr_reference_batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"repeat": -1}, "repeat=-1"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0: must be less than 1"),
        (
            {"label_smoothing": 0.1, "task": "regression"},
            "label_smoothing=0.1: task=regression has no labels to smooth",
        ),
        (
            {"label_smoothing": 0.1, "task": "module"},
            "label_smoothing=0.1: task=module has a loss of its own; smooth",
        ),
        (
            {"label_smoothing": 0.1, "recipe": DISTILL},
            "label_smoothing=0.1: recipe=distill takes the probabilities of the teacher",
        ),
        ({"precision": "8"}, "precision=8: must be one of 32, bf16-mixed, 16-mixed, bf16-true"),
        (
            {"precision": "16-mixed", "trainer": TrainerConfig(accelerator="cpu")},
            "precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32",
        ),
        (
            {"trainer": {"accelerator": "cpu", "gpu_power_limit_w": 200.0}},
            "trainer.gpu_power_limit_w=200: needs a GPU, and trainer.accelerator=cpu uses none",
        ),
        (
            {"trainer": {"accelerator": "cpu", "gpu_clock_mhz": 1410}},
            "trainer.gpu_clock_mhz=1410: needs a GPU",
        ),
        (
            {"trainer": {"accelerator": "cpu", "float32_matmul_precision": "high"}},
            "trainer.float32_matmul_precision=high: needs a GPU, and trainer.accelerator=cpu",
        ),
        (
            {"trainer": {"accelerator": "cpu", "data_memory": "device"}},
            "trainer.data_memory=device: needs a GPU",
        ),
        (
            {"trainer": {"accelerator": "cpu", "compile": True, "compile_mode": "reduce-overhead"}},
            "trainer.compile_mode=reduce-overhead: needs a GPU",
        ),
        (
            {"trainer": {"compile_mode": "max-autotune"}},
            "trainer.compile_mode=max-autotune: does nothing without trainer.compile=true",
        ),
        ({"trainer": {"compile_mode": "fast"}}, "compile_mode=fast: must be one of default, reduc"),
        ({"trainer": {"gpu_power_limit_w": 0.0}}, "trainer.gpu_power_limit_w=0.0: must be a posit"),
        ({"batch_size": 33, "trainer": TrainerConfig(devices=2)}, "multiple of trainer.devices=2$"),
        (
            {"batch_size": 34, "trainer": TrainerConfig(devices=2, num_nodes=2)},
            "multiple of trainer.devices=2 x trainer.num_nodes=2",
        ),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": 1.5}, r"target.value=1.5: accuracy lies between 0 and 1"),
        ({"ladder": [0.5, 2.0]}, r"target.ladder=2.0: accuracy lies between 0 and 1"),
        ({"mode": "min"}, "target.mode=min: accuracy is better when it is larger; use max"),
        ({"mode": "up"}, "target.mode=up: must be one of max, min"),
        ({"rule": "last"}, "target.rule=last: must be one of first, consecutive, final"),
        ({"consecutive": 0}, "target.consecutive=0"),
        ({"eval_every_samples": 0}, "target.eval_every_samples=0"),
    ],
)
def test_targets_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TargetConfig.from_dict({**TARGET, **changes}, "target.")


def test_the_default_ladder_is_cut_to_what_the_metric_can_have() -> None:
    default = yaml.safe_load((config_dir() / "target" / "default.yaml").read_text())["ladder"]
    assert TargetConfig.from_dict({**TARGET, "ladder": default}, "target.").ladder == default
    # No perplexity is below 1.
    perplexity = {**TARGET, "metric": "perplexity", "value": 3.0}
    assert TargetConfig.from_dict({**perplexity, "ladder": default}, "target.").ladder == []
    with pytest.raises(ValueError, match=r"target.ladder=0.9: perplexity lies between 1 and inf"):
        TargetConfig.from_dict({**perplexity, "ladder": [0.9, 2.0]}, "target.")


def test_a_metric_that_nobody_knows_needs_a_direction() -> None:
    unknown = {**TARGET, "metric": "val_auc", "value": 12.0}
    with pytest.raises(ValueError, match=r"target\.metric=val_auc: .* give target\.mode=max or"):
        TargetConfig.from_dict(unknown, "target.").build()
    assert TargetConfig.from_dict({**unknown, "mode": "max"}, "target.").build().mode == "max"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"x": 3}, r"metrics.x=3: must name a class of torchmetrics; give \+metrics.x._target_="),
        ({"num_samples": {"_target_": "a.B"}}, "metrics.num_samples: this name is taken"),
        ({"a-b": {"_target_": "a.B"}}, "metrics.a-b: a name has letters, digits and underscores"),
    ],
)
def test_metrics_of_the_user_are_checked_before_the_run(
    metrics: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(metrics=metrics)


def test_options_have_ranges_and_classes_of_the_user_have_none() -> None:
    cnn = {"_target_": "bench.tasks.models.Cnn", "width": 4, "depth": 1}
    with pytest.raises(ValueError, match=r"model.width=0: must be at least 1"):
        config(model={**cnn, "width": 0})
    with pytest.raises(ValueError, match=r"schedule.anneal_strategy=cosine: must be one of cos, l"):
        config(
            schedule={"_target_": "bench.tasks.schedules.one_cycle", "anneal_strategy": "cosine"}
        )
    # A record from before there were further keys lacks them.
    assert config(model=cnn).model == cnn
    config(model={"_target_": "my.Net", "width": 0})


@pytest.mark.parametrize("field", ["max_epochs", "max_time_s", "max_energy_j"])
def test_budgets_are_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"budget.{field}=0"):
        BudgetConfig.from_dict({"max_epochs": 1, field: 0}, "budget.")


def test_trainer_and_sampler_ranges_are_named() -> None:
    with pytest.raises(ValueError, match=r"trainer.accelerator=tpu: must be one of auto, cpu, gpu"):
        TrainerConfig.from_dict({"accelerator": "tpu"}, "trainer.")
    with pytest.raises(ValueError, match=r"trainer.num_nodes=0: must be at least 1"):
        TrainerConfig.from_dict({"num_nodes": 0}, "trainer.")
    with pytest.raises(ValueError, match=r"trainer.num_threads=0"):
        TrainerConfig.from_dict({"num_threads": 0}, "trainer.")
    with pytest.raises(ValueError, match=r"sampler.period_s=0"):
        SamplerConfig.from_dict({"period_s": 0}, "sampler.")


def test_the_target_takes_the_direction_of_its_metric() -> None:
    assert TargetConfig(**{**TARGET, "metric": "loss"}).build().mode == "min"
    assert TargetConfig(**TARGET).build().mode == "max"


@pytest.mark.parametrize(
    ("scaling", "expected"),
    # From 32 to 128 is a ratio of 4.
    [("none", 0.1), ("linear", 0.4), ("sqrt", 0.2)],
)
def test_the_learning_rate_scales_from_the_reference_batch_size(
    scaling: str, expected: float
) -> None:
    scaled = config(batch_size=128, lr=0.1, lr_scaling=scaling, lr_reference_batch_size=32)
    assert scaled.effective_lr() == pytest.approx(expected)


PLAIN: dict[str, Any] = {
    "batch_size": 32,
    "seed": 0,
    "repeat": 0,
    "results": "a",
    "logger": None,
    "data": {"_target_": "d", "root": "/x", "split_seed": 0},
}


def changed(dotted: str, value: object) -> dict[str, Any]:
    plain = copy.deepcopy(PLAIN)
    node = plain
    *path, last = dotted.split(".")
    for key in path:
        node = node[key]
    node[last] = value
    return plain


@pytest.mark.parametrize("key", ["seed", "repeat", "results", "logger", "data.root"])
def test_paths_seed_and_repeat_are_not_part_of_the_hash(key: str) -> None:
    assert config_hash(changed(key, 7)) == config_hash(PLAIN)


@pytest.mark.parametrize("key", ["batch_size", "data._target_", "data.split_seed"])
def test_every_other_key_changes_the_hash(key: str) -> None:
    assert config_hash(changed(key, 7)) != config_hash(PLAIN)


def test_a_key_that_was_added_later_is_hashed_unless_it_is_as_before() -> None:
    before, one, two, three = (
        {**PLAIN, "trainer": {"devices": 2, **more}}
        for more in ({}, {"num_nodes": 1}, {"num_nodes": 2}, {"gpu_power_limit_w": 200.0})
    )
    assert config_hash(before) == config_hash(one) != config_hash(two)
    assert config_hash(three) not in {config_hash(before), config_hash(two)}


def test_the_defaults_of_the_trainer_that_were_added_later_keep_the_earlier_hash() -> None:
    trainer = vars(TrainerConfig())
    earlier = {name: trainer[name] for name in ("accelerator", "devices", "compile")}
    added = [key.partition(".")[2] for key in ADDED_LATER if key.startswith("trainer.")]
    now = earlier | {name: trainer[name] for name in added}
    assert config_hash({**PLAIN, "trainer": now}) == config_hash({**PLAIN, "trainer": earlier})


def test_a_key_that_a_class_got_later_is_hashed_unless_it_is_as_before() -> None:
    cnn, own = {"_target_": "bench.tasks.models.Cnn", "width": 4}, {"_target_": "my.Net"}
    before, same, other = (
        {**PLAIN, "model": {**cnn, **more}} for more in ({}, {"growth": 2}, {"growth": 3})
    )
    assert config_hash(before) == config_hash(same) != config_hash(other)
    # A class of the user may have such a key with another default.
    own_hashes = {config_hash({**PLAIN, "model": {**own, **more}}) for more in ({}, {"growth": 2})}
    assert len(own_hashes) == 2


def test_the_order_of_keys_does_not_change_the_hash() -> None:
    """Overrides may stand in any order."""
    assert config_hash(dict(reversed(PLAIN.items()))) == config_hash(PLAIN)


def test_hashing_does_not_change_the_configuration() -> None:
    before = copy.deepcopy(PLAIN)
    config_hash(PLAIN)
    assert before == PLAIN
