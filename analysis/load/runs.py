"""From run folders to frames: one row per run, and long frames such as one row per evaluation.

Nothing is dropped: a run that failed or was cut off is a row with that status, and a folder without
a readable record is listed with the reason.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pandas import DataFrame

from analysis.load.deployments import with_derived
from analysis.load.find import Ledgers, run_folders
from analysis.load.joules import (
    COST_BASIS,
    GRID,
    cost_bases,
    doubtful,
    grids,
    long_without_doubtful,
    without_doubtful,
)
from analysis.load.names import configurations
from analysis.load.records import FOLDER, Lists, Unreadable, read_records, reason_of
from analysis.load.values import MOST, bounded_floats, require_possible
from bench.core.counting import start_order
from bench.core.files import require_file
from bench.core.maintenance_files import read_events, read_windows
from bench.core.printable import printable
from bench.core.records.curve import CurveRow
from bench.core.records.energy import EnergyRow
from bench.core.records.maintenance import MaintenanceEvent, WindowRow
from bench.core.records.run import NOT_STARTED
from bench.core.records.serving import RateStep, Stage
from bench.core.records.target import LadderRung
from bench.core.store import read_curve, read_record

# Fixed, because a frame without rows must have them as well.
UNREAD_COLUMNS = ("folder", "reason")
NO_LISTS: Lists = {}
_FLOAT, _TEXT = pa.float64(), pa.string()


class UnreadFile(UserWarning):
    """A file of a run could not be read, so its rows are missing.

    Attributes:
        folder: Of the run.
        reason: Names the file.
    """

    def __init__(self, folder: str, reason: str) -> None:
        """Warn with folder and reason."""
        super().__init__(f"{folder}: {reason}")
        self.folder, self.reason = folder, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The runs that could be read, of any status, and the folders that could not.

    Attributes:
        runs: One row per run that began, in the order of their start: the record with dotted names,
            every leaf of `config.` and `host.`, `folder` (absolute), `configuration` (a label),
            `energy_components` and `serving.energy_components` (the parts that the joules cover),
            `cost_basis` (what the money pays for) and `grid` (the country behind the emissions, if
            there are several). Missing is NaN or None; flags are joined with commas. A run without
            run.json has the status `interrupted`, even while it is still running. Joules that a
            health flag speaks against are missing.
        unread: `folder`, `reason`: of a run, or of a ledger with lines that were skipped.
        num_not_started: Runs that were interrupted before their process began. They are in neither
            frame.
        lists: The lists in the records, so that load_ladder, for example, need not read them again.
    """

    runs: DataFrame
    unread: DataFrame
    num_not_started: int = 0
    lists: Lists = field(default_factory=dict)


def load_runs(
    roots: Sequence[Path | str], workers: int = 1, meanwhile: Callable[[], object] = lambda: None
) -> Loaded:
    """Load all runs in or at some folders.

    Args:
        roots: Results folders, folders of a command, run folders, or globs of any of these.
        workers: Number of processes that read, if there are many runs.
        meanwhile: Called while they read.

    Raises:
        ValueError: A root does not exist, or holds no run.
    """
    folders = run_folders(roots)
    records, lists, unreadable = read_records(folders, workers, meanwhile)
    ledgers = Ledgers(folders)
    runs, copies = _without_copies(_ordered(records))
    # By folder, so each has one reason.
    reasons = unreadable | copies | ledgers.vanished(folders) | ledgers.damaged
    unread = DataFrame(
        [(printable(place), reason) for place, reason in reasons.items()],
        columns=list(UNREAD_COLUMNS),
    ).astype(str)
    # A run that never began measured nothing; its command was stopped while it waited.
    began = runs["error.kind"].ne(NOT_STARTED)
    num_not_started = int((~began).sum())
    runs = runs[began].reset_index(drop=True)
    runs["configuration"] = configurations(runs)
    runs[COST_BASIS] = cost_bases(runs)
    runs[GRID] = grids(runs)
    runs = with_derived(without_doubtful(runs))
    return Loaded(runs=runs, unread=unread, num_not_started=num_not_started, lists=lists)


def _ordered(runs: DataFrame) -> DataFrame:
    """Sort the runs by their start.

    If a run lies in two places, the folder with the run's own name comes first.
    """
    columns = (runs[name] for name in ("run_id", "started_utc", FOLDER))
    keys = [
        (*start_order(run_id, started), os.path.basename(folder) != run_id, folder)
        for run_id, started, folder in zip(*columns, strict=True)
    ]
    return runs.iloc[sorted(range(len(runs)), key=keys.__getitem__)].reset_index(drop=True)


def _without_copies(runs: DataFrame) -> tuple[DataFrame, Unreadable]:
    """Drop the second copy of a run that lies in two places, which would count it twice."""
    again = runs.duplicated("run_id")
    if not again.any():
        return runs, {}
    first = runs[~again].set_index("run_id")[FOLDER]
    copies = {
        folder: f"a copy of {first[run_id]}: the same run_id is counted once"
        for folder, run_id in zip(runs[FOLDER][again], runs["run_id"][again], strict=True)
    }
    return runs[~again].reset_index(drop=True), copies


def load_curves(runs: DataFrame) -> DataFrame:
    """Load evaluations: `run_id` and the columns of CurveRow, one row per evaluation.

    Each quality that a run reports has a column, such as `quality.accuracy`.

    Args:
        runs: Of load_runs, or some of its rows; likewise for the functions below.

    Warns:
        UnreadFile: The file of a run is damaged; likewise for the functions below.
    """
    rows = _long(runs, CurveRow, read_curve)
    values = [
        {_quality_column(name): _cell(name, value) for name, value in quality.items()}
        for quality in rows.pop("quality")
    ]
    qualities = bounded_floats(DataFrame(values, index=rows.index).astype("float64"))
    return long_without_doubtful(rows.join(qualities), runs)


