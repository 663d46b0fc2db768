"""What a computation costs in energy, where the machine's own counters can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
"""Intel's and AMD's running average power limit (RAPL), as the kernel's powercap driver shows it."""


class EnergyMeter:
    """Reads the energy that the processor's packages have used. ``unreadable`` says why where it cannot."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._counters: list[tuple[Path, int]] = []
        self.unreadable = "this machine shows no energy counter (RAPL)"
        for package in sorted(folder.glob("*-rapl:*")):
            if package.name.count(":") != 1:
                continue  # a part of a package, which its package counts already
            try:
                (package / "energy_uj").read_text()
                span = int((package / "max_energy_range_uj").read_text())
            except PermissionError:
                self.unreadable = f"{package / 'energy_uj'} is readable by root alone"
            except (OSError, ValueError):
                continue
            else:
                self._counters.append((package / "energy_uj", span))

    @property
    def readable(self) -> bool:
        """Whether there is a counter."""
        return bool(self._counters)

    def start(self) -> Callable[[], float | None]:
        """Begin, and return a function that gives the joules of all packages since; None where it cannot."""
        before = self._read()

        def joules() -> float | None:
            after = self._read()
            if before is None or after is None:
                return None
            spans = [span for _, span in self._counters]
            used = [(b - a) % span for a, b, span in zip(before, after, spans, strict=True)]
            return sum(used) / 1e6

        return joules

    def _read(self) -> list[int] | None:
        try:
            return [int(path.read_text()) for path, _ in self._counters] or None
        except (OSError, ValueError):
            return None
