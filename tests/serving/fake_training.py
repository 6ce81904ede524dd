"""Stands in for bench.training.background: counts steps, or fails as the specification says."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def main(arguments: list[str]) -> int:
    spec = json.loads(Path(arguments[1]).read_text())
    behaviour = spec["config"]["behaviour"]
    if behaviour == "refuses":
        print("error: batch_size=7: too odd", file=sys.stderr)
        return 2
    count = np.memmap(arguments[2], dtype=np.int64, mode="r+", shape=(1,))
    os.nice(spec["nice"])
    while True:
        if behaviour == "steps":
            count[0] += 1
        time.sleep(0.002)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
