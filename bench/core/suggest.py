"""Which known name a misspelt one may have meant: keys, options, columns, figures, values."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_MOST_NAMED = 3
_LEAST_LIKENESS = 0.6  # of 0 to 1, as difflib has it
_ALIKE = 0.12  # names this much less like it than the closest one are not worth reading
_ELSEWHERE = 0.85  # what likeness of the last part alone counts, where what is before it differs
_OTHER_GROUP = 0.8  # what likeness counts where another group was given
_SHORTEST_PART = 3  # letters from which on a name that only contains what was given is named


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of an error message that names what may have been meant.

    Args:
        given: The wrong name, dotted or not.
        known: Right ones; repeated ones count once.

    Returns:
        Such as `; did you mean lr_scaling?`, the closest name first and three at most; empty where
        no name is close.
    """
    likeness = {name: _likeness(given.lower(), name.lower()) for name in known}
    best = max(likeness.values(), default=0.0)
    least = max(_LEAST_LIKENESS, best - _ALIKE)
    close = [name for name in likeness if likeness[name] >= least]
    close = sorted(close, key=lambda name: -likeness[name])[:_MOST_NAMED]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _likeness(given: str, name: str) -> float:
    """From 0 to 1; above 1 where only the group was left out: `lr` is meant by `config.lr`."""
    group, _, leaf = given.rpartition(".")
    own_group, _, own_leaf = name.rpartition(".")
    if leaf == own_leaf and not group:
        return 1 + _ratio(given, name)
    likeness = _ratio(leaf, own_leaf)
    if group != own_group:  # what all keys of a group have in common makes none of them likelier
        likeness = max(likeness * _ELSEWHERE, _ratio(given, name))
    if len(leaf) >= _SHORTEST_PART and leaf in name:
        # Rather latency_p50_ms is meant by latency than serving.mean_latency_ms.
        begins = own_leaf.startswith(leaf)
        base, whole = (0.7, own_leaf) if begins else (_LEAST_LIKENESS, name)
        likeness = max(likeness, base + 0.3 * len(leaf) / len(whole))
    # A group that was given was meant, too.
    return likeness * _OTHER_GROUP if group and group != own_group else likeness


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
