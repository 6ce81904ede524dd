"""The configuration of the commands of analysis: every key, its type and range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from annotated_types import MinLen

from bench.core.checks import MISSING, Folder, KeyGroup, Selection, SomeTexts, one_of

FORMATS = ("pdf", "svg", "png")
WIDTHS = ("one", "two")
LOG_FORMATS = ("mllog",)


@dataclass(kw_only=True)
class FoldersConfig(KeyGroup):
    """What all of these commands share: what is read, and where files are written."""

    results: SomeTexts = field(default_factory=lambda: ["results"])
    out: Folder = MISSING


@dataclass(kw_only=True)
class ExportConfig(FoldersConfig):
    """All of analysis.export."""

    format: Annotated[str, one_of(LOG_FORMATS)] = "mllog"


@dataclass(kw_only=True)
class FilesConfig(FoldersConfig):
    """What report and plot share: what figures are written as."""

    out: Folder = "report"
    formats: Annotated[list[Annotated[str, one_of(FORMATS)]], MinLen(1)] = field(
        default_factory=lambda: list(FORMATS)
    )
    widths: Annotated[list[Annotated[str, one_of(WIDTHS)]], MinLen(1)] = field(
        default_factory=lambda: list(WIDTHS)
    )


@dataclass(kw_only=True)
class ReportConfig(FilesConfig):
    """All of analysis.report; figures is None for all of them."""

    figures: Selection = None
    title: str = "Operational metrics"


@dataclass(kw_only=True)
class PlotConfig(FilesConfig):
    """All of analysis.plot; x, y and area are for figure=tradeoff, run for figure=timeline."""

    figure: str = MISSING
    x: str | None = None
    y: str | None = None
    area: str | None = None
    run: str | None = None

    def __post_init__(self) -> None:
        """Check which keys go together.

        Raises:
            ValueError: A key is given that the figure does not take, or one is missing.
        """
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
    def from_dict(cls, values: Mapping[str, Any], above: str = "") -> Self:
        """The checked configuration from its resolved values.

        Raises:
            ValueError: The figure is missing, a value is wrong or a key is unknown.
        """
        if values.get("figure") == MISSING:
            raise ValueError("figure: must be given; --help lists the names")
        return super().from_dict(values, above)
