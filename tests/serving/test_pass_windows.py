"""Windows around the passes of a serving run, on a fake clock: which one goes into the record."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.core.labels import EnergyLabel
from bench.core.records.energy import EnergyRow
from bench.measure.energy import WindowEnergy
from bench.measure.window import Window
from bench.serving.pass_windows import PassWindow, PassWindows, energy_fields
from tests.fakes import FakeClock, FunctionMeter


class Passes:
    """Passes of so many seconds at so many watts; one second before the first query is prepared."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.joules = 0.0
        self.built: list[Window] = []
        self.windows = PassWindows(self._build, folder)

    def _build(self) -> Window:
        meter = FunctionMeter(lambda: self.joules)
        self.built.append(Window({"cpu": meter}, clock=self.clock, period_s=None))
        return self.built[-1]

    def make(self, seconds: float, watts: float = 10.0) -> None:
        with self.windows.around() as meter:
            self.clock.advance(1.0)
            meter.first_query()
            self.clock.advance(seconds)
            self.joules += seconds * watts
            meter.last_query()
            self.joules += 99.0  # after the last answer


def test_a_record_is_of_the_window_that_was_kept_and_not_of_the_last(tmp_path: Path) -> None:
    passes = Passes(tmp_path)
    first = passes.windows.open()
    passes.make(2.0)
    passes.windows.keep()
    passes.make(4.0)
    passes.windows.keep()
    passes.make(8.0)  # failed: not kept
    passes.windows.close()
    assert len(passes.built) == 3
    assert passes.built[0] is first  # the one that was opened ahead
    kept = passes.windows.kept
    assert kept is not None
    assert kept.window is passes.windows.window is passes.built[1]
    assert kept.window.time_s == 5.0
    # The meters are read at the first query and after the last answer.
    assert kept.energy.total_j == 40.0
    assert list(pd.read_parquet(tmp_path / "telemetry.parquet")) == [
        "t_s",
        "device",
        "metric",
        "value",
    ]


def test_a_system_that_answers_later_is_metered_to_the_end_of_the_pass(tmp_path: Path) -> None:
    passes = Passes(tmp_path)
    passes.windows.answers_at_once = False
    passes.make(2.0)
    passes.windows.keep()
    passes.windows.close()
    assert passes.windows.kept is not None
    assert passes.windows.kept.energy.total_j == 20.0 + 99.0


def test_a_pass_without_a_query_has_no_joules(tmp_path: Path) -> None:
    passes = Passes(tmp_path)
    with passes.windows.around() as meter:
        meter.last_query()
    passes.windows.keep()
    passes.windows.close()
    assert passes.windows.kept is not None
    assert passes.windows.kept.energy == WindowEnergy()


def test_a_pass_that_breaks_leaves_the_window_in_which_it_did(tmp_path: Path) -> None:
    passes = Passes(tmp_path)
    passes.windows.open()

    def breaks() -> None:
        with passes.windows.around():
            passes.clock.advance(3.0)
            raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="broke"):
        breaks()
    passes.windows.close()
    assert passes.windows.kept is None
    assert passes.windows.window is passes.built[0]
    assert passes.built[0].time_s == 3.0
    assert (tmp_path / "telemetry.parquet").is_file()


def test_without_a_pass_there_is_no_window(tmp_path: Path) -> None:
    windows = Passes(tmp_path).windows
    windows.close()
    assert windows.window is None


# Joules of one prediction.


def row(
    component: str, energy_j: float, label: EnergyLabel, *, below_resolution: bool = False
) -> EnergyRow:
    return EnergyRow(
        component=component,
        energy_j=energy_j,
        source="script",
        label=label,
        below_resolution=below_resolution,
    )


def measured(rows: list[EnergyRow], whole: WindowEnergy | None = None) -> PassWindow:
    """A pass whose meters gave these rows, and which its window confirms unless told otherwise."""
    total_j = sum(one.energy_j for one in rows if one.label != "constant")
    energy = WindowEnergy(rows=rows, total_j=total_j, label="modelled", error_frac=0.5)
    window = Window({}, period_s=None)
    window.energy = energy if whole is None else whole
    return PassWindow(window=window, energy=energy)


ROWS = [row("gpu0", 30.0, "counter"), row("cpu", 10.0, "modelled"), row("dram", 5.0, "constant")]


def test_joules_of_a_prediction_are_recorded_by_component_without_constants() -> None:
    fields = energy_fields(measured(ROWS), 10)
    assert fields["energy_per_prediction_j"] == 4.0  # (30 + 10) / 10
    assert fields["throughput_per_w"] == 0.25  # 10 predictions of 40 J: 0.25 a second for 1 W
    assert fields["energy_per_prediction_label"] == "modelled"
    parts = fields["energy_per_prediction_components"]
    assert [(part.component, part.energy_j, part.label) for part in parts] == [
        ("gpu0", 3.0, "counter"),
        ("cpu", 1.0, "modelled"),
    ]


def test_a_component_below_its_resolution_takes_the_sum_with_it() -> None:
    rows = [row("gpu0", 30.0, "counter", below_resolution=True), row("cpu", 10.0, "modelled")]
    fields = energy_fields(measured(rows), 10)
    assert [part.component for part in fields["energy_per_prediction_components"]] == ["cpu"]
    assert "energy_per_prediction_j" not in fields


def test_what_the_whole_window_does_not_vouch_for_is_not_told() -> None:
    """A counter that was found wrong at the end of the window has no row there, and no total."""
    fields = energy_fields(measured(ROWS, WindowEnergy(rows=ROWS[1:])), 10)
    assert [part.component for part in fields["energy_per_prediction_components"]] == ["cpu"]
    assert "energy_per_prediction_j" not in fields


def test_no_prediction_has_no_joules() -> None:
    assert energy_fields(measured(ROWS), 0) == {}
