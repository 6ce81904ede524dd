"""The configuration of bench.verify: every key, its type and range."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from bench.core.checks import EXPAND_PATH, KeyGroup, SomeTexts, not_blank, require_writable


@dataclass(kw_only=True)
class VerifyConfig(KeyGroup):
    """The keys of bench.verify.

    Attributes:
        results: Folders with runs.
        json: The file for everything that was found, or None.
    """

    results: SomeTexts = field(default_factory=lambda: ["results"])
    json: Annotated[str, not_blank("must name a file, or be null"), EXPAND_PATH] | None = None

    def __post_init__(self) -> None:
        """Check that the file can be written.

        Raises:
            ValueError: It cannot be written; the message names the key.
        """
        if self.json is not None:
            require_writable("json", Path(self.json))
