"""Suggests the right spelling of a misspelt key, option, column, figure or value."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_MAX_SUGGESTIONS = 3
_MIN_SIMILARITY = 0.6  # difflib's ratio, from 0 to 1
_MAX_GAP = 0.12  # names that are further behind the closest one are not worth reading
_OTHER_GROUP = 0.85  # factor for names whose last part is similar, but in another group
_WRONG_GROUP = 0.8  # a further factor if the user named a group, which was probably meant
_MIN_PART = 3  # letters; a shorter text occurs in too many names


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Suggest known names that a wrong name may stand for.

    Args:
        given: The wrong name, dotted or not.
        known: The right names; repeated ones count once.

    Returns:
        The end of an error message, such as `; did you mean lr_scaling?`, with the closest name
        first and three at most. Empty if no name is close.
    """
    similarity = {name: _similarity(given.lower(), name.lower()) for name in known}
    best = max(similarity.values(), default=0.0)
    least = max(_MIN_SIMILARITY, best - _MAX_GAP)
    close = [name for name in similarity if similarity[name] >= least]
    close = sorted(close, key=lambda name: -similarity[name])[:_MAX_SUGGESTIONS]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _similarity(given: str, name: str) -> float:
    """Rate how similar a name is, from 0 to 1.

    Above 1 if the user only left out the group: `lr` surely means `config.lr`.
    """
    given_group, _, given_leaf = given.rpartition(".")
    group, _, leaf = name.rpartition(".")
    if given_leaf == leaf and not given_group:
        return 1 + _ratio(given, name)
    # Within one group, compare the last parts alone: the name of the group, which all its keys
    # share, would make every one of them look similar.
    similarity = _ratio(given_leaf, leaf)
    if given_group != group:
        similarity = max(similarity * _OTHER_GROUP, _ratio(given, name))
    if len(given_leaf) >= _MIN_PART and given_leaf in name:
        # Prefer a name that begins with the given text: `latency` means latency_p50_ms rather than
        # serving.mean_latency_ms.
        begins = leaf.startswith(given_leaf)
        base, whole = (0.7, leaf) if begins else (_MIN_SIMILARITY, name)
        similarity = max(similarity, base + 0.3 * len(given_leaf) / len(whole))
    return similarity * _WRONG_GROUP if given_group and given_group != group else similarity


def _ratio(first: str, second: str) -> float:
    return SequenceMatcher(None, first, second, autojunk=False).ratio()
