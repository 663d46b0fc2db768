"""The tests' bedside: an ECG loop in a process of its own that finds what it is told on standard input.

Everything but the source and the step is the framework's, as `edgeai run` puts it together. An order is a line
of JSON: a list of conditions, each ``{"code", "subject", "priority", "title", "evidence"}``.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edgeai_core.app import App
from edgeai_core.clock import Clock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import EndOfStream
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts
from edgeai_core.process.child import run_loop
from edgeai_core.sample import Reading
from edgeai_core.state import State

RATE_HZ = 125
CYCLE_HZ = 10
ORDERS: Input[list[dict[str, Any]]] = Input("orders")


class Config(BaseModel):
    """Nothing to configure."""


@dataclass(frozen=True)
class BedOutput:
    """What the tile shows."""

    patient: str
    status: str


class Orders:
    """Reads one order a line."""

    name = "orders"

    def __init__(self) -> None:
        self._rest = b""

    def open(self, clock: Clock) -> None:
        """Nothing to open: standard input is."""

    def read(self, timeout_s: float) -> Reading[list[dict[str, Any]]] | None:
        """Return the next order."""
        if b"\n" not in self._rest:
            if not select.select([0], [], [], timeout_s)[0]:
                return None
            chunk = os.read(0, 1 << 16)
            if not chunk:
                raise EndOfStream
            self._rest += chunk
            if b"\n" not in self._rest:
                return None
        line, self._rest = self._rest.split(b"\n", 1)
        return Reading(json.loads(line))

    def close(self) -> None:
        """Nothing to close."""


def step(snapshot: Snapshot) -> Decision[BedOutput]:
    """Say what was ordered, and draw a heart that beats 75 times a minute."""
    conditions = tuple(
        Condition(**{**order, "priority": Priority(order["priority"])}) for order in snapshot[ORDERS].data
    )
    status = "CRITICAL" if conditions else "NORMAL"
    live = {"ecg": strip(snapshot.number, status), "camera": picture(snapshot.number)}
    return Decision(BedOutput("bed-7", status), conditions, live)


def picture(number: int) -> bytes:
    """Return a camera's picture as a JPEG: 64 by 48, its grey level counting the cycles up."""
    import cv2
    import numpy as np

    return bytes(cv2.imencode(".jpg", np.full((48, 64), number % 256, np.uint8))[1])


def strip(number: int, status: str) -> dict[str, object]:
    """Return one cycle's chunk of the live topic that the ECG panel draws."""
    first, end = number * RATE_HZ // CYCLE_HZ, (number + 1) * RATE_HZ // CYCLE_HZ
    times_s = [index / RATE_HZ for index in range(first, end)]
    trace = [round(wave(time_s), 3) for time_s in times_s]
    return {
        "lead_names": ["II", "V5"],
        "rate_hz": float(RATE_HZ),
        "first_index": first,
        "samples_mv": [trace, [value / 2 for value in trace]],
        "lead_off": [False, False],
        "quality": [0.96, 0.9],
        "beats_s": [round(t, 3) for t in times_s if 0 <= t % 0.8 - 0.264 < 1 / RATE_HZ],
        "heart_rate_bpm": 75.0,
        "rhythm": "VF" if status == "CRITICAL" else "no alarm",
        "status": status,
        "confidence": None,
        "conditions": [],
        "patient": "bed-7",
        "simulated": True,
        "time_s": end / RATE_HZ,
    }


def wave(time_s: float) -> float:
    """Return P, QRS and T as sums of bells, in millivolts."""
    phase = time_s % 0.8
    bells = ((0.16, 0.028, 0.12), (0.264, 0.011, 1.2), (0.292, 0.011, -0.28), (0.46, 0.05, 0.3))
    return sum(height * math.exp(-(((phase - centre) / width) ** 2)) for centre, width, height in bells)


def fallback(snapshot: Snapshot, fault: Fault) -> Decision[BedOutput]:
    """Say that nothing can be told."""
    return SAFE


SAFE = Decision(BedOutput("bed-7", "CANNOT_TELL"), conditions=None)
SPEC = LoopSpec(
    name="ecg",
    trigger=Every(rate_hz=CYCLE_HZ),
    inputs=(ORDERS,),
    build=lambda: Parts((Orders(),), step, fallback),
    deadline_s=10.0,  # whatever this machine is busy with, the bed is no test of deadlines
    safe=SAFE,
)

if __name__ == "__main__":
    run_loop(
        App("healthcare", "A bed", Config, lambda config: (SPEC,)), SPEC, State(Path(sys.argv[1])).create()
    )
