"""The configuration of bench.maintain: every key, its type, its default and its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Le

from bench.config.run import RunConfig
from bench.config.train import BudgetConfig
from bench.config.trainer import TrainerConfig
from bench.core.checks import (
    MISSING,
    Amount,
    Count,
    KeyGroup,
    PositiveAmount,
    PositiveCount,
    one_of,
    refuse_contradictions,
)
from bench.core.identity import CHOICES, without_key
from bench.core.target import TargetConfig

DRIFTS = ("none", "covariate", "label", "concept")
SCHEDULES = ("sudden", "gradual", "incremental", "seasonal", "burst")
FAULTS = ("none", "celsius", "missing", "stale_scaler")
LABELS = ("immediate", "delayed", "partial", "selective", "natural")
_Share = Annotated[float, Ge(0), Le(1)]
_PositiveShare = Annotated[float, Gt(0), Le(1)]


@dataclass(kw_only=True)
class StreamConfig(KeyGroup):
    """Where the samples come from, and how the stream is cut; counts are predictions."""

    source: Any = MISSING
    num_windows: Annotated[PositiveCount, Ge(2)] = MISSING
    window: Annotated[PositiveCount, Ge(10)] = MISSING
    initial_samples: Annotated[PositiveCount, Ge(50)] = MISSING
    rate_per_s: PositiveAmount | None = None

    @property
    def num_predictions(self) -> int:
        """Predictions of the whole stream."""
        return self.num_windows * self.window


@dataclass(kw_only=True)
class DriftConfig(KeyGroup):
    """What changes in the world, and when; times are predictions since the start of the stream.

    Attributes:
        kind: Which distribution changes.
        schedule: How the strength changes over time.
        at: When it begins: for gradual, when half of the samples are of the new concept. None
            begins in the middle of the stream, and seasonal at its start.
        width: gradual: the time scale of the transition; incremental: how long the parameters move;
            burst: how long it lasts. None takes a tenth of the stream.
        period: seasonal: how long a season lasts. None takes half of the stream.
        strength: covariate: gamma, in standard deviations of the feature; label: the share of the
            class that becomes frequent; concept: the share of labels of the region that change.
        feature: covariate and concept: the feature that decides, by name or number; None takes the
            first principal component of the initial samples.
        target_class: label: the class that becomes frequent. concept: the class that labels of the
            region become.
        region: concept: two quantiles of the feature, between which labels change.
    """

    kind: Annotated[str, one_of(DRIFTS)] = "none"
    schedule: Annotated[str, one_of(SCHEDULES)] = "sudden"
    at: Count | None = None
    width: PositiveCount | None = None
    period: PositiveCount | None = None
    strength: Amount = 0.0
    feature: Any = None
    target_class: Count = 0
    region: list[_Share] = field(default_factory=lambda: [0.5, 1.0])


@dataclass(kw_only=True)
class FaultConfig(KeyGroup):
    """What goes wrong on the way to the model; times are predictions, as for the drift."""

    kind: Annotated[str, one_of(FAULTS)] = "none"
    feature: Any = None
    at: Count | None = None
    until: Count | None = None
    fill: Annotated[str, one_of(("mean", "zero"))] = "mean"
    where: Annotated[str, one_of(("serving", "both"))] = "serving"


@dataclass(kw_only=True)
class LabelsConfig(KeyGroup):
    """When labels become known, which of them, and at what price."""

    kind: Annotated[str, one_of(LABELS)] = "immediate"
    delay: Count = 0
    fraction: _PositiveShare = 1.0
    positive_class: Count = 1
    held_out: _Share = 0.0
    price_usd: Amount = 0.0

    def __post_init__(self) -> None:
        """Refuse keys that this kind of labels would ignore.

        Raises:
            ValueError: A key is superfluous; the message names it.
        """
        ignored = {
            "delay": self.kind in ("immediate", "natural") and self.delay,
            "fraction": self.kind != "partial" and self.fraction != 1.0,
            "held_out": self.kind != "selective" and self.held_out,
        }
        for key, is_ignored in ignored.items():
            if is_ignored:
                raise ValueError(
                    f"labels.{key}={getattr(self, key):g}: labels={self.kind} ignores it; choose "
                    "other labels, or leave it out"
                )


@dataclass(kw_only=True)
class RetrainConfig(KeyGroup):
    """How a new model is trained, and what people do around it."""

    start: Annotated[str, one_of(("scratch", "warm"))] = "scratch"
    samples: Annotated[str, one_of(("all", "newest"))] = "newest"
    num_samples: PositiveCount | None = None
    validation_frac: Annotated[float, Gt(0), Le(0.4)] = 0.2
    reference_frac: Annotated[float, Gt(0), Le(0.4)] = 0.2
    promote: Annotated[str, one_of(("always", "if_better"))] = "always"
    min_new_labels: Count = 0
    cooldown: Count = 0
    max_retrainings: Count | None = None
    manual_hours: Amount = 0.0
    manual_delay: Count = 0
    usd_per_person_hour: Amount = 0.0
    usd: Amount | None = None

    def __post_init__(self) -> None:
        """Refuse a number of samples that would be ignored.

        Raises:
            ValueError: It would be.
        """
        if self.samples == "all" and self.num_samples is not None:
            raise ValueError(
                f"retrain.num_samples={self.num_samples}: retrain.samples=all ignores it; leave it "
                "out, or use retrain.samples=newest"
            )


@dataclass(kw_only=True)
class MaintainConfig(RunConfig):
    """The keys of bench.maintain."""

    batch_size: PositiveCount = 32
    lr: PositiveAmount = 0.05
    precision: Annotated[str, one_of(("32", "bf16-mixed", "16-mixed"))] = "32"
    serving_batch_size: PositiveCount = 64
    accuracy_to_hold: _PositiveShare | None = None
    error_price_usd: Amount = 0.0
    stream: StreamConfig = MISSING
    drift: DriftConfig = field(default_factory=DriftConfig)
    fault: FaultConfig = field(default_factory=FaultConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    detector: Any = None
    alpha: Annotated[float, Gt(0), Le(0.5)] = 0.05
    policy: Any = MISSING
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    target: TargetConfig = MISSING
    budget: BudgetConfig = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        """Refuse keys that contradict each other.

        Raises:
            ValueError: Two keys contradict each other, or a key cannot be followed here.
        """
        super().__post_init__()
        if self.target != MISSING and self.target.metric != "accuracy":
            raise ValueError(
                f"target.metric={self.target.metric}: what is held over a stream is the accuracy "
                "of its predictions; use target.metric=accuracy"
            )
        if self.trainer.num_ranks > 1:
            raise ValueError(
                f"trainer.devices={self.trainer.devices} and trainer.num_nodes="
                f"{self.trainer.num_nodes}: a deployment trains on one device of one node"
            )
        if self.precision == "16-mixed" and self.trainer.accelerator == "cpu":
            raise ValueError("precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32")

    @property
    def held_accuracy(self) -> float:
        """The accuracy to hold in each window."""
        return self.target.value if self.accuracy_to_hold is None else self.accuracy_to_hold

    @property
    def why_no_oracle(self) -> str:
        """Why the best schedule of retrainings cannot be known in advance; empty if it can.

        An oracle tries every model that could be trained, on every window that it could serve. That
        says something only if a model does not depend on those before it.
        """
        options = self.retrain
        reasons = {
            "retrain.start=warm: a model depends on the one that it starts from": (
                options.start == "warm"
            ),
            "retrain.promote=if_better: whether a model takes over depends on the one before": (
                options.promote == "if_better"
            ),
            "labels=selective: the labels depend on the answers of the models before": (
                self.labels.kind == "selective"
            ),
            f"stream.rate_per_s={self.stream.rate_per_s}: models change within windows": (
                self.stream.rate_per_s is not None
            ),
            f"retrain.manual_delay={options.manual_delay}: models take over later": (
                options.manual_delay > 0
            ),
        }
        return next((reason for reason, applies in reasons.items() if applies), "")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """Check resolved values and make the dataclass; groups with a `_target_` stay dicts.

        Raises:
            ValueError: A value is wrong; the message names the key and the remedy.
        """
        refuse_contradictions(values, {"codecarbon.country_iso_code": "grid.country_iso_code"})
        return super().from_dict(without_key(dict(values), CHOICES), above)
