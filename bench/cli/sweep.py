"""Runs the jobs of a command one after another, each in a fresh process, and reports on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from bench.cli.app import sweep_id
from bench.cli.messages import one_line
from bench.cli.overrides import AGENDA, Planned, key_of
from bench.cli.start import INTERRUPTED, USAGE_ERROR, output_was_lost
from bench.cli.sweep_report import (
    Command,
    has_failed,
    print_folders,
    print_runs,
    short_path,
    write_sweep,
)
from bench.cli.terminal import ProgressLine, RunCounter, say, wide_console
from bench.core.environment import settle_environment
from bench.core.files import StoreError
from bench.core.finished import FinishedRuns
from bench.core.host import host_facts
from bench.core.identity import charges_of
from bench.core.ledger import append_ledger
from bench.core.lock import lock_path, measuring_lock, require_lock
from bench.core.records.run import RunRecord
from bench.core.store import (
    create_run_folder,
    new_identity,
    read_record,
    record_path,
    write_record,
)
from bench.launch.isolation import Ending, ForkServer, NotStarted
from bench.launch.job import Job, lost_record, unreadable_record
from bench.launch.stopping import Stopped, delay_signals

RUN_FAILED = 5
RESUME_COMPARABLE = "comparable"  # value of resume= that repeats runs which are not comparable


class Sweep:
    """The runs of one command."""

    def __init__(self, command: Command) -> None:
        settle_environment()
        self._command = command
        # Preload this module too, because each child imports the command's main module.
        self._server = ForkServer(preload=[command.job.partition(":")[0], __name__])
        self._console = Console(stderr=True)
        self._counter = RunCounter(self._console)
        self._runs: list[tuple[Sequence[str], Path, RunRecord]] = []
        self._finished: dict[Path, FinishedRuns] = {}
        AGENDA.num_runs, AGENDA.swept = 1, ()
        self._refused = False
        self._failed = False
        self._num_found = 0  # runs that resume= takes from an earlier command
        self._resume: bool | str = True
        self._folder: Path | None = None  # Hydra's folder of the sweep

    def run_job(self, config: DictConfig) -> None:
        """Make the runs of one job; Hydra calls this for each job.

        A job that cannot start is refused with one line, and the sweep goes on.
        """
        try:
            hydra = HydraConfig.get()
            overrides = list(hydra.overrides.task)
            if hydra.mode == RunMode.MULTIRUN:
                self._folder = self._folder or Path(hydra.sweep.dir)
            planned = self._command.plan(config)
            for each in planned:
                self._command.check(each.config)
                if not each.config["shared"]:
                    require_lock(lock_path())
        except (ValueError, OSError, OmegaConfBaseException) as error:
            self._refused = True
            self._say_error(one_line(error, self._command.name))
            return
        for each in planned:
            self._run(each, [*overrides, *each.adds])

    def _run(self, planned: Planned, overrides: Sequence[str]) -> None:
        """Make one run and report it, unless resume= finds it finished."""
        title = self._counter.name_next(AGENDA.num_runs, _name(planned, overrides))
        config = planned.config
        self._resume = config["resume"] or True
        results = Path(config["results"]).absolute()
        key = (self._command.name, planned.digest, config["seed"], config["repeat"])
        try:
            if (done := self._finished_run(results, key, config)) is not None:
                self._runs.append((overrides, *done))
                self._num_found += 1
                return
            identity = new_identity(*key)
            # A signal in between would leave a folder without its line in the ledger.
            with delay_signals():
                facts = {"overrides": list(overrides), "sweep_id": sweep_id()}
                folder = create_run_folder(results, identity, config)
                append_ledger(results, "launched", identity, **facts)
        except StoreError as error:
            # After other runs succeeded, the folder was lost (a full disk, say): that is a failure.
            # Before the first one, it is a wrong value of results=.
            self._failed |= bool(self._runs)
            self._refused = True
            self._say_error(str(error))
            return
        job = Job(identity=identity, folder=folder, title=title, config=config, host=host_facts())
        self._make(job, overrides)

    def _finished_run(
        self, results: Path, key: tuple[str, str, int, int], config: Mapping[str, Any]
    ) -> tuple[Path, RunRecord] | None:
        """Find a finished run with the same identity and prices that resume= accepts.

        Raises:
            StoreError: The results cannot be read.
        """
        resume = config["resume"]
        if not resume:
            return None
        finished = self._finished.setdefault(results, FinishedRuns(results))
        for folder in finished.find(*key):
            try:
                record = read_record(folder)
            except StoreError as error:
                say(self._console, f"note: made again: {error}")
                continue
            comparable = record.health is None or record.health.comparable
            usable = record.status == "ok" and (comparable or resume != RESUME_COMPARABLE)
            if usable and charges_of(record.config) == charges_of(config):
                return folder, record
        return None

    def _make(self, job: Job, overrides: Sequence[str]) -> None:
        """Make one run. However it ends, read or write its record, and report it."""
        cause: Ending | BaseException
        try:
            cause = self._measure(job)
        except (OSError, ValueError, NotStarted) as error:
            cause = error
        except BaseException as error:
            self._book(job, overrides, error)
            raise
        record = self._book(job, overrides, cause)
        if job.config["progress"]:
            is_last = self._counter.num_started >= AGENDA.num_runs
            important = is_last or record.status != "ok"
            self._counter.report(job.title, self._command.line(record), important=important)

    def _book(self, job: Job, overrides: Sequence[str], cause: Ending | BaseException) -> RunRecord:
        """Add a run that has ended to the results and to the ledger."""
        with delay_signals():
            record = self._final_record(job, cause)
            self._runs.append((overrides, job.folder, record))
            self._end_in_ledger(job, record)
        return record

    def _final_record(self, job: Job, cause: Ending | BaseException) -> RunRecord:
        """Read the record that the job wrote; if there is none, write one from its curve."""
        try:
            if record_path(job.folder) is None:
                write_record(job.folder, self._command.complete(lost_record(job, cause)))
            written = record_path(job.folder)
            if written is not None and written.parent != job.folder:
                self._say_error(
                    f"{job.folder} cannot be written to (disk full?); the record is {written}"
                )
            return read_record(job.folder)
        except (OSError, ValueError) as error:
            self._say_error(str(error))
            return unreadable_record(job, error)

    def _end_in_ledger(self, job: Job, record: RunRecord) -> None:
        reached = record.target.reached if record.target else None
        results = job.folder.parent.parent
        try:
            append_ledger(results, "ended", job.identity, status=record.status, reached=reached)
        except StoreError as error:
            self._failed = True
            self._say_error(str(error))

    def _measure(self, job: Job) -> Ending:
        """Run the job, and unless shared=true, keep other runs on this host waiting meanwhile."""
        if job.config["shared"]:
            return self._start(job, None)
        with measuring_lock(lock_path(), str(job.folder), self._say_waiting) as lock:
            return self._start(job, lock)

    def _start(self, job: Job, lock: int | None) -> Ending:
        self._counter.start()
        line = ProgressLine(
            self._console,
            job.title,
            lambda: self._counter.time_left(AGENDA.num_runs),
            wanted=bool(job.config["progress"]),
            is_first=self._counter.num_made == 0,
        )
        log = job.folder / "log.txt"
        with line:
            return self._server.run(
                self._command.job, job, log=log, on_message=line.show, lock=lock
            )

    def _say_waiting(self, holder: str) -> None:
        say(
            self._console,
            f"waiting: another run is being measured on this host ({holder}); "
            "shared=true measures at the same time and marks the run",
        )

    def _say_error(self, text: str) -> None:
        say(self._console, f"error: {text}")

    def finish(self, exit_code: int) -> int:
        """Write the file of all runs, print the tables, and return the command's exit code.

        A signal that comes meanwhile waits, so that everything measured is reported.
        """
        try:
            with delay_signals():
                self._report()
        except Stopped:
            exit_code = exit_code or INTERRUPTED
        if exit_code == INTERRUPTED:
            self._say_how_to_go_on()
        if exit_code:
            return exit_code
        self._failed |= any(has_failed(record) for _, _, record in self._runs)
        if self._failed or output_was_lost():
            return RUN_FAILED
        return USAGE_ERROR if self._refused else 0

    def _report(self) -> None:
        if self._runs:
            console = wide_console()
            path = self._write_file()  # first, because printing waits for a slow reader
            print_runs(self._command, self._runs, console)
            if path is not None:
                say(console, f"every run: {short_path(path)}")
            print_folders(self._runs, console)
        if self._num_found:
            say(
                self._console,
                f"{self._num_found} of {max(AGENDA.num_runs, self._num_found)} runs were finished "
                f"before: resume={str(self._resume).lower()} does not repeat them",
            )

    def _write_file(self) -> Path | None:
        """Write all runs of a sweep to one file, in Hydra's folder of the sweep."""
        if self._folder is None:
            return None
        path = self._folder / "sweep.csv"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_sweep(path, self._runs, self._command.columns)
        except OSError as error:
            self._failed = True
            self._say_error(f"{path}: cannot write there ({error.strerror})")
            return None

    def _say_how_to_go_on(self) -> None:
        rest = max(0, AGENDA.num_runs - self._counter.num_started)
        again = f"the same command with resume={str(self._resume).lower()}"
        missing = f": {rest} of {AGENDA.num_runs} runs were not started" if rest else ""
        say(self._console, f"interrupted{missing}; {again} continues")


def _name(planned: Planned, overrides: Sequence[str]) -> str:
    """Name a run by what distinguishes it from the others of its command."""
    swept = [text for text in overrides if key_of(text) in AGENDA.swept]
    return " ".join([*swept, *planned.adds]) or planned.title
