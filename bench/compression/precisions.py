"""Which backends really compute in which precisions here, and what to use if one does not.

Advice names only what works on this machine, so that a user who follows it is not refused again for
the same reason.
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
    """What compression needs to know of a backend; see bench.serving.backend.Backend."""

    name: ClassVar[str]
    kind: ClassVar[ArtifactKind]
    devices: ClassVar[Sequence[str]]
    precisions: ClassVar[Sequence[str]]
    libraries: ClassVar[Mapping[str, str]]
    half_at_open: ClassVar[bool]
    int8_operators: ClassVar[Sequence[str] | None]

    @classmethod
    def refusal(cls, method: str, device: str) -> str | None:
        """The reason why it would not really compute in a precision on this machine, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A backend that shall run a model in a precision on a device.

    Attributes:
        backend: The class of the backend.
        method: One of bench.config.serve.COMPRESSIONS.
        device: "cpu" or "cuda".
        known: Backends that advice may name, in order of preference.
    """

    backend: type[ServingBackend]
    method: str
    device: str
    known: Sequence[type[ServingBackend]]

    def require(self) -> None:
        """Refuse a precision that the backend would not really compute in.

        Raises:
            CompressionRefused: It would not; the message has the reason and an alternative.
            LibraryMissing: It is not installed, so that it cannot be asked.
        """
        # First, because a backend without its library cannot say what it computes in.
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
        """What to use instead of this combination.

        Args:
            among: Backends that might run the model; None for all known ones.

        Returns:
            Other backends that compute in this precision here. If there are none, other
            compressions of the same backend, or else of the first one that is known.
        """
        among = self.known if among is None else among
        options = [
            f"backend={other.name}"
            for other in among
            if other is not self.backend and replace(self, backend=other)._works()
        ]
        # The same backend may have kernels for the precision on the processor only.
        if self.device == "cuda" and self.backend in among and replace(self, device="cpu")._works():
            options.append("backend.device=cpu")
        if options:
            return f"use {' or '.join(options)}"
        alternative, suffix = self, ""
        if self.backend not in among or not replace(self, method="none")._works():
            alternative = replace(self, backend=self.known[0])
            suffix = f" with backend={alternative.backend.name}"
        methods = [
            method
            for method in COMPRESSIONS
            if method != self.method and replace(alternative, method=method)._works()
        ]
        return f"no other backend has it here, so use compression={' or '.join(methods)}{suffix}"

    def _refusal(self) -> str | None:
        if self.device not in self.backend.devices:
            return f"backend={self.backend.name} runs on {' and '.join(self.backend.devices)} only"
        reason = self.backend.refusal(self.method, self.device)
        if reason is None and self.method not in self.backend.precisions:
            return f"backend={self.backend.name} does not compute in {self.method}"
        return reason

    def _works(self) -> bool:
        """Whether the backend is installed and computes in the precision here."""
        libraries = list(self.backend.libraries)
        if self.backend.kind == "torch" and self.method.startswith("int8"):
            libraries.append("torchao")  # quantizes torch models
        return all(map(find_spec, libraries)) and self._refusal() is None
