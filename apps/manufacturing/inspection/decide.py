"""Judgement -> decision: the only place that knows verdicts, limits and the codes of alerts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from edgeai_core.decision import Condition, Priority

Verdict = Literal["pass", "reject", "cannot tell"]


class Code(StrEnum):
    """What an inspection line alerts to; the line is the subject."""

    RUN_OF_REJECTS = "RUN_OF_REJECTS"
    REJECT_RATE_DRIFT = "REJECT_RATE_DRIFT"
    CAMERA_DARK = "CAMERA_DARK"
    CAMERA_BLURRED = "CAMERA_BLURRED"
    CAMERA_FROZEN = "CAMERA_FROZEN"
    CAMERA_MOVED = "CAMERA_MOVED"
    NO_PICTURES = "NO_PICTURES"


CAMERA = (Code.CAMERA_DARK, Code.CAMERA_BLURRED, Code.CAMERA_FROZEN, Code.CAMERA_MOVED)
"""While one of these holds no part is judged: what cannot be seen must not pass."""

TITLES = {
    Code.RUN_OF_REJECTS: "Parts are rejected one after the other",
    Code.REJECT_RATE_DRIFT: "More parts are rejected than usual",
    Code.CAMERA_DARK: "The camera sees no light",
    Code.CAMERA_BLURRED: "The camera is out of focus or dirty",
    Code.CAMERA_FROZEN: "The camera gives the same picture over and over",
    Code.CAMERA_MOVED: "The camera has moved, or parts lie elsewhere",
    Code.NO_PICTURES: "No pictures come from the camera",
}

ACTIONS = {
    Code.RUN_OF_REJECTS: "Stop the line and look at the last rejects",
    Code.REJECT_RATE_DRIFT: "Look for what has changed: tool, material, light",
    Code.CAMERA_DARK: "Check lamp, lens cap and exposure",
    Code.CAMERA_BLURRED: "Clean the lens and check the focus",
    Code.CAMERA_FROZEN: "Restart the camera",
    Code.CAMERA_MOVED: "Put the camera back, or teach it anew where it is",
    Code.NO_PICTURES: "Check cable, power and trigger of the camera",
}


@dataclass(frozen=True)
class Defect:
    """One defect: ``box`` as x1 y1 x2 y2 in pixels of the picture, ``area_px``, and how sure the model is, 0 to 1."""

    kind: str
    box: tuple[int, int, int, int]
    area_px: int
    score: float


@dataclass(frozen=True)
class PartResult:
    """One part. ``quality`` is the score by which it passes; ``confidence`` that of the verdict, None: not judged."""

    number: int
    name: str
    verdict: Verdict
    quality: float | None
    confidence: float | None
    defects: tuple[Defect, ...]
    time_s: float


@dataclass(frozen=True)
class Tally:
    """What has gone by: ``parts_per_hour`` and ``cycle_time_s`` over the last parts; ``yield_share`` of those judged."""

    parts: int = 0
    passed: int = 0
    rejected: int = 0
    not_judged: int = 0
    run_of_rejects: int = 0
    yield_share: float | None = None
    parts_per_hour: float | None = None
    cycle_time_s: float | None = None


@dataclass(frozen=True)
class InspectionOutput:
    """What programs get: the parts since the last decision, newest last, and the tally.

    ``verdict`` is that of the newest part; ``time_s`` when it was photographed, on the loop's clock.
    """

    line: str
    verdict: Verdict
    quality: float | None = None
    confidence: float | None = None
    defects: tuple[Defect, ...] = ()
    time_s: float = 0.0
    parts: tuple[PartResult, ...] = ()
    tally: Tally = field(default_factory=Tally)
    simulated: bool = False


def verdict_of(quality: float, pass_quality: float) -> tuple[Verdict, float]:
    """Return the verdict and how sure it is. A part passes above ``pass_quality``; what is no number does not."""
    if quality > pass_quality:
        return "pass", quality
    return "reject", 1.0 - quality if math.isfinite(quality) else 1.0


def condition(code: Code, line: str, evidence: dict[str, object] | None = None) -> Condition:
    """Return the condition with what a person needs to act on it."""
    priority = Priority.HIGH if code is Code.RUN_OF_REJECTS else Priority.MEDIUM
    return Condition(code, line, priority, TITLES[code], {"action": ACTIONS[code], **(evidence or {})})


@dataclass(frozen=True)
class Cusum:
    """A control chart for a share of rejects: the sum of evidence that it has risen, never below 0.

    Bernoulli CUSUM: M. Reynolds and Z. Stoumbos, Journal of Quality Technology 31 (1999). ``usual`` is the share in
    control, a share of ``factor`` times that is to be found; an alarm stands from ``limit`` up until half of it.
    """

    usual: float
    factor: float = 3.0
    limit: float = 5.0
    total: float = 0.0
    alarm: bool = False

    def after(self, rejected: bool) -> Cusum:
        """Return the chart after one more part."""
        risen = min(self.usual * self.factor, 0.9)
        gain = math.log(risen / self.usual) if rejected else math.log((1 - risen) / (1 - self.usual))
        total = min(max(0.0, self.total + gain), 2 * self.limit)
        alarm = total >= (self.limit / 2 if self.alarm else self.limit)
        return Cusum(self.usual, self.factor, self.limit, total, alarm)