@lru_cache(maxsize=1000)
def _quality_column(name: str) -> str:
    return f"quality.{printable(name)}"


def load_ladder(runs: DataFrame, lists: Lists = NO_LISTS) -> DataFrame:
    """Load rungs: `run_id, value, reached, time_s, energy_j, samples`.

    Args:
        runs: Of load_runs, or some of its rows.
        lists: Of load_runs, too; without them, the records are read again. Likewise for the
            functions below.
    """
    rungs = _of_record(runs, LadderRung, "ladder", lists)
    return long_without_doubtful(rungs, runs)


def load_energy(runs: DataFrame, lists: Lists = NO_LISTS) -> DataFrame:
    """Load joules by component: `run_id, component, energy_j, source, label, ...`.

    A run has no row if a health flag speaks against its joules.
    """
    # Joules by component cannot be blanked one by one: the flag is about the run.
    return _of_record(runs[~doubtful(runs)], EnergyRow, "energy", lists)


def load_stages(runs: DataFrame, lists: Lists = NO_LISTS) -> DataFrame:
    """Load parts of the end-to-end latency: `run_id, stage, mean_ms, p50_ms, p90_ms, p99_ms`."""
    return _of_record(runs, Stage, "stages", lists)


def load_rate_search(runs: DataFrame, lists: Lists = NO_LISTS) -> DataFrame:
    """Load rates that the server scenario tried: `run_id` and the columns of RateStep."""
    return _of_record(runs, RateStep, "rate_search", lists)


def load_windows(runs: DataFrame) -> DataFrame:
    """Load the windows of deployments: `run_id` and the columns of WindowRow."""
    return long_without_doubtful(_long(runs, WindowRow, read_windows), runs)


def load_events(runs: DataFrame) -> DataFrame:
    """Load the events of deployments: `run_id` and the columns of MaintenanceEvent."""
    return long_without_doubtful(_long(runs, MaintenanceEvent, read_events), runs)


def load_telemetry(runs: DataFrame) -> DataFrame:
    """Load samples of utilization and power: `run_id, t_s, device, metric, value`.

    t_s is on the run's clock, negative before its start. A run without samples has no row.
    """
    columns = {"t_s": _FLOAT, "device": _TEXT, "metric": _TEXT, "value": _FLOAT}
    return _of_tables(runs, "telemetry.parquet", columns)


def load_requests(runs: DataFrame) -> DataFrame:
    """Load requests of a performance pass: `run_id, sample, scheduled_s, latency_ms`.

    A run that kept none has no row.
    """
    # Other columns differ between scenarios, and casting decides that a file is damaged.
    columns = dict.fromkeys(("sample", "scheduled_s", "latency_ms"), _FLOAT)
    return _of_tables(runs, "requests.parquet", columns)


def _of_record(runs: DataFrame, row: type, name: str, lists: Lists) -> DataFrame:
    def rows_of(folder: Path) -> Sequence[Any]:
        kept = lists.get(str(folder))
        if kept is None:
            rows: Sequence[Any] = getattr(read_record(folder), name)
            return rows
        return [row(**each) for each in kept[name]]

    return _long(runs, row, rows_of)


def _long(runs: DataFrame, row: type, read: Callable[[Path], Sequence[Any]]) -> DataFrame:
    names = [each.name for each in fields(row)]

    def read_cells(folder: Path) -> list[list[Any]]:
        return [[_cell(name, getattr(one, name)) for name in names] for one in read(folder)]

    rows = [[run_id, *cells] for run_id, each in _each(runs, read_cells) for cells in each]
    return bounded_floats(DataFrame(rows, columns=["run_id", *names]))


def _cell(name: str, value: Any) -> Any:
    if value is None or (type(value) is float and abs(value) <= MOST):  # most cells, so fast
        return value
    require_possible(name, value)
    if isinstance(value, list):
        return printable("; ".join(value))
    return printable(value) if isinstance(value, str) else value


def _each(runs: DataFrame, read: Callable[[Path], Any]) -> Iterable[tuple[str, Any]]:
    for run_id, folder in zip(runs["run_id"], runs[FOLDER], strict=True):
        try:
            yield run_id, read(Path(folder))
        except (ValueError, OSError) as error:
            # A warning and not an error, because a damaged file costs its rows and not the report.
            warnings.warn(UnreadFile(folder, reason_of(error)), stacklevel=4)


def _of_tables(runs: DataFrame, name: str, columns: Mapping[str, pa.DataType]) -> DataFrame:
    schema = pa.schema(columns.items())

    def read(folder: Path) -> pa.Table | None:
        path = folder / name
        if not path.exists():
            return None
        require_file(path)
        try:
            # Not read_table, which would also look for partitions in the folder's name.
            return pq.ParquetFile(path).read().select(list(columns)).cast(schema)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"{name}: {reason_of(error)}") from error

    tables = [
        table.add_column(0, "run_id", pa.array([run_id] * table.num_rows, pa.string()))
        for run_id, table in _each(runs, read)
        if table is not None
    ]
    if not tables:
        return DataFrame({name: [] for name in ("run_id", *columns)})
    frame: DataFrame = pa.concat_tables(tables).to_pandas()
    return bounded_floats(frame)
