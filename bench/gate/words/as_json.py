"""A comparison as JSON: all that the gate knows of it, for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.gate.model import Comparison
from bench.gate.words.sentences import verdict_line

# Raised when a field is renamed or means something else; not when one is added.
FORMAT_VERSION = 2


def as_json(comparison: Comparison) -> str:
    """All of a comparison, its exit code and its verdict in words.

    What is infinite or not a number is null: JSON has no words for it.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "exit_code": comparison.exit_code,
        "verdict": verdict_line(comparison),
        **asdict(comparison),
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_whole(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _whole(value) if isinstance(value, str) else value


def _whole(text: str) -> str:
    """Halves of characters, which no strict reader takes, as their codes."""
    return text.encode(errors="backslashreplace").decode()
