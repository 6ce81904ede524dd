"""Builds what a deployment consists of from its configuration, before anything is measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.cli.messages import root_cause
from bench.config.maintain import MaintainConfig
from bench.core.errors import kind_and_line
from bench.drift.detectors.base import Detector
from bench.drift.division import least_samples
from bench.drift.faults import Fault, build_fault
from bench.drift.labels import LabelVault
from bench.drift.log import ServingLog
from bench.drift.policies.base import Policy
from bench.drift.policies.oracle import Oracle
from bench.drift.samples import Pool
from bench.drift.streams.base import Stream
from bench.drift.streams.build import build_stream, read_pool
from bench.drift.timeline import Timeline
from bench.measure.cost import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentParts:
    """What a deployment consists of, apart from its models.

    Attributes:
        config: The configuration of the run.
        stream: The stream.
        fault: What goes wrong on the way to the model.
        detector: None for nobody.
        policy: Decides.
    """

    config: MaintainConfig
    stream: Stream
    fault: Fault
    detector: Detector | None
    policy: Policy

    def log(self) -> ServingLog:
        """The stream, of which nothing has been served."""
        return ServingLog(self.stream, self.fault)

    def vault(self) -> LabelVault:
        """An empty vault."""
        return LabelVault(self.config.labels, self.stream.pool.num_classes, self.config.seed)

    def timeline(self) -> Timeline:
        """What really changes, and when."""
        return Timeline(self.stream, self.fault.edges(self.config.stream.num_predictions))


def build_parts(config: MaintainConfig, pool: Pool | None = None) -> DeploymentParts:
    """Build the parts of a deployment.

    Args:
        config: Of the deployment.
        pool: What its source has, if that has been read already.

    Raises:
        ValueError: One cannot be built, or they do not fit together.
    """
    stream = build_stream(config, pool)
    parts = DeploymentParts(
        config=config,
        stream=stream,
        fault=build_fault(config.fault, stream.pool, config.stream.num_predictions),
        detector=None if not config.detector else _made("detector", config.detector, Detector),
        policy=_made("policy", config.policy, Policy),
    )
    _require_fit(parts)
    return parts


def _made(key: str, node: dict[str, Any], kind: type[Any]) -> Any:
    """Make a part that the configuration names.

    Raises:
        ValueError: It cannot be made, or is of another kind.
    """
    try:
        made = instantiate(node)
    except InstantiationException as error:
        cause = root_cause(error)
        if isinstance(cause, ValueError):  # it names its key already
            raise ValueError(str(cause)) from error
        raise ValueError(f"{key}._target_={node['_target_']}: {kind_and_line(cause)}") from error
    if not isinstance(made, kind):
        raise ValueError(
            f"{key}._target_={node['_target_']}: must be a {kind.__name__} "
            f"({kind.__module__}), is a {type(made).__name__}"
        )
    return made


def _require_fit(parts: DeploymentParts) -> None:
    """Refuse a policy without what it needs, and samples that are too few to train on."""
    config, policy, detector = parts.config, parts.policy, parts.detector
    is_censored = parts.vault().is_censored
    if policy.needs_detector and detector is None:
        raise ValueError(
            f"policy={policy.name}: acts on the alarms of a detector, and detector=none raises "
            "none; choose one, such as detector=error_eprocess"
        )
    if policy.needs_labels and is_censored:
        raise ValueError(
            f"policy={policy.name}: decides by known errors, and labels.held_out=0 never shows "
            "those of refused samples; let some through, or choose a policy that needs no labels"
        )
    if config.labels.kind == "natural" and parts.stream.pool.samples.known_after is None:
        raise ValueError(
            "labels=natural: the data does not say when its labels become known; choose "
            "labels=immediate or labels=delayed"
        )
    if detector is not None and detector.needs_labels and is_censored:
        raise ValueError(
            f"detector={detector.name}: watches errors, and labels.held_out=0 never shows those of "
            "refused samples; let some through, or choose a detector of inputs"
        )
    _require_samples(parts)
    _require_prices(parts)


def _require_samples(parts: DeploymentParts) -> None:
    """Refuse trainings whose samples could not be divided into three parts."""
    config = parts.config
    least, num = least_samples(config), len(parts.stream.initial.known())
    needed = f"needs {least} for batch_size={config.batch_size} and the shares in retrain"
    if num < least:
        raise ValueError(
            f"stream.initial_samples={config.stream.initial_samples}: {num} have labels, and the "
            f"first model {needed}; give more"
        )
    if config.retrain.num_samples is not None and config.retrain.num_samples < least:
        raise ValueError(
            f"retrain.num_samples={config.retrain.num_samples}: a training {needed}; give more"
        )


def _require_prices(parts: DeploymentParts) -> None:
    """Refuse a policy that weighs costs where there is none, and an oracle that says nothing."""
    config, policy = parts.config, parts.policy
    if policy.needs_error_price and not config.error_price_usd:
        raise ValueError(
            f"policy={policy.name}: weighs errors against retrainings; give error_price_usd, the "
            "price of one wrong prediction"
        )
    if isinstance(policy, Oracle) and config.why_no_oracle:
        raise ValueError(f"policy=oracle: cannot be computed ({config.why_no_oracle})")
    if isinstance(policy, Oracle) and policy.objective == "energy" and not config.meter.sources:
        raise ValueError(
            "policy.objective=energy: meter=none measures no joules; choose a meter, or use "
            "policy.objective=cost"
        )
    if policy.needs_error_price and config.retrain.usd is None:
        _require_retraining_price(config, policy)


def _require_retraining_price(config: MaintainConfig, policy: Policy) -> None:
    """Refuse a policy that weighs errors against retrainings of no price, or of an unknown one."""
    price: Price = instantiate(config.price)
    if price.usd_per_kwh and not config.meter.sources:
        raise ValueError(
            f"policy={policy.name}: needs the price of a retraining, and meter=none measures no "
            "joules; choose a meter, or give retrain.usd"
        )
    people_usd = config.retrain.manual_hours * config.retrain.usd_per_person_hour
    if not (price.usd_per_kwh or price.usd_per_hour or people_usd):
        raise ValueError(
            f"policy={policy.name}: weighs errors against retrainings, and these would cost "
            "nothing; give price.usd_per_kwh, price.usd_per_hour or retrain.usd"
        )


def require_deployment(key: str, value: object, values: str) -> None:
    """Refuse a deployment whose parts cannot be built or do not fit together, by building them.

    Args:
        key: A key that decides about it.
        value: Its value.
        values: The resolved configuration, as JSON.

    Raises:
        ValueError: They cannot; the message has the reason.
    """
    config = MaintainConfig.from_dict(json.loads(values))
    parts = build_parts(config, _pool_of(json.dumps(config.stream.source)))
    for window in range(parts.stream.num_windows):
        parts.stream.samples(window)


@lru_cache(maxsize=1)
def _pool_of(source: str) -> Pool:
    """Read a pool once for all jobs of a sweep: a large table takes seconds."""
    return read_pool(json.loads(source))
