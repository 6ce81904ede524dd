"""Extends Hydra's own sweeper: it checks and plans all jobs before it runs the first one.

Hydra finds sweepers only in this namespace package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bench.cli.app import LaunchFailed
from bench.cli.derived_configs import DerivingLoader
from bench.cli.digests import Digests
from bench.cli.job_values import JobValues
from bench.cli.multirun import MULTIRUN
from bench.cli.overrides import with_paths
from bench.cli.resume import Resumed
from bench.cli.sweep_request import keep_plan, keep_request
from bench.cli.terminal import CheckingLine, say
from bench.cli.worker import Worker
from bench.config.sweeper import RepeatsConfig
from bench.core.errors import kind_and_line
from bench.core.sweep_folder import PlannedJob, RunKey
from bench.launch.needs import Need, require
from hydra_plugins.plannings import PLANNINGS, Agenda, Planning, is_auto, spread, swept_keys

if TYPE_CHECKING:
    from bench.cli.adaptive import AdaptiveSweep, Launching

# Makes the sweep of a search, from the jobs of the grid, their facts, and the worker.
Searching = Callable[[Sequence[PlannedJob], Sequence[Mapping[str, Any]], Worker], "AdaptiveSweep"]
# The values of a job that the search for finished runs, and for the best, looks at.
_FACTS = ("results", "resume", "price", "grid", "objective", "meter")
_OF_SEARCHES = ("task", "data", "target")
_BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class CheckedSweeper(BasicSweeper):
    """Checks every job of a sweep before the first one runs.

    Otherwise a typing error in the last job would show only after hours of measuring.
    """

    def __init__(self, max_batch_size: Any = None, params: Any = None, repeats: Any = None) -> None:
        """Keep the keys of conf/hydra/sweeper/checked.yaml; they are checked later."""
        super().__init__(max_batch_size, params)
        self._repeats = repeats
        self._repeats_auto = False

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the worker, besides what Hydra's own sweeper keeps."""
        self._worker = getattr(task_function, "__self__", None)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self._job_values = JobValues(self._compose, self._is_group)
        if self._is_local:  # elsewhere, the launcher may pickle it
            loader: Any = DerivingLoader(hydra_context.config_loader, self._job_values.compose)
            launcher: Any = self.launcher
            launcher.hydra_context = replace(hydra_context, config_loader=loader)

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
        kept = [each for each in overrides if not is_auto(each)]
        self._repeats_auto, overrides = len(kept) < len(overrides), kept
        searching = self._searching(command)
        jobs = self._all_jobs(overrides)
        agenda = self._plan(PLANNINGS[command](), command, jobs, searches=searching is not None)
        if not self._is_local and len(agenda.first_jobs) > 1:
            raise ValueError(
                f"results={','.join(agenda.first_jobs)}: the jobs of a launcher share one results "
                "folder; sweep into each folder by a command of its own"
            )
        for first in agenda.first_jobs.values():
            derived = self._job_values.compose(first)
            keep_request(self.config, derived or self._compose(list(first)))
        if searching is not None:
            return self._search(searching, command, agenda)
        keep_plan(command, agenda.jobs)
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

    def _searching(self, command: str) -> Searching | None:
        """What decides which of the jobs are made; None to make all of them.

        Raises:
            ValueError: A key of it is wrong.
        """
        if not self._repeats_auto:
            return None
        values: Any = OmegaConf.to_container(OmegaConf.create(self._repeats), resolve=True)
        config = RepeatsConfig.from_dict(values, "hydra.sweeper.repeats.")
        from bench.runs.searches import prepare_repeats  # slow to import, and rarely needed

        return partial(prepare_repeats, config)

    def _search(self, searching: Searching, command: str, agenda: Agenda) -> list[Any]:
        """Make the jobs that a search asks for.

        Raises:
            ValueError: The search or the launcher cannot do it.
        """
        MULTIRUN.swept = list(dict.fromkeys([*MULTIRUN.swept, "seed"]))
        MULTIRUN.num_runs, MULTIRUN.order = 0, ()
        assert isinstance(self._worker, Worker)
        sweep = searching(agenda.jobs, agenda.facts, self._worker)
        keep_plan(command, ())
        try:
            with self._launching() as launching:
                sweep.run(launching)
        finally:
            sweep.settle()
        return []

    @contextmanager
    def _launching(self) -> Iterator[Launching]:
        """Launch jobs one by one.

        Raises:
            ValueError: The launcher cannot.
        """
        assert self.config is not None
        if self._is_local:
            from bench.cli.adaptive import InProcess  # slow to import

            yield InProcess(self._launch)
        elif (follow := getattr(self.launcher, "follow", None)) is not None:
            with follow() as launching:
                yield launching
        else:
            name = self.config.hydra.runtime.choices["hydra/launcher"]
            raise ValueError(
                f"hydra/launcher={name}: returns no result before all have ended, and a search "
                "needs each of them; use hydra/launcher=slurm, or leave it out"
            )

    def _plan(
        self,
        planning: Planning,
        command: str,
        jobs: Sequence[Sequence[str]],
        *,
        searches: bool = False,
    ) -> Agenda:
        """Check all jobs, and set MULTIRUN for the sweep.

        Args:
            planning: What the flow of the command does for it.
            command: The command.
            jobs: The overrides of each job.
            searches: Whether a search decides which of them are made, and looks for finished runs.

        Raises:
            ValueError: A value of a job is wrong, or something that it needs is missing.
        """
        if searches or not self._is_local:
            jobs = spread(planning, jobs, lambda each: self._values(planning, each))
        digests = Digests(planning.digests, lambda overrides: self._values(planning, overrides))
        needs: dict[Need, None] = {}
        first_jobs: dict[str, Sequence[str]] = {}
        resumed = Resumed(command, lambda text: say(Console(stderr=True), text))
        planned: list[PlannedJob] = []
        of_planned: list[Mapping[str, Any]] = []
        num_runs = 0
        names = _FACTS + _OF_SEARCHES * searches
        assert self.config is not None
        wanted = bool(self.config.get("progress", True))
        with CheckingLine(Console(stderr=True), len(jobs), wanted=wanted) as line:
            for index, overrides in enumerate(jobs):
                values = self._values(planning, overrides)
                checked = planning.check(values, overrides)
                num_runs += checked.num_runs
                needs.update(dict.fromkeys(checked.needs))
                first_jobs.setdefault(values["results"], overrides)
                MULTIRUN.resume = str(values["resume"] or True).lower()
                seed, repeat = values["seed"], values["repeat"]
                facts = {name: deepcopy(values.get(name)) for name in names}
                keys = [
                    RunKey(command=command, config_hash=each, seed=seed, repeat=repeat)
                    for each in digests.of(overrides)
                ]
                if searches or not resumed.covers(overrides, keys, facts):
                    job = PlannedJob(num=len(planned), overrides=overrides, keys=keys)
                    planned.append(job)
                    of_planned.append(facts)
                line.show(index + 1)
        if self._is_local:  # elsewhere, the node that makes a job checks what it needs
            require(needs)  # once for all jobs, because each check may import large libraries
        MULTIRUN.num_runs = num_runs
        MULTIRUN.swept = swept_keys(jobs) + ["run"] * (num_runs > len(jobs))
        MULTIRUN.found, MULTIRUN.order = resumed.found, jobs
        MULTIRUN.num_found = sum(len(note.runs) for note in resumed.found)
        resumed.report(MULTIRUN.swept)
        return Agenda(first_jobs, planned, of_planned)

    def _values(self, planning: Planning, overrides: Sequence[str]) -> dict[str, Any]:
        """The resolved values of a job, until the next call."""
        values = self._job_values.find(overrides)
        if values is None:  # composing takes a sixth of a second, so it is the last resort
            values = planning.values(self._compose(list(overrides)))
        return with_paths(values)
