"""Makes the run of a deployment in this process: the real job, with small models and no meters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bench.cli.app import register
from bench.cli.overrides import key_of, plain_values
from bench.core.files import config_dir
from bench.core.identity import CHOICES, config_hash
from bench.core.maintenance_files import read_events, read_windows
from bench.core.records.maintenance import Maintenance, MaintenanceEvent, WindowRow
from bench.core.records.run import RunRecord
from bench.core.store import create_run_folder, new_identity
from bench.drift.job import MaintenanceRun
from bench.launch.job import Job
from bench.runs.exit_handling import carry_out

# Six windows of 100 predictions; a training takes some 0.1 s.
QUICK = (
    "stream.num_windows=6",
    "stream.window=100",
    "stream.initial_samples=300",
    "stream.source.num_samples=20000",
    "model.depth=1",
    "model.width=16",
    "budget.max_epochs=3",
    "target.eval_every_samples=160",
    "trainer=cpu",
    "meter=none",
    "shared=true",
    "price.usd_per_kwh=0",
)


class Deployed:
    """A deployment that has ended.

    Attributes:
        folder: Its run folder.
        record: Its record.
        rows: Its windows.
        events: Its events.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record
        self.rows: list[WindowRow] = read_windows(folder)
        self.events: list[MaintenanceEvent] = read_events(folder)

    @property
    def summary(self) -> Maintenance:
        assert self.record.maintenance is not None, self.record.error
        return self.record.maintenance

    def of_kind(self, kind: str) -> list[MaintenanceEvent]:
        """Its events of one kind."""
        return [event for event in self.events if event.kind == kind]


def values_of(*overrides: str) -> dict[str, Any]:
    """The resolved configuration of a deployment, with the options that were chosen."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        values = plain_values(compose("maintain", overrides=[*QUICK, *overrides]))
    chosen = {"policy": "never", "detector": "none", "stream": "synthetic"}
    chosen |= {key_of(each): each.partition("=")[2] for each in overrides}
    return {**values, CHOICES: chosen}


def deploy(results: Path, *overrides: str) -> Deployed:
    """Serve a stream to its end, or to the error of the run."""
    values = values_of(f"results={results}", *overrides)
    identity = new_identity("maintain", config_hash(values), values["seed"], values["repeat"])
    folder = create_run_folder(results, identity, values)
    job = Job(identity=identity, folder=folder, title="", config=values, host={})
    record = carry_out(MaintenanceRun(job, lambda _: None, launch_s=0.0))
    return Deployed(folder, record)
