"""The simulated heart as a source: its ECG from where the heart is now, at the pace of the loop's clock."""

from __future__ import annotations

import numpy as np

from apps.healthcare.ecg.sources import EcgChunk
from apps.healthcare.simulation.heart import Heart
from edgeai_core.clock import Clock
from edgeai_core.errors import SensorError
from edgeai_core.sample import Reading

CHUNK_S = 0.1


class HeartSource:
    """Gives a chunk when its last sample is due. What other loops see of the same heart is in step with it."""

    name = "ecg"

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._clock: Clock | None = None
        self._size = max(1, round(CHUNK_S * heart.rate_hz))

    def check(self) -> None:
        """Nothing can be missing."""

    def open(self, clock: Clock) -> None:
        """Begin with the sample that is due next."""
        self._clock = clock
        self._round, into_ns = self._heart.round_at(clock.now_ns())
        self._next = int(into_ns / 1e9 * self._heart.rate_hz)
        self._given = 0

    def read(self, timeout_s: float) -> Reading[EcgChunk] | None:
        """Return the next chunk when it is due; None where it is not due in time."""
        if self._clock is None:
            raise SensorError(f"source {self.name!r} is read before it is opened")
        heart = self._heart
        samples_mv = heart.play(self._round).samples_mv
        first, last = self._next, min(self._next + self._size, len(samples_mv))
        due_ns = self._round * heart.round_ns + round(last / heart.rate_hz * 1e9)
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            return None
        part = np.array(samples_mv[first:last])
        part.flags.writeable = False
        chunk = EcgChunk(part, heart.rate_hz, heart.lead_names, self._given, heart.name, simulated=True)
        self._given += last - first
        self._next = last
        if last == len(samples_mv):
            self._round, self._next = self._round + 1, 0
        return Reading(chunk, time_ns=due_ns, sequence=self._given - 1, count=last - first)

    def close(self) -> None:
        """Nothing is held open."""
        self._clock = None
