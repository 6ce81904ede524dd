"""Which backend really computes in which precision here, and what works where one does not.

Advice names only what works on this machine: whoever follows it must not be refused again for the
same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import ClassVar, Protocol

from bench.compression.artifact import ArtifactKind
from bench.config.serve import COMPRESSIONS
from bench.core.errors import CompressionRefused, LibraryMissing, install_hint


class ServingBackend(Protocol):
    """What compression asks the class of a backend; see bench.serving.backend.Backend."""

    name: ClassVar[str]
    kind: ClassVar[ArtifactKind]
    devices: ClassVar[Sequence[str]]
    precisions: ClassVar[Sequence[str]]
    libraries: ClassVar[Mapping[str, str]]
    half_at_open: ClassVar[bool]
    int8_operators: ClassVar[Sequence[str] | None]

    @classmethod
    def refusal(cls, method: str, device: str) -> str | None:
        """Why it would not really compute in a precision on this machine; None if it would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A backend that is to run a model in a precision on a device.

    Attributes:
        backend: The class of the backend.
        method: One of bench.config.serve.COMPRESSIONS.
        device: "cpu" or "cuda".
        known: Backends that advice may name, the first of them first.
    """

    backend: type[ServingBackend]
    method: str
    device: str
    known: Sequence[type[ServingBackend]]

    def require(self) -> None:
        """Refuse a precision that the backend would not really compute in.

        Raises:
            CompressionRefused: It would not; the message has the reason and what works instead.
            LibraryMissing: It is not installed, so that this cannot be known.
        """
        for library, extra in self.backend.libraries.items():
            if find_spec(library) is None:
                raise LibraryMissing(
                    f"backend={self.backend.name}: {library} is not installed; "
                    f"{install_hint(extra)}"
                )
        reason = self._refusal()
        if reason is not None:
            raise CompressionRefused(f"compression={self.method}: {reason}; {self.advice()}")

    def advice(self, among: Sequence[type[ServingBackend]] | None = None) -> str:
        """What to use where the backend cannot have a model in this precision.

        Args:
            among: Backends that might run the model; None for all known ones.

        Returns:
            Another backend that computes in this precision here; if there is none, other
            compressions of the same backend, or else of the first one that is known.
        """
        among = self.known if among is None else among
        others = [one for one in among if one is not self.backend and self._with(one)._works()]
        ways = [f"backend={one.name}" for one in others]
        if self.device == "cuda" and self.backend in among and replace(self, device="cpu")._works():
            ways.append("backend.device=cpu")
        if ways:
            return f"use {' or '.join(ways)}"
        stays = self.backend in among and replace(self, method="none")._works()
        kept = self if stays else self._with(self.known[0])
        beside = "" if stays else f" with backend={kept.backend.name}"
        methods = [
            one for one in COMPRESSIONS if one != self.method and replace(kept, method=one)._works()
        ]
        return f"no other backend has it here, so use compression={' or '.join(methods)}{beside}"

    def _with(self, backend: type[ServingBackend]) -> Combination:
        return replace(self, backend=backend)

    def _refusal(self) -> str | None:
        if self.device not in self.backend.devices:
            return f"backend={self.backend.name} runs on {' and '.join(self.backend.devices)} only"
        reason = self.backend.refusal(self.method, self.device)
        if reason is None and self.method not in self.backend.precisions:
            return f"backend={self.backend.name} does not compute in {self.method}"
        return reason

    def _works(self) -> bool:
        """Whether the backend is installed and computes in the precision here."""
        needed = list(self.backend.libraries)
        if self.backend.kind == "torch" and self.method.startswith("int8"):
            needed.append("torchao")  # which quantizes for torch
        return all(map(find_spec, needed)) and self._refusal() is None
