"""Builds the stream of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.cli.messages import root_cause
from bench.config.maintain import DriftConfig, MaintainConfig, StreamConfig
from bench.drift.samples import UNKNOWN, Index, Pool, Samples
from bench.drift.streams.refusals import (
    refuse_ignored,
    refuse_impossible,
    require_classes,
    require_length,
    require_pool,
)
from bench.drift.streams.scalar import input_scalar, region_of
from bench.drift.streams.schedules import Strengths, resolve_schedule
from bench.drift.streams.shifts import ConceptDrift, CovariateDrift, Drift, LabelDrift

# What random numbers are for; each purpose has a generator of its own.
_PARTITION, _MIXTURE, _CONCEPT, _WINDOW = range(4)


@dataclass(frozen=True, kw_only=True, eq=False)
class DriftStream:
    """A stream with the drift of a configuration; see bench.drift.streams.base.Stream.

    Attributes:
        pool: Where the samples come from.
        initial: Samples to train the first model on.
        num_windows: Number of windows.
        window: Predictions of one window.
        changes: As the protocol says. A pool that is ordered has changes of its own, so nobody
            knows them all, and there are none here even with a concept drift on top.
    """

    pool: Pool
    initial: Samples
    num_windows: int
    window: int
    changes: Sequence[int]
    # Places in the pool that each window draws from, its strengths, and how it draws.
    _chunks: Sequence[Index]
    _strengths: Strengths
    _drift: Drift
    _seed: int

    def samples(self, window: int) -> Samples:
        """The samples of a window, in the order in which they are served.

        Raises:
            ValueError: The pool has too few samples for this shift.
        """
        strengths = self._window_strengths(window)
        generator = np.random.default_rng([self._seed, _WINDOW, window])
        chosen = self._drift.draw(self._chunks[window], strengths, generator)
        samples = self.pool.samples[chosen]
        return replace(samples, labels=self._drift.labels(samples.labels, chosen, strengths))

    def strength(self, window: int) -> float | None:
        """Mean strength of the drift in a window; for gradual, the share of the new concept."""
        return None if self.pool.is_ordered else float(self._window_strengths(window).mean())

    def _window_strengths(self, window: int) -> Strengths:
        return self._strengths[window * self.window : (window + 1) * self.window]


def build_stream(config: MaintainConfig, pool: Pool | None = None) -> DriftStream:
    """Build the stream of a configuration.

    Args:
        config: Of the deployment.
        pool: What its source has, if that has been read already.

    Raises:
        ValueError: The stream or its drift is impossible; one line with key, value and remedy.
    """
    return make_stream(config.stream, config.drift, config.seed, pool)


def make_stream(
    stream: StreamConfig, drift: DriftConfig, seed: int, pool: Pool | None = None
) -> DriftStream:
    """Build a stream from its own part of a configuration; raises as build_stream()."""
    refuse_ignored(drift)
    schedule = resolve_schedule(drift, stream.num_predictions)
    pool = read_pool(stream.source) if pool is None else pool
    refuse_impossible(drift, pool)
    require_length(stream, pool)
    places, chunks = _divide(stream, pool, seed)
    initial = _known_at_start(pool.samples[places])
    require_classes(stream, pool, initial.labels)
    predictions = np.arange(stream.num_predictions)
    strengths = schedule.strength(predictions)
    if schedule.is_mixture:
        mixture = np.random.default_rng([seed, _MIXTURE])
        strengths = (mixture.random(len(strengths)) < strengths).astype(np.float64)
    has_drift = drift.kind != "none"
    return DriftStream(
        pool=pool,
        initial=initial,
        num_windows=stream.num_windows,
        window=stream.window,
        changes=schedule.changes(len(strengths)) if has_drift and not pool.is_ordered else (),
        _chunks=chunks,
        _strengths=strengths if has_drift else np.zeros_like(strengths),
        _drift=_build_drift(drift, pool, places, seed),
        _seed=seed,
    )


def read_pool(source: Mapping[str, Any]) -> Pool:
    """Read the pool that stream.source names.

    Raises:
        ValueError: It cannot be read, or is none that a stream can be made of.
    """
    target = source.get("_target_")
    try:
        pool = instantiate(source)
    except InstantiationException as error:
        cause = root_cause(error)
        if isinstance(cause, ValueError | OSError):  # it names its key already
            raise ValueError(str(cause)) from error
        raise ValueError(f"stream.source._target_={target}: {cause}") from error
    require_pool(f"stream.source._target_={target}", pool)
    return pool  # type: ignore[no-any-return]  # require_pool has checked it


def _divide(stream: StreamConfig, pool: Pool, seed: int) -> tuple[Index, list[Index]]:
    """Places of the initial samples, and of the chunk of each window; all are disjoint."""
    num = len(pool.samples)
    if pool.is_ordered:
        end = stream.initial_samples + stream.num_predictions
        initial, rest = np.split(np.arange(end), [stream.initial_samples])
        return initial, np.split(rest, stream.num_windows)
    order = np.random.default_rng([seed, _PARTITION]).permutation(num)
    initial, rest = np.split(order, [stream.initial_samples])
    size = len(rest) // stream.num_windows
    return initial, np.split(rest[: size * stream.num_windows], stream.num_windows)


def _known_at_start(initial: Samples) -> Samples:
    """Take away the labels that are only known after the stream has begun."""
    if initial.known_after is None:
        return initial
    until_start = np.arange(len(initial))[::-1]  # predictions between each one and the stream
    late = initial.known_after > until_start
    return replace(initial, labels=np.where(late, UNKNOWN, initial.labels))


def _build_drift(drift: DriftConfig, pool: Pool, initial: Index, seed: int) -> Drift:
    labels = pool.samples.labels
    if drift.kind == "covariate":
        scalar = input_scalar(pool, initial, drift.feature)
        return CovariateDrift(scalar=scalar, strength=drift.strength)
    if drift.kind == "label":
        counts = np.bincount(labels[labels != UNKNOWN], minlength=pool.num_classes)
        return LabelDrift(
            classes=labels,
            shares=counts / counts.sum(),
            target_class=drift.target_class,
            strength=drift.strength,
        )
    if drift.kind == "concept":
        scalar = input_scalar(pool, initial, drift.feature)
        return ConceptDrift(
            in_region=region_of(scalar, initial, drift),
            coins=np.random.default_rng([seed, _CONCEPT]).random(len(labels)),
            target_class=drift.target_class,
            num_classes=pool.num_classes,
            strength=drift.strength,
        )
    return Drift()
