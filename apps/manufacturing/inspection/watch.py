"""The camera watched over its pictures, and the parts counted: what lies between single parts and a line."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.decide import Code, Cusum, PartResult, Tally
from edgeai_core.metrics.duplicates import content_digest
from edgeai_core.vision.usual import ImageQuality, Usual, measure, moved_share, usual

LEARNT_ON = 10
"""What is usual is learnt on so many pictures where the model's card does not say it."""

_DARK_SHARE = 0.35
_BLURRED_SHARE = 0.45
_MOVED_SHARE = 0.08
_IN_A_ROW = 3
"""One odd picture is a part's doing; so many in a row are the camera's."""

_MEDIAN_OF = 5
_RATE_OVER = 50


class CameraWatch:
    """Says of each picture which trouble of the camera holds."""

    def __init__(self, known: Usual | None = None) -> None:
        self._usual = known
        self._learning: list[ImageQuality] = []
        self._rows = dict.fromkeys((Code.CAMERA_DARK, Code.CAMERA_BLURRED, Code.CAMERA_FROZEN), 0)
        self._digest = ""
        self._thumbnails: deque[NDArray[np.float32]] = deque(maxlen=_MEDIAN_OF)

    def look(self, pixels: NDArray[np.uint8]) -> tuple[Code, ...]:
        """Take one picture; return what holds after it."""
        quality = measure(pixels)
        digest = content_digest(pixels)
        frozen, self._digest = digest == self._digest, digest
        reference = self._reference(quality)
        dark = quality.brightness < _DARK_SHARE * reference.brightness if reference else False
        blurred = quality.sharpness < _BLURRED_SHARE * reference.sharpness if reference else False
        self._count(Code.CAMERA_FROZEN, frozen)
        self._count(Code.CAMERA_DARK, dark)
        self._count(Code.CAMERA_BLURRED, blurred and not dark)
        holding = [code for code, row in self._rows.items() if row >= _IN_A_ROW]
        if not (dark or blurred or frozen):
            self._thumbnails.append(quality.thumbnail)
        if reference and not holding and len(self._thumbnails) == _MEDIAN_OF:
            if moved_share(list(self._thumbnails), reference.thumbnail) > _MOVED_SHARE:
                holding.append(Code.CAMERA_MOVED)
        return tuple(holding)

    def _reference(self, quality: ImageQuality) -> Usual | None:
        if self._usual is None:
            self._learning.append(quality)
            if len(self._learning) >= LEARNT_ON:
                self._usual = usual(self._learning)
        return self._usual

    def _count(self, code: Code, holds: bool) -> None:
        self._rows[code] = self._rows[code] + 1 if holds else 0


@dataclass(frozen=True)
class Mark:
    """When a part was photographed, in seconds, and whether it was rejected; None: not judged."""

    time_s: float
    rejected: bool | None


class Counter:
    """Keeps the tally and the control chart of the reject rate."""

    def __init__(self, usual_reject_rate: float) -> None:
        self.tally = Tally()
        self.chart = Cusum(usual_reject_rate)
        self._times_s: deque[float] = deque(maxlen=_RATE_OVER)

    def count(self, part: PartResult) -> None:
        """Take one part."""
        tally = self.tally
        rejected = part.verdict == "reject"
        judged = part.verdict != "cannot tell"
        self._times_s.append(part.time_s)
        passed, rejects = tally.passed + (judged and not rejected), tally.rejected + rejected
        gaps_s = np.diff(self._times_s)
        cycle_s = float(np.median(gaps_s)) if len(gaps_s) else None
        span_s = self._times_s[-1] - self._times_s[0]
        self.tally = replace(
            tally,
            parts=tally.parts + 1,
            passed=passed,
            rejected=rejects,
            not_judged=tally.not_judged + (not judged),
            run_of_rejects=(tally.run_of_rejects + 1 if rejected else 0) if judged else tally.run_of_rejects,
            yield_share=passed / (passed + rejects) if passed + rejects else None,
            parts_per_hour=3600.0 * len(gaps_s) / span_s if span_s > 0 else None,
            cycle_time_s=cycle_s,
        )
        if judged:
            self.chart = self.chart.after(rejected)


class StillPart:
    """For a free-running camera: says once of each part that it lies still before the camera.

    A part has come when the picture has moved and then stands still for STILL pictures, and differs from what was
    there when the belt was last empty or from the part before it.
    """

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._still = 0
        self._moved = True

    def arrived(self, pixels: NDArray[np.uint8]) -> bool:
        """Take one picture; True where a part has just come to rest."""
        thumbnail = measure(pixels).thumbnail
        before, self._before = self._before, thumbnail
        if before is None:
            return False
        change = float(np.abs(thumbnail - before).mean())
        if change > _MOTION_GREY:
            self._moved, self._still = True, 0
            return False
        self._still += 1
        if self._moved and self._still == STILL and float(thumbnail.std()) > _EMPTY_GREY:
            self._moved = False
            return True
        return False


STILL = 2
_MOTION_GREY = 4.0
_EMPTY_GREY = 12.0
"""An empty belt is even."""
