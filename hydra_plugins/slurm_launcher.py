"""Launches the jobs of a sweep on a SLURM cluster, through submitit, and waits for them.

What became of the jobs is in the folder of the sweep, not in what they return: a job that is
cancelled or loses its node returns nothing, and must not cost the others.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from bench.cli.cluster_progress import JobsLine, RunLines
from bench.cli.follow_jobs import LOOK_EVERY_S, Following, Watch
from bench.cli.launched_job import LaunchedJob, SharedState
from bench.cli.multirun import MULTIRUN
from bench.cli.terminal import say
from bench.cli.worker import Worker
from bench.config.slurm import SlurmConfig
from bench.core.errors import install_hint
from bench.core.files import StoreError
from bench.core.objective import objective_of
from bench.core.store import read_record
from bench.core.sweep_folder import JobNote, SweepFolder
from bench.launch.slurm import (
    SlurmError,
    last_line,
    max_array_size,
    require_commands,
    without_own_job,
)
from bench.launch.slurm_jobs import SlurmJobs
from bench.launch.stopping import delay_signals

if TYPE_CHECKING:
    from submitit import SlurmExecutor

# After Ctrl-C: SLURM kills a job 30 s after it has asked it to end.
_FAREWELL_S, _FAREWELL_EVERY_S = 38.0, 2.0
_LOGS = ".submitit"


class SlurmLauncher(Launcher):
    """Makes each job of a sweep on a node of its own."""

    def __init__(self, **keys: Any) -> None:
        """Keep the keys of conf/hydra/launcher/slurm.yaml."""
        self._keys = keys

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra gives to a launcher."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        # That of the worker: a line that is redrawn must know what else is printed.
        self._console = self._worker.console
        self._wants_progress = bool(config.get("progress", True))

    @cached_property
    def _config(self) -> SlurmConfig:
        """The checked keys; not by the constructor, whose exceptions Hydra wraps in its own."""
        values: Any = OmegaConf.to_container(OmegaConf.create(self._keys), resolve=True)
        return SlurmConfig.from_dict(values, "hydra.launcher.")

    @property
    def _worker(self) -> Worker:
        """The worker of this process, a copy of which makes each job."""
        worker = getattr(self.task_function, "__self__", None)
        assert isinstance(worker, Worker)
        return worker

    @cached_property
    def _state(self) -> Path:
        """The file with what all jobs share, written when the first of them is submitted."""
        path = Path(self.config.hydra.sweep.dir).absolute() / _LOGS / "state.pkl"
        SharedState(
            hydra_context=self.hydra_context,
            config=self.config,
            task_function=self.task_function,
            singletons=Singleton.get_state(),
        ).write(path)
        return path

    def require(self) -> None:
        """Refuse a machine from which nothing can be submitted, before anything is made.

        Raises:
            ValueError: A key is wrong, or a library or a command is missing; the message has the
                remedy.
        """
        _ = self._config  # checks the keys
        if find_spec("submitit") is None:
            hint = install_hint("slurm")
            raise ValueError(f"hydra/launcher=slurm: submitit is not installed; {hint}")
        require_commands()

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit jobs, and wait until each has ended or is lost.

        Args:
            job_overrides: The overrides of each job.
            initial_job_idx: The number of the first one.

        Returns:
            For each job its objective, if the sweeper searches. Hydra has nothing to raise: what
            became of a job is in its note, or in `lost` of the worker.

        Raises:
            ValueError: Nothing can be submitted from this machine.
        """
        self.require()  # not every sweeper does it before
        sweep, jobs = self._open()
        try:
            self._submit(jobs, sweep, job_overrides, initial_job_idx)
            self._wait(jobs)
        except KeyboardInterrupt:
            self._cancel(jobs)
            raise
        finally:
            self._worker.lost.update(jobs.lost)
        returned, notes = [], sweep.read_notes()
        for num, overrides in enumerate(job_overrides, start=initial_job_idx):
            job = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
            job.return_value = self._objective(notes.get(num))
            returned.append(job)
        return returned

    @contextmanager
    def follow(self) -> Iterator[Following]:
        """Launch jobs one by one: each gets the next free node.

        Raises:
            ValueError: Nothing can be submitted from this machine.
        """
        self.require()
        sweep, jobs = self._open()

        def submit(num: int, overrides: Sequence[str]) -> None:
            self._submit(jobs, sweep, [overrides], num)

        try:
            with self._watch(jobs) as watch:
                yield Following(jobs, watch, submit, self._config.array_parallelism)
        except BaseException:
            self._cancel(jobs)
            raise
        finally:
            self._worker.lost.update(jobs.lost)

    def _open(self) -> tuple[SweepFolder, SlurmJobs]:
        folder = Path(self.config.hydra.sweep.dir).absolute()
        sweep = SweepFolder(folder)
        logs = folder / _LOGS
        return sweep, SlurmJobs(sweep, lambda job_id: logs / job_id / f"{job_id}_0_log.err")

    def _objective(self, note: JobNote | None) -> float | None:
        """The objective of a job; None if the sweeper has planned its jobs and does not search."""
        name = self.config.get("objective")
        if name is None or MULTIRUN.plan is not None:
            return None
        # As bad as can be without a complete job.
        runs = note.runs if note is not None and note.ended and not note.errors else []
        try:
            return objective_of(name, [read_record(Path(run.folder)) for run in runs])
        except StoreError:
            return objective_of(name, [])

    def _submit(
        self,
        jobs: SlurmJobs,
        sweep: SweepFolder,
        job_overrides: Sequence[Sequence[str]],
        first: int,
    ) -> None:
        """Submit jobs, in arrays that are not larger than SLURM takes."""
        size = max_array_size()
        starts = range(0, len(job_overrides), size)
        executor = self._executor(sweep.path, num_arrays=len(starts))
        for start in starts:
            chunk = [list(each) for each in job_overrides[start : start + size]]
            nums = range(first + start, first + start + len(chunk))
            try:
                # A signal in between would leave jobs in the queue whose ids nobody knows.
                with delay_signals():
                    ids = _submit_array(executor, LaunchedJob(state=self._state), chunk, nums)
                    jobs.add(ids)
                    self._write_ids(sweep, ids)
            except SlurmError as error:
                jobs.refuse(range(nums.start, first + len(job_overrides)), str(error))
                return
            array = ids[nums.start].partition("_")[0]
            jobs_text = "1 job" if len(ids) == 1 else f"{len(ids)} jobs"
            say(self._console, f"SLURM job {array}: {jobs_text} of the sweep")

    def _write_ids(self, sweep: SweepFolder, ids: Mapping[int, str]) -> None:
        """Write down the ids of jobs, for a later resume=true to ask about."""
        try:
            sweep.add_launched(ids)
        except StoreError as error:  # the jobs are in the queue, and must be waited for
            say(self._console, f"note: {error}")

    def _executor(self, folder: Path, num_arrays: int) -> SlurmExecutor:
        from submitit import SlurmExecutor

        parameters = self._config.parameters()
        # SLURM counts for each array by itself.
        most = max(1, self._config.array_parallelism // num_arrays)
        executor = SlurmExecutor(folder=folder / _LOGS / "%j", max_num_timeout=0)
        executor.update_parameters(**parameters | {"array_parallelism": most})
        return executor

    def _wait(self, jobs: SlurmJobs) -> None:
        """Wait until each job has ended or is lost, and show how far they are."""
        with self._watch(jobs) as watch:
            while True:
                watch.look()
                if jobs.are_over():
                    return
                sleep(LOOK_EVERY_S)

    @contextmanager
    def _watch(self, jobs: SlurmJobs) -> Iterator[Watch]:
        runs = RunLines(self._worker.counter, MULTIRUN, self._worker.command.line)
        with JobsLine(self._console, wanted=self._wants_progress) as line:
            yield Watch(jobs, self._console, line, runs if self._wants_progress else None)

    def _cancel(self, jobs: SlurmJobs) -> None:
        """Cancel the jobs, and give them time to write their records and leave the queue."""
        if jobs.are_over():
            return
        deadline_s = monotonic() + _FAREWELL_S
        is_cancelled, refusal = False, ""
        say(self._console, f"cancelling SLURM job {', '.join(jobs.ids())}")
        while monotonic() < deadline_s:
            try:
                if not is_cancelled:
                    jobs.cancel()
                is_cancelled = True
            except SlurmError as error:
                refusal = str(error)
            sleep(_FAREWELL_EVERY_S)
            if is_cancelled and jobs.have_left():
                break
        jobs.update()
        if not is_cancelled:
            say(self._console, f"error: {refusal}; scancel {' '.join(jobs.ids())} ends the jobs")
        jobs.give_up()


def _submit_array(
    executor: SlurmExecutor, job: LaunchedJob, overrides: Sequence[list[str]], nums: range
) -> dict[int, str]:
    """Submit jobs as one array.

    Returns:
        SLURM's id of each job, by its number.

    Raises:
        SlurmError: SLURM does not take them.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        # submitit prints what it also raises
        with without_own_job(), redirect_stderr(io.StringIO()):
            submitted = executor.map_array(job, overrides, nums)
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        raise SlurmError(last_line(str(error)) or "sbatch failed") from error
    return {num: each.job_id for num, each in zip(nums, submitted, strict=True)}
