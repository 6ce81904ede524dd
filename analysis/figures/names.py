"""Names of configurations short enough for a legend: without what all of them share."""

from __future__ import annotations

from collections.abc import Iterable

# Keys whose value says enough by itself.
_PLAIN = {"model", "data", "scenario", "backend", "compression", "placement", "optimizer"}


def short_names(names: Iterable[str]) -> tuple[dict[str, str], str]:
    """Names without the parts that all have in common, and those parts.

    Args:
        names: As analysis.load.labels makes them: `key=value` with spaces between. Give those of
            all configurations that are drawn, also of those that the legend does not name: the
            sentence must be true of each.

    Returns:
        The short name of each; what was left out, as a sentence for the note (empty if nothing).
        Names that would become equal stay as they are.
    """
    distinct = list(dict.fromkeys(names))
    parts = {name: _parts(name) for name in distinct}
    if len(distinct) < 2:
        return {name: _plain(parts[name]) for name in distinct}, ""
    shared = set.intersection(*(set(own) for own in parts.values()))
    short = {
        name: _plain([part for part in own if part not in shared]) for name, own in parts.items()
    }
    if len(set(short.values())) < len(distinct) or not all(short.values()):
        return {name: _plain(own) for name, own in parts.items()}, ""
    common = _plain([part for part in parts[distinct[0]] if part in shared])
    return short, f"All: {common}." if common else ""


def _parts(name: str) -> list[tuple[int, str]]:
    """The parts of a name, each with its side: what was served stands before `|`, how after it."""
    sides = [side.strip() for side in name.split("|")]
    return [(place, part) for place, side in enumerate(sides) if side for part in side.split(" ")]


def _plain(parts: list[tuple[int, str]]) -> str:
    texts = []
    for _, part in parts:
        key, equals, value = part.partition("=")
        texts.append(value if equals and key in _PLAIN and value else part)
    return " ".join(texts)
