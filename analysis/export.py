"""Write runs in the format of other tools: `python -m analysis.export format=mllog [results=...]`.

Each training run becomes `<out>/<run_id>.log`. Runs that the format cannot express (of bench.serve,
or unreadable) are listed with the reason. Exit code: 0, 2 for a wrong key or value, or if there is
no run, 5 for a defect.
"""

from __future__ import annotations

import sys

from bench.cli.help import print_help
from bench.cli.start import start
from bench.config.report import ExportConfig
from bench.core.files import expand_path
from bench.core.printable import printable


def main() -> int:
    """Export the runs, and print what was written."""
    if (code := print_help("analysis.export")) is not None:
        return code
    from bench.cli.app import run_once  # slow to import, and not needed for help

    return run_once("export", ExportConfig, _export)


def _export(plain: dict[str, object]) -> int:
    config = ExportConfig.from_dict(plain)
    from analysis.tables.mllog import export_runs  # imports pandas, so only once keys are checked

    exported = export_runs(config.results, expand_path(config.out))
    for folder, reason in exported.skipped.items():
        print(f"skipped: {printable(folder)}: {reason}", file=sys.stderr)
    print(*map(printable, exported.paths), sep="\n")
    return 0


if __name__ == "__main__":
    start(main)
