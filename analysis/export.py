"""Write runs in the format of other tools: `python -m analysis.export format=mllog [results=...]`.

Each training run becomes `<out>/<run_id>.log`. Runs that have no such form (of bench.serve, or
unreadable) are listed with the reason. Exit code: 0, 2 for a wrong key or value, or no
run, 5 for a defect.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

from bench.cli.help import answered
from bench.cli.start import CRASHED, INTERRUPTED, USAGE_ERROR, start
from bench.core.files import expanded
from bench.core.printable import printable


def export(config: Any) -> None:
    """Export what a configuration names, and say what was written.

    Raises:
        ValueError: There is no such format or folder, or nothing to export.
    """
    from analysis.mllog import export_runs

    roots = [config.results] if isinstance(config.results, str) else list(config.results)
    exported = export_runs(roots, expanded(config.out), config.format)
    for folder, reason in exported.skipped.items():
        print(f"left out: {printable(folder)}: {reason}", file=sys.stderr)
    for path in exported.paths:
        print(printable(path))


def main() -> int:
    """Compose the configuration and export."""
    if (code := answered("analysis.export")) is not None:
        return code
    from bench.cli import app  # slow to import, and not needed for help

    configs: list[Any] = []
    # Hydra adds a line of its own to an error inside its task: the work is done after it.
    code = app.run_app("export", configs.append)
    try:
        for config in configs:
            export(config)
    except ValueError as error:
        print(f"error: {app.one_line(error)}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return CRASHED
    return code


if __name__ == "__main__":
    start(main)
