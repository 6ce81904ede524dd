"""A model on disk, as it is served.

A model is prepared once (loaded, compressed, exported) and written to a folder of its own. A
backend opens that folder, in this process or in a server. So what is served has the bytes that were
prepared, and their size is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ArtifactKind = Literal["torch", "onnx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The model in a folder that has only its files.

    `model.pt` is a pickled bench.tasks.inference.InferenceModel; `model.onnx` may refer to further
    files beside it.
    """

    kind: ArtifactKind
    folder: Path
    compression: str

    @property
    def path(self) -> Path:
        """The file to open."""
        return self.folder / ("model.pt" if self.kind == "torch" else "model.onnx")

    @property
    def size_bytes(self) -> int:
        """Size of all its files, because the weights may be in another file than the graph."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
