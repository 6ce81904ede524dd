"""A short name in words for each configuration that is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame

from bench.core.differing import PREFIX, differing_keys, key_of, texts_of
from bench.core.flat import flat
from bench.gate.model import GateRun
from bench.gate.sides.facts import part_name
from bench.gate.sides.side import Configuration, configuration_of

# Of a command with one configuration these are told: parts by their names alone.
_PARTS = ("run", "model", "data", "scenario", "backend", "compression")
_MOST_KEYS = 5
_CLASS = "_target_"
# The option of a class of the user's own, which goes by the name of the class.
_OWN = "custom"


def labels(runs: Sequence[GateRun]) -> dict[Configuration, str]:
    """A name for each configuration of some runs: the command, and what tells it apart.

    Args:
        runs: Any number of each configuration, which have the same `config`.
    """
    found: dict[Configuration, str] = {}
    firsts = {configuration_of(run): run for run in reversed(runs)}
    for command in sorted({command for command, _ in firsts}):
        group = [run for key, run in firsts.items() if key[0] == command]
        texts = [_alone(group[0])] if len(group) == 1 else _told_apart(group)
        for run, text in zip(group, texts, strict=True):
            found[configuration_of(run)] = f"{command} {text}".strip()
    return found


def _alone(run: GateRun) -> str:
    config = _as_written(run.config, run.choices)
    parts = [part_name(config[key]) for key in _PARTS if config.get(key) is not None]
    sizes = [f"batch_size={config['batch_size']}"] if "batch_size" in config else []
    return " ".join([*filter(None, parts), *sizes])


def _told_apart(runs: Sequence[GateRun]) -> list[str]:
    """What differs between them, and the beginning of the hash where that is not enough."""
    frame = _frame(runs)
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
    # Older records do not tell what was chosen: then all go by their classes.
    known = all(run.choices for run in runs)
    configs = [_as_written(run.config, run.choices if known else {}) for run in runs]
    rows = [
        {"config_hash": run.config_hash, **flat(config, PREFIX)}
        for run, config in zip(runs, configs, strict=True)
    ]
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
    return _differences(*min(pairs, key=lambda pair: _distance(*pair)))[:_MOST_KEYS]


def _distance(first: GateRun, second: GateRun) -> int:
    one, other = flat(first.config, PREFIX), flat(second.config, PREFIX)
    return sum(one.get(key) != other.get(key) for key in one.keys() | other.keys())


def _differences(first: GateRun, second: GateRun) -> list[str]:
    frame = _frame([first, second])
    told = []
    for key in differing_keys(frame):
        values = [text.partition("=")[2] or "-" for text in texts_of(frame, [key])]
        told.append(f"{key_of(key)} {' / '.join(values)}")
    return told
