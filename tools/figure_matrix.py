"""Draws every figure of several shapes of made runs into contact sheets, to be looked at.

    python -m tools.figure_matrix out [CASE ...]

A case is a number of configurations, or how their runs ended. Writes out/<case>_<width>_<n>.png,
and prints the figures that a case has no data for. The runs are those that tests make.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from analysis.figures.entries import FIGURES
from analysis.figures.prepare import NothingToDraw
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.figures.save import save_figure
from analysis.load.history import load_history
from analysis.load.runs import load_runs
from tests.analysis.made import Made, make_served, make_sweep
from tests.analysis.made_history import STEP, series, written
from tests.analysis.made_maintained import Maintained, make_policies
from tests.analysis.made_records import SWEEP_START
from tests.analysis.made_served import Served

_UNFIT = ("other_load",)
_SWEEPS: dict[str, dict[str, Any]] = {
    "one": {"batch_sizes": [32]},
    "three": {"batch_sizes": [32, 128, 512]},
    "thirty": {
        "batch_sizes": [16, 32, 64, 128, 256],
        "lrs": [0.03, 0.1, 0.3],
        "models": ["Mlp", "Cnn"],
        "seeds": range(2),
    },
    "unfit": {"batch_sizes": [32, 128, 512], "base": Made(flags=_UNFIT)},
    "missed": {"batch_sizes": [32, 128, 512], "base": Made(outcome="missed")},
    "single": {"batch_sizes": [32], "seeds": [0]},
}
_POLICIES = ("never", "every", "performance", "drift", "reweight", "oracle")
_COLUMNS = {"one": 4, "two": 2}
_ROWS = 3
_DPI = 110  # a sheet of 1600 pixels is shown without being made smaller


def make_case(results: Path, case: str) -> None:
    """Write trainings, servings of their models, and deployments."""
    folders = make_sweep(results, **_SWEEPS[case])
    num = {"one": 1, "single": 1, "thirty": 4}.get(case, 3)
    flags = _UNFIT if case == "unfit" else ()
    for n, (scenario, compression, place) in enumerate(
        product(
            ("single_stream", "server", "offline"),
            ("none", "int8_static", "bf16", "int8_dynamic")[:num],
            ("local", "edge", "cloud")[: num - 1 or 1],
        )
    ):
        served = Served(scenario=scenario, compression=compression, place=place, backend="http")
        start = SWEEP_START + timedelta(days=1, seconds=20 * n)
        make_served(results, folders[0], replace(served, start=start, flags=flags))
    start = SWEEP_START + timedelta(days=1, hours=1)
    make_served(
        results, folders[0], Served(backend="http", skew="celsius", flags=flags, start=start)
    )
    target = 0.99 if case == "missed" else 0.85
    base = Maintained(flags=flags, target=target)
    seeds = [0] if case == "single" else range(2)
    names: Any = _POLICIES if case == "thirty" else _POLICIES[1 : num + 1]
    make_policies(results, policies=names, seeds=seeds, base=base)


def sheets(images: Sequence[Image.Image], columns: int) -> Iterator[Image.Image]:
    """Put images side by side and below one another, as many as fit a sheet."""
    for few in _parts(images, columns * _ROWS):
        rows = _parts(few, columns)
        heights = [max(image.height for image in row) for row in rows]
        sheet = Image.new("RGB", (columns * few[0].width, sum(heights)), "#dde")
        top = 0
        for row, height in zip(rows, heights, strict=True):
            for place, image in enumerate(row):
                sheet.paste(image, (place * few[0].width, top))
            top += height
        yield sheet


def _parts(images: Sequence[Image.Image], num: int) -> list[Sequence[Image.Image]]:
    return [images[n : n + num] for n in range(0, len(images), num)]


def draw_case(case: str, out: Path) -> None:
    """Draw all figures of a case."""
    with TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        make_case(results, case)
        history = load_history(written(Path(folder), series("time_to_target_s", STEP, [3])))
        frames = Frames(load_runs([results]).runs, history=history)
        images: dict[str, list[Image.Image]] = {"one": [], "two": []}
        for name in FIGURES:
            try:
                data = figure_data(name, frames)
            except NothingToDraw as reason:
                print(f"{case}: {name}: {reason}")
                continue
            for width, drawn in images.items():
                figure = draw_figure(name, data, width)
                (path,) = save_figure(figure, Path(folder) / f"{name}_{width}", ["png"])
                image = Image.open(path)
                size = tuple(round(length * _DPI / 300) for length in image.size)
                drawn.append(image.resize(size, Image.Resampling.LANCZOS))  # type: ignore[arg-type]
        for width, drawn in images.items():
            for n, sheet in enumerate(sheets(drawn, _COLUMNS[width]), 1):
                sheet.save(out / f"{case}_{width}_{n}.png")


def main() -> None:
    """Draw the cases that are named, or all."""
    out, *cases = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    for case in cases or _SWEEPS:
        draw_case(case, Path(out))


if __name__ == "__main__":
    main()
