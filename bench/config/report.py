"""The configuration of the commands of analysis: every key, its type and range."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge, Le, MinLen

from bench.core.checks import EXPAND_PATH, MISSING, Folder, KeyGroup, SomeTexts, one_of

FORMATS = ("pdf", "svg", "png")
# Inches: what a figure that is not scaled may take in one column, or across two, of a template.
#
# Source: neurips_2024.sty (text 5.5 in); icml2024.sty (text 6.75 in, columns 0.25 in apart); IEEE,
# "Resolution and size" for authors (21 and 43 picas); acmart 2.x, format sigconf (text 506.295 pt,
# columns 24 pt apart).
WIDTH_IN: dict[str, float] = {
    "one": 3.5,
    "two": 7.2,
    "neurips": 5.5,
    "icml": 3.25,
    "icml_double": 6.75,
    "ieee": 3.5,
    "ieee_double": 7.16,
    "acm": 3.33,
    "acm_double": 7.0,
}
LOG_FORMATS = ("mllog",)


@dataclass(kw_only=True)
class FoldersConfig(KeyGroup):
    """Keys of every command of analysis: the folders to read, and the folder to write to."""

    results: SomeTexts = field(default_factory=lambda: ["results"])
    out: Folder = MISSING


@dataclass(kw_only=True)
class ExportConfig(FoldersConfig):
    """The keys of analysis.export."""

    format: Annotated[str, one_of(LOG_FORMATS)] = "mllog"


@dataclass(kw_only=True)
class FilesConfig(FoldersConfig):
    """Keys of analysis.report and analysis.plot: the files of each figure.

    Attributes:
        history: The folder of `bench.compare history=`, for figure=history.
    """

    out: Folder = "report"
    formats: Annotated[list[Annotated[str, one_of(FORMATS)]], MinLen(1)] = field(
        default_factory=lambda: list(FORMATS)
    )
    widths: Annotated[list[Annotated[str, one_of(WIDTH_IN)]], MinLen(1)] = field(
        default_factory=lambda: ["one", "two"]
    )
    history: Annotated[Folder, EXPAND_PATH] | None = None


@dataclass(kw_only=True)
class ReportConfig(FilesConfig):
    """The keys of analysis.report; `workers` is None for one per CPU."""

    figures: SomeTexts = field(default_factory=lambda: ["default"])
    workers: Annotated[int, Ge(1), Le(1000)] | None = None
    title: str = "Operational metrics"


@dataclass(kw_only=True)
class PlotConfig(FilesConfig):
    """The keys of analysis.plot; x, y and area are for figure=tradeoff, run for figure=timeline."""

    figure: str = MISSING
    x: str | None = None
    y: str | None = None
    area: str | None = None
    run: str | None = None

    required_keys: ClassVar = {"figure": "; --help lists the names"}

    def __post_init__(self) -> None:
        """Check that the keys suit the figure.

        Raises:
            ValueError: The figure does not take a key, or needs one that is missing.
        """
        if self.figure == "tradeoff" and (self.x is None or self.y is None):
            raise ValueError(
                "figure=tradeoff: needs x=COLUMN y=COLUMN, for example "
                "x=target.time_to_target_s y=quality_test.accuracy"
            )
        for key in ("x", "y", "area"):
            if getattr(self, key) is not None and self.figure != "tradeoff":
                raise ValueError(f"{key}={getattr(self, key)}: only with figure=tradeoff")
        # A key without effect would look as if the figure were about that run.
        if self.run is not None and self.figure != "timeline":
            raise ValueError(f"run={self.run}: only with figure=timeline")
