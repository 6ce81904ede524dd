"""The configuration of the commands of analysis: every key, its type and range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.core.checks import MISSING, build_config, require_one_of

FORMATS = ("pdf", "svg", "png")
WIDTHS = ("one", "two")
LOG_FORMATS = ("mllog",)


def texts(key: str, value: object) -> list[str]:
    """One text or a list of them, as a list.

    Raises:
        ValueError: It is neither, or there is none; the message names the key.
    """
    found = [value] if isinstance(value, (str, int, float)) else value
    if not isinstance(found, Sequence) or not found or None in found:
        raise ValueError(f"{key}={value}: must be a text or a list of texts, at least one")
    return [str(each) for each in found]


@dataclass(kw_only=True)
class FoldersConfig:
    """What all of these commands share: what is read, and where files are written."""

    results: Any = "results"
    out: str = MISSING

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range; the message names the key and what is allowed.
        """
        texts("results", self.results)
        if not self.out:
            raise ValueError("out: must name a folder")

    @property
    def roots(self) -> list[str]:
        """Folders and globs that runs are read from."""
        return texts("results", self.results)


@dataclass(kw_only=True)
class ExportConfig(FoldersConfig):
    """All of analysis.export."""

    format: str = "mllog"

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range.
        """
        super().__post_init__()
        require_one_of("format", self.format, LOG_FORMATS)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ExportConfig:
        """The checked configuration from its resolved form.

        Raises:
            ValueError: A value is out of range or a key is unknown.
        """
        return build_config(cls, config)


@dataclass(kw_only=True)
class FilesConfig(FoldersConfig):
    """What report and plot share: what figures are written as."""

    out: str = "report"
    formats: list[str] = field(default_factory=lambda: list(FORMATS))
    widths: list[str] = field(default_factory=lambda: list(WIDTHS))

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range; the message names the key and what is allowed.
        """
        super().__post_init__()
        for key, values, allowed in (
            ("formats", self.formats, FORMATS),
            ("widths", self.widths, WIDTHS),
        ):
            if not values:
                raise ValueError(f"{key}: at least one of {', '.join(allowed)}")
            for value in values:
                require_one_of(key, value, allowed)


@dataclass(kw_only=True)
class ReportConfig(FilesConfig):
    """All of analysis.report."""

    figures: Any = "all"
    title: str = "Operational metrics"

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: A value is out of range.
        """
        super().__post_init__()
        texts("figures", self.figures)

    @property
    def names(self) -> list[str] | None:
        """Figures asked for; None for all of them."""
        names = texts("figures", self.figures)
        return None if names == ["all"] else names

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ReportConfig:
        """The checked configuration from its resolved form.

        Raises:
            ValueError: A value is out of range or a key is unknown.
        """
        return build_config(cls, config)


@dataclass(kw_only=True)
class PlotConfig(FilesConfig):
    """All of analysis.plot; x, y and area are for figure=tradeoff, run for figure=timeline."""

    figure: str = MISSING
    x: str | None = None
    y: str | None = None
    area: str | None = None
    run: str | None = None

    def __post_init__(self) -> None:
        """Check values, and which keys go together.

        Raises:
            ValueError: A value is out of range, or a key is given that the figure does not take.
        """
        super().__post_init__()
        if self.figure == "tradeoff" and (self.x is None or self.y is None):
            raise ValueError(
                "figure=tradeoff: needs x=COLUMN y=COLUMN, for example "
                "x=target.time_to_target_s y=quality_test.accuracy"
            )
        for key in ("x", "y", "area"):
            if getattr(self, key) is not None and self.figure != "tradeoff":
                raise ValueError(f"{key}={getattr(self, key)}: only with figure=tradeoff")
        if self.run is not None and self.figure != "timeline":
            raise ValueError(f"run={self.run}: only with figure=timeline")

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> PlotConfig:
        """The checked configuration from its resolved form.

        Raises:
            ValueError: A value is out of range or a key is unknown.
        """
        if config.get("figure") == MISSING:
            raise ValueError("figure: must be given; --help lists the names")
        return build_config(cls, config)
