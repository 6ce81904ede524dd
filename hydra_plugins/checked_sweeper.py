"""Extends Hydra's own sweeper: it checks and plans all jobs before it runs the first one.

Hydra finds sweepers only in this namespace package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobStatus
from omegaconf import DictConfig, OmegaConf, read_write
from rich.console import Console

from bench.cli.app import LaunchFailed
from bench.cli.digests import Digests
from bench.cli.job_values import JobValues
from bench.cli.multirun import MULTIRUN
from bench.cli.overrides import key_of, with_paths
from bench.cli.resume import Resumed
from bench.cli.terminal import CheckingLine, say
from bench.core.errors import kind_and_line
from bench.core.files import expand_path, unwritable_message
from bench.core.sweep_folder import PlannedJob, Process, RunKey, SweepFolder, SweepPlan
from bench.launch.needs import Need, require
from hydra_plugins.plannings import PLANNINGS, Planning

_BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class CheckedSweeper(BasicSweeper):
    """Checks every job of a sweep before the first one runs.

    Otherwise a typing error in the last job would show only after hours of measuring.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Plan the jobs, store the request and the plan, and run the jobs.

        Raises:
            ValueError: A value of a job is wrong, something that it needs is missing, the results
                cannot be written, or the command cannot sweep.
            LaunchFailed: The launcher failed. What it launched may have been measured.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        MULTIRUN.folder = None  # until it is this sweep's: the one that is named may be in use
        command = self.config.hydra.job.config_name
        if command not in PLANNINGS:
            raise ValueError(f"-m: {command} has nothing to sweep; leave it out")
        if (refuse_missing := getattr(self.launcher, "require", None)) is not None:
            refuse_missing()
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        jobs = self._all_jobs(overrides)
        agenda = self._plan(PLANNINGS[command](), command, jobs)
        if not self._is_local and len(agenda.first_jobs) > 1:
            raise ValueError(
                f"results={','.join(agenda.first_jobs)}: the jobs of a launcher share one results "
                "folder; sweep into each folder by a command of its own"
            )
        for first in agenda.first_jobs.values():
            self._keep_request(first)
        self._keep_plan(command, agenda.jobs)
        launched = [list(job.overrides) for job in agenda.jobs]
        size = self.max_batch_size or max(1, len(launched))
        return [
            self._launch(launched[num : num + size], num) for num in range(0, len(launched), size)
        ]

    def _all_jobs(self, overrides: list[Override]) -> list[Sequence[str]]:
        """The overrides of all jobs.

        Raises:
            ValueError: There is none, or Hydra could not cut them into batches.
        """
        size = self.max_batch_size
        if size is not None and size < 1:
            raise ValueError(f"hydra.sweeper.max_batch_size={size}: must be at least 1")
        jobs = chain.from_iterable(self.split_arguments(overrides, size))
        if first := next(jobs, None):
            return [first, *jobs]
        swept = [each for each in overrides if each.is_sweep_override()]
        empty = [str(each.input_line) for each in swept if not [*each.sweep_string_iterator()]]
        raise ValueError(f"{', '.join(empty)}: has no values to sweep")

    def _launch(self, batch: Sequence[Sequence[str]], num: int) -> Any:
        """Launch jobs.

        Raises:
            Exception: What a job raised in this process.
            LaunchFailed: The launcher failed.
        """
        assert self.launcher is not None
        if self._is_local:
            results = self.launcher.launch(batch, initial_job_idx=num)
            for result in results:
                _ = result.return_value  # raises the exception of the job, if there was one
            return results
        try:
            results = self.launcher.launch(batch, initial_job_idx=num)
        except Exception as error:
            MULTIRUN.error = kind_and_line(error)
            raise LaunchFailed(f"hydra/launcher: {MULTIRUN.error}") from error
        for result in results:
            if result.status is JobStatus.FAILED:
                MULTIRUN.error = kind_and_line(result._return_value)
        return results

    @property
    def _is_local(self) -> bool:
        """Whether the jobs are made here, one after another."""
        assert self.config is not None
        return bool(self.config.hydra.launcher._target_ == _BASIC_LAUNCHER)

    def _compose(self, overrides: list[str]) -> DictConfig:
        """Let Hydra compose the configuration of a job."""
        assert self.hydra_context is not None
        assert self.config is not None
        return self.hydra_context.config_loader.load_sweep_config(
            master_config=self.config, sweep_overrides=overrides
        )

    def _is_group(self, name: str) -> bool:
        assert self.hydra_context is not None
        assert self.config is not None
        loader, hydra = self.hydra_context.config_loader, self.config.hydra
        options = loader.get_group_options(
            name,
            results_filter=None,
            config_name=hydra.job.config_name,
            overrides=list(hydra.overrides.hydra),
        )
        return bool(options)

    def _plan(self, planning: Planning, command: str, jobs: Sequence[Sequence[str]]) -> _Agenda:
        """Check all jobs, and set MULTIRUN for the sweep.

        Raises:
            ValueError: A value of a job is wrong, or something that it needs is missing.
        """
        job_values = JobValues(self._compose, self._is_group)
        jobs = self._spread(planning, job_values, jobs)
        digests = Digests(
            planning.digests, lambda overrides: self._values(planning, job_values, overrides)
        )
        needs: dict[Need, None] = {}
        first_jobs: dict[str, Sequence[str]] = {}
        resumed = Resumed(command, lambda text: say(Console(stderr=True), text))
        planned: list[PlannedJob] = []
        num_runs = 0
        with CheckingLine(Console(stderr=True), len(jobs)) as line:
            for index, overrides in enumerate(jobs):
                values = self._values(planning, job_values, overrides)
                checked = planning.check(values, overrides)
                num_runs += checked.num_runs
                needs.update(dict.fromkeys(checked.needs))
                first_jobs.setdefault(values["results"], overrides)
                MULTIRUN.resume = str(values["resume"] or True).lower()
                seed, repeat = values["seed"], values["repeat"]
                facts = {name: values.get(name) for name in ("results", "resume", "price", "grid")}
                keys = [
                    RunKey(command=command, config_hash=each, seed=seed, repeat=repeat)
                    for each in digests.of(overrides)
                ]
                if not resumed.covers(overrides, keys, facts):
                    job = PlannedJob(num=len(planned), overrides=overrides, keys=keys)
                    planned.append(job)
                line.show(index + 1)
        if self._is_local:  # elsewhere, the node that makes a job checks what it needs
            require(needs)  # once for all jobs, because each check may import large libraries
        MULTIRUN.num_runs = num_runs
        MULTIRUN.swept = _swept(jobs) + ["run"] * (num_runs > len(jobs))
        MULTIRUN.found, MULTIRUN.order = resumed.found, jobs
        MULTIRUN.num_found = sum(len(note.runs) for note in resumed.found)
        resumed.report(MULTIRUN.swept)
        return _Agenda(first_jobs, planned)

    def _spread(
        self, planning: Planning, job_values: JobValues, jobs: Sequence[Sequence[str]]
    ) -> Sequence[Sequence[str]]:
        """Make a job of each run, so that a launcher can have each made on a node of its own."""
        if self._is_local or planning.spread is None:
            return jobs
        return [
            each
            for overrides in jobs
            for each in planning.spread(self._values(planning, job_values, overrides), overrides)
        ]

    def _values(
        self, planning: Planning, job_values: JobValues, overrides: Sequence[str]
    ) -> dict[str, Any]:
        """The resolved values of a job, until the next call."""
        values = job_values.find(overrides)
        if values is None:  # composing takes a sixth of a second, so it is the last resort
            values = planning.values(self._compose(list(overrides)))
        return with_paths(values)

    def _keep_request(self, first: Sequence[str]) -> None:
        """Store the request of the sweep in the results folder of a job.

        Raises:
            ValueError: The folder cannot be written.
        """
        assert self.config is not None
        config = self._compose(list(first))
        if not config.hydra.sweep.dir:
            raise ValueError("hydra.sweep.dir=: must name a folder; leave it out for the usual one")
        folder = Path(config.hydra.sweep.dir)
        if (folder / "jobs").exists():  # their notes would be taken for those of the new jobs
            raise ValueError(
                f"hydra.sweep.dir={folder}: has the jobs of an earlier sweep; name a new folder"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
        except OSError as error:
            raise ValueError(unwritable_message(expand_path(config.results), error)) from error
        # The launcher makes the folder that stands here; it must be the one with the request.
        with read_write(self.config.hydra):  # Hydra 1.4 protects it
            self.config.hydra.sweep.dir = str(folder)
        MULTIRUN.folder = folder

    def _keep_plan(self, command: str, jobs: Sequence[PlannedJob]) -> None:
        """Store which jobs are going to be launched, beside the request.

        Raises:
            ValueError: The folder cannot be written.
        """
        assert MULTIRUN.folder is not None
        MULTIRUN.plan = SweepPlan(
            command=command,
            process=Process.current(),
            swept=MULTIRUN.swept,
            num_runs=MULTIRUN.num_runs,
            jobs=jobs,
        )
        SweepFolder(MULTIRUN.folder).write_plan(MULTIRUN.plan)


def _swept(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the jobs, by their names in the records."""
    return [key_of(values[0]) for values in zip(*jobs, strict=True) if len(set(values)) > 1]


class _Agenda(NamedTuple):
    """The first job of each results folder, by the folder, and the jobs to launch."""

    first_jobs: Mapping[str, Sequence[str]]
    jobs: Sequence[PlannedJob]
