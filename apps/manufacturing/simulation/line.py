"""A simulated line: parts come at a pace, some with a defect, under a light that varies; its truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np

from apps.manufacturing.simulation.parts import Defect, DrawnPart, draw_part, draw_scene
from edgeai_core.clock import Clock
from edgeai_core.errors import ConfigError
from edgeai_core.sample import Reading
from edgeai_core.sensors.picture import Picture, frozen


class Scenario(StrEnum):
    """What happens on the line, over and over."""

    SHIFT = "shift"
    RUN_OF_REJECTS = "run_of_rejects"
    DRIFT = "drift"
    CAMERA = "camera"


PERIOD_PARTS = 120
"""A scenario repeats after so many parts."""

USUAL_REJECT_RATE = 0.02


@dataclass(frozen=True)
class LinePart:
    """One part of the line with its truth, and what ails the camera when it passes (``ailment``)."""

    part: DrawnPart
    ailment: str = ""


def line_part(scenario: Scenario, number: int, seed: int) -> LinePart:
    """Return part ``number`` of a line. The same arguments give the same pixels."""
    random = np.random.default_rng((seed, number))
    place = number % PERIOD_PARTS
    rate = USUAL_REJECT_RATE
    if scenario is Scenario.RUN_OF_REJECTS and 20 <= place < 28:
        rate = 1.0
    if scenario is Scenario.DRIFT and place >= 30:
        rate = 0.25
    defect = random.choice(np.array(list(Defect))) if random.random() < rate else None
    scene = draw_scene(random)
    ailment = ""
    if scenario is Scenario.CAMERA:
        ailment = next((name for start, name in _AILMENTS if start <= place < start + _AILING_PARTS), "")
    if ailment == "moved":
        scene = replace(scene, shift_px=(scene.shift_px[0] + 34.0, scene.shift_px[1] + 12.0))
    if ailment == "dark":
        scene = replace(scene, gain=0.06)
    if ailment == "blurred":
        scene = replace(scene, blur_px=5.0)
    return LinePart(draw_part(random, None if defect is None else Defect(defect), scene), ailment)


_AILMENTS = ((20, "dark"), (45, "blurred"), (70, "frozen"), (95, "moved"))
_AILING_PARTS = 10


class LineSource:
    """The simulated line as a source: a picture for every part."""

    def __init__(self, name: str, scenario: str, parts_per_s: float, seed: int) -> None:
        self.name = name
        try:
            self._scenario = Scenario(scenario)
        except ValueError as error:
            raise ConfigError(f"there is no line {scenario!r}; choose {', '.join(Scenario)}") from error
        self._period_ns, self._seed = round(1e9 / parts_per_s), seed

    def open(self, clock: Clock) -> None:
        """Begin with the first part."""
        self._clock, self._number, self._due_ns = clock, 0, clock.now_ns() + self._period_ns
        self._last: Picture | None = None

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        """Return the picture of the next part when it has come."""
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(self._due_ns, patience_ns))
        if self._due_ns > patience_ns:
            return None
        made = line_part(self._scenario, self._number, self._seed)
        self._number += 1
        time_ns, self._due_ns = self._due_ns, self._due_ns + self._period_ns
        if made.ailment != "frozen" or self._last is None:
            self._last = Picture(frozen(made.part.pixels), f"simulated-{self._number}", simulated=True)
        return Reading(self._last, time_ns, self._number)

    def close(self) -> None:
        """Nothing is held open."""


def write_parts(folder: str, good: int, bad: int, seed: int) -> None:
    """Write made pictures to teach on: ``folder/good``, ``folder/bad`` and, by kind of defect, ``folder/masks/...``."""
    from pathlib import Path

    random = np.random.default_rng(seed)
    root = Path(folder)
    for name in ("good", "bad", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number in range(good):
        cv2.imwrite(str(root / "good" / f"good_{number:04}.png"), draw_part(random).pixels)
    for number in range(bad):
        kind = list(Defect)[number % len(Defect)]
        part = draw_part(random, kind)
        masks = root / "masks" / kind
        masks.mkdir(exist_ok=True)
        cv2.imwrite(str(root / "bad" / f"bad_{number:04}.png"), part.pixels)
        cv2.imwrite(str(masks / f"bad_{number:04}.png"), (part.mask * 255).astype(np.uint8))
