"""Suggestions: the closest first, each once, and none where nothing is close."""

from __future__ import annotations

import pytest

from bench.core.suggest import did_you_mean

KEYS = ["batch_size", "lr", "lr_scaling", "results", "resume", "target.value", "target.rule"]


@pytest.mark.parametrize(
    ("given", "known", "end"),
    [
        ("result", ["results", "results", "resume"], "; did you mean results?"),
        ("batchsize", KEYS, "; did you mean batch_size?"),
        ("target.valeu", KEYS, "; did you mean target.value?"),
        ("lr", ["config.lr", "config.lr_scaling", "x"], "; did you mean config.lr?"),
        ("value", KEYS, "; did you mean target.value?"),  # the group was left out
        ("optimizer.lr", KEYS, "; did you mean lr?"),
        ("CNN", ["mlp", "cnn"], "; did you mean cnn?"),
        ("time", ["target.time_to_target_s", "x"], "; did you mean target.time_to_target_s?"),
        ("accuracy", ["a.accuracy", "b.accuracy"], "; did you mean a.accuracy or b.accuracy?"),
        ("lineer", ["none", "linear", "sqrt"], "; did you mean linear?"),
        ("zzz", KEYS, ""),
        ("x", ["x_axis", "max_epochs"], ""),  # one letter is in almost everything
        ("", KEYS, ""),
        ("lr", [], ""),
    ],
)
def test_the_closest_names_are_suggested(given: str, known: list[str], end: str) -> None:
    assert did_you_mean(given, known) == end


def test_at_most_three_names_are_suggested_from_any_iterable() -> None:
    names = (f"{part}.seed" for part in "abcdefg")
    assert did_you_mean("seed", names) == "; did you mean a.seed or b.seed or c.seed?"
