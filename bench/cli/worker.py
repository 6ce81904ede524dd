"""Makes the runs of a job, in the command's own process or wherever a launcher of Hydra starts it.

The process that makes a job of a sweep writes down how far it has come (bench.core.sweep_folder).
The command reads these notes and the run folders: what a launcher returns is not relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from bench.cli.app import register, sweep_id
from bench.cli.fresh_process import FreshProcesses
from bench.cli.job_process import as_command
from bench.cli.messages import one_line
from bench.cli.multirun import MULTIRUN, Multirun
from bench.cli.overrides import Planned, key_of, of_swept_keys, refuse_parts_of_sweeps
from bench.cli.resume import Finished
from bench.cli.stop_jobs import is_stopped
from bench.cli.sweep_report import Command
from bench.cli.terminal import RunCounter, announcing_checks, say
from bench.core.files import StoreError
from bench.core.host import host_facts
from bench.core.ledger import note_end, note_launch
from bench.core.lock import lock_path, require_lock
from bench.core.objective import objective_of
from bench.core.process import Process
from bench.core.records.run import RunRecord
from bench.core.store import create_run_folder, new_identity, read_record, record_path, write_record
from bench.core.sweep_folder import JobNote, JobRun, LostJob, RunKey, SweepFolder
from bench.launch.isolation import Ending
from bench.launch.job import Job, unreadable_record
from bench.launch.server import NotStarted
from bench.launch.stopping import Stopped, delay_signals
from bench.launch.team import Nodes


class Worker:
    """Makes the runs of jobs; Hydra's launchers may pickle it for another process.

    Attributes:
        notes: What this process has noted of the jobs that it made, by their numbers.
        records: The records of the runs that this process made or found, by their folders.
        lost: What the launcher knows of jobs that ended without a word, by their numbers.
        nodes: The part of this process in a training over several nodes.
    """

    def __init__(self, load: Callable[[], Command], nodes: Nodes | None = None) -> None:
        """Make nothing yet; `load` imports the parts of the command when they are asked for."""
        self._load = load
        self.nodes = nodes or Nodes({})
        self.notes: dict[int, JobNote] = {}
        self.records: dict[str, RunRecord] = {}
        self.lost: dict[int, LostJob] = {}
        self._multirun = MULTIRUN
        self._is_copy = False  # of the command's worker, in a process that a launcher has started

    def __getstate__(self) -> tuple[Command, Multirun]:
        return self.command, self._multirun.for_workers()

    def __setstate__(self, state: tuple[Command, Multirun]) -> None:
        register()  # before a launcher composes the configuration of the job
        command, multirun = state
        Worker.__init__(self, lambda: command)
        self._multirun = multirun
        self._is_copy = True

    @cached_property
    def command(self) -> Command:
        """The command."""
        return self._load()

    @cached_property
    def console(self) -> Console:
        """Where progress is printed."""
        return Console(stderr=True)

    @cached_property
    def counter(self) -> RunCounter:
        """Counts the runs of this process."""
        counter = RunCounter(self.console)
        counter.skip_to(self._multirun.num_found)
        return counter

    @cached_property
    def _processes(self) -> FreshProcesses:
        return FreshProcesses(
            self.command.job,
            self.console,
            self.counter,
            num_runs=self._multirun.num_runs,
            shows_progress=not self._is_copy,  # which writes into the log of a launcher
        )

    @cached_property
    def _finished(self) -> Finished:
        return Finished(lambda text: say(self.console, f"note: {text}"))

    def run_job(self, config: DictConfig) -> float | None:
        """Make the runs of one job; Hydra calls this for each job.

        A job that cannot start is refused with one line, and the sweep goes on.

        Returns:
            The value of `objective`, for a sweeper that searches; None without one.

        Raises:
            Stopped: A signal ended the job in the command's own process, and so ends the sweep.
        """
        hydra = HydraConfig.get()
        num = hydra.job.num if hydra.mode == RunMode.MULTIRUN else len(self.notes)
        if not self._is_copy:
            self._make_job(num, list(hydra.overrides.task), config)
            return self._objective(num, config)
        if is_stopped(self._multirun.folder):
            return None
        with as_command(self._multirun):
            self.counter.skip_to(self._multirun.num_found + num)
            with suppress(Stopped):  # a launcher would take it for a loss, but all is recorded
                self._make_job(num, list(hydra.overrides.task), config)
        return self._objective(num, config)

    def _objective(self, num: int, config: DictConfig) -> float | None:
        note, name = self.notes[num], config.get("objective")
        if name is None:
            return None
        # A job that was refused or failed beside its runs has not all of them.
        runs = [] if note.errors else [self.records[each.folder] for each in note.runs]
        try:
            return objective_of(name, runs)
        except ValueError:  # the job was refused because of its objective
            return None

    def _make_job(self, num: int, overrides: Sequence[str], config: DictConfig) -> None:
        scheduler = host_facts().get("scheduler")
        note = JobNote(num=num, overrides=overrides, process=Process.current(), scheduler=scheduler)
        self._keep(note)
        try:
            for planned in self._plan(num, config):
                self._run(num, planned, [*overrides, *planned.adds])
        except Stopped as error:
            if not self.notes[num].runs:  # else the record of the run says it
                self._note_error(num, str(error), failed=True)
            raise
        except Exception as error:
            # A defect of this program; Hydra shows it where the command runs.
            self._note_error(num, f"{type(error).__name__}: {error}", failed=True)
            raise
        finally:
            self._keep(replace(self.notes[num], ended=True))

    def _plan(self, num: int, config: DictConfig) -> Sequence[Planned]:
        """Plan the runs of a job and check what they need; none if it must be refused."""
        try:
            refuse_parts_of_sweeps(HydraConfig.get())
            self.nodes.prepare(OmegaConf.select(config, "trainer.num_nodes") or 1)
            with announcing_checks(self.console, wanted=config.progress and not self._is_copy):
                planned = self.command.plan(config)
            for each in planned:
                self.command.check(each.config)
                if not each.config["shared"]:
                    require_lock(lock_path())
        except (ValueError, OSError, OmegaConfBaseException) as error:
            text = one_line(error, self.command.name)
            self._note_error(num, text, failed=False)
            self.nodes.refuse(text)
            return ()
        return planned

    def _run(self, num: int, planned: Planned, overrides: Sequence[str]) -> None:
        """Make one run and report it, unless resume= finds it finished."""
        title = self.counter.name_next(self._multirun.num_runs, self._name(planned, overrides))
        config = planned.config
        self._multirun.resume = str(config["resume"] or True).lower()
        results = Path(config["results"]).absolute()
        key = RunKey(
            command=self.command.name,
            config_hash=planned.digest,
            seed=config["seed"],
            repeat=config["repeat"],
        )
        run = JobRun(folder="", overrides=overrides, key=key)
        try:
            done = self._finished.find(key, config)
            if self.nodes.follows:  # node 0 makes the run, unless it is finished, and reports it
                if not done and (error := self._processes.follow(self.nodes, planned)):
                    self._note_error(num, error, failed=True)
                return
            if done is not None:
                folder, record = str(done[0]), done[1]
                self.records[folder] = record
                self._add(num, replace(run, folder=folder, found=True, ended=True))
                return
            identity = new_identity(key.command, key.config_hash, key.seed, key.repeat)
            # A signal in between would leave a folder without its line in the ledger.
            with delay_signals():
                run_folder = create_run_folder(results, identity, config)
                if not self._is_copy:
                    note_launch(run_folder, identity, overrides, sweep_id())
        except StoreError as error:
            # Before the first run it is a wrong value of results=, later a failure (a full disk).
            self._note_error(num, str(error), failed=bool(self.records))
            return
        self._add(num, replace(run, folder=str(run_folder)))
        job = Job(
            identity=identity,
            folder=run_folder,
            title=title,
            config=config,
            host=host_facts(),
            team=self.nodes.team,
        )
        self._make(num, job)

    def _make(self, num: int, job: Job) -> None:
        """Make one run. However it ends, read or write its record, and report it."""
        cause: Ending | BaseException
        try:
            cause = self._processes.measure(job)
        except (OSError, ValueError, NotStarted) as error:
            cause = error
        except BaseException as error:
            self._book(num, job, error)
            raise
        record = self._book(num, job, cause)
        if job.config["progress"]:
            is_last = self.counter.num_started >= self._multirun.num_runs
            important = is_last or record.status != "ok"
            self.counter.report(job.title, self.command.line(record), important=important)

    def _book(self, num: int, job: Job, cause: Ending | BaseException) -> RunRecord:
        """Add a run that has ended to the results, and in the command's process to the ledger."""
        with delay_signals():
            record = self._final_record(num, job, cause)
            self.records[str(job.folder)] = record
            if not self._is_copy:
                try:
                    note_end(job.folder, record)
                except StoreError as error:
                    self._note_error(num, str(error), failed=True)
            *others, last = self.notes[num].runs
            self._keep(replace(self.notes[num], runs=[*others, replace(last, ended=True)]))
        return record

    def _final_record(self, num: int, job: Job, cause: Ending | BaseException) -> RunRecord:
        """Read the record that the job wrote; if there is none, write one from its folder."""
        try:
            if record_path(job.folder) is None:
                write_record(job.folder, self.command.lost_record(job, cause))
            written = record_path(job.folder)
            if written is not None and written.parent != job.folder:
                text = f"{job.folder} cannot be written to (disk full?); the record is {written}"
                self._note_error(num, text, failed=True)
            return read_record(job.folder)
        except (OSError, ValueError) as error:
            self._note_error(num, str(error), failed=True)
            return unreadable_record(job, error)

    def _name(self, planned: Planned, overrides: Sequence[str]) -> str:
        """Name a run by what distinguishes it from the others of its command."""
        added = {key_of(text) for text in planned.adds}  # run=ID in place of run=GLOB
        swept = of_swept_keys(overrides, self._multirun.swept)
        kept = [text for text in swept if key_of(text) not in added]
        return " ".join([*kept, *planned.adds]) or planned.title

    def _add(self, num: int, run: JobRun) -> None:
        self._keep(replace(self.notes[num], runs=[*self.notes[num].runs, run]))

    def _note_error(self, num: int, text: str, *, failed: bool) -> None:
        """Note an error. The command prints it: at once, or when it gathers the notes."""
        note = self.notes[num]
        self._keep(replace(note, errors=[*note.errors, text], failed=note.failed or failed))
        if not self._is_copy:
            say(self.console, f"error: {text}")

    def _keep(self, note: JobNote) -> None:
        """Keep a note and, in a process of its own, write it for the command to read.

        Raises:
            StoreError: It cannot be written.
        """
        self.notes[note.num] = note
        if self._is_copy and self._multirun.folder is not None:
            SweepFolder(self._multirun.folder).write_note(note)
