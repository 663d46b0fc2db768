"""Whether the sensors agree: which of them the others contradict, and which two see different worlds from the start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeai_core.fusion.consistency import Corroboration, SensorHealth
from edgeai_core.fusion.tracker import Association, Scan, Sensor, TrackTable

Floats = NDArray[np.float64]

_SURELY, _FARTHER = 0.3, 1.2
"""What a sensor sees more often than this it should see, were it so many times farther away: ranges end gradually."""


class Agreement:
    """Watches what the sensors ``camera``, ``lidar`` and ``radar`` measure against the tracks that all of them make.

    ``camera_false`` is how many false boxes a picture has.
    """

    def __init__(self, camera_false: float) -> None:
        # a detector may see little: what it sees elsewhere instead, beyond its false boxes, tells whether it errs
        self._health = {
            "camera": SensorHealth(3, found=0.6, stray=0.5, false=camera_false),
            "lidar": SensorHealth(2),
            "radar": SensorHealth(3),
        }
        # posts are no road users: a camera that passes over what the others see must see something else to be wrong
        self._company = {name: Corroboration(0.5 if name == "camera" else 0.0) for name in self._health}
        self._sensors: dict[str, Sensor] = {}

    def suspects(self) -> tuple[str, ...]:
        """Return the sensors (``camera``, ``lidar``, ``radar``) whose measurements the others contradict.

        Where two are at odds with the tracks and the third is not, the tracks follow the third: it is the suspect. Two
        sensors alone cannot tell which of them is wrong. What a suspect measures is not used until it agrees again.
        """
        odd = [name for name, health in self._health.items() if health.contradicted()]
        if len(odd) == 2:
            odd = [name for name, health in self._health.items() if name not in odd and health.known]
        return tuple(odd) if len(odd) == 1 else ()

    def at_odds(self) -> tuple[str, ...]:
        """Return the sensors that hardly ever see what the others agree on: one of them was wrong from the start.

        They are used all the same, for which of two that contradict each other is wrong nobody knows.
        """
        return tuple(name for name, company in self._company.items() if company.contradicted())

    def note(
        self, scan: Scan, went: Association, table: TrackTable, place: Sequence[float], *, used: bool
    ) -> None:
        """Take in where the measurements of a scan went, the ``table`` after it, and where the ego was (x, y).

        ``used``: the scan has changed the tracks; a suspect's does not.
        """
        name = scan.sensor.name
        self._sensors[name] = scan.sensor
        self._health[name].record(
            scan.time_s, went.expected, went.shared_nis, went.shared_id, went.shared, went.stray
        )
        if len(self._sensors) < len(self._health):
            return
        # of the sure tracks that all should see: does this one see what the others agree on?
        mean = table.belief.moments()[0].copy()
        mean[:, :2] = place + _FARTHER * (mean[:, :2] - place)
        sure, met = table.confirmed.copy(), np.zeros(len(mean), np.bool_)
        met[went.row[(went.row >= 0) & (went.row < len(table))]] = True
        for sensor in self._sensors.values():
            sees = sensor.detection
            sure &= (sees(mean) if callable(sees) else np.full(len(mean), sees)) > _SURELY
        rest = sum(sensor.bit for sensor in self._sensors.values()) - scan.sensor.bit
        agreed = sure & ((table.seen_by & rest) == rest)
        together, missed = int((agreed & met).sum()), table.id[agreed & ~met]
        # a suspect's scans make no tracks of its own: what it measures elsewhere stands for them
        alone = int((sure & (table.seen_by == scan.sensor.bit)).sum()) if used else went.stray
        self._company[name].record(scan.time_s, together, missed, alone)
