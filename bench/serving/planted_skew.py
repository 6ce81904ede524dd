"""Plants a fault in the serving path, so that a check of that path can be seen to find it.

All faults of a standardised feature are affine: a unit change, for example, is x -> (x - 32) / 1.8
of the raw value x = mean + std * z, and so an affine change of z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.config.skew import CELSIUS, MISSING_VALUE, STALE_SCALER, SkewConfig
from bench.core.arrays import Inputs
from bench.core.suggest import did_you_mean
from bench.tasks.feature_scale import FeatureScale

# A scaler that was fitted to other data: its mean is half a standard deviation too large, and its
# standard deviation a quarter.
_STALE_MEAN_STD, _STALE_STD_FACTOR = 0.5, 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedSkew:
    """An affine change of standardised inputs, after a change of the order of their features.

    Attributes:
        axis: The axis of an input along which features are counted.
        order: For each feature, the one whose value arrives in its place, shape (num,).
        factor: In a shape that broadcasts with that of an input.
        offset: In the same shape, in standard deviations of the feature.
    """

    axis: int
    order: NDArray[np.int64]
    factor: NDArray[np.float32]
    offset: NDArray[np.float32]

    def apply(self, inputs: Inputs) -> Inputs:
        """What the broken path makes of standardised inputs, float32 of shape (n, ...)."""
        taken = np.take(inputs, self.order, axis=self.axis + 1)
        changed: Inputs = (taken * self.factor + self.offset).astype(np.float32)
        return changed

    def to_json(self) -> dict[str, Any]:
        """Its values as lists."""
        names = ("order", "factor", "offset")
        return {"axis": self.axis, **{name: getattr(self, name).tolist() for name in names}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what to_json() gave."""
        return cls(
            axis=values["axis"],
            order=np.array(values["order"], dtype=np.int64),
            factor=np.array(values["factor"], dtype=np.float32),
            offset=np.array(values["offset"], dtype=np.float32),
        )


def plant_skew(config: SkewConfig, scale: FeatureScale | None, inputs: Inputs) -> PlantedSkew:
    """Make the fault of a configuration.

    Args:
        config: The group `skew`.
        scale: How the data was standardised; None if the data does not say.
        inputs: Inputs of the data, shape (n, ...).

    Raises:
        ValueError: The data has no such feature, or none that this fault can be planted in.
    """
    if scale is None or inputs.dtype.kind != "f":
        raise ValueError(
            f"skew={config.kind}: needs data whose attribute feature_scale says how its features "
            "were standardised (bench.tasks.feature_scale); use a table or images, or skew=none"
        )
    refuse_impossible(config, "image" if scale.axis else "row")
    order = np.arange(scale.mean.shape[scale.axis])
    # What becomes of a raw value, and by what it is then standardised.
    gain, shift = np.ones_like(scale.mean), np.zeros_like(scale.mean)
    mean, std = scale.mean, scale.std
    number = _feature_number("feature", config.feature, 0, scale)
    place: Any = (*[slice(None)] * scale.axis, number)
    if config.kind == STALE_SCALER:
        mean, std = mean + _STALE_MEAN_STD * std, _STALE_STD_FACTOR * std
    elif config.kind == CELSIUS:
        gain[place], shift[place] = 1 / 1.8, -32 / 1.8
    elif config.kind == MISSING_VALUE:
        gain[place], shift[place] = 0, mean[place] if config.fill == "mean" else 0
    else:
        other = _feature_number("other_feature", config.other_feature, number + 1, scale)
        if other == number:
            raise ValueError(f"skew.other_feature={other}: is the same feature; give another")
        order[[number, other]] = other, number
    arriving_mean, arriving_std = (np.take(x, order, scale.axis) for x in (scale.mean, scale.std))
    return PlantedSkew(
        axis=scale.axis,
        order=order,
        factor=(gain * arriving_std / std).astype(np.float32),
        offset=((gain * arriving_mean + shift - mean) / std).astype(np.float32),
    )


def refuse_impossible(config: SkewConfig, sample: str) -> None:
    """Refuse a fault that data of this kind cannot have.

    Args:
        config: The group `skew`.
        sample: What one sample is, as in TaskFacts.

    Raises:
        ValueError: It cannot.
    """
    if sample == "token":
        raise ValueError(
            f"skew={config.kind}: the data are tokens, which have no features; use skew=none"
        )
    if sample == "image" and config.kind == CELSIUS:
        raise ValueError(
            "skew=celsius: the data are images, and pixels have no unit; use skew=stale_scaler, or "
            "skew=swapped for two rows of pixels"
        )


def _feature_number(key: str, feature: Any, default: int, scale: FeatureScale) -> int:
    """The number of a feature that is given by its name, by its number or not at all."""
    if feature is None:
        feature = default % max(1, scale.num_features)
    if str(feature) in scale.names:
        return list(scale.names).index(str(feature))
    if type(feature) is int and 0 <= feature < scale.num_features:
        return feature
    hint = did_you_mean(str(feature), scale.names)
    raise ValueError(
        f"skew.{key}={feature}: the data has {scale.num_features} features that are numbers; give "
        f"a number from 0 on{', or a name' if scale.names else ''}{hint}"
    )
