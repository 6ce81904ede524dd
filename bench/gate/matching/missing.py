"""Configurations that are the same but for keys that one side does not have, taken for one.

A revision that adds a key to the configuration changes the hash of every run; its runs are those
of the other revision all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.core.flat import flat
from bench.gate.model import GateRun
from bench.gate.sides.side import Configuration, configuration_of

Groups = Mapping[Configuration, list[GateRun]]


@dataclass(frozen=True, slots=True)
class Lacking:
    """Two configurations that agree in all keys that both have.

    Attributes:
        base: Of the base.
        candidate: Of the candidate.
        base_keys: Dotted keys that the base lacks.
        candidate_keys: Dotted keys that the candidate lacks.
    """

    base: Configuration
    candidate: Configuration
    base_keys: list[str]
    candidate_keys: list[str]

    def words(self) -> str:
        """Which side lacks what."""
        sides = ("base", self.base_keys), ("candidate", self.candidate_keys)
        return "; ".join(f"{name} lacks {', '.join(keys)}" for name, keys in sides if keys)


def lacking(base: Groups, candidate: Groups) -> list[Lacking]:
    """Configurations without a partner of the same hash that have one by the keys of both.

    Only where there is a single one on either side: no partner is guessed.
    """
    alone = [
        {key: flat(runs[0].config, "") for key, runs in group.items() if key not in other}
        for group, other in ((base, candidate), (candidate, base))
    ]
    pairs = [
        (one, other)
        for one, config in alone[0].items()
        for other, other_config in alone[1].items()
        if one[0] == other[0] and _agree(config, other_config)
    ]
    return [
        Lacking(
            one,
            other,
            sorted(alone[1][other].keys() - alone[0][one].keys()),
            sorted(alone[0][one].keys() - alone[1][other].keys()),
        )
        for one, other in pairs
        if sum(one == each for each, _ in pairs) == sum(other == each for _, each in pairs) == 1
    ]


def taken_for_one(runs: list[GateRun], found: list[Lacking]) -> list[GateRun]:
    """Runs of the candidate, with the hash of the base where their configuration has a partner."""
    hashes = {each.candidate: each.base[1] for each in found}
    return [
        replace(run, config_hash=hashes.get(configuration_of(run), run.config_hash)) for run in runs
    ]


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two flat configurations have the same value wherever both have one."""
    # A part that is null on one side and chosen on the other is no key that one side lacks.
    if one.keys() & _parents(other) or other.keys() & _parents(one):
        return False
    return all(one[key] == other[key] for key in one.keys() & other.keys())


def _parents(config: Mapping[str, Any]) -> set[str]:
    return {key[:place] for key in config for place, sign in enumerate(key) if sign == "."}
