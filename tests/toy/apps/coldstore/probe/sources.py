"""Where temperatures come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, SensorError
from edgeai_core.sample import Reading


class Thermometer:
    """A file with millidegrees Celsius, as Linux shows its sensors; each line of a recording is one second."""

    def __init__(self, path: Path, *, recorded: bool) -> None:
        self.name, self._path, self._recorded = "probe", path, recorded

    def open(self, clock: Clock) -> None:
        """Begin with the first second."""
        self._clock, self._due_ns = clock, clock.now_ns()
        self._lines: Iterator[str] = iter(self._text().splitlines() if self._recorded else ())

    def read(self, timeout_s: float) -> Reading[float] | None:
        """Return the temperature of the next second, in degrees Celsius; None where that is too far off."""
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(self._due_ns, patience_ns))
        if self._due_ns > patience_ns:
            return None
        line = next(self._lines, None) if self._recorded else self._text()
        if line is None:
            raise EndOfStream
        time_ns, self._due_ns = self._due_ns, self._due_ns + 1_000_000_000
        try:
            return Reading(int(line) / 1000, time_ns)
        except ValueError as error:
            raise SensorError(f"{self._path}: {line!r} is no temperature in millidegrees") from error

    def close(self) -> None:
        """Nothing is held open."""

    def _text(self) -> str:
        try:
            return self._path.read_text()
        except OSError as error:
            raise SensorError(f"{self._path}: {error.strerror}") from error
