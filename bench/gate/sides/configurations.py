"""Configurations of both sides: a short name for each, and pairs that differ in new keys only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.core.differing import PREFIX, differing_keys, key_of, texts_of
from bench.core.flat import flat
from bench.gate.model import GateRun
from bench.gate.sides.facts import part_name
from bench.gate.sides.side import Configuration, Side, configuration_of

if TYPE_CHECKING:  # slow to import, and not needed to refuse a wrong key
    from pandas import DataFrame

Groups = Mapping[Configuration, list[GateRun]]

# Of the only configuration of a command, the name has these parts.
_PARTS = ("run", "policy", "detector", "model", "data", "scenario", "backend", "compression")
_MOST_KEYS = 5
_CLASS = "_target_"
_OWN = "custom"  # the option of a user's own class, which goes by the name of the class


def configuration_names(runs: Sequence[GateRun]) -> dict[Configuration, str]:
    """Name each configuration of some runs: the command, and what tells it from the others.

    Args:
        runs: Any number of each configuration, which have the same `config`.
    """
    names: dict[Configuration, str] = {}
    # Reversed, so that the first run of each configuration is the one that stays.
    firsts = {configuration_of(run): run for run in reversed(runs)}
    for command in sorted({command for command, _ in firsts}):
        group = [run for key, run in firsts.items() if key[0] == command]
        texts = [_describe(group[0])] if len(group) == 1 else _distinguish(group)
        for run, text in zip(group, texts, strict=True):
            names[configuration_of(run)] = f"{command} {text}".strip()
    return names


def _describe(run: GateRun) -> str:
    config = _as_written(run.config, run.choices)
    parts = [part_name(config[key]) for key in _PARTS if config.get(key) is not None]
    sizes = [f"batch_size={config['batch_size']}"] if "batch_size" in config else []
    return " ".join([*filter(None, parts), *sizes])


def _distinguish(runs: Sequence[GateRun]) -> list[str]:
    """The keys in which each differs from the others, and its hash if they are not enough."""
    frame = _frame(runs)
    # As analysis names configurations, so that a reader finds the same names in both.
    texts = list(texts_of(frame, differing_keys(frame)))
    return [
        text if texts.count(text) == 1 else f"{text} #{run.config_hash[:6]}".strip()
        for text, run in zip(texts, runs, strict=True)
    ]


def _as_written(config: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with each part's class named as the user chose it: `cnn`, not Cnn."""
    return {
        key: {**value, _CLASS: choices[key]}
        if isinstance(value, Mapping) and _CLASS in value and choices.get(key, _OWN) != _OWN
        else value
        for key, value in config.items()
    }


def _frame(runs: Sequence[GateRun]) -> DataFrame:
    from pandas import DataFrame

    # Older records hold no choices: then all runs go by their classes.
    known = all(run.choices for run in runs)
    configs = [_as_written(run.config, run.choices if known else {}) for run in runs]
    rows = [
        {"config_hash": run.config_hash, **flat(config, PREFIX)}
        for run, config in zip(runs, configs, strict=True)
    ]
    # Objects, because a column of integers with a missing value would become floats: 32.0.
    return DataFrame(rows).astype(object)


def nearest_differences(base: Sequence[GateRun], candidate: Sequence[GateRun]) -> list[str]:
    """Up to five keys in which the two most similar configurations of both sides differ.

    Args:
        base: A run of each configuration of the base.
        candidate: Likewise of the candidate.

    Returns:
        Texts such as `batch_size 32 / 256`; none where no command is on both sides, or no key
        differs.
    """
    pairs = [(one, other) for one in base for other in candidate if one.command == other.command]
    if not pairs:
        return []
    frame = _frame(min(pairs, key=_distance))
    texts = []
    for key in differing_keys(frame):
        values = [text.partition("=")[2] or "-" for text in texts_of(frame, [key])]
        texts.append(f"{key_of(key)} {' / '.join(values)}")
    return texts[:_MOST_KEYS]


def _distance(pair: Sequence[GateRun]) -> int:
    one, other = (flat(run.config, PREFIX) for run in pair)
    # The number of different keys.
    return sum(one.get(key) != other.get(key) for key in one.keys() | other.keys())


@dataclass(frozen=True, slots=True)
class Partners:
    """A configuration of each side; both have the same value in every key that both have.

    A revision that adds a key to the configuration changes the hash of every run; its runs are
    comparable with those of the other revision anyway.

    Attributes:
        base: That of the base.
        candidate: That of the candidate.
        missing: Which keys each side does not have, as text.
    """

    base: Configuration
    candidate: Configuration
    missing: str


def find_partners(base: Groups, candidate: Groups) -> list[Partners]:
    """Pair configurations whose hash only one side has, by the keys that both have.

    Ambiguous ones, with several possible partners on a side, are left out.
    """
    unmatched = [
        {key: flat(runs[0].config, "") for key, runs in group.items() if key not in other}
        for group, other in ((base, candidate), (candidate, base))
    ]
    pairs = [
        (one, other)
        for one, config in unmatched[0].items()
        for other, other_config in unmatched[1].items()
        # One command, and no key with two values.
        if one[0] == other[0] and _agree(config, other_config)
    ]
    # A guess between several would compare runs of different configurations.
    return [
        Partners(one, other, _missing_keys(unmatched[0][one], unmatched[1][other]))
        for one, other in pairs
        if sum(one == each for each, _ in pairs) == sum(other == each for _, each in pairs) == 1
    ]


def with_base_hashes(candidate: Side, partners: Sequence[Partners]) -> Side:
    """Give runs of the candidate the hash of the base's configuration where there is a partner."""
    hashes = {each.candidate: each.base[1] for each in partners}

    def with_hash(run: GateRun) -> GateRun:
        return replace(run, config_hash=hashes.get(configuration_of(run), run.config_hash))

    return replace(
        candidate,
        runs=[with_hash(run) for run in candidate.runs],
        refused=[(with_hash(run), reason) for run, reason in candidate.refused],
    )


def _missing_keys(base: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    sides = ("base", candidate.keys() - base.keys()), ("candidate", base.keys() - candidate.keys())
    return "; ".join(f"{name} lacks {', '.join(sorted(keys))}" for name, keys in sides if keys)


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two flat configurations have the same value wherever both have one."""
    # A part that is null on one side and chosen on the other is no key that one side does not have.
    if one.keys() & _parents(other) or other.keys() & _parents(one):
        return False
    return all(one[key] == other[key] for key in one.keys() & other.keys())


def _parents(config: Mapping[str, Any]) -> set[str]:
    return {key[:place] for key in config for place, sign in enumerate(key) if sign == "."}
