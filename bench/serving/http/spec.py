"""What a server is told to serve, in the file that it reads when it starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.core.artifact import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One model behind one address.

    concurrency is how many connections measure, request_timeout_s how long their requests may take.
    num_classes is how many logits the model must give for each input; None for as many as it gives.
    runtime is as of bench.serving.find_backend. Port 0 is any free one.
    """

    runtime: str
    device: str
    num_threads: int | None
    artifact: Artifact
    features_path: Path
    num_classes: int | None = None
    model_name: str = "model"
    host: str = "127.0.0.1"
    port: int = 0
    max_batch_size: int = 1
    batch_window_ms: float = 0.0
    max_request_bytes: int = 1_000_000
    concurrency: int = 64
    request_timeout_s: float = 30.0

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OSError: The file cannot be written.
        """
        path.write_text(json.dumps(asdict(self), default=str, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> ServerSpec:
        """Read what write() wrote.

        Raises:
            OSError: The file cannot be read.
        """
        values = json.loads(path.read_text())
        artifact = values.pop("artifact")
        return cls(
            **{**values, "features_path": Path(values["features_path"])},
            artifact=Artifact(**{**artifact, "folder": Path(artifact["folder"])}),
        )
