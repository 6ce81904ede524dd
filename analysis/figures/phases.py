"""How time, energy and latency divide into phases, components and stages, as stacked bars."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.figures.prepare import NothingToDraw, ranked, serving_runs, trained_for, training_runs
from analysis.figures.served import of_best_trainings, with_main
from analysis.figures.stacked import stacked
from analysis.load.values import column, numbers
from bench.core.records.serving import WHOLE_STAGE

# Not launch_s: it depends on the order of a command's runs, not on their configurations.
PHASES = ("init_s", "train_s", "eval_s", "checkpoint_s")
ENERGY_PHASES = ("init", "train", "eval", "checkpoint")


def data_phases(runs: DataFrame) -> DataFrame:
    """Prepare the mean wall time of each phase of a training, per configuration.

    It is the whole time of each run, whether or not it reached the target. A run with an unknown
    phase (it was killed before recording it) is left out and counted, because treating the phase as
    absent would bias the mean.

    Args:
        runs: As loaded.

    Returns:
        As stacked.stacked, in seconds.

    Raises:
        NothingToDraw: No run has phases.
    """
    trained = training_runs(runs)
    table = DataFrame({phase: numbers(trained, f"phases.{phase}") for phase in PHASES})
    # If no run of a command has a phase, the command does not have it.
    has = table.notna().groupby(_commands(trained)).transform("any")
    # Every phase that the command has is known, and it has some.
    known = (table.notna() | ~has).all(axis=1) & has.any(axis=1)
    if not known.any():
        raise NothingToDraw("no run has a known time for all of its phases")
    table.columns = table.columns.str.removesuffix("_s")
    long = table.assign(run_id=trained["run_id"])[known].melt(
        "run_id", var_name="part", value_name="value"
    )
    data = stacked(trained[known], long.dropna(subset=["value"]), ranked(trained[known]))
    return data.assign(
        label="",
        axis="mean wall time (s)",
        remark=" ".join(_time_remarks(has, known)),
    )


def _commands(runs: DataFrame) -> Series:
    return column(runs, "command").astype(object).fillna("")


def _time_remarks(has: DataFrame, known: Series) -> Iterator[str]:
    """What the bars do not show."""
    if has["init_s"].any():
        yield "Init lies before the clock."
    yield "Not shown: launch of the process, which a command's first run may pay for all others."
    if not known.all():
        yield f"{int((~known).sum())} runs with a phase of unknown time are left out."


def data_phase_energy(runs: DataFrame) -> DataFrame:
    """Prepare the mean energy of each phase of a training, per configuration and label.

    It is the whole energy of each run, whether or not it reached the target. If set-up was metered
    in only some runs of a configuration, the others are left out and counted.

    Args:
        runs: As loaded.

    Returns:
        As stacked.stacked, in joules; `part` is the phase with its label. `max_error_frac` is the
        largest bound of the error among the runs; `num_below_resolution` counts the runs whose
        phase was so short that its edges alone can shift its energy by more than 2%.

    Raises:
        NothingToDraw: No run has energy by phase.
    """
    trained = trained_for(runs, "energy_j")
    # Init is before the clock, and is not always metered.
    on_clock = [numbers(trained, f"phase_energy.{phase}_j").notna() for phase in ENERGY_PHASES[1:]]
    measured = trained[np.logical_and.reduce(on_clock)]
    if measured.empty:
        raise NothingToDraw("no run has energy by phase")
    has_init = numbers(measured, "phase_energy.init_j").notna()
    others_have = has_init.groupby(measured["configuration"]).transform("any")
    # Within a configuration, a mean over runs with and without init would mix two totals.
    shown = measured[has_init | ~others_have]
    long = pd.concat([_phase_rows(shown, phase) for phase in ENERGY_PHASES], ignore_index=True)
    data = stacked(shown, long[["run_id", "part", "value"]], ranked(shown))
    doubts = long.groupby(["configuration", "part"], as_index=False).agg(
        max_error_frac=("error_frac", "max"), num_below_resolution=("below_resolution", "sum")
    )
    data = data.merge(doubts, on=["configuration", "part"], how="left")
    remarks = _phase_remarks(trained, measured, shown, long)
    return data.assign(
        label=data["part"].str.extract(r"\((\w+)\)$")[0],
        axis="mean energy (J)",
        remark=" ".join(remarks),
    )


def _phase_rows(runs: DataFrame, phase: str) -> DataFrame:
    """Joules of one phase, of the runs that have them, and their doubts."""
    labels = column(runs, "energy_label").astype(object).fillna("no label").astype(str)
    too_short = column(runs, "phase_energy.below_resolution").astype(object).fillna("")
    rows = DataFrame(
        {
            "run_id": runs["run_id"],
            "configuration": runs["configuration"],
            "phase": phase,
            "part": phase + " (" + labels + ")",
            "value": numbers(runs, f"phase_energy.{phase}_j"),
            "error_frac": numbers(runs, f"phase_energy.{phase}_error_frac"),
            "below_resolution": too_short.map(lambda names: phase in str(names).split(",")),
        }
    )
    return rows.dropna(subset=["value"])


def _phase_remarks(
    trained: DataFrame, measured: DataFrame, shown: DataFrame, long: DataFrame
) -> Iterator[str]:
    """What the bars do not show: where init begins, which runs are missing, what was too short."""
    with_init = long.loc[long["phase"] == "init", "configuration"].nunique()
    without_init = shown["configuration"].nunique() - with_init
    if with_init:
        yield "Init lies before the clock; it is metered from when the meters are open."
    if without_init:
        yield f"Init was not metered in {without_init} configurations."
    if len(measured) > len(shown):
        yield f"{len(measured) - len(shown)} runs without metered init are left out."
    if len(trained) > len(measured):
        yield f"{len(trained) - len(measured)} runs have no energy by phase."
    num_short: Series = long.groupby("phase", sort=False)["below_resolution"].sum()
    short = ", ".join(f"{phase} in {num}" for phase, num in num_short.items() if num)
    if short:
        num_known = int(column(shown, "phase_energy.below_resolution").notna().sum())
        yield (
            f"Too short for the meters' refresh, so the edges alone can shift energy by more than "
            f"2%: {short} of {num_known} runs."
        )


def data_energy_components(runs: DataFrame, energy: DataFrame) -> DataFrame:
    """Prepare the mean energy of each component on the clock of a training, with its label.

    Runs of one configuration with different measured components are shown separately.

    Args:
        runs: As loaded.
        energy: Joules by component of these runs.

    Returns:
        As stacked.stacked, in joules; `part` is the component with its label.

    Raises:
        NothingToDraw: No run measured energy.
    """
    trained = trained_for(runs, "energy_j")
    rows = energy[energy["run_id"].isin(trained["run_id"])] if len(energy) else energy
    rows = rows.dropna(subset=["energy_j"])
    if rows.empty:
        raise NothingToDraw("no run has energy of a component")
    long = DataFrame(
        {
            "run_id": rows["run_id"],
            "part": rows["component"].astype(str) + " (" + rows["label"].astype(str) + ")",
            "value": rows["energy_j"].astype(float),
        }
    )
    measured = _by_components(trained[trained["run_id"].isin(rows["run_id"])], long)
    data = stacked(measured, long, ranked(measured))
    num_without = len(trained) - len(measured)
    return data.assign(
        label=data["part"].str.extract(r"\((\w+)\)$")[0],
        axis="mean energy over the clock (J)",
        remark=f"{num_without} runs measured no energy." if num_without else "",
    )


def _by_components(runs: DataFrame, long: DataFrame) -> DataFrame:
    """Name runs by their components if these differ, since such runs are not repeats."""
    parts = long.groupby("run_id")["part"].agg(lambda names: "+".join(sorted(names)))
    components = runs["run_id"].map(parts)
    several = components.groupby(runs["configuration"]).transform("nunique") > 1
    names = runs["configuration"].astype(str)
    return runs.assign(configuration=names.where(~several, names + " [" + components + "]"))


def data_stages(runs: DataFrame, stages: DataFrame) -> DataFrame:
    """Prepare the mean time of each stage of a request, per served configuration.

    If there are runs with one query at a time, only these count: under load, waiting dominates. Of
    the trainings of one model, one is there.

    Args:
        runs: As loaded.
        stages: Stages of the latency of these runs.

    Returns:
        As stacked.stacked, in milliseconds.

    Raises:
        NothingToDraw: No run has stages.
    """
    served = serving_runs(with_main(runs))
    served = served[served["run_id"].isin(stages["run_id"])] if len(stages) else served.iloc[:0]
    if served.empty:
        raise NothingToDraw("no run of bench.serve has stages")
    is_single = served["serving.scenario"] == "single_stream"
    remark = ""
    # Means with and without a queue describe different things.
    if is_single.any() and not is_single.all():
        remark = f"One query at a time; {int((~is_single).sum())} runs under load are not shown."
        served = served[is_single]
    long = stages.rename(columns={"stage": "part", "mean_ms": "value"})[["run_id", "part", "value"]]
    long = long[long["run_id"].isin(served["run_id"]) & (long["part"] != WHOLE_STAGE)]
    complete = _have_all_parts(served, long)
    if not complete.all():
        remark += f" {int((~complete).sum())} runs with an unknown stage are left out."
        served = served[complete]
    served, _, words = of_best_trainings(served)
    remark += f" {words}"
    long = long[long["run_id"].isin(served["run_id"])]
    sums = long.groupby("run_id")["value"].sum()
    # The fastest at the top: for latency there is no target to rank by.
    total = served["run_id"].map(sums).groupby(served["configuration"]).median()
    order = [str(name) for name in total.sort_values(kind="stable").index]
    data = stacked(served[["run_id", "configuration", "comparable"]], long, order)
    return data.assign(label="", axis="mean latency, end to end (ms)", remark=remark.strip())


def _have_all_parts(runs: DataFrame, long: DataFrame) -> Series:
    """Whether each run has all parts that any run of its configuration has."""
    num = runs["run_id"].map(long.groupby("run_id")["part"].nunique()).fillna(0)
    named = long.merge(runs[["run_id", "configuration"]], on="run_id")
    most = runs["configuration"].map(named.groupby("configuration")["part"].nunique())
    return num == most
