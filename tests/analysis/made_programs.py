"""Records of synthetic runs of bench.measure."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bench.core.identity import config_hash
from bench.core.records.energy import PhaseEnergy
from bench.core.records.health import Health
from bench.core.records.phases import Phases
from bench.core.records.program import Program
from bench.core.records.run import RunRecord
from bench.core.store import create_run_folder, new_identity, write_record
from tests.analysis.made_records import HOST, SWEEP_START

WATTS = 8.0


def make_programs(results: Path, seconds: dict[str, float], *, repeats: int = 2) -> None:
    """Make runs of programs that take these times at 8 W; a further repeat takes 1% more."""
    for command, run_s in seconds.items():
        config = {"program": command}
        for repeat in range(repeats):
            identity = new_identity("measure", config_hash(config), 0, repeat)
            time_s = run_s * (1 + 0.01 * repeat)
            started = SWEEP_START + timedelta(days=9, seconds=repeat)
            record = RunRecord(
                run_id=identity.run_id,
                command=identity.command,
                config_hash=identity.config_hash,
                seed=0,
                repeat=repeat,
                started_utc=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
                status="ok",
                config={**config, "seed": 0, "repeat": repeat},
                host=HOST,
                phases=Phases(run_s=time_s, wall_time_s=time_s),
                phase_energy=PhaseEnergy(run_j=WATTS * time_s, run_error_frac=2.0),
                energy_total_j=WATTS * time_s,
                energy_label="modelled",
                energy_error_frac=2.0,
                program=Program(arguments=command.split(), exit_code=0, cpu_time_s=time_s),
                health=Health(comparable=True, flags=[], sampler_overhead_frac=0.0),
            )
            folder = create_run_folder(results, identity, record.config)
            write_record(folder, record)
