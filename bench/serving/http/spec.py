"""The specification that a server reads when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bench.compression.artifact import Artifact
from bench.config.serve import HttpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One model behind one address.

    Attributes:
        http: Its address, protocol and limits; http.runtime is the backend.
        device: As in bench.serving.find_backend.resolve_device.
        num_threads: Threads of one operator; None lets the runtime choose.
        artifact: The model on disk.
        features_path: The feature store.
        output_shape: Shape of the outputs for one input; None for any.
    """

    http: HttpConfig
    device: str
    num_threads: int | None
    artifact: Artifact
    features_path: Path
    output_shape: tuple[int, ...] | None = None

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OSError: The file cannot be written.
        """
        path.write_bytes(_JSON.dump_json(self, indent=1))

    @classmethod
    def read(cls, path: Path) -> ServerSpec:
        """Read what write() wrote.

        Raises:
            OSError: The file cannot be read.
        """
        return _JSON.validate_json(path.read_bytes())


_JSON = TypeAdapter(ServerSpec)
