"""Where this process runs: on the machine itself, in a virtual machine, or in a container."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# Files that Docker and Podman make in each container.
_CONTAINER_FILES = (".dockerenv", "run/.containerenv")
_NVIDIA_VENDOR = "0x10de"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What decides which remedy helps.

    Attributes:
        virtual: Whether a hypervisor runs this machine.
        container: Whether this process is in a container.
        nvidia_cards: NVIDIA devices on the PCI bus, where the system shows the bus.
        nvidia_driver: Whether the kernel has loaded NVIDIA's driver.
        rapl_driver: Whether the kernel shows a powercap tree at all.
    """

    virtual: bool
    container: bool
    nvidia_cards: int
    nvidia_driver: bool
    rapl_driver: bool

    @property
    def words(self) -> str:
        """In words, for the screen."""
        machine = "virtual machine" if self.virtual else "no hypervisor"
        return f"{machine}, {'in a container' if self.container else 'no container'}"


def surroundings(root: Path = Path("/")) -> Surroundings:
    """Look around.

    Args:
        root: The folder that holds proc/ and sys/.
    """
    return Surroundings(
        virtual=_is_virtual(root / "proc/cpuinfo"),
        container=(
            any((root / file).exists() for file in _CONTAINER_FILES)
            or "KUBERNETES_SERVICE_HOST" in os.environ
        ),
        nvidia_cards=sum(
            text_of(vendor) == _NVIDIA_VENDOR
            for vendor in root.glob("sys/bus/pci/devices/*/vendor")
        ),
        nvidia_driver=(root / "proc/driver/nvidia/version").exists(),
        rapl_driver=any(root.glob("sys/class/powercap/intel-rapl*")),
    )


def text_of(path: Path) -> str | None:
    """The content of a file of the kernel, in one line; None if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def number_of(path: Path) -> float | None:
    """The number in a file of the kernel; None if it cannot be read or holds none."""
    try:
        return float(text_of(path) or "")
    except ValueError:
        return None


def _is_virtual(cpuinfo: Path) -> bool:
    """Whether the processor says that a hypervisor runs it. Source: Intel's manual, CPUID 1 ECX."""
    lines = (text_of(cpuinfo) or "").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return "hypervisor" in flags.split()
